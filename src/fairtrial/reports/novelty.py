"""Novelty and interference of an experiment: as plain values, and in the terminal with a track a day (IN-06, IN-07, IN-09)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from fairtrial.analysis.novelty import ExperimentNovelty
from fairtrial.diagnostics.interference import InterferenceResult
from fairtrial.diagnostics.novelty import NoveltyResult
from fairtrial.reports.formatting import clean, count, p_value, precise, share
from fairtrial.reports.pen import Pen
from fairtrial.reports.text_plot import track
from fairtrial.reports.view_models import AxisView, MarkView, Tone

MOST_PLOT = 60

WHY_NO_RATE = {
    "no_exposure_log": "Not known: the data names no log of exposures.",
    "no_exposure_arm": "Not known: the log of exposures has no column of arms.",
    "no_control_units": "Not known: no unit was assigned to the control.",
}
AXES = {"exposure_day": "days since first exposure", "assignment_day": "days since assignment"}


def novelty_dict(result: NoveltyResult) -> dict[str, Any]:
    """A `novelty_result` as plain values."""
    return asdict(result) | {"trajectory": [asdict(day) for day in result.trajectory]}


def interference_dict(result: InterferenceResult) -> dict[str, Any]:
    """A `sutva_result` as plain values."""
    return asdict(result) | {"declared": list(result.declared), "exposed_units": list(result.exposed_units)}


def experiment_novelty_dict(one: ExperimentNovelty) -> dict[str, Any]:
    """One experiment with its novelty and interference."""
    return {
        "experiment_id": one.experiment,
        "control": one.control,
        "treatment": one.treatment,
        "metric": one.metric,
        "novelty_result": novelty_dict(one.novelty),
        "sutva_result": interference_dict(one.interference),
        "days_left_out": [{"day": day, "reason": reason} for day, reason in one.effects.left_out],
        "observed_until": None if one.until is None else one.until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data_source": one.data_source,
    }


def render_novelty(one: ExperimentNovelty, console: Console) -> None:
    """Print the daily effects of an experiment, and what they say.

    Args:
        one: What was found.
        console: Where to print.
    """
    pen = Pen(console)
    found = one.novelty
    pen.heading("Novelty", clean(one.experiment))
    pen.out(pen.text(clean(f"{one.metric}, {one.treatment} - {one.control}, by {AXES[found.axis]}"), "dim"), indent=2)
    if found.trajectory:
        _plot(pen, found)
    if one.effects.left_out:
        told = ", ".join(f"day {day} ({reason})" for day, reason in one.effects.left_out[:3])
        more = len(one.effects.left_out) - 3
        pen.out(pen.text(f"Left out: {told}{f' and {more} more' if more > 0 else ''}.", "dim"), indent=2)
    style = {"fades": "bold yellow", "grows": "bold yellow", "steady": "bold"}.get(found.trend or "", "bold yellow")
    pen.out(Text(), pen.text(found.recommendation, style), indent=2)
    pen.items((pen.text(name, "dim"), pen.text(value)) for name, value in _facts(found))
    render_interference(one.interference, one.experiment, console)


def render_interference(result: InterferenceResult, experiment: str, console: Console) -> None:
    """Print what is known of exposed controls and declared interference."""
    pen = Pen(console)
    pen.heading("Interference", clean(experiment))
    if result.unavailable_reason is not None:
        pen.out(pen.text(WHY_NO_RATE[result.unavailable_reason]), indent=2)
    elif result.contamination_rate is not None and result.ci_low is not None and result.ci_high is not None:
        counted = f"{count(result.controls_exposed or 0)} of {count(result.controls_assigned)} control units saw the treatment: "
        pen.out(
            pen.text(f"{counted}{100 * result.contamination_rate:.2f}% ({100 * result.ci_low:.2f} to {100 * result.ci_high:.2f})"), indent=2
        )
    if result.warning_message is not None:
        pen.out(pen.text(result.warning_message, "bold red"), indent=2)
    elif result.has_violation is False:
        pen.out(pen.text("No interference found: a violation is called where the interval lies above 5%.", "dim"), indent=2)
    if result.exposed_units:
        pen.out(pen.text(clean(f"Exposed controls: {', '.join(result.exposed_units)}"), "dim"), indent=2)


def _facts(found: NoveltyResult) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if found.initial_effect is not None and found.sign is not None:
        facts.append(("initial effect", f"{precise(found.sign * found.initial_effect, 4)} on day 0, by the line"))
    if found.decline_rate is not None and found.total_decline is not None and found.p_value is not None:
        lost = "lost" if found.decline_rate >= 0 else "gained"
        facts.append((f"{lost} a day", f"{share(abs(found.decline_rate))} of it, {share(abs(found.total_decline))} by the last day"))
        facts.append(("p of no decline", f"{p_value(found.p_value)}, one-sided"))
    late = found.long_run_effect
    if late is not None:
        ends = f"({precise(late.ci_low, 4)} to {precise(late.ci_high, 4)})"
        facts.append(("at the end", f"{precise(late.effect, 4)} {ends}, mean of days {late.first_day} to {late.last_day}"))
    return facts


def _plot(pen: Pen, found: NoveltyResult) -> None:
    low = min(0.0, *(day.ci_low for day in found.trajectory))
    high = max(0.0, *(day.ci_high for day in found.trajectory))
    axis = AxisView(zero=-low / (high - low), ticks=(), mirrored=False, title="effect")
    labels = [f"day {day.day:>3}  {precise(day.effect, 4):>11}  " for day in found.trajectory]
    width = max(min(MOST_PLOT, pen.width - max(len(label) for label in labels) - 4), 8)
    for label, day in zip(labels, found.trajectory, strict=True):
        at = [(value - low) / (high - low) for value in (day.effect, day.ci_low, day.ci_high)]
        tone: Tone = "inconclusive" if day.ci_low <= 0.0 <= day.ci_high else "better"
        mark = MarkView(point=at[0], low=at[1], high=at[2])
        pen.out(pen.join((label, ""), (track(mark, axis, tone, width, pen.glyphs), "")), indent=2)
