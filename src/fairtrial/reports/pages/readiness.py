"""Whether an experiment may start, and how it is doing apart from its effect (HO-33)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairtrial.reports.pages import figures

BADGES: Mapping[str, tuple[str, str]] = {
    "ready": ("green", "Ready to launch"),
    "manual_review": ("orange", "Look it over before launch"),
    "blocked": ("red", "Cannot be launched"),
    "not_ready": ("gray", "Not ready to read"),
    "early": ("orange", "Early: too soon to read"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessView:
    """How an experiment is doing.

    Attributes:
        launch: Colour and words: may it start?
        read: Colour and words: may its results be read?
        notes: What stands in the way, worst first: severity and sentence.
        facts: Name and value.
    """

    launch: tuple[str, str]
    read: tuple[str, str]
    notes: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]


def readiness_view(health: Mapping[str, Any]) -> ReadinessView:
    """From `GET /experiments/{id}/health`."""
    launch, state = health["launch_readiness"], health["ready_state"]
    notes = [
        *(("error", text) for text in launch["blockers"]),
        *(("warning", text) for text in launch["warnings"]),
        *(("warning", f"tracking: {text}") for text in launch["tracking_gaps"]),
        *(("info", text) for text in state["reasons"]),
    ]
    sample, plan, runtime = health["sample"], health["plan"], health["runtime"]
    exposures, outcomes = health["exposures"], health["outcomes"]
    read = ("green", "Ready to read") if state["status"] == "ready" else BADGES[state["status"]]
    return ReadinessView(
        launch=BADGES[launch["status"]],
        read=read,
        notes=tuple((tone, text[:1].upper() + text[1:]) for tone, text in notes),
        facts=(
            ("Profiles", f"{figures.whole(sample['treatment'])} treated, {figures.whole(sample['control'])} held out"),
            ("Plan", f"{figures.percent(plan['progress'])} of {figures.whole(plan['planned_total'])}"),
            ("Days", f"{figures.whole(runtime['days'])} (at least {runtime['min_days']})"),
            (
                "Reached",
                f"{figures.whole(exposures['treatment_profiles'])} treated, {figures.whole(exposures['control_profiles'])} controls",
            ),
            (
                "Converted",
                f"{figures.whole(outcomes['treatment_profiles'])} treated, {figures.whole(outcomes['control_profiles'])} controls",
            ),
            ("Shares", health["balance"]["reason"] or figures.words(health["balance"]["status"])),
            ("Others on this channel", f"{health['overlap_risk']['running_on_channel']} running"),
        ),
    )
