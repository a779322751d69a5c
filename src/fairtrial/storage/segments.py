"""Units and outcomes of an experiment by a profile's attribute and arm, out of the service's own tables.

An attribute is what was known of a profile before any experiment; its values are levels as text. One statement walks the
analysed profiles, as for covariates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.errors import DataError
from fairtrial.stats.moments import Moments
from fairtrial.storage.readings import ABOUT, CONVERTERS, FATES, POPULATION, ArmCounts, Window

MOST_VALUES = 20_000
"""Different values beyond which an attribute is no segment (an id, an amount)."""
MOST_ROWS = 4 * MOST_VALUES

LEVEL = {
    "sqlite": (
        "CASE json_type(p.attributes_json, :path) WHEN 'null' THEN NULL WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
        "ELSE CAST(json_extract(p.attributes_json, :path) AS TEXT) END"
    ),
    "postgresql": "p.attributes_json ->> CAST(:path AS text)",
}
"""The attribute as text; NULL where a profile has none."""

BY_LEVEL = f"""{FATES}
SELECT level, arm, count(*), count(value), sum(coalesce(value, 0)), sum(value - :about), sum((value - :about) * (value - :about)) FROM (
  SELECT a."group" AS arm, {{level}} AS level, b.value AS value
  FROM experiment_assignments a LEFT JOIN profiles p ON p.id = a.profile_id
  LEFT JOIN (SELECT profile_id, sum(value) AS value {CONVERTERS}) b ON b.profile_id = a.profile_id
  WHERE {POPULATION}
) units GROUP BY level, arm ORDER BY level, arm LIMIT :most
"""  # noqa: S608 - the levels are those above


def count_by_attribute(session: Session, window: Window, attribute: str) -> Mapping[str | None, Mapping[str, ArmCounts]]:
    """Analysed units and their outcomes, by value of an attribute (None: no value) and arm.

    Args:
        session: An open session.
        window: When outcomes count.
        attribute: Name of the profiles' attribute.

    Raises:
        DataError: There are more than 20,000 values.
    """
    connection = session.connection()
    dialect = connection.dialect.name
    about = float(connection.execute(window.bind(ABOUT)).scalar_one() or 0.0)
    given = {"about": about, "path": attribute_path(dialect, attribute), "most": MOST_ROWS}
    rows = connection.execute(window.bind(BY_LEVEL.format(level=LEVEL[dialect])), given).all()
    found = _by_level(rows, about)
    if len(found) > MOST_VALUES or len(rows) == MOST_ROWS:
        raise DataError(
            f"A segment is a category, attribute {attribute!r} has more than {MOST_VALUES:,} different values.",
            hint="Store it in classes; an id or an amount is no segment.",
            code="too_many_segments",
        )
    return found


def count_by_stratum(session: Session, window: Window) -> Mapping[str | None, Mapping[str, ArmCounts]]:
    """Analysed units and their outcomes, by the stratum within which they were assigned (None: none) and arm."""
    connection = session.connection()
    about = float(connection.execute(window.bind(ABOUT)).scalar_one() or 0.0)
    rows = connection.execute(window.bind(BY_LEVEL.format(level="a.stratum")), {"about": about, "most": MOST_ROWS}).all()
    return _by_level(rows, about)


def attribute_path(dialect: str, attribute: str) -> str:
    """What `LEVEL` reads an attribute by."""
    return f'$."{attribute}"' if dialect == "sqlite" else attribute


def _by_level(rows: Iterable[Sequence[Any]], about: float) -> dict[str | None, dict[str, ArmCounts]]:
    found: dict[str | None, dict[str, ArmCounts]] = {}
    for level, arm, n, converters, total, off, squares in rows:
        found.setdefault(level, {})[arm] = _counts(int(n), int(converters), about, float(total), float(off or 0.0), float(squares or 0.0))
    return found


def _counts(n: int, converters: int, about: float, total: float, off: float, squares: float) -> ArmCounts:
    value = Moments(n=n, mean=0.0, m2=0.0)
    if converters:
        value = Moments(n=converters, mean=about + off / converters, m2=max(0.0, squares - off * off / converters))
        if n > converters:
            value = value + Moments(n=n - converters, mean=0.0, m2=0.0)
    return ArmCounts(n=n, converters=converters, total_value=total, value=value)
