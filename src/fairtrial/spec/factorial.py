"""Factorial experiments: k factors of two levels each, whose 2^k combinations (cells) are the arms.

An arm is named by its levels joined by `+`, in the order of the factors (`green+discount`), or says its
`levels` itself. The first level of a factor is how things are: the control is the cell of all first levels.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final, cast

from fairtrial.spec.base import Name
from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.metric import MetricSpec, chosen_test
from fairtrial.spec.plan import Correction, PlanSpec, VariantSpec

FACTORIAL = "factorial"
JOIN = "+"
LEAST_FACTORS, MOST_FACTORS = 2, 6
DEFAULT_ORDER: Final = 2

SERVED_TESTS = frozenset({"proportions", "welch", "student", "delta"})
"""Tests whose moments make contrasts of cells."""

SERVED_CORRECTIONS: frozenset[Correction] = frozenset(
    {"none", "bonferroni", "holm", "hochberg", "benjamini-hochberg", "benjamini-yekutieli"}
)
"""Corrections that ask for nothing but p-values, as effects of factors share no control."""

Cell = tuple[int, ...]
"""Levels of a cell in the order of the factors: 0 the first, 1 the second."""


class CellsData(UnitsData):
    """A unit table whose arm is told by one column per factor; made of a spec, never written."""

    cells: dict[Name, dict[Name, Name]]
    """By arm: the level that each column holds."""


def cells_of(factors: Mapping[str, Sequence[str]], arms: Sequence[VariantSpec]) -> dict[Cell, str]:
    """The arm of every cell that is there.

    Args:
        factors: Both levels of each factor.
        arms: Arms with their `levels`.
    """
    return {tuple(factors[name].index(arm.levels[name]) for name in factors): arm.key for arm in arms}


def with_cells(data: DataSpec, arms: Sequence[VariantSpec]) -> DataSpec:
    """The data section as it is read: where the factors have columns, with the levels of every arm in them."""
    if not isinstance(data, UnitsData) or not data.factors:
        return data
    cells = {arm.key: {data.factors[name]: level for name, level in arm.levels.items()} for arm in arms}
    return CellsData(**dict(data), cells=cells)


def factorial_short_forms(fields: dict[str, object]) -> dict[str, object]:
    """Fill in what a factorial experiment need not say: the arms, their levels, and which one is the control.

    Args:
        fields: Of the spec as it came, `arms` in their long form where they are there.
    """
    factors = _as_levels(fields.get("factors"))
    if fields.get("kind") != FACTORIAL or not factors:
        return fields
    chosen = [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]
    named = {JOIN.join(levels.values()): levels for levels in chosen}
    filled = {"arms": [{"key": key} for key in named], **fields}
    arms = filled["arms"]
    if isinstance(arms, list):
        filled["arms"] = [_with_levels(arm, named) for arm in cast("list[object]", arms)]
        first = [fields for arm in filled["arms"] if (fields := _as_fields(arm)).get("levels") == chosen[0]]
        if first and "control" not in filled:
            filled["control"] = first[0].get("key")
    return filled


def check_factors(factors: Mapping[str, Sequence[str]], order: int, arms: Sequence[VariantSpec], control: str) -> None:
    """Refuse factors, or arms, that are not those of a full 2^k experiment.

    Raises:
        ValueError: There are too few or too many factors, one has not two levels, a cell is missing or there twice, or
            the control is another than the cell of all first levels.
    """
    if not LEAST_FACTORS <= len(factors) <= MOST_FACTORS:
        raise ValueError(
            f"kind 'factorial' has {LEAST_FACTORS} to {MOST_FACTORS} factors, got {len(factors)}; "
            "for one factor use kind ab_test, its levels being the arms"
        )
    for name, levels in factors.items():
        if len(levels) != 2 or len(set(levels)) != 2:
            raise ValueError(
                f"factor '{name}' must have two different levels, got {list(levels)}; "
                "with more, use kind ab_test, every combination being an arm"
            )
    if not 1 <= order <= len(factors):
        raise ValueError(f"interactions must lie between 1 (main effects alone) and the {len(factors)} factors, got {order}")
    for arm in arms:
        _check_levels(arm, factors)
    cells = cells_of(factors, arms)
    missing = [JOIN.join(levels) for levels in itertools.product(*factors.values()) if _place(factors, levels) not in cells]
    if missing or len(cells) < len(arms):
        what = f"cells {missing} have no arm" if missing else "a cell has two arms"
        raise ValueError(
            f"a factorial experiment has one arm for each of its {2 ** len(factors)} cells, {what}; "
            "where a combination must not be shown, use kind ab_test, which compares the arms with the control"
        )
    if control != cells[(0,) * len(factors)]:
        raise ValueError(
            f"the control of a factorial experiment is the cell of all first levels, '{cells[(0,) * len(factors)]}', got '{control}'; "
            "write the level that is there today first"
        )
    if empty := [arm.key for arm in arms if arm.allocation == 0]:
        raise ValueError(f"every cell of a factorial experiment needs units, the share of {empty} is 0; use kind ab_test")


def check_factorial_plan(plan: PlanSpec, metrics: Sequence[MetricSpec], data: DataSpec | None, factors: Mapping[str, object]) -> None:
    """Refuse what contrasts of cells do not serve.

    Raises:
        ValueError: The plan looks more than once, is one-sided or for non-inferiority, its correction needs a shared
            control or weights, a metric's test is not made of moments, or the factors' columns do not fit.
    """
    if plan.method != "fixed":
        raise ValueError(f"kind 'factorial' is read once (method: fixed), method is '{plan.method}'; to look again use kind ab_test")
    if plan.objective != "superiority" or plan.alternative != "two-sided":
        raise ValueError(
            "kind 'factorial' tests two-sided for superiority, for an interaction has no better side; "
            "for non-inferiority or one side use kind ab_test with the cells as arms"
        )
    if plan.gatekeeping != "none":
        raise ValueError("kind 'factorial' has no gate between metrics; leave gatekeeping out")
    for name, method in (("correction", plan.correction), ("secondary_correction", plan.secondary_correction)):
        if method not in SERVED_CORRECTIONS:
            raise ValueError(f"plan.{name} '{method}' does not serve effects of factors; use holm or bonferroni")
    for metric in metrics:
        if chosen_test(metric) not in SERVED_TESTS:
            what = "a quantile" if metric.kind == "quantile" else f"test '{chosen_test(metric)}'"
            raise ValueError(
                f"metric '{metric.key}': effects of factors are contrasts of means or rates, {what} has none; leave `test` out"
            )
        if metric.kind == "ratio" and metric.covariate_denominator is not None:
            raise ValueError(f"metric '{metric.key}': kind 'factorial' takes a plain covariate; leave covariate_denominator out")
    if isinstance(data, UnitsData) and data.factors:
        _check_columns(data, factors)


def _check_columns(data: UnitsData, factors: Mapping[str, object]) -> None:
    if set(data.factors) != set(factors):
        raise ValueError(f"data.factors names the column of each of {list(factors)}, got {list(data.factors)}")
    if len(set(data.factors.values())) < len(data.factors):
        raise ValueError(f"each factor has a column of its own, got {dict(data.factors)}")
    if data.arm != UnitsData.model_fields["arm"].default:
        raise ValueError(f"the arm is told by data.factors or by data.arm ('{data.arm}'), not by both; leave one out")


def _check_levels(arm: VariantSpec, factors: Mapping[str, Sequence[str]]) -> None:
    if not arm.levels:
        example = JOIN.join(levels[0] for levels in factors.values())
        raise ValueError(
            f"arm '{arm.key}' is no cell of the factors; name it by its levels, as '{example}', or give it `levels` (factor: level)"
        )
    if set(arm.levels) != set(factors):
        raise ValueError(f"arm '{arm.key}' needs a level of each of the factors {list(factors)}, got {list(arm.levels)}")
    for name, level in arm.levels.items():
        if level not in factors[name]:
            raise ValueError(f"arm '{arm.key}': '{level}' is no level of factor '{name}', which has {list(factors[name])}")


def check_no_factors(kind: str, *, factors: bool, order: int, arms: Sequence[VariantSpec], data: DataSpec | None) -> None:
    """Refuse parts of a factorial experiment in a spec of another kind.

    Raises:
        ValueError: There are any.
    """
    said = [
        name
        for name, given in (
            ("factors", factors),
            ("interactions", order != DEFAULT_ORDER),
            ("levels of an arm", any(arm.levels for arm in arms)),
            ("data.factors", isinstance(data, UnitsData) and bool(data.factors)),
        )
        if given
    ]
    if said:
        raise ValueError(f"{', '.join(said)} belong to kind 'factorial', this is kind '{kind}'; set the kind, or leave them out")


def _as_levels(raw: object) -> dict[str, list[str]]:
    """Factors as they came, where they have the form of names and lists; else nothing, and the fields' own check speaks."""
    if not isinstance(raw, Mapping):
        return {}
    factors = cast("Mapping[object, object]", raw)
    if not all(isinstance(levels, list | tuple) for levels in factors.values()):
        return {}
    return {str(name): [str(level) for level in cast("Sequence[object]", levels)] for name, levels in factors.items()}


def _as_fields(arm: object) -> dict[str, object]:
    """An arm's settings as they came; nothing where it is not a mapping."""
    return cast("dict[str, object]", arm) if isinstance(arm, dict) else {}


def _with_levels(arm: object, named: Mapping[str, Mapping[str, str]]) -> object:
    fields = _as_fields(arm)
    return {**fields, "levels": dict(named[str(fields.get("key"))])} if "levels" not in fields and str(fields.get("key")) in named else arm


def _place(factors: Mapping[str, Sequence[str]], levels: Sequence[str]) -> Cell:
    return tuple(own.index(level) for own, level in zip(factors.values(), levels, strict=True))
