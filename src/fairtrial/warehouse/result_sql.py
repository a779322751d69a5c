"""The statements that make the tables of results and fill them, in each engine's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairtrial.warehouse.result_rows import PRIMARY_TABLE, SECONDARY_TABLE, Column, Kind

LATEST_VIEW = "v_experiment_latest"
GUARDRAILS_VIEW = "v_experiment_guardrails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How an engine says it.

    Attributes:
        types: Name of the type to make, by kind of column.
        families: Words in a stored type's name that fit, by kind.
        mark: What a parameter looks like.
        replaces_views: Whether a view can be made anew in place.
        prefix: Before a table's name, the dot included.
    """

    types: Mapping[Kind, str]
    families: Mapping[Kind, tuple[str, ...]]
    mark: str
    replaces_views: bool = True
    prefix: str = ""

    def table(self, name: str) -> str:
        """The table's whole name."""
        return f"{self.prefix}{name}"


FAMILIES: Mapping[Kind, tuple[str, ...]] = {
    "text": ("char", "text", "string"),
    "number": ("double", "real", "float", "numeric", "decimal"),
    "integer": ("int",),
    "boolean": ("bool",),
    "time": ("timestamp", "datetime"),
}

DUCKDB = Dialect(
    types={"text": "VARCHAR", "number": "DOUBLE", "integer": "BIGINT", "boolean": "BOOLEAN", "time": "TIMESTAMP"},
    families=FAMILIES,
    mark="?",
)
SQLITE = Dialect(
    types={"text": "TEXT", "number": "REAL", "integer": "INTEGER", "boolean": "BOOLEAN", "time": "TIMESTAMP"},
    families=FAMILIES,
    mark="?",
    replaces_views=False,
)
POSTGRES = Dialect(
    types={"text": "TEXT", "number": "DOUBLE PRECISION", "integer": "BIGINT", "boolean": "BOOLEAN", "time": "TIMESTAMP"},
    families=FAMILIES,
    mark="%s",
)
BIGQUERY = Dialect(
    types={"text": "STRING", "number": "FLOAT64", "integer": "INT64", "boolean": "BOOL", "time": "DATETIME"}, families=FAMILIES, mark="?"
)


def create_table(dialect: Dialect, name: str, columns: Sequence[Column]) -> str:
    """Make a table where there is none."""
    listed = ", ".join(f"{column.name} {dialect.types[column.kind]}" for column in columns)
    return f"CREATE TABLE IF NOT EXISTS {dialect.table(name)} ({listed})"


def delete_analysis(dialect: Dialect, name: str) -> str:
    """Take one analysis out of a table; its one parameter is the analysis_id."""
    return f"DELETE FROM {dialect.table(name)} WHERE analysis_id = {dialect.mark}"  # noqa: S608 - names are ours


def insert_row(dialect: Dialect, name: str, columns: Sequence[Column]) -> str:
    """Put a row in; a parameter a column."""
    names, marks = ", ".join(column.name for column in columns), ", ".join(dialect.mark for _ in columns)
    return f"INSERT INTO {dialect.table(name)} ({names}) VALUES ({marks})"  # noqa: S608


def earlier_analysis(dialect: Dialect, name: str) -> str:
    """The analysis_id under which the same result stands; parameters experiment, spec hash, fingerprint, package version."""
    where = " AND ".join(f"{column} = {dialect.mark}" for column in ("experiment_name", "spec_hash", "data_fingerprint", "package_version"))
    return f"SELECT MAX(analysis_id) FROM {dialect.table(name)} WHERE {where}"  # noqa: S608


def views(dialect: Dialect) -> list[str]:
    """Statements that make the views: the last analysis of each experiment, and its guardrails."""
    primary, secondary = dialect.table(PRIMARY_TABLE), dialect.table(SECONDARY_TABLE)
    latest = (
        f"SELECT p.* FROM {primary} p JOIN (SELECT experiment_name, MAX(analysis_date) AS last_date "  # noqa: S608
        f"FROM {primary} GROUP BY experiment_name) l ON p.experiment_name = l.experiment_name AND p.analysis_date = l.last_date"
    )
    guardrails = (
        "SELECT p.experiment_name, p.analysis_date, p.final_decision, s.analysis_id, s.treatment, s.secondary_metric_name, "  # noqa: S608
        "s.secondary_metric_status, s.secondary_metric_effect_percent, s.ci_low_percent, s.ci_high_percent, "
        f"s.guardrail_threshold_used, s.non_inferior FROM {secondary} s JOIN {dialect.table(LATEST_VIEW)} p "
        "ON s.analysis_id = p.analysis_id AND s.treatment = p.treatment WHERE s.metric_role = 'guardrail'"
    )
    how = "CREATE OR REPLACE VIEW" if dialect.replaces_views else "CREATE VIEW IF NOT EXISTS"
    return [f"{how} {dialect.table(LATEST_VIEW)} AS {latest}", f"{how} {dialect.table(GUARDRAILS_VIEW)} AS {guardrails}"]


def misfits(dialect: Dialect, columns: Sequence[Column], stored: Mapping[str, str]) -> list[str]:
    """What a stored table lacks or has in the wrong type, a phrase each.

    Args:
        dialect: The engine's words.
        columns: What is needed.
        stored: Type by name of column, as the engine names them.
    """
    found: list[str] = []
    for column in columns:
        kind = stored.get(column.name)
        if kind is None:
            found.append(f"{column.name} is missing")
        elif not any(word in kind.lower() for word in dialect.families[column.kind]):
            found.append(f"{column.name} is {kind}, it must be {dialect.types[column.kind]}")
    return found
