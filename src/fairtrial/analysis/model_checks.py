"""The validation list of a model experiment, made by the machine (ML-33).

The checks around every analysis come first; then those of a model experiment: a p-value
computed anew by a reference, an interval on the decision, guardrail alerts in time, shadow
models that agree, and the decision on record. What nobody handed over is `not_checked`,
which is no pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fairtrial.analysis.model_rows import Floats, LogRows
from fairtrial.analysis.model_units import UnitReading
from fairtrial.analysis.quality import Check, CheckStatus, Quality, quality_of, worst_of
from fairtrial.evaluation import Scorecard

ALERT_SECONDS = 300.0
"""Time from a violation that the log could show to its alert."""

AGREES = 1e-9
"""Relative difference of two p-values of the same test that is taken for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What other parts of the platform saw, for the checks that no log holds.

    Attributes:
        alert_seconds: Seconds from each guardrail violation to its alert; None where alerts are not recorded.
        ingestion_lag_seconds: Time that a prediction needs to reach the log.
        shadow: The shadow deployment's summary, with its `status` (`ok`, `diverging`, `inconclusive`).
        recorded_decision: The decision on record, in a report's words.
    """

    alert_seconds: Sequence[float] | None = None
    ingestion_lag_seconds: float = 0.0
    shadow: Mapping[str, Any] | None = None
    recorded_decision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """What is checked."""

    card: Scorecard
    rows: LogRows
    units: UnitReading
    decision: str
    evidence: Evidence = field(default_factory=Evidence)


def validate_model_experiment(what: Checked) -> Quality:
    """Every check of the validation list.

    Returns:
        The checks of any analysis, then `plausible_size`, `reference_p_value`, `interval_reported`, `alert_in_time`,
        `shadow_agrees`, `decision_recorded`; the worst of them as status.
    """
    general = quality_of(what.card, what.units.reading)
    checks = (*general.checks, _plausible(what), _reference(what), _interval(what), _alerts(what), _shadow(what), _recorded(what))
    return Quality(status=worst_of(checks), early=general.early, checks=checks)


def _check(name: str, status: CheckStatus, message: str) -> Check:
    return Check(name=name, stage="after", status=status, message=message)


def _plausible(what: Checked) -> Check:
    """Every arm has users, none a lion's share of the predictions by itself."""
    sizes = {arm.key: arm.n for arm in what.card.arms}
    empty = [arm for arm, n in sizes.items() if n == 0]
    most = int(np.bincount(what.units.unit).max())
    share = most / what.rows.size
    told = f"{sum(sizes.values()):,} users, {what.rows.size:,} predictions, at most {most:,} of one user"
    if empty:
        return _check("plausible_size", "fail", f"No user has {', '.join(empty)}; {told}.")
    return _check("plausible_size", "warn" if share > 0.05 and what.rows.size >= 100 else "pass", f"{told}.")


def _reference(what: Checked) -> Check:
    """The primary metric's p-values by SciPy's own functions, from the users' values."""
    worst = 0.0
    compared = 0
    for challenger in what.units.spec.treatments:
        estimate = what.card.comparison(what.card.primary, challenger).estimate
        if estimate is None or estimate.p_value is None or estimate.error_control != "fixed" or what.units.repeated:
            continue
        arms = [_values(what, model) for model in (what.units.spec.control, challenger)]
        p_value = _reference_p(arms, "fisher" if "small_counts" in estimate.notes else estimate.method)
        if p_value is not None:
            compared += 1
            worst = max(worst, abs(p_value - estimate.p_value) / max(p_value, 1e-300))
    if not compared:
        return _check("reference_p_value", "not_checked", "The test has no second implementation to be held against.")
    status: CheckStatus = "pass" if worst <= AGREES else "fail"
    return _check("reference_p_value", status, f"{compared} p-value(s) against SciPy: largest relative difference {worst:.1e}.")


def _values(what: Checked, model: str) -> Floats:
    metric = what.units.metrics[what.card.primary]
    where = (what.rows.model == model) & (metric.denominator > 0.0)
    return metric.numerator[where]


def _reference_p(arms: Sequence[Floats], method: str) -> float | None:
    from scipy import stats  # noqa: PLC0415 - slow to load, and only this needs it

    if method in {"two_proportion_z_pooled", "fisher"}:
        table = np.array([[int(arm.sum()), int(arm.size - arm.sum())] for arm in arms])
        if method == "fisher":
            return float(stats.fisher_exact(table)[1])
        return float(stats.chi2_contingency(table, correction=False)[1])
    return float(stats.ttest_ind(arms[1], arms[0], equal_var=False).pvalue) if method == "welch_t" else None


def _interval(what: Checked) -> Check:
    rows = [row for row in what.card.comparisons if row.metric == what.card.primary]
    without = [row.treatment for row in rows if row.estimate is None]
    if without:
        return _check("interval_reported", "fail", f"The primary metric has no interval for {', '.join(without)}.")
    return _check("interval_reported", "pass", "The primary metric has its interval for every challenger.")


def _alerts(what: Checked) -> Check:
    delays, limit = what.evidence.alert_seconds, ALERT_SECONDS + what.evidence.ingestion_lag_seconds
    if delays is None:
        return _check("alert_in_time", "not_checked", "No record of guardrail alerts was handed over.")
    late = [delay for delay in delays if delay > limit]
    status: CheckStatus = "fail" if late else "pass"
    return _check("alert_in_time", status, f"{len(delays)} alert(s), {len(late)} later than {limit:g} seconds after the violation.")


def _shadow(what: Checked) -> Check:
    shadow = what.evidence.shadow
    if shadow is None:
        return _check("shadow_agrees", "not_checked", "No summary of a shadow deployment was handed over.")
    words: dict[str, CheckStatus] = {"ok": "pass", "diverging": "fail"}
    status = words.get(str(shadow.get("status")), "warn")
    rate = shadow.get("divergence_rate")
    return _check("shadow_agrees", status, f"Shadow status {shadow.get('status')!r}, divergence {rate}.")


def _recorded(what: Checked) -> Check:
    recorded = what.evidence.recorded_decision
    if recorded is None:
        return _check("decision_recorded", "not_checked", "No decision on record was handed over.")
    same = recorded == what.decision
    return _check("decision_recorded", "pass" if same else "fail", f"On record: {recorded}; by the data: {what.decision}.")
