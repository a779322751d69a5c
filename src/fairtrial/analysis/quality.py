"""Was the data fit to be judged, and do the verdict and the numbers agree: the checks around an analysis.

Each names what it looked at. One that could not be made is `not_checked`, which is no pass. A
failed check does not change the verdict: what must, is a critical finding of `evaluate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairtrial.evaluation import Scorecard
from fairtrial.stats.reading import OutcomeStats, Reading

CheckStatus = Literal["pass", "warn", "fail", "not_checked"]

FROM_BEST_TO_WORST: tuple[CheckStatus, ...] = ("not_checked", "pass", "warn", "fail")

MISSING_WARNS, MISSING_FAILS = 0.05, 0.10
"""Share of units without a value."""
ENOUGH = 0.80
"""Share of the planned units below which a read is early."""
LARGE_LIFT = 1.0
LAUNCHES = frozenset({"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        name: Stable name, such as `one_variant_per_unit`.
        stage: `before` the statistics are read, or `after`.
        status: `not_checked` where the data does not hold what the check reads.
        message: What was found, in a sentence.
    """

    name: str
    stage: Literal["before", "after"]
    status: CheckStatus
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The checks of one analysis.

    Attributes:
        status: The worst of the checks that were made.
        early: Whether the read comes before the shortest run or before 80% of the planned units; None without a plan.
        checks: In the order in which they are made.
    """

    status: CheckStatus
    early: bool | None
    checks: tuple[Check, ...]


def quality_of(card: Scorecard, reading: Reading) -> Quality:
    """Check the data of a scorecard, and the scorecard itself.

    Args:
        card: The result.
        reading: What it was made of.

    Returns:
        The checks; the verdict stays what it is.
    """
    early = _early(card)
    checks = (
        _one_variant(card),
        _allowed_variants(card),
        _shares(card),
        _missing(card, reading),
        _future(reading.later_rows),
        _duration(card),
        _gate(early=early),
        _interval_agrees(card),
        _size(card),
    )
    return Quality(status=worst_of(checks), early=early, checks=checks)


def worst_of(checks: tuple[Check, ...]) -> CheckStatus:
    """The worst status of those checks that were made."""
    worst: CheckStatus = "not_checked"
    for check in checks:
        if FROM_BEST_TO_WORST.index(check.status) > FROM_BEST_TO_WORST.index(worst):
            worst = check.status
    return worst


def _before(name: str, status: CheckStatus, message: str) -> Check:
    return Check(name=name, stage="before", status=status, message=message)


def _after(name: str, status: CheckStatus, message: str) -> Check:
    return Check(name=name, stage="after", status=status, message=message)


def _one_variant(card: Scorecard) -> Check:
    name, intake = "one_variant_per_unit", card.intake
    if intake.shape == "aggregates" or not intake.units_checked:
        return _before(name, "not_checked", "No column identifies the unit, so a unit in two variants could not be seen.")
    if intake.units_in_two_arms == 0:
        return _before(name, "pass", f"Each of {intake.units:,} units is in one variant.")
    critical = any(finding.code == "units_in_two_arms" and finding.severity == "critical" for finding in card.findings)
    return _before(
        name, "fail" if critical else "warn", f"{intake.units_in_two_arms:,} units are in more than one variant and were left out."
    )


def _allowed_variants(card: Scorecard) -> Check:
    name, intake = "allowed_variants", card.intake
    lost = sum(intake.unknown_arms.values()) + intake.rows_without_arm
    if lost == 0:
        return _before(name, "pass", f"All rows name one of the variants {[arm.key for arm in card.arms]}.")
    return _before(name, "warn", f"{lost:,} rows name no variant of the spec and were left out; they are not control.")


def _shares(card: Scorecard) -> Check:
    name, srm = "sample_ratio", card.srm
    states: dict[str, CheckStatus] = {"ok": "pass", "warning": "warn", "mismatch": "fail", "skipped": "not_checked"}
    return _before(name, states[srm.status], srm.reason)


def _missing(card: Scorecard, reading: Reading) -> Check:
    name, shares = "missing_values", dict[str, float]()
    for arm in reading.arms.values():
        for key, outcome in arm.outcomes.items():
            if isinstance(outcome, OutcomeStats):
                shares[key] = shares.get(key, 0.0) + outcome.missing
    if card.intake.shape == "aggregates" or not shares:
        return _before(name, "not_checked", "The data holds no values one by one.")
    units = max(sum(arm.n for arm in reading.arms.values()), 1)
    worst = max(shares, key=lambda key: shares[key])
    share = shares[worst] / units
    status: CheckStatus = "fail" if share >= MISSING_FAILS else "warn" if share >= MISSING_WARNS else "pass"
    limit = f"a warning from {MISSING_WARNS:.0%}, a failure from {MISSING_FAILS:.0%}"
    return _before(name, status, f"At most {share:.1%} of units lack a value ({worst}); {limit}.")


def _future(rows: int | None) -> Check:
    name = "future_dates"
    if rows is None:
        return _before(name, "not_checked", "The rows carry no dates.")
    if rows == 0:
        return _before(name, "pass", "No row is dated after the look.")
    return _before(name, "fail", f"{rows:,} rows are dated after the look and were left out: clocks or time zones differ.")


def _duration(card: Scorecard) -> Check:
    name, plan = "duration", card.plan
    if plan.days is None:
        return _before(name, "not_checked", "No schedule to hold the run against.")
    if not plan.min_days_met:
        return _before(name, "warn", f"{plan.days:g} days have run, fewer than the shortest planned run.")
    whole = plan.days >= 7 and abs(plan.days % 7) < 1e-9
    if plan.max_days_reached:
        return _before(name, "pass" if whole else "warn", f"{plan.days:g} days have run; the longest planned run is reached.")
    said = "whole weeks" if whole else "no whole number of weeks, so some days of the week count more than others"
    return _before(name, "pass" if whole else "warn", f"{plan.days:g} days have run: {said}.")


def _early(card: Scorecard) -> bool | None:
    plan = card.plan
    if plan.planned_n is None and plan.days is None:
        return None
    few = plan.planned_n is not None and plan.actual_n < ENOUGH * plan.planned_n
    return few or not plan.min_days_met


def _gate(*, early: bool | None) -> Check:
    name = "planned_size_and_runtime"
    if early is None:
        return _before(name, "not_checked", "Neither a size nor a schedule was planned.")
    if early:
        return _before(name, "warn", f"Early: below the shortest run or below {ENOUGH:.0%} of the planned units.")
    return _before(name, "pass", f"The shortest run and {ENOUGH:.0%} of the planned units are reached.")


def _interval_agrees(card: Scorecard) -> Check:
    """A launch of a superiority plan rests on an interval that lies on the good side of 0."""
    name, verdict = "verdict_agrees_with_interval", card.decision.verdict
    estimate = card.comparison(card.primary, card.treatment).estimate
    if estimate is None or verdict is None:
        return _after(name, "not_checked", "There is no verdict on an estimate to check.")
    row = card.comparison(card.primary, card.treatment)
    includes = not estimate.interval.excludes(0.0) and card.plan.objective == "superiority"
    wrong = verdict in LAUNCHES and (includes or (row.reading == "worse"))
    if wrong:
        return _after(name, "fail", f"{verdict} although the interval of {card.primary} does not show an improvement.")
    return _after(name, "pass", f"{verdict} and the interval of {card.primary} do not contradict each other.")


def _size(card: Scorecard) -> Check:
    name = "plausible_size"
    large = [
        c.metric for c in card.comparisons if c.estimate is not None and c.estimate.lift is not None and abs(c.estimate.lift) > LARGE_LIFT
    ]
    if large:
        return _after(name, "warn", f"Lifts beyond 100%: {', '.join(dict.fromkeys(large))}. Check logging before celebrating.")
    return _after(name, "pass", "No lift is beyond 100%.")
