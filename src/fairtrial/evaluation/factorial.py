"""Effects of factors: main effects and interactions of a factorial experiment, from the arm statistics of its cells.

A main effect is a factor's effect averaged over the levels of the others, cells counting alike; it is read
off all units. The effects of the primary metric, main effects and interactions up to the order that the spec
says, are one family under `plan.correction`; the main effects of all secondary metrics are another under
`plan.secondary_correction`; a guardrail's are corrected by nobody, so that no warning is lost. Where an
interaction is significant the averages need describe no cell: then the effects of its factors at each level
of the others are read too, corrected as a family of their own.

None of this decides: the verdict is of cells, by the usual table (docs/decisions/0009).

References: Dasgupta, Pillai & Rubin (2015), JRSS B 77, 727-753; Box, Hunter & Hunter (2005), chapter 5.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError
from fairtrial.metrics import Metric
from fairtrial.metrics.family import Means
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.factorial import FACTORIAL, Cell, cells_of
from fairtrial.spec.metric import Direction, Role
from fairtrial.spec.plan import Correction
from fairtrial.stats.factorial import CellContrast, cell_contrasts, factorial_effects
from fairtrial.stats.factorial_cells import adjusted_cells
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.result import Interval, Unavailable
from fairtrial.stats.tails import interval_of

FEW = 5
"""Outcomes of either kind in a cell below which a rate's normal approximation is rough."""

Adjusted = tuple[dict[Cell, Moments], float | None]
"""Moments by cell, and the part of the variance that covariates saved."""

Reading = Literal["better", "worse", "interacts", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorEffect:
    """A main effect, an interaction, or a factor's effect at given levels of others.

    Attributes:
        metric: Key of the metric.
        role: The metric's role.
        direction: Which way is better.
        kind: Kind of the metric.
        factors: One for a main or simple effect, several for an interaction.
        at: Levels of other factors at which a simple effect is read; empty for the others.
        effect: Second level minus first, averaged over the factors not named, in the metric's unit; of an
            interaction, by how much one factor's effect changes when the other goes to its second level.
        interval: Its interval, at error rate `alpha`.
        std_error: Its standard error.
        df: Welch-Satterthwaite degrees of freedom.
        statistic: effect / std_error.
        p_value: Of no effect, before correction.
        p_adjusted: After it; None where none applies.
        correction: Name of the correction; None where none applies.
        alpha: Error rate of the interval, which leaves 0 out exactly when the (corrected) p-value lies below the plan's alpha.
        n: Units behind it.
        method: Stable name of the test.
        variance_reduction: Part of the variance that the covariates saved; None without one.
        reading: What it says in the metric's direction; `interacts` for a significant interaction.
    """

    metric: str
    role: Role
    direction: Direction
    kind: Literal["proportion", "mean", "count", "ratio", "quantile"]
    factors: tuple[str, ...]
    at: dict[str, str]
    effect: float
    interval: Interval
    std_error: float
    df: float
    statistic: float
    p_value: float
    p_adjusted: float | None
    correction: str | None
    alpha: float
    n: int
    method: str
    variance_reduction: float | None
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorialResult:
    """What the factors of a factorial experiment do.

    Attributes:
        factors: Both levels of each factor, the first being that of the control.
        order: Interactions of at most so many factors were estimated.
        effects: Main effects of every metric in declared order, and interactions of the primary one after its own.
        simple_effects: Of the factors that interact significantly on the primary metric; empty where none do.
        unavailable: By metric: why it has no effects.
    """

    factors: dict[str, tuple[str, ...]]
    order: int
    effects: tuple[FactorEffect, ...]
    simple_effects: tuple[FactorEffect, ...] = ()
    unavailable: dict[str, Unavailable] = field(default_factory=dict[str, Unavailable])

    @property
    def interactions(self) -> tuple[FactorEffect, ...]:
        """The significant ones; where there are any, main effects alone mislead."""
        return tuple(effect for effect in self.effects if effect.reading == "interacts")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """A contrast before correction."""

    metric: Metric
    contrast: CellContrast
    factors: tuple[str, ...]
    at: Mapping[str, str]
    n: int
    saved: float | None


def factor_effects(spec: ExperimentSpec, metrics: Sequence[Metric], arms: Mapping[str, ArmStats]) -> FactorialResult | None:
    """The effects of a spec's factors.

    Args:
        spec: The experiment.
        metrics: Its metrics, in declared order.
        arms: Statistics of every arm.

    Returns:
        The effects, corrected; None where the experiment is not factorial.
    """
    if spec.kind != FACTORIAL:
        return None
    raw: list[_Raw] = []
    simple: list[_Raw] = []
    unavailable: dict[str, Unavailable] = {}
    for metric in metrics:
        found = _cells(spec, metric, arms)
        if isinstance(found, Unavailable):
            unavailable[metric.spec.key] = found
            continue
        try:
            raw += _contrasts(spec, metric, *found)
        except DataError as error:
            unavailable[metric.spec.key] = Unavailable(code=error.code, reason=error.message)
    families: tuple[tuple[Role, Correction], ...] = (
        ("primary", spec.plan.correction),
        ("secondary", spec.plan.secondary_correction),
        ("guardrail", "none"),
    )
    effects = tuple(
        effect for role, method in families for effect in _family(spec, [one for one in raw if one.metric.spec.role == role], method)
    )
    interacting = [effect.factors for effect in effects if effect.reading == "interacts"]
    if interacting:
        primary = next(metric for metric in metrics if metric.spec.role == "primary")
        found = _cells(spec, primary, arms)
        if not isinstance(found, Unavailable):
            simple = _simple_contrasts(spec, primary, *found, interacting)
    order = [metric.spec.key for metric in metrics]
    return FactorialResult(
        factors=dict(spec.factors),
        order=spec.interactions,
        effects=tuple(sorted(effects, key=lambda effect: order.index(effect.metric))),
        simple_effects=tuple(_family(spec, simple, spec.plan.correction)),
        unavailable=unavailable,
    )


def factorial_findings(spec: ExperimentSpec, found: FactorialResult | None, arms: Mapping[str, ArmStats]) -> list[Finding]:
    """What a reader of main effects must know: factors that interact, and cells too thin for a normal approximation.

    Args:
        spec: The experiment.
        found: Its effects; None where it is not factorial.
        arms: Statistics of every arm.
    """
    if found is None:
        return []
    findings = [
        Finding(
            code="factors_interact",
            severity="warning",
            message=f"{' and '.join(effect.factors)} interact on {effect.metric}: "
            "their main effects are averages that no combination need show, and alone they mislead.",
            action="Read the effects of these factors at each level of the others, and choose a cell, not a level.",
            metric=effect.metric,
            numbers={"interaction": effect.effect, "p_value": effect.p_value, "p_adjusted": effect.p_adjusted},
        )
        for effect in found.interactions
    ]
    for metric in spec.metrics:
        thin = _thin_cells(spec, metric.key, arms) if metric.kind == "proportion" else []
        if thin and metric.key not in found.unavailable:
            findings.append(
                Finding(
                    code="sparse_cells",
                    severity="warning",
                    message=f"Cells {', '.join(thin)} have fewer than {FEW} units with, or without, the outcome of {metric.key}: "
                    "the effects of factors rest on a normal approximation that is rough there.",
                    action="Read the cells, whose p-values are exact where counts are small; or wait for more units.",
                    metric=metric.key,
                    numbers={"cells": len(thin)},
                )
            )
    return findings


def _thin_cells(spec: ExperimentSpec, metric: str, arms: Mapping[str, ArmStats]) -> list[str]:
    thin: list[str] = []
    for arm in spec.arms:
        outcome = arms[arm.key].outcomes.get(metric)
        if isinstance(outcome, OutcomeStats):
            n, rate = outcome.moments.n, float(outcome.moments.mean[0])
            if n * min(rate, 1.0 - rate) < FEW - 0.5:
                thin.append(arm.key)
    return thin


def _cells(spec: ExperimentSpec, metric: Metric, arms: Mapping[str, ArmStats]) -> Adjusted | Unavailable:
    """Moments by cell, adjusted; or why they are not there."""
    placed = sorted(cells_of(spec.factors, spec.arms).items())
    found: list[CoMoments] = []
    for _, arm in placed:
        outcome = arms[arm].outcomes.get(metric.spec.key)
        if outcome is None:
            return Unavailable(code="empty_arm", reason=f"Cell {arm} has no unit with a value of {metric.spec.key}.")
        moments = outcome if isinstance(outcome, Unavailable) else outcome.moments if outcome.stratified is None else outcome.stratified
        if isinstance(moments, Unavailable):
            return moments
        found.append(moments)
    try:
        adjusted = adjusted_cells(found, ratio=metric.spec.kind == "ratio")
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)
    return {cell: own for (cell, _), own in zip(placed, adjusted.cells, strict=True)}, adjusted.variance_reduction


def _contrasts(spec: ExperimentSpec, metric: Metric, cells: Mapping[Cell, Moments], saved: float | None) -> list[_Raw]:
    """Main effects, and interactions of the primary metric, before correction."""
    analysis = factorial_effects(
        cells,
        list(spec.factors),
        max_order=spec.interactions if metric.spec.role == "primary" else 1,
        variances=_variances(metric),
        correction="none",
        alpha=spec.plan.alpha,
    )
    names = list(spec.factors)
    sets = [chosen for order in range(1, len(names) + 1) for chosen in itertools.combinations(names, order)]
    pairs = zip(analysis.contrasts, sets, strict=False)
    return [_Raw(metric=metric, contrast=one, factors=chosen, at={}, n=analysis.n, saved=saved) for one, chosen in pairs]


def _simple_contrasts(
    spec: ExperimentSpec,
    metric: Metric,
    cells: Mapping[Cell, Moments],
    saved: float | None,
    interacting: Sequence[tuple[str, ...]],
) -> list[_Raw]:
    """The effect of each factor of an interaction at every level of its others, averaged over the factors outside it."""
    names = list(spec.factors)
    placed = list(cells)
    found: dict[tuple[str, tuple[tuple[str, int], ...]], _Raw] = {}
    for chosen in interacting:
        for factor in chosen:
            others = [name for name in chosen if name != factor]
            for levels in itertools.product((0, 1), repeat=len(others)):
                held = tuple(zip(others, levels, strict=True))
                weights = np.array([_weight(cell, names, factor, held) for cell in placed]) / 2 ** (len(names) - len(chosen))
                contrast = cell_contrasts(
                    list(cells.values()), {factor: weights}, variances=_variances(metric), correction="none", alpha=spec.plan.alpha
                ).contrasts[0]
                n = sum(cells[cell].n for cell, weight in zip(placed, weights.tolist(), strict=True) if weight)
                at = {name: spec.factors[name][level] for name, level in held}
                found[factor, held] = _Raw(metric=metric, contrast=contrast, factors=(factor,), at=at, n=n, saved=saved)
    return list(found.values())


def _weight(cell: Cell, names: Sequence[str], factor: str, held: Sequence[tuple[str, int]]) -> float:
    if any(cell[names.index(name)] != level for name, level in held):
        return 0.0
    return 1.0 if cell[names.index(factor)] else -1.0


def _variances(metric: Metric) -> Literal["unequal", "equal"]:
    return metric.family.variances if isinstance(metric.family, Means) else "unequal"


def _family(spec: ExperimentSpec, raw: Sequence[_Raw], method: Correction) -> list[FactorEffect]:
    """Effects with the p-values and intervals that their family's correction leaves them."""
    if not raw:
        return []
    alpha = spec.plan.alpha
    p_values = [one.contrast.p_value for one in raw]
    levels, adjusted, correction = [alpha] * len(raw), [None] * len(raw), None
    if len(raw) > 1 and method != "none" and method != "dunnett" and method != "weighted-bonferroni":  # noqa: PLR1714 a set would not narrow
        made = adjust(p_values, method, alpha=alpha)
        levels, adjusted, correction = np.clip(made.local_alpha, 1e-300, None).tolist(), made.p_adjusted.tolist(), method
    low, high = interval_of(
        np.array([one.contrast.effect for one in raw]),
        np.array([one.contrast.std_error for one in raw]),
        np.array([one.contrast.df for one in raw]),
        alpha=np.array(levels),
        alternative="two-sided",
    )
    ends = zip(raw, levels, adjusted, low.tolist(), high.tolist(), strict=True)
    return [_effect(one, alpha, level, p, correction, Interval(low=a, high=b)) for one, level, p, a, b in ends]


def _effect(one: _Raw, alpha: float, level: float, p_adjusted: float | None, correction: str | None, interval: Interval) -> FactorEffect:
    metric, contrast = one.metric.spec, one.contrast
    reading: Reading = "inconclusive"
    if (contrast.p_value if p_adjusted is None else p_adjusted) < alpha:
        up = contrast.effect > 0.0
        reading = "interacts" if len(one.factors) > 1 else "better" if up == (metric.direction == "increase") else "worse"
    return FactorEffect(
        metric=metric.key,
        role=metric.role,
        direction=metric.direction,
        kind=metric.kind,
        factors=one.factors,
        at=dict(one.at),
        effect=contrast.effect,
        interval=interval,
        std_error=contrast.std_error,
        df=contrast.df,
        statistic=contrast.statistic,
        p_value=contrast.p_value,
        p_adjusted=p_adjusted,
        correction=correction,
        alpha=level,
        n=one.n,
        method=f"{'' if one.saved is None else 'cuped_'}factorial_contrast",
        variance_reduction=one.saved,
        reading=reading,
    )
