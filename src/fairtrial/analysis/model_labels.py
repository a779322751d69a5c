"""True outcomes that come late: how many have come in each arm, and whether the arms look alike in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairtrial.analysis.model_rows import Booleans, Floats, LogRows
from fairtrial.analysis.model_units import UnitReading
from fairtrial.diagnostics import Finding
from fairtrial.diagnostics.outcomes import missing_differs_p
from fairtrial.errors import DataError
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.ratio import ratio_test

DIFFERS = 0.001
"""p-value below which label coverage, or prevalence, is taken to differ between arms."""

EFFECTS = {"conversion_rate", "prevalence"}
"""Primary metrics that are the prevalence itself, which is then no A/A check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelShare:
    """A share of predictions by model, and whether it differs between models.

    Attributes:
        shares: By model in declared order; None where the model has no prediction that counts.
        counts: Predictions behind each share.
        p_value: Of equal shares, users being the unit, times the number of challengers where there are several
            predictions a user; None where nothing can differ.
    """

    shares: dict[str, float | None]
    counts: dict[str, int]
    p_value: float | None


def label_coverage(rows: LogRows, units: UnitReading) -> LabelShare | None:
    """Share of predictions whose true outcome has come, among those whose label is due; None without outcomes in the log."""
    if "outcome" not in rows.frame.columns:
        return None
    return _share(rows.labelled.astype(np.float64), rows.due, rows, units)


def prevalence(rows: LogRows, units: UnitReading) -> LabelShare | None:
    """Share of labelled predictions whose outcome is 1; None where outcomes are no classes."""
    if not rows.labelled.any():
        return None
    try:
        outcome = rows.numbers("outcome")
    except DataError:
        return None
    if not np.isin(outcome[rows.labelled], (0.0, 1.0)).all():
        return None
    return _share(np.where(rows.labelled, outcome, 0.0), rows.labelled, rows, units)


def label_findings(
    config: ExperimentConfig, units: UnitReading, coverage: LabelShare | None, prevalent: LabelShare | None
) -> list[Finding]:
    """Findings on labels that came unequally, and on arms that differ in what came."""
    found: list[Finding] = []
    resting = [metric.key for metric in units.spec.metrics if metric.key in units.metrics and units.metrics[metric.key].labels]
    deciding = [m.key for m in units.spec.metrics if m.key in resting and m.role != "secondary"]
    if coverage is not None and resting and coverage.p_value is not None and coverage.p_value < DIFFERS:
        found.append(
            Finding(
                code="label_coverage_differs",
                severity="critical" if deciding else "warning",
                message=f"True outcomes have come for unequal shares of predictions ({_told(coverage)}; p = {coverage.p_value:.2g}).",
                action="Wait until labels of every arm are in, set label_window_days, or find out why one arm is labelled less.",
                numbers={**coverage.shares, "p_value": coverage.p_value},
            )
        )
    effect = config.primary_metric in EFFECTS
    if prevalent is not None and not effect and prevalent.p_value is not None and prevalent.p_value < DIFFERS:
        found.append(
            Finding(
                code="prevalence_differs",
                severity="warning",
                message=f"Outcomes of 1 are not equally common in the arms ({_told(prevalent)}; p = {prevalent.p_value:.2g}).",
                action="Chance gave each arm the same cases: either the model changes what comes, or users or labels were lost.",
                numbers={**prevalent.shares, "p_value": prevalent.p_value},
            )
        )
    return found


def reliability_table(rows: LogRows, *, bins: int = 10) -> dict[str, list[dict[str, float | int]]]:
    """Mean score and share of positives by tenth of the score, for each model.

    Args:
        rows: Predictions with scores in [0, 1] and outcomes 0 or 1; others are left out.
        bins: Equal parts of [0, 1].

    Returns:
        By model: one row a bin that holds predictions, with `low`, `high`, `n`, `mean_score`, `positive_rate`.
    """
    score = rows.numbers("prediction")
    where = rows.labelled & (score >= 0.0) & (score <= 1.0)
    outcome = np.where(where, rows.numbers("outcome"), 0.0)
    place = np.minimum((np.where(where, score, 0.0) * bins).astype(np.intp), bins - 1)
    tables: dict[str, list[dict[str, float | int]]] = {}
    for model in dict.fromkeys(rows.model.tolist()):
        own = where & (rows.model == model)
        n = np.bincount(place[own], minlength=bins)
        scores, hits = (np.bincount(place[own], weights=values[own], minlength=bins) for values in (score, outcome))
        tables[str(model)] = [
            {
                "low": b / bins,
                "high": (b + 1) / bins,
                "n": int(n[b]),
                "mean_score": float(scores[b] / n[b]),
                "positive_rate": float(hits[b] / n[b]),
            }
            for b in range(bins)
            if n[b]
        ]
    return tables


def _share(hits: Floats, among: Booleans, rows: LogRows, units: UnitReading) -> LabelShare:
    models = [arm.key for arm in units.spec.arms]
    counts = {model: int((among & (rows.model == model)).sum()) for model in models}
    found = {model: float(hits[among & (rows.model == model)].sum()) for model in models}
    shares = {model: found[model] / n if n else None for model, n in counts.items()}
    if units.repeated:
        p_value = _clustered_p(hits, among, units)
    else:
        p_value = missing_differs_p([round(found[model]) for model in models], list(counts.values()))
    return LabelShare(shares=shares, counts=counts, p_value=p_value)


def _clustered_p(hits: Floats, among: Booleans, units: UnitReading) -> float | None:
    """Smallest p-value of a challenger against the champion over users, times the number of challengers."""
    size = units.unit_model.size
    sums = np.column_stack([np.bincount(units.unit, weights=w, minlength=size) for w in (hits * among, among.astype(np.float64))])
    p_values: list[float] = []
    for challenger in units.spec.treatments:
        own = [sums[(units.unit_model == model) & (sums[:, 1] > 0.0)] for model in (units.spec.control, challenger)]
        try:
            p_value = ratio_test(*(CoMoments.from_values(arm) for arm in own)).p_value
        except DataError:
            continue
        if p_value is not None:
            p_values.append(p_value)
    return min(1.0, min(p_values) * len(p_values)) if p_values else None


def _told(share: LabelShare) -> str:
    return ", ".join(f"{model} {value:.2%}" for model, value in share.shares.items() if value is not None)
