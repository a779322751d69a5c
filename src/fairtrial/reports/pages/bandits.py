"""A bandit as a page shows it: the split by period, arms corrected for adaptation, why the split is what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairtrial.reports.formatting import DASH
from fairtrial.reports.pages import figures

STATUS: Mapping[str, str] = {"running": "good", "paused": "caution", "stopped": "bad"}


def is_rate(results: Mapping[str, Any]) -> bool:
    """Whether the reward is 0 or 1."""
    return results["reward"]["kind"] == "proportion"


def allocation_rows(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Points (period, share in percent, arm)."""
    return [
        {"period": period["period"], "share": 100.0 * share, "arm": arm}
        for period in history
        for arm, share in period["allocation"].items()
    ]


def arm_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points (name, effect, low, high, tone, says) of each arm's mean reward, corrected for adaptation; rates in percent."""
    factor = 100.0 if is_rate(results) else 1.0
    best = results["best_arm"].get("arm")
    found: list[dict[str, Any]] = []
    for name, arm in results["arms"].items():
        if arm.get("interval") is None:
            continue
        found.append(
            {
                "name": name,
                "effect": factor * arm["value"],
                "low": factor * arm["interval"]["low"],
                "high": factor * arm["interval"]["high"],
                "tone": "better" if name == best else "inconclusive",
                "says": f"{figures.whole(arm['pulls'])} rewarded decisions",
            }
        )
    return found


def arm_table(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each arm: the corrected mean beside the plain one, which is biased."""
    rate = is_rate(results)
    chances: Mapping[str, float] = results["best_arm"].get("probability_best") or {}
    losses: Mapping[str, float] = results["best_arm"].get("expected_loss") or {}
    show = figures.percent if rate else figures.number
    rows: list[dict[str, str]] = []
    for name, arm in results["arms"].items():
        ends: Mapping[str, float] | None = arm.get("interval")
        rows.append(
            {
                "Arm": name,
                "Mean reward": show(arm.get("value")),
                "Interval": DASH if ends is None else f"{show(ends['low'])} to {show(ends['high'])}",
                "Plain mean (biased)": show(arm.get("naive")),
                "Decisions": figures.whole(arm.get("pulls")),
                "Chance to be best": figures.percent(chances.get(name)),
                "Expected loss": figures.number(losses.get(name), 2),
            }
        )
    return rows


def contrast_table(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each arm against the control, and the fixed slice's plain difference beside it."""
    rate = is_rate(results)

    def told(reading: Mapping[str, Any] | None) -> str:
        """A difference with its interval, or why there is none."""
        if not reading or reading.get("difference") is None:
            return figures.words((reading or {}).get("reason") or (reading or {}).get("code"))
        low, high = reading["interval"]["low"], reading["interval"]["high"]
        if rate:
            return f"{figures.points(reading['difference'])} [{figures.span(low, high)}]"
        return f"{figures.number(reading['difference'])} [{figures.number(low)} to {figures.number(high)}]"

    return [
        {
            "Arm": one["arm"],
            "Against the control": told(one["adaptive"]),
            "p": figures.p(None if not one["adaptive"] else one["adaptive"].get("p_value")),
            "Averaged over periods": told(one["over_time"]),
            "In the fixed slice": told(one["fixed"]),
        }
        for one in results["contrasts"]
    ]


def best_sentence(results: Mapping[str, Any]) -> str:
    """What is known of the best arm."""
    best = results["best_arm"]
    if best.get("arm") is None:
        return "Which arm is best cannot be told yet."
    chances: Mapping[str, float] = best.get("probability_best") or {}
    chance = chances.get(best["arm"])
    stop = best.get("stop")
    said = f"{best['arm']} is the best arm with a probability of {figures.percent(chance)}"
    return f"{said}, by the {best['basis']}." + (f" The stop rule is met: {figures.words(str(stop))}." if stop else "")


def bandit_cards(one: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Where a bandit stands."""
    leader = max(one["allocation"], key=one["allocation"].__getitem__)
    return (
        ("Period", figures.whole(one["period"]), f"next update {figures.minute(one['next_update_at'])}"),
        ("Decisions", figures.whole(results["decisions"]), f"{figures.whole(results['n'])} with a reward"),
        ("Most traffic", leader, figures.percent(one["allocation"][leader])),
        ("Policy", figures.words(policy_name(one["spec"])), ""),
    )


def policy_name(spec: Mapping[str, Any]) -> str:
    """Name of the policy of a bandit's spec."""
    given: Any = spec.get("policy", "thompson")
    return given if isinstance(given, str) else str(given["name"])


def acted(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Which constraints acted in this period, in sentences."""
    return tuple(entry["text"] for entry in one["explanation"])


def value_table(found: Mapping[str, Any], *, rate: bool) -> list[dict[str, str]]:
    """What the log says of another policy, an estimator a row."""
    show = figures.percent if rate else figures.number
    rows: list[dict[str, str]] = []
    for name, one in found["estimates"].items():
        if not one:
            continue
        ends: Mapping[str, float] | None = one.get("interval")
        rows.append(
            {
                "Estimator": figures.words(name).upper() if len(name) < 6 else figures.words(name),
                "Value": show(one.get("value")),
                "Interval": DASH if ends is None else f"{show(ends['low'])} to {show(ends['high'])}",
            }
        )
    return rows
