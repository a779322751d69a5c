"""Which model answers whom: a pure function of the user, the experiment and the shares of traffic."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from fairtrial.assignment.model_traffic import BUCKETS, ModelTraffic, session_bucket, user_bucket
from fairtrial.errors import UsageError
from fairtrial.serving.records import FeatureLog, PredictionEvent, Variant, new_prediction_id
from fairtrial.spec.model_experiment import ExperimentConfig

log = logging.getLogger("fairtrial.serving")


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Where a request goes (ML-05).

    Attributes:
        model_name: The model that is to answer.
        variant: `champion` or `challenger`.
        assignment_id: `<user>_<experiment>`, or `session_<id>`.
    """

    model_name: str
    variant: Variant
    assignment_id: str


class TrafficRouter:
    """Routes users and sessions to models, the same user always to the same model (ML-04 to ML-07).

    Args:
        experiment_config: The models and their shares.
        seed: Seed of the hash.
        assignments: Model by assignment id, kept by the caller: what stands there wins over the
            hash, and what is decided is put there. None keeps nothing; the hash is then all.

    Attributes:
        shut: While set, the champion answers everybody, whatever stands in the shares.

    Raises:
        UsageError: A share is no multiple of 0.0001, or they do not sum to 1.
    """

    def __init__(self, experiment_config: ExperimentConfig, seed: int = 42, *, assignments: MutableMapping[str, str] | None = None) -> None:
        self.config = experiment_config
        self.seed = seed
        self.assignments = assignments
        self.traffic = ModelTraffic.laid_out(experiment_config.champion_model, experiment_config.traffic_allocation)
        self._shares = self.traffic.shares
        self.shut = False

    @property
    def buckets(self) -> dict[str, tuple[float, float]]:
        """Half-open range of [0, 1) by model; after a change of shares a model may have more than the first that is shown."""
        first = {part.arm: (part.low / BUCKETS, part.high / BUCKETS) for part in reversed(self.traffic.ranges)}
        return {model: first[model] for model in self.traffic.models if model in first}

    def bucket_of_user(self, user_id: str) -> int:
        """Bucket of a user, in 0..9999."""
        return user_bucket(_known(user_id, "user_id"), self.config.name, self.seed)

    def bucket_of_session(self, session_id: str) -> int:
        """Bucket of an anonymous session, in 0..9999."""
        return session_bucket(_known(session_id, "session_id"), self.config.name, self.seed)

    def assign_variant(self, user_id: str) -> RoutingDecision:
        """The model of a user, the same for as long as the shares stay.

        Raises:
            UsageError: The id is empty or no text.
        """
        return self._decided(f"{user_id}_{self.config.name}", self.bucket_of_user(user_id))

    def assign_random_variant(self, session_id: str) -> RoutingDecision:
        """The model of an anonymous session, the same for as long as it lasts.

        Raises:
            UsageError: The id is empty or no text.
        """
        return self._decided(f"session_{session_id}", self.bucket_of_session(session_id))

    def reallocate(self, allocation: Mapping[str, float]) -> None:
        """Change the shares; a challenger grows at the champion's cost alone and gives back to it.

        Raises:
            UsageError: A model is missing or unknown, or the shares break a rule.
        """
        self.use(self.traffic.reallocated(allocation))

    def use(self, traffic: ModelTraffic) -> None:
        """Route by other ranges from now on."""
        self.traffic, self._shares = traffic, traffic.shares

    def propensity(self, model_name: str) -> float:
        """Probability with which a request goes to a model now."""
        if self.shut:
            return float(model_name == self.traffic.champion)
        return self._shares.get(model_name, 0.0)

    def begin(
        self, decision: RoutingDecision, features: object, *, log: FeatureLog, at: dt.datetime, user_id: str | None = None, stage: str = ""
    ) -> PredictionEvent:
        """The event of a prediction that is about to be made, without its answer.

        Args:
            decision: Who is to answer.
            features: Of the request, as they came.
            log: What of them may be logged.
            at: The moment, aware.
            user_id: Who asks; None for a session.
            stage: Of the rollout.
        """
        return PredictionEvent(
            experiment=self.config.name,
            assignment_id=decision.assignment_id,
            user_id=user_id,
            variant=decision.variant,
            model_name=decision.model_name,
            served_by=decision.model_name,
            prediction=None,
            timestamp=at,
            latency_ms=0.0,
            error=False,
            timeout=False,
            propensity=self.propensity(decision.model_name),
            stage=stage,
            prediction_id=new_prediction_id(),
            features=log.redacted(features),
            segments=log.columns(features),
        )

    def _decided(self, assignment_id: str, bucket: int) -> RoutingDecision:
        if self.shut:
            return RoutingDecision(model_name=self.traffic.champion, variant="champion", assignment_id=assignment_id)
        kept = None if self.assignments is None else self.assignments.get(assignment_id)
        model = kept if kept in self.traffic.models else self.traffic.model_of(bucket)
        if model is None:
            log.error("no range holds bucket %s of %r; the champion answers", bucket, assignment_id)
            model = self.traffic.champion
        if self.assignments is not None and kept != model:
            self.assignments[assignment_id] = model
        variant: Variant = "champion" if model == self.traffic.champion else "challenger"
        return RoutingDecision(model_name=model, variant=variant, assignment_id=assignment_id)


def _known(given: str, what: str) -> str:
    """A given id.

    Raises:
        UsageError: It is empty or no text.
    """
    if not isinstance(given, str) or not given:  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all typed
        raise UsageError(f"{what} must be a text that is not empty, got {given!r}.", hint="Anonymous requests: assign_random_variant.")
    return given
