"""The statistics of a quick analysis: the comparison that the verdict rests on, by every measure that is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairtrial.analysis.statistics import ExperimentData, StatisticalResult, available, bootstrap_of, rank_result, t_result, trimmed_means
from fairtrial.evaluation import Scorecard
from fairtrial.evaluation.rowwise import seed_of
from fairtrial.evaluation.scorecard import Comparison
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.effect_size import standardized_mean_difference
from fairtrial.stats.moments import Moments
from fairtrial.stats.power_means import mde_two_means
from fairtrial.stats.reading import OutcomeStats, Reading
from fairtrial.stats.result import Estimate, Interval, Unavailable

RESAMPLES = 9_999
WITHOUT_VALUES = frozenset({"ratio", "quantile"})
"""Kinds of metric of which a unit has no value of its own."""
MOST_BINS = 24
POWER = 0.8
"""Power at which the detectable effect is stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a quick analysis is made of: the comparison that the verdict rests on and its arms."""

    spec: ExperimentSpec
    reading: Reading
    card: Scorecard
    row: Comparison
    alpha: float

    @property
    def moments(self) -> tuple[Moments, Moments] | Unavailable:
        """Of the outcome as it was measured, without covariates; a ratio has none of its own."""
        if self.row.kind in WITHOUT_VALUES:
            return Unavailable(code="no_unit_values", reason=f"{self.row.metric} is a {self.row.kind}, which units have no values of.")
        found = [self._stats(arm) for arm in (self.spec.control, self.row.treatment)]
        if any(one is None for one in found):
            return Unavailable(code="no_values", reason=f"The data holds no values of {self.row.metric}.")
        own, other = (one.moments.column(0) for one in found if one is not None)
        return own, other

    @property
    def values(self) -> ExperimentData | Unavailable:
        """The units' own numbers."""
        if isinstance(self.moments, Unavailable):
            return self.moments
        rows = [stats.rows for arm in (self.spec.control, self.row.treatment) if (stats := self._stats(arm)) is not None]
        if len(rows) < 2 or any(one is None or one.shape[0] < 2 for one in rows):
            return Unavailable(code="no_unit_values", reason=f"The units' own values of {self.row.metric} were not read.")
        own, other = (one[:, 0] for one in rows if one is not None)
        return ExperimentData(control=own, treatment=other, metric=self.row.metric)

    def _stats(self, arm: str) -> OutcomeStats | None:
        found = self.reading.arms[arm].outcomes.get(self.row.metric)
        return found if isinstance(found, OutcomeStats) else None


def statistics_of(case: Case) -> dict[str, Any]:
    """Everything that XC-22 names; what is not there is None, with its reason under `unavailable`."""
    estimate = case.row.estimate
    return {
        "data_summary": _summary(case),
        "distribution": _distribution(case),
        "effect_sizes": _effect_sizes(case, estimate),
        "significance_tests": _tests(case),
        "confidence_intervals": _intervals(case, estimate),
        "power_analysis": _power(case),
        "sensitivity_analysis": _sensitivity(case, estimate),
        "assumptions": _assumptions(case),
        "metadata": _metadata(case),
    }


def _summary(case: Case) -> dict[str, Any]:
    moments = case.moments
    made: dict[str, Any] = {}
    for place, arm in enumerate((case.spec.control, case.row.treatment)):
        stats = case.reading.arms[arm].outcomes.get(case.row.metric)
        known = None if isinstance(moments, Unavailable) else moments[place]
        made[arm] = {
            "n": case.reading.arms[arm].n,
            "mean": None if known is None else known.mean,
            "std": None if known is None or known.n < 2 else math.sqrt(known.variance),
            "missing": stats.missing if isinstance(stats, OutcomeStats) else None,
        }
    return made


def _distribution(case: Case) -> dict[str, Any] | None:
    """Shares of each arm's units by value, in common bins; None where the units' own values were not read."""
    values = case.values
    if isinstance(values, Unavailable):
        return None
    both = np.concatenate([values.control, values.treatment])
    different = np.unique(both)
    arms = (values.control, values.treatment)
    if different.size <= MOST_BINS:
        places = different
        shares = [[float((arm == place).mean()) for place in different] for arm in arms]
    else:
        low, high = (float(end) for end in np.quantile(both, [0.001, 0.999]))
        if low == high:
            low, high = float(both.min()), float(both.max())
        edges = np.linspace(low, high, MOST_BINS + 1)
        places = (edges[1:] + edges[:-1]) / 2.0
        shares = [[float(n) / arm.size for n in np.histogram(np.clip(arm, low, high), edges)[0]] for arm in arms]
    return {"places": [float(place) for place in places], case.spec.control: shares[0], case.row.treatment: shares[1]}


def _effect_sizes(case: Case, estimate: Estimate | None) -> dict[str, Any]:
    """Effect and lift as the declared method estimates them; sizes in standard deviations from the values as measured."""
    moments = case.moments
    sizes = moments if isinstance(moments, Unavailable) else available(lambda: standardized_mean_difference(*moments))
    known = None if isinstance(sizes, Unavailable) else sizes
    return {
        "absolute_difference": None if estimate is None else estimate.effect,
        "relative_lift": None if estimate is None else estimate.lift,
        "relative_lift_percent": None if estimate is None or estimate.lift is None else 100.0 * estimate.lift,
        "cohens_d": None if known is None else known.cohens_d,
        "hedges_g": None if known is None else known.hedges_g,
        "glass_delta": None if known is None else known.glass_delta,
        "control_mean": None if estimate is None else estimate.control,
        "treatment_mean": None if estimate is None else estimate.treatment,
        "pooled_std": None if known is None else known.pooled_sd,
        **why(sizes),
        **({} if case.row.unavailable is None else why(case.row.unavailable)),
    }


def _tests(case: Case) -> dict[str, StatisticalResult | dict[str, Any]]:
    moments, values, alpha = case.moments, case.values, case.alpha
    found: dict[str, StatisticalResult | Unavailable] = {}
    for name, equal in (("welch_ttest", False), ("student_ttest", True)):
        found[name] = (
            moments
            if isinstance(moments, Unavailable)
            else available(lambda equal=equal: t_result(moments, alpha=alpha, equal_variances=equal))
        )
    found["mann_whitney"] = values if isinstance(values, Unavailable) else available(lambda: rank_result(values, alpha=alpha))
    return {name: why(one) if isinstance(one, Unavailable) else one for name, one in found.items()}


def _intervals(case: Case, estimate: Estimate | None) -> dict[str, Any]:
    values, seed = case.values, seed_of(case.spec.key, case.row.metric, case.row.treatment, "quick")
    drawn = (
        values
        if isinstance(values, Unavailable)
        else available(lambda: bootstrap_of(values, alpha=case.alpha, seed=seed, resamples=RESAMPLES))
    )
    return {
        "level": 1.0 - case.alpha,
        "method": None if estimate is None else estimate.interval_method,
        "absolute_difference_ci": None if estimate is None else ends(estimate.interval),
        "relative_lift_ci": None if estimate is None else ends(estimate.lift_interval),
        "bootstrap_ci": None if isinstance(drawn, Unavailable) else ends(drawn.interval),
        **why(drawn, "bootstrap_unavailable"),
    }


def _power(case: Case) -> dict[str, Any]:
    """Power at the planned effect with the units that came, and the effect they could show; never power at the observed effect."""
    plan, moments = case.card.plan, case.moments
    sizes = moments if isinstance(moments, Unavailable) else available(lambda: standardized_mean_difference(*moments))
    made: dict[str, Any] = {
        "power_at_planned_mde": plan.power_at_mde,
        "planned_mde": plan.planned_mde,
        "planned_mde_kind": plan.mde_kind,
        "mde_at_80": None,
        "mde_at_80_relative": None,
        "mde_at_80_d": None,
    }
    if isinstance(moments, Unavailable) or isinstance(sizes, Unavailable):
        return made | why(sizes)
    own, other = moments
    d = available(lambda: mde_two_means(1.0, own.n, other.n, alpha=case.alpha, power=POWER))
    if isinstance(d, Unavailable):
        return made | why(d)
    size = d.effect * sizes.pooled_sd
    return made | {"mde_at_80": size, "mde_at_80_relative": size / own.mean if own.mean > 0.0 else None, "mde_at_80_d": d.effect}


def _sensitivity(case: Case, estimate: Estimate | None) -> dict[str, Any]:
    """Whether the answer hangs on how it was asked: trimmed means, ranks, and the plain difference beside the declared one."""
    values, moments = case.values, case.moments
    trimmed = values if isinstance(values, Unavailable) else available(lambda: trimmed_means(values, alpha=case.alpha))
    plain = None if isinstance(moments, Unavailable) else moments[1].mean - moments[0].mean
    made: dict[str, Any] = {"unadjusted_difference": plain, "trimmed_mean_difference": None, "trimmed_mean_ci": None, "same_sign": None}
    if isinstance(trimmed, Unavailable):
        return made | why(trimmed, "trimmed_unavailable")
    made |= {"trimmed_mean_difference": trimmed.effect, "trimmed_mean_ci": ends(trimmed.interval)}
    if estimate is not None and plain is not None:
        made["same_sign"] = len({math.copysign(1.0, x) for x in (estimate.effect, plain, trimmed.effect) if x != 0.0}) <= 1
    return made


def _assumptions(case: Case) -> dict[str, Any]:
    moments, card = case.moments, case.card
    ratio = None
    if not isinstance(moments, Unavailable) and min(m.n for m in moments) >= 2 and min(m.variance for m in moments) > 0.0:
        ratio = moments[1].variance / moments[0].variance
    return {
        "sample_ratio": {"status": card.srm.status, "p_value": card.srm.p_value},
        "independent_units": "checked" if card.intake.units_checked else "not_checked",
        "variance_ratio": ratio,
        "notes": [finding.message for finding in card.findings],
    }


def _metadata(case: Case) -> dict[str, Any]:
    shares = case.spec.shares
    units = {arm.key: arm.n for arm in case.card.arms}
    weighted = None if shares is None else [n / shares[key] for key, n in units.items() if shares[key] > 0.0]
    factor = max(weighted) / min(weighted) if weighted and min(weighted) > 0.0 else None
    return {
        "total_sample_size": sum(units.values()),
        "sample_sizes": units,
        "balance_ratio": None if factor is None else 1.0 / factor,
        "imbalance_factor": factor,
        "method": None if case.row.estimate is None else case.row.estimate.method,
        "error_control": case.card.error_control,
        "correction": None if case.row.estimate is None else case.row.estimate.correction,
    }


def ends(interval: Interval | None) -> list[float | None] | None:
    """Both ends; an open one is None."""
    return None if interval is None else [finite(interval.low), finite(interval.high)]


def finite(value: float) -> float | None:
    """The value, or None where it is infinite."""
    return value if math.isfinite(value) else None


def why(found: object, key: str = "unavailable") -> dict[str, Any]:
    """What is missing and why; nothing of what is there."""
    return {key: {"code": found.code, "reason": found.reason}} if isinstance(found, Unavailable) else {}
