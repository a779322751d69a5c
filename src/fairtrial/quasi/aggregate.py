"""Averages of cohort-period effects: one number, by cohort, by time since the start, by period.

Each is a weighted mean of ATT(g, t) with weights from the cohorts' sizes; the
sizes are estimated too, which the influence function accounts for.

Reference: Callaway & Sant'Anna (2021), Journal of Econometrics 225, 200-230,
section 3 (equations 3.3-3.11) and corollary 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi.did_checks import ASSUMPTIONS, trends_grade
from fairtrial.quasi.estimate import QuasiEstimate, graded, inference, with_inference
from fairtrial.quasi.event_study import JointTest, joint_by_kind, joint_test, pretrend_findings, untestable
from fairtrial.quasi.relative import LevelError
from fairtrial.quasi.staggered import GroupTime, GroupTimes
from fairtrial.stats.result import Interval

Floats = NDArray[np.float64]
Aggregation = Literal["simple", "group", "dynamic", "calendar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatePoint:
    """An average of effects at one cohort, one distance or one period.

    Attributes:
        at: The cohort (`group`), periods since the start (`dynamic`), or period (`calendar`).
        effect: In the outcome's unit.
        std_error: None where no error can be had (a cohort of one unit, a reference period).
        interval: Pointwise confidence interval; None without a standard error.
    """

    at: float
    effect: float
    std_error: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateDid:
    """Staggered effects in one number and along one line.

    Attributes:
        estimate: The overall average.
        points: Along the line asked for; empty for `simple`.
        pretrend: Joint test of every ATT(g, t) before the treatment; None when there are none, or too many to test.
    """

    estimate: QuasiEstimate
    points: tuple[AggregatePoint, ...]
    pretrend: JointTest | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mean:
    """A number with its influence function, and the weight with which each unit enters it."""

    effect: float
    influence: Floats
    pull: Floats


def aggregate_did(groups: GroupTimes, kind: Aggregation = "simple") -> AggregateDid:
    """Average ATT(g, t).

    Args:
        groups: What `att_gt` returned.
        kind: `simple`: over all treated cohort-periods, weighted by cohort size. `group`: over time for
            each cohort, then over cohorts. `dynamic`: by time since the start, then evenly over distances
            from 0 on. `calendar`: by period, then evenly over periods.

    Returns:
        The overall effect, and the points of the line; errors by the convention that `att_gt` was given.

    Raises:
        UsageError: `kind` is another word.
        NotEnoughDataError: No treated cohort-period could be estimated.

    References:
        Callaway & Sant'Anna (2021): `simple` equation 3.11, `group` 3.7 and 3.8, `dynamic` 3.4, `calendar` 3.9.
    """
    if kind not in get_args(Aggregation):
        raise UsageError(f"kind must be one of {list(get_args(Aggregation))}, got {kind!r}.")
    after = [i for i, cell in enumerate(groups.effects) if cell.event_time >= 0]
    if not after:
        raise NotEnoughDataError("No effect after the start of a treatment could be estimated.", code="too_few_periods")
    line: dict[float, _Mean] = {}
    if kind == "simple":
        overall = _weighted(groups, after)
    elif kind == "group":
        line = _line(groups, after, lambda cell: cell.cohort, even=True)
        overall = _over_cohorts(groups, line)
    else:
        chosen = range(len(groups.effects)) if kind == "dynamic" else after
        line = _line(groups, chosen, (lambda cell: float(cell.event_time)) if kind == "dynamic" else (lambda cell: cell.time))
        told = [mean for at, mean in line.items() if kind == "calendar" or at >= 0.0]
        overall = _Mean(
            effect=float(np.mean([m.effect for m in told])),
            influence=np.mean([m.influence for m in told], axis=0),
            pull=np.mean([m.pull for m in told], axis=0),
        )
    pretrend, findings = _pretrend(groups)
    return AggregateDid(
        estimate=_estimate(groups, overall, kind, (*groups.findings, *findings)),
        points=tuple(_point(groups, at, mean) for at, mean in sorted(line.items())),
        pretrend=pretrend,
    )


def _shares(groups: GroupTimes, chosen: Sequence[int]) -> tuple[Floats, Floats]:
    """Share of each chosen cell's cohort among all units, and each unit's membership, shape (units, cells)."""
    cohorts = np.array([np.searchsorted(groups.periods, groups.effects[i].cohort) for i in chosen])
    members = (groups.first[:, None] == cohorts[None, :]).astype(np.float64)
    return members.mean(axis=0), members


def _weighted(groups: GroupTimes, chosen: Sequence[int]) -> _Mean:
    """Mean over cells weighted by their cohorts' estimated shares."""
    shares, members = _shares(groups, chosen)
    effects = np.array([groups.effects[i].effect for i in chosen])
    weights = shares / shares.sum()
    influence = groups.influence[:, list(chosen)] @ weights
    drift = members - shares
    influence += drift @ effects / shares.sum() - drift.sum(axis=1) * float(weights @ effects) / shares.sum()
    return _Mean(effect=float(weights @ effects), influence=influence, pull=groups.pull[:, list(chosen)] @ weights)


def _line(groups: GroupTimes, chosen: Sequence[int], at: Callable[[GroupTime], float], *, even: bool = False) -> dict[float, _Mean]:
    """Means of the chosen cells that share a value; `even` counts each cell the same."""
    cells: dict[float, list[int]] = {}
    for index in chosen:
        cells.setdefault(at(groups.effects[index]), []).append(index)
    if not even:
        return {value: _weighted(groups, members) for value, members in cells.items()}
    return {
        value: _Mean(
            effect=float(np.mean([groups.effects[i].effect for i in members])),
            influence=groups.influence[:, members].mean(axis=1),
            pull=groups.pull[:, members].mean(axis=1),
        )
        for value, members in cells.items()
    }


def _over_cohorts(groups: GroupTimes, line: dict[float, _Mean]) -> _Mean:
    """Mean of cohorts' means weighted by the cohorts' estimated shares."""
    places = np.array([np.searchsorted(groups.periods, cohort) for cohort in line])
    members = (groups.first[:, None] == places[None, :]).astype(np.float64)
    shares = members.mean(axis=0)
    effects = np.array([mean.effect for mean in line.values()])
    weights, drift = shares / shares.sum(), members - shares
    influence = np.column_stack([mean.influence for mean in line.values()]) @ weights
    influence += drift @ effects / shares.sum() - drift.sum(axis=1) * float(weights @ effects) / shares.sum()
    pull = np.column_stack([mean.pull for mean in line.values()]) @ weights
    return _Mean(effect=float(weights @ effects), influence=influence, pull=pull)


def _point(groups: GroupTimes, at: float, mean: _Mean) -> AggregatePoint:
    """A mean with its error, where it has one."""
    errors, one = groups.errors(mean.influence[:, None], mean.pull[:, None]), np.ones(1)
    std_error = math.sqrt(errors.variance_of(one))
    if std_error <= 0.0:
        return AggregatePoint(at=at, effect=mean.effect, std_error=None, interval=None)
    interval = inference(mean.effect, std_error, df=errors.df_of(one), alpha=groups.alpha).interval
    return AggregatePoint(at=at, effect=mean.effect, std_error=std_error, interval=interval)


def _pretrend(groups: GroupTimes) -> tuple[JointTest | None, list[Finding]]:
    """Test of every cell before the treatment; by distance alone where cohorts are too small to test each."""
    before = [i for i, cell in enumerate(groups.effects) if cell.event_time < 0 and cell.std_error is not None]
    if not before:
        return None, pretrend_findings(None)
    every = [_Mean(effect=groups.effects[i].effect, influence=groups.influence[:, i], pull=groups.pull[:, i]) for i in before]
    by_distance = list(_line(groups, before, lambda cell: float(cell.event_time)).values())
    for means in (every, by_distance):
        effects = np.array([mean.effect for mean in means])
        errors = groups.errors(np.column_stack([mean.influence for mean in means]), np.column_stack([mean.pull for mean in means]))
        try:
            if groups.small_sample == "satterthwaite":
                test = joint_by_kind(effects, errors, list(range(effects.size)))
            else:
                test = joint_test(effects, errors.covariance)
        except DataError:
            continue
        return test, pretrend_findings(test)
    return None, [untestable(len(by_distance))]


def _estimate(groups: GroupTimes, overall: _Mean, kind: str, findings: tuple[Finding, ...]) -> QuasiEstimate:
    """The overall mean beside the mean outcome of treated rows, which the counterfactual is read off."""
    ever = int((groups.first < groups.periods.size).sum())
    influence = np.column_stack([overall.influence, groups.treated_influence - overall.influence])
    errors = groups.errors(influence, np.column_stack([overall.pull, overall.pull]))
    own, level = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    by_cohort = groups.small_sample == "satterthwaite"
    return QuasiEstimate(
        **with_inference(overall.effect, math.sqrt(errors.variance_of(own)), df=errors.df_of(own), alpha=groups.alpha),
        method=f"callaway_santanna_{kind}",
        interval_method="influence_function_satterthwaite_t" if by_cohort else "influence_function_normal",
        n=groups.rows,
        n_treated=ever,
        n_control=groups.first.size - ever,
        treated=groups.treated_mean,
        counterfactual=groups.treated_mean - overall.effect,
        assumptions=ASSUMPTIONS,
        findings=findings,
        grade=graded(trends_grade("staggered_did"), findings),
        numbers={"cohorts": float(len({cell.cohort for cell in groups.effects})), "clusters": float(groups.cluster.max() + 1)},
        level_error=LevelError.of_coefficients(errors.covariance, effect=own, level=level),
    )
