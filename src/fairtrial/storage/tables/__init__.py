"""The tables of the service."""

from fairtrial.storage.tables.bandits import Bandit, BanditDecision, BanditPeriodRow, BanditReward
from fairtrial.storage.tables.base import Base
from fairtrial.storage.tables.experiments import (
    STATUSES,
    Experiment,
    ExperimentLook,
    ExperimentResult,
    ExperimentVersion,
    Holdout,
    Layer,
    LayerSlots,
)
from fairtrial.storage.tables.interactions import InteractionPair, InteractionScan
from fairtrial.storage.tables.models import ModelDeployment, ModelEvidence, PredictionLabel, PredictionRow, ShadowRow
from fairtrial.storage.tables.operations import Alert, ApiKey, AuditEntry, ChangeCounter, ConnectorConfig, JobRun, Lease, OutboxMessage
from fairtrial.storage.tables.population import (
    Conversion,
    Event,
    ExperimentAssignment,
    ExperimentExposure,
    ExperimentOutcome,
    ForcedVariant,
    JourneyDay,
    Profile,
    RetentionRule,
    Touchpoint,
)
from fairtrial.storage.tables.rollouts import Rollout, RolloutSession, RolloutUser

__all__ = [
    "STATUSES",
    "Alert",
    "ApiKey",
    "AuditEntry",
    "Bandit",
    "BanditDecision",
    "BanditPeriodRow",
    "BanditReward",
    "Base",
    "ChangeCounter",
    "ConnectorConfig",
    "Conversion",
    "Event",
    "Experiment",
    "ExperimentAssignment",
    "ExperimentExposure",
    "ExperimentLook",
    "ExperimentOutcome",
    "ExperimentResult",
    "ExperimentVersion",
    "ForcedVariant",
    "Holdout",
    "InteractionPair",
    "InteractionScan",
    "JobRun",
    "JourneyDay",
    "Layer",
    "LayerSlots",
    "Lease",
    "ModelDeployment",
    "ModelEvidence",
    "OutboxMessage",
    "PredictionLabel",
    "PredictionRow",
    "Profile",
    "RetentionRule",
    "Rollout",
    "RolloutSession",
    "RolloutUser",
    "ShadowRow",
    "Touchpoint",
]
