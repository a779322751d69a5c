"""The first page: what needs somebody, what runs, what was said lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.reports.pages import figures
from fairtrial.reports.words import KINDS, VERDICT_TONES

NEEDS: Mapping[str, tuple[str, str]] = {
    "stop": ("Stop and look", "Its data or its verdict speaks against going on."),
    "decide": ("Decide", "It is over: read the result and write down the decision."),
    "review": ("Read it", "Its plan's rule has a verdict."),
}

TONES: Mapping[str, str] = {"stop": "bad", "decide": "caution", "review": "good"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingView:
    """An experiment on the first page.

    Attributes:
        id: Its number.
        name: Its name.
        kind: What it is.
        status: Where it stands.
        verdict: Of its stored results; a dash without any.
        tone: Of its verdict.
        uplift: Its stored uplift with the interval.
        progress: Units against those planned, in [0, 1]; None without a plan.
        units: Both as text.
        days: Since it started.
        as_of: When its results were stored.
        need_word: What somebody has to do, in a word or two; empty when nothing.
        need: Why.
        need_tone: How urgent that is.
    """

    id: int
    name: str
    kind: str
    status: str
    verdict: str
    tone: str
    uplift: str
    progress: float | None
    units: str
    days: str
    as_of: str
    need_word: str
    need: str
    need_tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """Something that was told."""

    severity: str
    at: str
    message: str
    experiment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeView:
    """The first page.

    Attributes:
        cards: Name and value of what is counted.
        needs: Experiments that somebody has to see to, the most urgent first.
        running: All that run.
        alerts: The latest.
    """

    cards: tuple[tuple[str, str], ...]
    needs: tuple[StandingView, ...]
    running: tuple[StandingView, ...]
    alerts: tuple[AlertView, ...]


def home_view(overview: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> HomeView:
    """From `GET /overview` and `GET /alerts`."""
    rows = [standing_view(one) for one in overview["experiments"]]
    by_status: Mapping[str, int] = overview["by_status"]
    models: Mapping[str, int] = overview["model_experiments"]
    needs = tuple(row for row in rows if row.need)
    cards = (
        ("Running", figures.whole(by_status.get("running", 0) + models.get("running", 0))),
        ("Need somebody", figures.whole(len(needs))),
        ("Drafts", figures.whole(by_status.get("draft", 0))),
        ("Decided", figures.whole(by_status.get("decided", 0) + by_status.get("archived", 0))),
    )
    return HomeView(
        cards=cards,
        needs=needs,
        running=tuple(row for row in rows if row.status == "running"),
        alerts=tuple(alert_view(one) for one in alerts),
    )


def standing_view(one: Mapping[str, Any]) -> StandingView:
    """One experiment of the overview."""
    verdict, units, planned = one["verdict"], one["units"], one["planned"]
    label = figures.words(verdict).capitalize() if verdict else figures.words(one["state"] or "no results yet").capitalize()
    uplift = figures.points(one["uplift_abs"])
    if one["uplift_abs"] is not None:
        uplift += f" [{figures.span(one['ci_low'], one['ci_high'])}]"
    return StandingView(
        id=one["id"],
        name=one["name"],
        kind=KINDS.get(one["kind"], figures.words(one["kind"])),
        status=one["status"],
        verdict=label,
        tone="invalid" if one["state"] == "invalid" else VERDICT_TONES.get(verdict or "", "wait"),
        uplift=uplift,
        progress=None if not planned or units is None else min(units / planned, 1.0),
        units=figures.whole(units) if not planned else f"{figures.whole(units)} of {figures.whole(planned)}",
        days="not started" if one["days"] is None else f"day {one['days']}",
        as_of=figures.minute(one["computed_at"]),
        need_word=NEEDS.get(one["needs"] or "", ("", ""))[0],
        need=NEEDS.get(one["needs"] or "", ("", ""))[1],
        need_tone=TONES.get(one["needs"] or "", ""),
    )


def alert_view(one: Mapping[str, Any]) -> AlertView:
    """One alert."""
    return AlertView(
        severity=one["severity"], at=figures.minute(one["created_at"]), message=one["message"], experiment=one["experiment_key"] or ""
    )
