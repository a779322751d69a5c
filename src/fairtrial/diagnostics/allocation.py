"""Whether the arms have the sizes that were planned (sample-ratio mismatch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fairtrial.diagnostics.finding import Finding
from fairtrial.stats.sequential.allocation import sequential_srm
from fairtrial.stats.srm import srm_test

MISMATCH, WARNING = 0.001, 0.01
"""p-values: below the first the data is invalid, below the second it is suspect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SrmCheck:
    """Sample-ratio check against the planned shares; a skipped one says why.

    Attributes:
        status: `mismatch` below p = 0.001, `warning` below 0.01.
        chi_square: Pearson's statistic without continuity correction.
        df: Number of arms with a planned share, less one.
        p_value: Of a single check.
        reason: Why it stands so.
        always_valid_p: Of the sequential test, which keeps its error rate however often it is read.
    """

    status: Literal["ok", "warning", "mismatch", "skipped"]
    chi_square: float | None
    df: int | None
    p_value: float | None
    reason: str
    always_valid_p: float | None = None


def check_allocation(
    units: Mapping[str, int],
    shares: Mapping[str, float] | None,
    allocation: Literal["fixed", "adaptive", "unknown"],
    *,
    what: str = "units",
    paired: bool = False,
) -> tuple[SrmCheck, list[Finding]]:
    """Compare arm sizes with the planned shares.

    Args:
        units: Units by arm.
        shares: Planned shares by arm; None when they are not fixed or not known.
        allocation: Why `shares` may be None.
        what: What was counted, for the sentence.
        paired: Whether units come in pairs, one in each arm: the arms are then of one size by design.
    """
    if paired:
        reason = "every pair has one unit in each arm, so the arms are of one size by design"
        return SrmCheck(status="skipped", chi_square=None, df=None, p_value=None, reason=reason), []
    if shares is None:
        reason = "shares move by design" if allocation == "adaptive" else "the planned shares were not recorded"
        check = SrmCheck(status="skipped", chi_square=None, df=None, p_value=None, reason=reason)
        found = [_unchecked(reason)] if allocation == "unknown" else []
        return check, found
    stray = {arm: n for arm, n in units.items() if shares[arm] == 0.0 and n > 0}
    planned = [arm for arm in units if shares[arm] > 0.0]
    if sum(units[arm] for arm in planned) == 0 or len(planned) < 2:
        check = SrmCheck(status="skipped", chi_square=None, df=None, p_value=None, reason="there are no units to compare")
        return check, []
    result = srm_test([units[arm] for arm in planned], [shares[arm] for arm in planned])
    found = [_stray(stray)] if stray else []
    counts = ", ".join(f"{arm} {units[arm]:,}" for arm in units)
    numbers: dict[str, float | int | str | None] = {"chi_square": result.chi_square, "p_value": result.p_value, **units}
    if result.p_value < MISMATCH:
        found.append(
            Finding(
                code="srm",
                severity="critical",
                message=f"The arms do not have their planned sizes ({what}: {counts}; p = {result.p_value:.2g}).",
                action="Do not read the effects. Look for units lost or doubled in one arm: redirects, crashes, bots, late logging.",
                numbers=numbers,
            )
        )
        status: Literal["ok", "warning", "mismatch"] = "mismatch"
    elif result.p_value < WARNING:
        found.append(
            Finding(
                code="srm",
                severity="warning",
                message=f"The arms' sizes are suspicious, though not beyond doubt ({what}: {counts}; p = {result.p_value:.2g}).",
                action="Check how units were assigned and logged before the result is used.",
                numbers=numbers,
            )
        )
        status = "warning"
    else:
        status = "ok"
    reason = {"ok": "sizes agree with the plan", "warning": "sizes are suspicious", "mismatch": "sizes do not agree with the plan"}[status]
    watched = sequential_srm([[units[arm] for arm in planned]], [shares[arm] for arm in planned])
    check = SrmCheck(
        status=status,
        chi_square=result.chi_square,
        df=result.df,
        p_value=result.p_value,
        reason=reason,
        always_valid_p=float(watched.p_value[-1]),
    )
    return check, found


def _unchecked(reason: str) -> Finding:
    return Finding(
        code="shares_unknown",
        severity="info",
        message=f"Arm sizes were not checked: {reason}.",
        action="Record the planned shares; without them lost units cannot be seen.",
    )


def _stray(stray: Mapping[str, int]) -> Finding:
    listed = ", ".join(f"{arm} ({n:,})" for arm, n in stray.items())
    return Finding(
        code="units_in_closed_arm",
        severity="warning",
        message=f"Arms with a planned share of 0 hold units: {listed}.",
        action="Find out who assigned them.",
        numbers=dict(stray),
    )
