"""The service's database: tables, sessions, migrations."""

from fairtrial.storage.changes import watch
from fairtrial.storage.database import DEFAULT_URL, Database, open_database
from fairtrial.storage.migrate import current_revision, differences, downgrade, newest_revision, upgrade
from fairtrial.storage.tables import Experiment, ExperimentAssignment, ExperimentExposure, ExperimentOutcome

__all__ = [
    "DEFAULT_URL",
    "Database",
    "Experiment",
    "ExperimentAssignment",
    "ExperimentExposure",
    "ExperimentOutcome",
    "current_revision",
    "differences",
    "downgrade",
    "newest_revision",
    "open_database",
    "upgrade",
    "watch",
]
