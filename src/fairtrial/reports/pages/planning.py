"""Planning on a page: how many profiles for which effect, how long, and how the rule behaves before anybody is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairtrial.errors import UsageError
from fairtrial.reports.characteristics import headline
from fairtrial.reports.pages import figures
from fairtrial.simulation.characteristics import OperatingCharacteristics, operating_characteristics
from fairtrial.simulation.looks import simulated_looks
from fairtrial.simulation.world import world_of_plan
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.power_proportions import estimate_sample_size

STEPS = 25

READINESS: Mapping[str, tuple[str, str]] = {
    "ready_to_launch": ("good", "Ready to launch."),
    "needs_more_volume": ("caution", "It needs more volume: the plan takes longer than three weeks."),
    "insufficient_signal": ("caution", "Too little signal: too few profiles or conversions to plan on."),
    "no_data": ("wait", "There is no data of this channel to plan on."),
}


def plan_cards(plan: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Sizes of a plan, from `POST /experiments/power-analysis`."""
    return (
        ("Profiles in all", figures.whole(plan["total_sample_size"]), f"{figures.percent(plan['power'])} power"),
        ("Treated", figures.whole(plan["treatment_size"]), figures.percent(plan["treatment_rate"])),
        ("Held out", figures.whole(plan["control_size"]), figures.percent(1.0 - plan["treatment_rate"])),
        (
            "To detect",
            figures.points(plan["mde"]),
            f"on {figures.percent(plan['baseline_rate'])}, two-sided {figures.percent(plan['alpha'])}",
        ),
    )


def size_curve(baseline: float, mde: float, *, alpha: float, power: float, treatment_rate: float) -> list[dict[str, float]]:
    """Points (mde in points, profiles) from half the effect to twice as much, where the plan allows it."""
    found: list[dict[str, float]] = []
    for effect in np.linspace(0.5 * mde, 2.0 * mde, STEPS).tolist():
        try:
            total = estimate_sample_size(baseline, effect, alpha, power, treatment_rate)
        except UsageError:
            continue
        found.append({"mde": 100.0 * effect, "profiles": float(total)})
    return found


def share_curve(baseline: float, mde: float, *, alpha: float, power: float) -> list[dict[str, float]]:
    """Points (share treated in percent, profiles): what holding out few costs."""
    found: list[dict[str, float]] = []
    for percent in range(50, 100, 2):
        try:
            total = estimate_sample_size(baseline, mde, alpha, power, percent / 100.0)
        except UsageError:
            continue
        found.append({"share": float(percent), "profiles": float(total)})
    return found


def design_view(design: Mapping[str, Any]) -> tuple[str, str, list[dict[str, str]]]:
    """Tone and sentence of a recommendation, and a row for each design that was looked at."""
    tone, said = READINESS[design["readiness"]]
    chosen = design["recommended"]
    rows = [
        {
            "Share treated": figures.percent(one["treatment_rate"]),
            "Profiles": figures.whole(one["total_sample_size"]),
            "Days": figures.whole(one["runtime_days"]),
            "": "recommended" if chosen is not None and one["treatment_rate"] == chosen["treatment_rate"] else "",
        }
        for one in design["candidates"]
    ]
    return tone, " ".join([said, *design["reasons"]]), rows


def rule_of(plan: Mapping[str, Any], method: str, *, runs: int, seed: int) -> OperatingCharacteristics:
    """Simulate the rule of a plan of two rates before anybody is in it.

    Args:
        plan: `baseline_rate`, `mde`, `alpha`, `power`, `treatment_rate`.
        method: The plan's method.
        runs: Experiments for each true effect.
        seed: Of the simulation.

    Raises:
        UsageError: The plan breaks a rule.
    """
    share = plan["treatment_rate"]
    spec = parse_spec(
        {
            "key": "plan",
            "arms": [{"key": "control", "allocation": 1.0 - share}, {"key": "treatment", "allocation": share}],
            "metrics": [{"key": "converted", "kind": "proportion", "role": "primary"}],
            "plan": {
                "method": method, "baseline": plan["baseline_rate"], "mde": plan["mde"], "mde_kind": "absolute", "alpha": plan["alpha"],
                "power": plan["power"],
            },
        }
    )  # fmt: skip
    effects = [times * abs(plan["mde"]) for times in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0)]
    return operating_characteristics(
        spec, world_of_plan(spec), simulated_looks(spec), effects=effects, runs=runs, rng=np.random.default_rng(seed)
    )


def rule_rows(found: OperatingCharacteristics) -> list[dict[str, Any]]:
    """Points (true effect in points, share of experiments that launch, in percent)."""
    return [{"effect": 100.0 * one.effect, "launch": 100.0 * one.launch.value} for one in found.rows]


def rule_words(found: OperatingCharacteristics) -> Sequence[tuple[str, str]]:
    """What the rule promises, in names and values."""
    return headline(found)
