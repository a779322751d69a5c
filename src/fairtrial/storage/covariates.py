"""What is known of an experiment's profiles from before it, beside their outcomes: sums for CUPED (HO-42).

One statement walks the analysed profiles. The covariate is taken about its mean over all of
them, and a profile that has none is set to that mean, so that it adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from fairtrial.storage.readings import CONVERTERS, FATES, POPULATION, Window

PRE_PERIOD = "pre_period_value"
"""Attribute of profiles: what the metric was before the experiment, a number."""

COVARIATES = ("age", "ltv", PRE_PERIOD)
"""Columns of `profiles`, and one of their attributes, that a metric may be adjusted for."""

ATTRIBUTE = {
    "sqlite": (
        f"(CASE WHEN json_type(p.attributes_json, '$.{PRE_PERIOD}') IN ('integer', 'real') "
        f"THEN CAST(json_extract(p.attributes_json, '$.{PRE_PERIOD}') AS REAL) END)"
    ),
    "postgresql": (
        f"(CASE WHEN jsonb_typeof(p.attributes_json -> '{PRE_PERIOD}') = 'number' "
        f"THEN CAST(p.attributes_json ->> '{PRE_PERIOD}' AS double precision) END)"
    ),
}
"""The attribute as a number; none where it is something else."""

ABOUT = f"""
SELECT avg({{source}}) FROM experiment_assignments a CROSS JOIN profiles p WHERE p.id = a.profile_id AND {POPULATION}
"""  # noqa: S608 - the sources are those above
SUMS = f"""{FATES}
SELECT arm, sum(gap), sum(x), sum(x * x), sum(CASE WHEN value IS NULL THEN 0 ELSE x END), sum(x * coalesce(value, 0)) FROM (
  SELECT a."group" AS arm, CASE WHEN {{source}} IS NULL THEN 1 ELSE 0 END AS gap,
    coalesce({{source}} - CAST(:about AS double precision), 0.0) AS x, b.value AS value
  FROM experiment_assignments a LEFT JOIN profiles p ON p.id = a.profile_id
  LEFT JOIN (SELECT profile_id, sum(value) AS value {CONVERTERS}) b ON b.profile_id = a.profile_id
  WHERE {POPULATION}
) units GROUP BY arm ORDER BY arm
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class CovariateSums:
    """Sums of one arm, the covariate x taken about its mean over all arms.

    Attributes:
        missing: Profiles without a value, set to the mean.
        total: Of x.
        squares: Of x squared.
        of_converters: Of x over those with a counted outcome.
        with_value: Of x times the value of the counted outcomes.
    """

    missing: int
    total: float
    squares: float
    of_converters: float
    with_value: float


def sum_covariate(session: Session, window: Window, column: str) -> tuple[float, Mapping[str, CovariateSums]] | None:
    """The covariate's mean over all analysed profiles, and the sums of each arm; None where no profile has a value.

    Args:
        session: An open session.
        window: When outcomes count.
        column: One of `COVARIATES`.
    """
    connection = session.connection()
    source = ATTRIBUTE[connection.dialect.name] if column == PRE_PERIOD else f"p.{column}"
    about = connection.execute(window.bind(ABOUT.format(source=source))).scalar_one()
    if about is None:
        return None
    rows = connection.execute(window.bind(SUMS.format(source=source)), {"about": float(about)})
    return float(about), {
        row[0]: CovariateSums(
            missing=int(row[1]), total=float(row[2]), squares=float(row[3]), of_converters=float(row[4]), with_value=float(row[5])
        )
        for row in rows
    }
