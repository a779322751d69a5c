"""Signs that rows are not the randomised unit: columns whose every value lies in one arm.

If stores were randomised and the table has a row a store and week, then every store id
repeats and each lies in exactly one arm. A column of chance values does not do that: with
k groups of two rows in two equal arms the probability is 2^-k.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.unit_table import as_known_arm, is_no_arm

MOST_ROWS = 200_000
ROWS_PER_GROUP = 1.5
GROUPS_PER_ARM = 2
MOST_COLUMNS = 200


def find_clusters(source: Source, table: Any, arm: str, arms: Sequence[str], *, used: Collection[str], rows: int) -> dict[str, int]:
    """Columns in which rows group, each group within one arm, and their numbers of groups.

    Args:
        source: The engine.
        table: The stored table.
        arm: Column of the arm.
        arms: Arms of the spec.
        used: Columns that are not asked: those of metrics and the unit's own.
        rows: Rows of the table; above `MOST_ROWS` nothing is looked for.
    """
    if not 0 < rows <= MOST_ROWS:
        return {}
    kinds = table.schema()
    names = [name for name in table.columns if name != arm and name not in used and (kinds[name].is_integer() or kinds[name].is_string())]
    stored = [row[0] for row in source.rows(table.select(arm=table[arm]).distinct())]
    known = [value for value in stored if not is_no_arm(value) and as_known_arm(value, arms) in arms]
    found: dict[str, int] = {}
    mine = table.filter(table[arm].isin(known))
    for name in names[:MOST_COLUMNS]:
        groups = _groups(source, mine, arm, name)
        if groups > GROUPS_PER_ARM * len(known):
            found[name] = groups
    return found


def _groups(source: Source, table: Any, arm: str, name: str) -> int:
    """Number of groups of a column if rows group in it and each group has one arm, else 0."""
    named = table.filter(table[name].notnull()).select(group=table[name], arm=table[arm])
    by_group = named.group_by("group").agg(n=named.count(), arms=named.arm.nunique())
    groups, rows, most_arms = source.rows(by_group.agg(groups=by_group.count(), rows=by_group.n.sum(), most=by_group.arms.max()))[0]
    if not groups or int(most_arms) != 1 or int(rows) < ROWS_PER_GROUP * int(groups):
        return 0
    return int(groups)
