"""What the population says of each channel, for a form to offer (HO-30).

A baseline is the share of all profiles that a channel touched in the period who then
converted within the channel's window after their first contact, whoever converts or
not; it is not clamped. A journey is a run of contacts of one profile that a conversion
ends.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from sqlalchemy.orm import Session

from fairtrial.errors import UsageError
from fairtrial.service.bodies import iso
from fairtrial.service.experiments.holdout import OTHER_WINDOW_DAYS, WINDOW_DAYS, conversion_window_days, execution_capability
from fairtrial.service.planning.schemas import ChannelContext, PlanDefaults, SetupContext
from fairtrial.storage.population import ChannelCounts, Windows, count_by_kpi, count_channels

LOOK_BACK = dt.timedelta(days=28)
"""Length of the period when none is asked for."""

FEWEST_JOURNEYS, FEWEST_CONVERSIONS = 25, 5
"""Below these a channel has too little signal to plan from (HO-31)."""

OWNED_RATE, OBSERVED_RATE = 0.9, 0.8
MANY_JOURNEYS = 100
SHORT_RUNTIME_DAYS, LONG_RUNTIME_DAYS = 14, 21
ALPHA, POWER, MDE = 0.05, 0.8, 0.01

Source = Literal["owned", "observed"]


def build_setup_context(
    session: Session, *, now: dt.datetime, date_from: dt.datetime | None = None, date_to: dt.datetime | None = None, kpi: str | None = None
) -> SetupContext:
    """Channels with their volume and baselines, KPIs, and what a plan starts from.

    Args:
        session: An open session.
        now: The moment.
        date_from: Start of the period; 28 days before its end by default.
        date_to: Its end, itself included; now by default.
        kpi: What counts as a conversion; the period's most frequent by default.

    Raises:
        UsageError: The period ends before it begins.
    """
    until = date_to or now
    since = date_from or until - LOOK_BACK
    if until < since:
        raise UsageError(f"date_to must not come before date_from, got {iso(since)} and {iso(until)}.")
    kpis = list(count_by_kpi(session, since, until))
    chosen = kpi or next(iter(kpis), None)
    channels = read_channels(session, since, until, chosen)
    return SetupContext(
        channels=channels,
        kpis=sorted(kpis),
        defaults=_defaults(channels),
        warnings=_warnings(channels, kpis, asked=kpi, chosen=chosen),
        kpi=chosen,
        date_from=since,
        date_to=until,
    )


def read_channels(session: Session, since: dt.datetime, until: dt.datetime, kpi: str | None) -> list[ChannelContext]:
    """Every channel of a period, the one with most journeys first."""
    windows = Windows(days=WINDOW_DAYS, other_days=OTHER_WINDOW_DAYS)
    found = count_channels(session, since, until, kpi or "", windows)
    return sorted((_context(counts, kpi) for counts in found), key=lambda channel: (-channel.journeys, channel.channel))


def source_of(channel: str, *, owned: bool | None = None) -> Source:
    """Whether a channel is one's own, as its contacts were marked; unmarked, as its name says."""
    mine = execution_capability(channel) == "planner_ready" if owned is None else owned
    return "owned" if mine else "observed"


def _context(counts: ChannelCounts, kpi: str | None) -> ChannelContext:
    capability = execution_capability(counts.channel)
    source = source_of(counts.channel, owned=counts.owned)
    reason = None
    if capability == "not_supported":
        reason = "channel_not_supported"
    elif too_little(counts.journeys, counts.profiles, counts.converters):
        reason = "insufficient_signal"
    return ChannelContext(
        channel=counts.channel,
        capability=capability,
        source=source,
        journeys=counts.journeys,
        profiles=counts.profiles,
        conversions=counts.converters,
        baseline_rate=None if kpi is None else counts.converters / counts.profiles,
        eligible=reason is None,
        reason=reason,
        conversion_window_days=conversion_window_days(counts.channel, None),
        treatment_rate=OWNED_RATE if source == "owned" else OBSERVED_RATE,
        min_runtime_days=SHORT_RUNTIME_DAYS if counts.journeys >= MANY_JOURNEYS else LONG_RUNTIME_DAYS,
    )


def too_little(journeys: float, profiles: float, conversions: float) -> bool:
    """Whether a channel has too little signal to plan from."""
    return min(journeys, profiles) < FEWEST_JOURNEYS or conversions < FEWEST_CONVERSIONS


def _defaults(channels: Sequence[ChannelContext]) -> PlanDefaults:
    """What a plan starts from: as the largest channel that can be held out suggests."""
    lead = next((channel for channel in channels if channel.capability != "not_supported"), None)
    return PlanDefaults(
        treatment_rate=OBSERVED_RATE if lead is None else lead.treatment_rate,
        min_runtime_days=LONG_RUNTIME_DAYS if lead is None else lead.min_runtime_days,
        alpha=ALPHA,
        power=POWER,
        mde=MDE,
    )


def _warnings(channels: Sequence[ChannelContext], kpis: Sequence[str], *, asked: str | None, chosen: str | None) -> list[str]:
    found: list[str] = []
    if not channels:
        found.append("No touchpoint is stored for this period; load some to see channels.")
    if chosen is None:
        found.append("No conversion is stored for this period, so no baseline can be told.")
    elif chosen not in kpis:
        found.append(f"No conversion of {chosen!r} is stored for this period.")
    elif asked is None and len(kpis) > 1:
        found.append(f"Baselines are of {chosen!r}, the most frequent of {len(kpis)} KPIs; ask for another with kpi=.")
    unfit = [channel.channel for channel in channels if channel.capability == "not_supported"]
    if unfit:
        found.append(f"Cannot be held out: {', '.join(unfit)}.")
    return found
