"""Which share to treat, and for how long (HO-31)."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from sqlalchemy.orm import Session

from fairtrial.errors import UsageError
from fairtrial.service.experiments.holdout import PLANNER_READY, execution_capability
from fairtrial.service.planning.schemas import Candidate, ChannelContext, DesignOut, Readiness, Signal, check_target
from fairtrial.service.planning.setup_context import (
    ALPHA,
    FEWEST_CONVERSIONS,
    FEWEST_JOURNEYS,
    LOOK_BACK,
    MDE,
    POWER,
    SHORT_RUNTIME_DAYS,
    Source,
    read_channels,
    source_of,
    too_little,
)
from fairtrial.service.population.schemas import channel_name
from fairtrial.stats.power_proportions import sample_size_two_proportions
from fairtrial.storage.population import count_by_kpi

OWNED_RATES = (0.9, 0.8, 0.7, 0.5)
OBSERVED_RATES = (0.8, 0.7, 0.5)
"""Shares of treated profiles that are tried, in this order."""

MIN_RUNTIME_DAYS = SHORT_RUNTIME_DAYS
LONGEST_RUNTIME_DAYS, FAR_TOO_LONG_DAYS = 21, 42


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignRequest:
    """What a recommendation is asked for.

    Attributes:
        channel: The channel.
        baseline_rate: Conversion rate without the channel's messages; None for what the population says.
        mde: Effect to detect, signed, in points of the rate.
        daily_profiles: New profiles a day; None for what the population says.
        kpi: What counts as a conversion; None for the most frequent.
        alpha: Two-sided type I error rate.
        power: Probability to detect the effect.
    """

    channel: str
    baseline_rate: float | None = None
    mde: float = MDE
    daily_profiles: float | None = None
    kpi: str | None = None
    alpha: float = ALPHA
    power: float = POWER


def recommend_design(session: Session, asked: DesignRequest, *, now: dt.datetime) -> DesignOut:
    """The first share whose projected runtime is short enough, and whether there is the volume for it.

    Args:
        session: An open session.
        asked: What is to be tested; what it leaves out is read from the population of the last 28 days.
        now: The moment.

    Raises:
        UsageError: The channel cannot be held out, or the plan breaks a rule.
    """
    channel = channel_name(asked.channel)
    capability = execution_capability(channel)
    if capability == "not_supported":
        raise UsageError(f"A holdout needs a channel that can be held back, {channel!r} cannot.", hint=f"One of {sorted(PLANNER_READY)}.")
    _check_given(asked)
    stored = _stored(session, channel, asked, now)
    signal = _signal(asked, stored)
    source: Source = source_of(channel) if stored is None else stored.source
    impossible = _impossible(asked, signal)
    candidates = [] if impossible is not None else _candidates(asked, signal, OWNED_RATES if source == "owned" else OBSERVED_RATES)
    readiness, recommended, reasons = _choose(signal, candidates, impossible)
    return DesignOut(
        readiness=readiness,
        recommended=recommended,
        candidates=candidates,
        min_runtime_days=MIN_RUNTIME_DAYS,
        reasons=reasons,
        channel=channel,
        capability=capability,
        source=source,
        mde=asked.mde,
        alpha=asked.alpha,
        power=asked.power,
        signal=signal,
    )


def _check_given(asked: DesignRequest) -> None:
    if asked.power <= asked.alpha:
        raise UsageError(f"power must lie between alpha and 1, got {asked.power:g} with alpha {asked.alpha:g}.")
    if asked.baseline_rate is not None and not 0 < asked.baseline_rate < 1:
        raise UsageError(f"baseline_rate must lie in (0, 1), got {asked.baseline_rate:g}.")
    if asked.daily_profiles is not None and not 0 < asked.daily_profiles < math.inf:
        raise UsageError(f"daily_profiles must be a number above 0, got {asked.daily_profiles:g}.")


def _stored(session: Session, channel: str, asked: DesignRequest, now: dt.datetime) -> ChannelContext | None:
    since = now - LOOK_BACK
    kpi = asked.kpi or next(iter(count_by_kpi(session, since, now)), None)
    return next((found for found in read_channels(session, since, now, kpi) if found.channel == channel), None)


def _signal(asked: DesignRequest, stored: ChannelContext | None) -> Signal:
    """What is known, of the request first and of the population where the request says nothing."""
    both = asked.baseline_rate is not None and asked.daily_profiles is not None
    days = float(MIN_RUNTIME_DAYS if both or stored is None else LOOK_BACK.days)
    known = None if both else stored
    baseline = asked.baseline_rate if asked.baseline_rate is not None else None if known is None else known.baseline_rate
    daily = asked.daily_profiles if asked.daily_profiles is not None else None if known is None else known.profiles / days
    profiles = known.profiles if known is not None else None if daily is None else daily * days
    expected = None if profiles is None or baseline is None else profiles * baseline
    nothing_asked = asked.baseline_rate is None and asked.daily_profiles is None
    return Signal(
        source="request" if known is None and not nothing_asked else "touchpoints" if nothing_asked else "request and touchpoints",
        baseline_rate=baseline,
        daily_profiles=daily,
        days=days,
        profiles=profiles,
        journeys=None if known is None else known.journeys,
        conversions=known.conversions if known is not None and asked.baseline_rate is None else expected,
    )


def _impossible(asked: DesignRequest, signal: Signal) -> str | None:
    """Why no size can be told, if so.

    Raises:
        UsageError: The request's own baseline and effect are no plan.
    """
    if signal.baseline_rate is None or signal.daily_profiles is None:
        missing = [name for name in ("baseline_rate", "daily_profiles") if getattr(signal, name) is None]
        return f"{' and '.join(missing)} not given, and the population of the last {LOOK_BACK.days} days does not tell"
    if not 0 < signal.baseline_rate < 1:
        return f"a baseline must lie in (0, 1), the population's is {signal.baseline_rate:g}"
    try:
        check_target(signal.baseline_rate, asked.mde)
    except ValueError as error:
        if asked.baseline_rate is not None:
            raise UsageError(f"{error}.", hint="Is the mde meant in points (0.01)?") from error
        return str(error)
    return None


def _candidates(asked: DesignRequest, signal: Signal, rates: tuple[float, ...]) -> list[Candidate]:
    baseline, daily = signal.baseline_rate, signal.daily_profiles
    if baseline is None or not daily:
        return []
    totals = {
        rate: sample_size_two_proportions(baseline, asked.mde, alpha=asked.alpha, power=asked.power, treatment_share=rate).total
        for rate in rates
    }
    return [
        Candidate(treatment_rate=rate, total_sample_size=total, runtime_days=math.ceil(total / daily)) for rate, total in totals.items()
    ]


def _choose(signal: Signal, candidates: list[Candidate], impossible: str | None) -> tuple[Readiness, Candidate | None, list[str]]:
    if signal.profiles is None or (impossible is not None and signal.baseline_rate is None):
        return "no_data", None, [impossible or "nothing is known of this channel"]
    if not candidates or too_little(
        signal.journeys if signal.journeys is not None else signal.profiles, signal.profiles, signal.conversions or 0
    ):
        said = impossible or (
            f"{signal.profiles:g} profiles and {signal.conversions or 0:g} conversions in {signal.days:g} days; "
            f"{FEWEST_JOURNEYS} and {FEWEST_CONVERSIONS} are the least"
        )
        return "insufficient_signal", None, [said]
    fits = next((found for found in candidates if found.runtime_days <= LONGEST_RUNTIME_DAYS), None)
    if fits is not None:
        return "ready_to_launch", fits.model_copy(update={"runtime_days": max(MIN_RUNTIME_DAYS, fits.runtime_days)}), []
    best = min(candidates, key=lambda found: found.runtime_days)
    bound = FAR_TOO_LONG_DAYS if best.runtime_days > FAR_TOO_LONG_DAYS else LONGEST_RUNTIME_DAYS
    advice = "choose a larger effect, another channel or a wider audience" if bound == FAR_TOO_LONG_DAYS else "consider a larger effect"
    return "needs_more_volume", best, [f"even the quickest share would take {best.runtime_days} days, more than {bound}: {advice}"]
