"""What the outcomes themselves give away: missing values, and single units that rule an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from fairtrial.diagnostics.finding import Finding, Severity
from fairtrial.stats.reading import ArmStats, OutcomeStats

MISSING_WARNING, MISSING_INVALID = 0.05, 0.001
"""p-values of the test that missingness is the same in every arm."""

OUTLIER_SHARE = 0.10
"""Part of an arm's sum of squares that one unit may carry before it is named."""

OUTLIER_MIN_UNITS = 100
"""In smaller arms one unit carries a large part by nature."""


def check_outcomes(arms: Mapping[str, ArmStats], metrics: Sequence[str]) -> list[Finding]:
    """Findings on missing outcomes, outliers and filled-in covariates, metric by metric."""
    found: list[Finding] = []
    for metric in metrics:
        known: dict[str, OutcomeStats] = {}
        for arm, stats in arms.items():
            outcome = stats.outcomes.get(metric)
            if isinstance(outcome, OutcomeStats):
                known[arm] = outcome
        units = {arm: arms[arm].n for arm in known}
        found += _missing(metric, known, units)
        found += _outliers(metric, known)
        found += _filled(metric, known, units)
    return found


def missing_differs_p(missing: Sequence[int], units: Sequence[int]) -> float | None:
    """p-value of equal missing shares: Pearson chi-square on the arms x 2 table.

    Returns:
        None when the shares cannot differ (nothing or everything is missing, or one arm is left).
    """
    lost = np.asarray([m for m, n in zip(missing, units, strict=True) if n > 0], dtype=np.float64)
    total = np.asarray([n for n in units if n > 0], dtype=np.float64)
    share = lost.sum() / total.sum() if total.size else 0.0
    if total.size < 2 or share in {0.0, 1.0}:
        return None
    expected = total * share
    chi_square = float((np.square(lost - expected) / (expected * (1.0 - share))).sum())
    return float(special.chdtrc(total.size - 1, chi_square))


def _missing(metric: str, outcomes: Mapping[str, OutcomeStats], units: Mapping[str, int]) -> list[Finding]:
    lost = {arm: outcome.missing for arm, outcome in outcomes.items()}
    total = sum(lost.values())
    if total == 0:
        return []
    p_value = missing_differs_p(list(lost.values()), [units[arm] for arm in lost])
    shares = ", ".join(f"{arm} {lost[arm] / units[arm]:.2%}" for arm in lost if units[arm])
    if p_value is None or p_value >= MISSING_WARNING:
        return [
            Finding(
                code="missing_outcomes",
                severity="info",
                message=f"{total:,} units have no value for {metric} ({shares}); the shares do not differ between arms beyond chance.",
                action="Nothing, if the metric's `missing` rule is what you want.",
                metric=metric,
                numbers={**lost, "p_value": p_value},
            )
        ]
    severity: Severity = "critical" if p_value < MISSING_INVALID else "warning"
    return [
        Finding(
            code="missing_differs",
            severity=severity,
            message=f"Values of {metric} are missing more often in one arm than in another ({shares}; p = {p_value:.2g}).",
            action="Those who answer are no longer a random part of each arm: measure everybody, or use an outcome that everybody has.",
            metric=metric,
            numbers={**lost, "p_value": p_value},
        )
    ]


def _outliers(metric: str, outcomes: Mapping[str, OutcomeStats]) -> list[Finding]:
    found: list[Finding] = []
    for arm, outcome in outcomes.items():
        if outcome.minimum is None or outcome.maximum is None or outcome.moments.n < OUTLIER_MIN_UNITS:
            continue
        column = outcome.moments.column(0)
        extreme = max((outcome.minimum, outcome.maximum), key=lambda value: abs(value - column.mean))
        share = (extreme - column.mean) ** 2 / column.m2 if column.m2 > 0 else 0.0
        if share > OUTLIER_SHARE:
            found.append(
                Finding(
                    code="outlier",
                    severity="warning",
                    message=f"One unit of {arm} with {metric} = {extreme:,.6g} carries {share:.0%} of that arm's variation.",
                    action="Look at this unit. If such values are not to decide, declare winsorize for the metric (0.99, say).",
                    metric=metric,
                    arm=arm,
                    numbers={"value": extreme, "share": share, "mean": column.mean},
                )
            )
    return found


def _filled(metric: str, outcomes: Mapping[str, OutcomeStats], units: Mapping[str, int]) -> list[Finding]:
    filled = {arm: outcome.missing_covariate for arm, outcome in outcomes.items()}
    if not any(filled.values()):
        return []
    coverage = 1.0 - sum(filled.values()) / max(sum(units.values()), 1)
    return [
        Finding(
            code="covariate_filled",
            severity="info",
            message=f"The covariate of {metric} is known for {coverage:.1%} of units; the others were given its mean.",
            action="Nothing: the effect stays unbiased, with less variance saved.",
            metric=metric,
            numbers={**filled, "coverage": coverage},
        )
    ]
