"""Calculators: how many profiles a plan calls for (HO-11, HO-45). The numbers are those of `fairtrial.stats`."""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.errors import UsageError
from fairtrial.service.planning.schemas import MdeRow, MdeTable, PowerOut, PowerRequest, check_target
from fairtrial.stats.power_proportions import sample_size_two_proportions

BASELINES = (0.02, 0.05, 0.1)
EFFECTS = (0.005, 0.01, 0.02, 0.05)
"""Of the guidance table, when none are asked for."""

MOST_VALUES = 50
"""Baselines, or effects, of one table."""


def analyse_power(asked: PowerRequest) -> PowerOut:
    """Profiles that detect an effect, each group rounded up.

    Raises:
        UsageError: The plan breaks a rule.
    """
    size = sample_size_two_proportions(
        asked.baseline_rate, asked.mde, alpha=asked.alpha, power=asked.power, treatment_share=asked.treatment_rate
    )
    return PowerOut(
        total_sample_size=size.total, treatment_size=size.n_treatment_ceil, control_size=size.n_control_ceil, **asked.model_dump()
    )


def mde_table(baselines: Sequence[float], mdes: Sequence[float], *, alpha: float = 0.05, power: float = 0.8) -> MdeTable:
    """Profiles for equal groups, for every baseline with every effect.

    Raises:
        UsageError: A value lies outside its range.
    """
    if power <= alpha:
        raise UsageError(f"power must lie between alpha and 1, got {power:g} with alpha {alpha:g}.")
    return MdeTable(rows=[_row(baseline, mde, alpha, power) for baseline in baselines for mde in mdes], alpha=alpha, power=power)


def _row(baseline: float, mde: float, alpha: float, power: float) -> MdeRow:
    try:
        check_target(baseline, mde)
    except ValueError as error:
        return MdeRow(baseline_rate=baseline, mde=mde, total_sample_size=None, per_group=None, reason=str(error))
    size = sample_size_two_proportions(baseline, mde, alpha=alpha, power=power)
    return MdeRow(baseline_rate=baseline, mde=mde, total_sample_size=size.total, per_group=size.n_control_ceil)


def parse_values(name: str, text: str | None, default: Sequence[float], *, low: float) -> list[float]:
    """Comma-separated numbers between `low` and 1, neither included; zero is none.

    Raises:
        UsageError: One of them is no such number, or they are too many.
    """
    if text is None:
        return list(default)
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_VALUES:
        raise UsageError(f"{name} must be at most {MOST_VALUES} numbers, got {len(parts)}.")
    values = [_number(name, part) for part in parts]
    for value in values:
        if not low < value < 1 or value == 0:
            raise UsageError(f"{name} must lie in ({low:g}, 1) and not be 0, got {value:g}.", hint=f"{name}=0.01,0.02")
    return values


def _number(name: str, part: str) -> float:
    try:
        return float(part)
    except ValueError as error:
        raise UsageError(f"{name} must be numbers separated by commas, got {part[:20]!r}.", hint=f"{name}=0.01,0.02") from error
