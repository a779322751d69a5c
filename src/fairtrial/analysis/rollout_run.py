"""A simulated rollout from its first day to its decision (AD-03, AD-07, AD-12, AD-13).

    made = run_rollout(RolloutConfig(users=10_000, seed=7), RolloutRules(name="editor"))
    made.last.decision, made.stop_day, made.saved_user_days

Each evening the sessions so far are read and decided on; a RAMP_UP raises the share of the
next day, a ROLLOUT or a ROLLBACK ends the run. What the full duration would have said stands beside it,
for a simulation has those days too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from fairtrial.analysis.effects_by_segment import SegmentEffects, segment_effects
from fairtrial.analysis.frame import mean as mean_of
from fairtrial.analysis.rollout_days import FullDuration, MetricResult, RolloutRules, decide_now, full_duration, metric_results, moment_of
from fairtrial.analysis.rollout_sessions import Sessions, stages_of
from fairtrial.decisions.ramp import RolloutDecision
from fairtrial.errors import DataError
from fairtrial.simulation.rollout import LEVELS, RolloutConfig, SimulatedUsers, TrueEffect

LEAST_BY_LEVEL = 50
"""Users of a level in the smaller arm below which nothing is said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDay:
    """One day and what was decided in its evening.

    Attributes:
        day: From 1.
        share: Share of the treatment on that day.
        sessions: Sessions of that day.
        decision: By all sessions so far.
    """

    day: int
    share: float
    sessions: int
    decision: RolloutDecision

    def to_dict(self) -> dict[str, Any]:
        """The day as plain JSON."""
        return {"day": self.day, "share": self.share, "sessions": self.sessions, **self.decision.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRun:
    """A simulated rollout and all that is known of it.

    Attributes:
        config: What was simulated.
        rules: What it was run by.
        ramp: Whether the share followed the decisions.
        days: Day by day, up to the stop.
        metrics: Every metric over these days.
        full: The primary metric at the end of the plan, had nobody looked before.
        segments: Effects by engagement before the rollout, in the last stage; None where they cannot be read.
        truth: What is true of each metric.
    """

    config: RolloutConfig
    rules: RolloutRules
    ramp: bool
    days: tuple[RolloutDay, ...]
    metrics: tuple[MetricResult, ...]
    full: FullDuration | None
    segments: SegmentEffects | None
    truth: Mapping[str, Mapping[str, TrueEffect]]

    @property
    def last(self) -> RolloutDecision:
        """The decision of the last day."""
        return self.days[-1].decision

    @property
    def stop_day(self) -> int | None:
        """Day that ended the test; None while it would go on."""
        return self.last.stop_day

    @property
    def saved_user_days(self) -> float | None:
        """User-days that the stop saved."""
        return self.last.saved_user_days

    def to_dict(self) -> dict[str, Any]:
        """The run as plain JSON."""
        return {
            "data_source": "simulated",
            "config": {
                "users": self.config.users,
                "days": self.config.days,
                "seed": self.config.seed,
                "noise": self.config.noise,
                "treatment_share": self.config.treatment_share,
                "censor_seconds": self.config.censor_seconds,
            },
            "ramp": self.ramp,
            "decision": self.last.decision,
            "verdict": self.last.verdict,
            "state": self.last.state,
            "reasons": list(self.last.reasons),
            "stop_day": self.stop_day,
            "planned_days": self.rules.policy.max_days,
            "saved_user_days": self.saved_user_days,
            "days": [day.to_dict() for day in self.days],
            "metrics": [metric.to_dict() for metric in self.metrics],
            "full_duration": None if self.full is None else self.full.to_dict(),
            "segments": None if self.segments is None else segments_dict(self.segments),
            "truth": {
                metric: {
                    name or "all": {"control": true.control, "treatment": true.treatment, "effect": true.effect, "lift": true.lift}
                    for name, true in groups.items()
                }
                for metric, groups in self.truth.items()
            },
        }


def run_rollout(
    config: RolloutConfig, rules: RolloutRules, *, ramp: bool = False, tell: Callable[[str], None] = lambda _: None
) -> RolloutRun:
    """Run a simulated rollout until it is decided.

    Args:
        config: What is simulated; `treatment_share` holds unless `ramp`.
        rules: How it is decided; the plan ends after `max_days` of its policy, or with the days of `config`.
        ramp: Begin at the first stage of the rules, and follow the decisions.
        tell: Is told what is under way.

    Returns:
        The run.
    """
    tell("Drawing users and sessions")
    world = SimulatedUsers(config)
    shares: list[float] = []
    days: list[RolloutDay] = []
    share = rules.stages[0] if ramp else config.treatment_share
    planned = min(config.days, rules.policy.max_days)
    for day in range(1, planned + 1):
        tell(f"Day {day} of {planned}")
        shares.append(share)
        sessions = simulated_sessions(world, tuple(shares))
        decision = decide_now(rules, sessions, moment_of(shares))
        days.append(RolloutDay(day=day, share=share, sessions=int((sessions.day == day).sum()), decision=decision))
        if decision.decision in {"ROLLOUT", "ROLLBACK"}:
            break
        if ramp:
            share = decision.target_share
    seen = simulated_sessions(world, tuple(shares))
    tell("Resampling users")
    metrics = metric_results(rules, seen)
    tell("Segments")
    return RolloutRun(
        config=config,
        rules=rules,
        ramp=ramp,
        days=tuple(days),
        metrics=metrics,
        full=full_duration(rules, simulated_sessions(world, (*shares, *[shares[-1]] * (planned - len(shares))))),
        segments=level_effects(seen, shares[-1], stage=int(stages_of(shares)[-1])),
        truth=world.truth(),
    )


def simulated_sessions(world: SimulatedUsers, shares: tuple[float, ...]) -> Sessions:
    """The sessions of simulated users under these shares."""
    seen = world.outcomes(shares)
    return Sessions(
        user=seen["user"],
        day=seen["day"],
        treated=seen["arm"] == 1,
        stage=stages_of(shares)[seen["day"] - 1],
        task=seen["task"],
        accepted=seen["accepted"],
        latency=seen["wait"],
        error=seen["failed"],
        level=seen["level"],
        censor_seconds=world.config.censor_seconds,
    )


def level_effects(sessions: Sessions, share: float, *, stage: int, names: tuple[str, ...] = LEVELS) -> SegmentEffects | None:
    """Effects on task time by engagement before the rollout, among the users of one stage.

    Args:
        sessions: The sessions, with levels.
        share: Share of the treatment in the stage.
        stage: Its code.
        names: Names of the levels.

    Returns:
        The effects and what they say; None where levels are not known or there is too little to read.
    """
    pandas: Any = import_module("pandas")  # frames at the edges only
    here = sessions.where(sessions.stage == stage)
    if here.level is None or min(here.users_of(stage)) < LEAST_BY_LEVEL or not 0.0 < share < 1.0:
        return None
    users, first, place = np.unique(here.user, return_index=True, return_inverse=True)
    task = np.bincount(place, weights=here.values("task_completion_time")[0]) / np.bincount(place)
    arms = np.where(here.treated[first], "treatment", "control")
    frame = pandas.DataFrame({"user": users, "arm": arms, "engagement": np.array(names)[here.level[first]], "task_completion_time": task})
    metric = mean_of("task_completion_time", direction="decrease")
    shares = {"control": 1.0 - share, "treatment": share}
    try:
        return segment_effects(frame, arm="arm", metrics=[metric], by="engagement", unit="user", shares=shares)
    except DataError:
        return None


def segments_dict(found: SegmentEffects) -> dict[str, Any]:
    """Effects by segment as plain JSON; effects are improvements, positive is better."""
    who = {(column.column, level.name): level for column in found.segments.columns for level in column.levels}
    rows: list[dict[str, Any]] = []
    for row in found.segments.comparisons:
        for level in sorted(row.levels, key=lambda level: LEVELS.index(level.level) if level.level in LEVELS else len(LEVELS)):
            seen, group = level.estimate, who[row.column, level.level]
            rows.append(
                {
                    "level": level.level,
                    "n": sum(group.n.values()),
                    "share": group.share,
                    "improvement": None if seen is None else -seen.effect,
                    "ci_low": None if seen is None else -seen.interval.high,
                    "ci_high": None if seen is None else -seen.interval.low,
                    "p_adjusted": None if seen is None else seen.p_adjusted,
                    "harm": level.harm,
                }
            )
    differ = found.segments.comparisons[0].differ if found.segments.comparisons else None
    return {
        "metric": "task_completion_time",
        "by": "engagement",
        "q": getattr(differ, "q", None),
        "p_value": getattr(differ, "p_value", None),
        "levels": rows,
        "findings": [{"code": f.code, "severity": f.severity, "message": f.message, "action": f.action} for f in found.findings],
    }
