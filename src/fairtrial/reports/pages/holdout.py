"""An incrementality test as a marketer reads it: cards, a sentence, a guardrail line, a series with its jumps (HO-36..HO-41)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fairtrial.reports.formatting import DASH
from fairtrial.reports.pages import figures

JUMP = 0.02
"""A change of the uplift from one day to the next that is told, in points of the rate (HO-41)."""

STATUS_ORDER: Mapping[str, int] = {"running": 0, "draft": 1, "stopped": 2, "completed": 3, "decided": 4, "archived": 5}

STATES: Mapping[str, tuple[str, str]] = {
    "insufficient": (
        "Insufficient data",
        "A group has fewer than ten profiles, or nobody converted yet. Wait, or check that assignments and outcomes arrive.",
    ),
    "no_exposures": (
        "No exposures recorded",
        "Without exposures there is no effect per profile reached and no check of contamination. Send them, or log them by hand below.",
    ),
    "unstable": (
        "Assignments are not stable",
        "The shares of the groups do not agree with the plan. Look for profiles that were lost or added after they were assigned.",
    ),
    "empty_series": ("The time series is empty", "No profile was assigned yet. Assign some by list, by file, or from conversion paths."),
}
"""Named states with cause and remedy (HO-44)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultView:
    """The results of a holdout.

    Attributes:
        cards: Name, value, and what stands below it.
        sentence: What the results say, in plain language.
        tone: How it is to be taken: `better`, `worse`, `inconclusive`, `unavailable`.
        guardrail: Whether the data can be trusted, in a line.
        guardrail_ok: Whether nothing speaks against it.
        states: Named states with cause and remedy.
        details: Name and value of everything else.
    """

    cards: tuple[tuple[str, str, str], ...]
    sentence: str
    tone: str
    guardrail: str
    guardrail_ok: bool
    states: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...]


def list_rows(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Experiments as rows of a table, those that run first (HO-36)."""
    ordered = sorted(items, key=lambda one: (STATUS_ORDER[one["status"]], -one["id"]))
    return [
        {
            "id": one["id"],
            "Name": one["name"],
            "Channel": one["channel"] or DASH,
            "Metric": one["conversion_key"] or DASH,
            "Status": one["status"],
            "From": figures.day(one["start_at"]),
            "Until": figures.day(one["end_at"]),
            "Planned": figures.whole(None if one["plan"] is None else one["plan"]["total_sample_size"]),
        }
        for one in ordered
    ]


def result_view(results: Mapping[str, Any]) -> ResultView:
    """From `GET /experiments/{id}/results`."""
    treatment, control = results["treatment"], results["control"]
    effect = results["uplift_abs"]
    interval = figures.span(results["ci_low"], results["ci_high"])
    cards = (
        ("Treatment converts", figures.percent(treatment["conversion_rate"]), _of(treatment)),
        ("Control converts", figures.percent(control["conversion_rate"]), _of(control)),
        ("Uplift", figures.points(effect), f"{figures.lift(results['uplift_rel'])} relative"),
        (f"{100 * (1 - results['alpha']):g}% interval", interval, "of the uplift in points"),
        ("p-value", figures.p(results["p_value"]), figures.words(results["test"])),
    )
    tone, sentence = _reading(results)
    guardrail, fine = _guardrail(results)
    return ResultView(
        cards=cards,
        sentence=sentence,
        tone=tone,
        guardrail=guardrail,
        guardrail_ok=fine,
        states=tuple(_states(results)),
        details=tuple(_details(results)),
    )


def _of(group: Mapping[str, Any]) -> str:
    return f"{figures.whole(group['conversions'])} of {figures.whole(group['n'])}"


def _reading(results: Mapping[str, Any]) -> tuple[str, str]:
    """Tone and sentence; what is claimed is what the plan's own method allows at this moment."""
    if not results["causal"]:
        return "unavailable", f"Not an effect: {results['causal_reason']}."
    if results["uplift_abs"] is None:
        return "unavailable", f"No effect can be read yet: {results['reason'] or 'there is no estimate'}."
    if results["verdict_state"] == "invalid":
        return "unavailable", "The data failed a check. Do not read these numbers as an effect."
    effect, spread = results["uplift_abs"], figures.span(results["ci_low"], results["ci_high"])
    moved = "raised" if effect > 0 else "lowered"
    size = f"{abs(100 * effect):.2f} points"
    complete = results["plan"]["complete"] or results["status"] in {"completed", "decided"}
    low, high = results["ci_low"], results["ci_high"]
    excludes = (low is not None and low > 0) or (high is not None and high < 0)
    if results["significant"] and excludes:
        tone = "better" if effect > 0 else "worse"
        caution = "" if complete or (results["verdict_state"] == "valid" and results["verdict"] != "EXTEND_TEST") else (
            " The plan is not complete: this holds at its end, not at every look on the way."
        )  # fmt: skip
        return tone, f"The campaign {moved} conversion by {size} (interval {spread}).{caution}"
    side = "higher" if effect > 0 else "lower"
    more = "" if complete else " The plan is not complete."
    return "inconclusive", f"Conversion was {size} {side} with the campaign. The interval {spread} does not rule out no change.{more}"


def _guardrail(results: Mapping[str, Any]) -> tuple[str, bool]:
    srm = results["srm"]
    if srm is None:
        return "The shares of the groups were not checked yet.", False
    p = figures.p_says(srm["p_value"])
    said = {
        "ok": f"Shares of the groups agree with the plan ({p}).",
        "warning": f"Shares of the groups are a little off the plan ({p}).",
        "mismatch": f"SAMPLE RATIO MISMATCH: the groups do not have their planned shares ({p}). The results cannot be trusted.",
        "skipped": "The shares of the groups could not be checked.",
    }
    contaminated = results["contamination_rate"]
    reached = "" if not contaminated else f" {figures.percent(contaminated)} of the controls were reached all the same."
    return said[srm["status"]] + reached, srm["status"] == "ok" and not contaminated


def _states(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[str] = []
    if results["insufficient_data"]:
        found.append("insufficient")
    if results["srm"] is not None and results["srm"]["status"] == "mismatch":
        found.append("unstable")
    if results["treatment"]["n"] and results["exposure_rate"] is None:
        found.append("no_exposures")
    return [STATES[name] for name in found]


def _details(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    value, plan, belief = results["value_uplift"], results["plan"], results["belief"]
    planned = f"{figures.whole(plan['observed_total'])} of {figures.whole(plan['planned_total'])} profiles"
    always = results["always_valid_interval"]
    rows = [
        ("Plan", planned),
        ("Verdict of the plan's rule", figures.words(results.get("verdict") or results.get("verdict_state"))),
        ("Smallest always-valid p so far", figures.p(results["always_valid_p"])),
        ("Interval that holds at every look", DASH if always is None else figures.span(always[0], always[1])),
        ("Value per profile, difference", f"{figures.number(value['difference'])} [{figures.number(value['ci_low'])}, {figures.number(value['ci_high'])}]"),  # noqa: E501
        ("Uplift per profile reached (CACE)", figures.points(results["cace"]) if results["cace"] is not None else figures.words(results["cace_reason"])),  # noqa: E501
        ("Test", figures.words(results["test"])),
        ("Interval by", figures.words(results["ci_method"])),
        ("Data source", results["data_source"]),
    ]  # fmt: skip
    if belief is not None:
        rows.append(("Chance to be better", figures.percent(belief["chance_to_win"])))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesView:
    """The way to the results.

    Attributes:
        rates: Points (date, group, rate in percent).
        sizes: Points (date, group, profiles).
        uplift: Points (date, uplift, low, high in points), the interval valid at all of them.
        note: The largest jump from one day to the next, where it is large; empty otherwise.
    """

    rates: list[dict[str, Any]]
    sizes: list[dict[str, Any]]
    uplift: list[dict[str, Any]]
    note: str


def series_view(series: Sequence[Mapping[str, Any]], trajectory: Sequence[Mapping[str, Any]]) -> SeriesView:
    """From `GET .../time-series` and `GET .../trajectory` (HO-41)."""
    rates: list[dict[str, Any]] = []
    sizes: list[dict[str, Any]] = []
    for row in series:
        for group in ("treatment", "control"):
            rate = row[f"{group}_rate"]
            rates.append({"date": row["date"], "group": group, "rate": None if rate is None else 100.0 * rate})
            sizes.append({"date": row["date"], "group": group, "profiles": row[f"{group}_n"]})
    uplift = [
        {"date": row["date"], "n": row["n"], **{name: _points(row[key]) for name, key in UPLIFT.items()}}
        for row in trajectory
        if row["uplift_abs"] is not None
    ]
    return SeriesView(rates=rates, sizes=sizes, uplift=uplift, note=jump_note(series))


UPLIFT = {"uplift": "uplift_abs", "low": "ci_low", "high": "ci_high"}


def _points(value: float | None) -> float | None:
    return None if value is None else 100.0 * value


def jump_note(series: Sequence[Mapping[str, Any]]) -> str:
    """The largest change of the uplift between two periods, where it reaches two points; empty otherwise."""
    known = [(row["date"], row["uplift_abs"]) for row in series if row["uplift_abs"] is not None]
    jumps = [(after - before, when) for (_, before), (when, after) in pairwise(known)]
    if not jumps:
        return ""
    size, when = max(jumps, key=lambda jump: abs(jump[0]))
    if abs(size) < JUMP - 1e-12:
        return ""
    told = f"The uplift moved by {figures.points(size)} on {when}, the largest change from one day to the next."
    return f"{told} Early days rest on few profiles."
