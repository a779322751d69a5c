"""What changed between two specs, and how large a step of the version that calls for.

MAJOR: a metric, the hypothesis, or anything else that makes the result answer another question (arms, population,
decision rule). MINOR: what is added to it, and how it is planned (shares, sizes, data, segments). PATCH: what people
read and what a calendar holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from fairtrial.errors import Problem
from fairtrial.spec.catalog import is_catalog_entry
from fairtrial.spec.catalog_model import CatalogEntry
from fairtrial.spec.loader import LoadedSpec
from fairtrial.spec.versions import Level, largest, next_version, version_problems

Tree = Mapping[str, object]
Kind = Literal["added", "removed", "changed"]

UNSAID = re.compile(r"(metadata\.)?(change_log|config_version|version)(\..*)?|schema_version")
"""What is no change of the experiment itself."""

RULES: tuple[tuple[str, Level], ...] = (
    # words for people, dates, and sizes as a power analysis writes them back
    (r"name|description|owner|status|prerequisites", "patch"),
    (r"(feasibility|business|business_impact|interference)(\..*)?", "patch"),
    (r"(business_justification|risk_assessment|strategic_importance|metadata)(\..*)?", "patch"),
    (r"(arms|variants)\.[^.]+\.(description|name)", "patch"),
    (r"metrics\.[^.]+\.description", "patch"),
    (r"schedule(\..*)?|plan\.sample_size", "patch"),
    (r"design\.temporal_schedule\.(minimum|maximum)_runtime_days", "minor"),
    (r"design\.(temporal_schedule|seasonal_context)(\..*)?", "patch"),
    (r"population\.target_population|implementation\.data_generation(\..*)?", "patch"),
    (r"power_analysis\.(sample_size|traffic_analysis)(\..*)?", "patch"),
    (r"power_analysis\.duration_calculation\.(required|variability_adjusted|final_duration)_days", "patch"),
    (r"metrics\..*baseline_assumptions\.(source|period|notes)", "patch"),
    # how it is planned and read
    (r"(arms|variants)\.[^.]+\.allocation", "minor"),
    (r"plan\.(baseline|baseline_sd|power|mde|mde_kind|min_days|max_days|sample_size)", "minor"),
    (r"(data|segments)(\..*)?|population\.stratification(\..*)?", "minor"),
    (r"power_analysis\.(statistical_power|effect_size(\..*)?|duration_calculation(\..*)?)", "minor"),
    (r"metrics\..*baseline_assumptions(\..*)?|implementation\.analysis_requirements\.subgroup_analysis", "minor"),
)
"""Level of a change by its place; the first that fits, else what `_level` says."""

COMPILED: tuple[tuple[re.Pattern[str], Level], ...] = tuple((re.compile(pattern), level) for pattern, level in RULES)

ADDED_TO = re.compile(r"(arms|variants|metrics|metrics\.secondary|metrics\.guardrail_metrics|factors)\.[^.]+")
"""Places where something whole may be added beside what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecChange:
    """One difference between two specs.

    Attributes:
        path: Where, by keys and names.
        kind: Whether it was added, removed or changed.
        before: The value before; None when it is new.
        after: The value now; None when it is gone.
        level: The step of the version that it calls for.
    """

    path: str
    kind: Kind
    before: object
    after: object
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecDiff:
    """All differences between two specs of one experiment.

    Attributes:
        key: The experiment.
        old_version: Its version before.
        new_version: Its version now.
        changes: Largest first.
        problems: What is wrong with the step of the version.
    """

    key: str
    old_version: str
    new_version: str
    changes: tuple[SpecChange, ...]
    problems: tuple[Problem, ...]

    @property
    def needed(self) -> Level | None:
        """The smallest step of the version that the changes call for; None when nothing changed."""
        return largest(change.level for change in self.changes)

    @property
    def needed_version(self) -> str:
        """The lowest version that the changes allow."""
        return self.old_version if self.needed is None else next_version(self.old_version, self.needed)


def diff_specs(old: LoadedSpec, new: LoadedSpec) -> SpecDiff:
    """Compare two specs, in the form that they are written in where it is the same.

    Two experiments of different names are compared without a word about versions.
    """
    sections = is_catalog_entry(old.raw) and is_catalog_entry(new.raw)
    changes = sorted(_changes(_tree(old, sections=sections), _tree(new, sections=sections)), key=_order)
    problems: Sequence[Problem] = ()
    if old.spec.key == new.spec.key:
        needed = largest(change.level for change in changes)
        problems = version_problems(new.spec.key, old.spec.version, new.spec.version, needed, new.change_log)
    return SpecDiff(
        key=new.spec.key,
        old_version=old.spec.version,
        new_version=new.spec.version,
        changes=tuple(changes),
        problems=tuple(problems),
    )


def compare_trees(old: Tree, new: Tree) -> list[SpecChange]:
    """Differences between two specs in normal form as plain data, largest first."""
    return sorted(_changes(old, new), key=_order)


def _order(change: SpecChange) -> tuple[int, str]:
    return -("patch", "minor", "major").index(change.level), change.path


def _tree(found: LoadedSpec, *, sections: bool) -> Tree:
    """A spec as plain data with its defaults, so that a default that is written out is no change."""
    if sections:
        return CatalogEntry.model_validate(dict(found.raw)).model_dump(mode="json")
    return found.spec.model_dump(mode="json")


def _changes(old: object, new: object, path: str = "") -> Iterator[SpecChange]:
    if old == new or UNSAID.fullmatch(path):
        return
    before, after = _named(old), _named(new)
    if before is None or after is None or (path and not (before and after)):
        kind: Kind = "added" if _nothing(old) else "removed" if _nothing(new) else "changed"
        yield SpecChange(path=path, kind=kind, before=old, after=new, level=_level(path, kind, old, new))
        return
    for key in dict.fromkeys([*before, *after]):
        yield from _changes(before.get(key), after.get(key), f"{path}.{key}" if path else key)


def _named(value: object) -> Tree | None:
    """A mapping, or a list of named things as one; None of anything else."""
    if isinstance(value, Mapping):
        return cast("Tree", value)
    if not isinstance(value, list) or not value:
        return None
    items = cast("list[object]", value)
    names: dict[str, object] = {}
    for item in items:
        fields = cast("Tree", item if isinstance(item, Mapping) else {})
        name = fields.get("key") or fields.get("name")
        if not isinstance(name, str):
            return None
        names[name] = {part: inner for part, inner in fields.items() if part != "key"}
    return names


def _nothing(value: object) -> bool:
    return value is None or value in ("", [], {}, ())


def _level(path: str, kind: Kind, old: object, new: object) -> Level:
    for pattern, level in COMPILED:
        if pattern.fullmatch(path):
            return level
    if kind == "added" and ADDED_TO.fullmatch(path) and not _is_primary(path, new):
        return "minor"
    if path == "hypothesis.secondary" and isinstance(old, list) and isinstance(new, list):
        said = cast("list[object]", new)
        return "minor" if all(text in said for text in cast("list[object]", old)) else "major"
    return "major"


def _is_primary(path: str, value: object) -> bool:
    return path.startswith("metrics.primary") or (isinstance(value, Mapping) and cast("Tree", value).get("role") == "primary")
