"""A rollout's sessions day by day: evidence of a day, the decision of it, and what all days say together.

One generator of random numbers belongs to each (rollout, metric, day), spawned from the seed:
the same seed gives the same bytes, whatever else was asked for before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np

from fairtrial.analysis.rollout_sessions import (
    SESSION_METRICS,
    Sessions,
    StageCombined,
    bootstrap_stages,
    combine_stages,
    session_metric,
    stages_of,
    tail_contrast,
)
from fairtrial.decisions.ramp import RolloutDecision, decide_rollout
from fairtrial.decisions.ramp_evidence import (
    LADDER,
    Contrast,
    Direction,
    GuardrailEvidence,
    PrimaryEvidence,
    RolloutEvidence,
    RolloutPolicy,
    check_number,
)
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import Interval
from fairtrial.stats.tails import p_value_of

FINAL_RESAMPLES = 10_000
DAILY_RESAMPLES = 2_000
"""Resamples of the last analysis, and of a day's quantile."""

PRIMARY = "task_completion_time"
SECONDARY = ("acceptance_rate", "latency", "error_rate")
BESIDE = "completed_task_time"
REACH = 1.959963984540054
"""Standard errors to the ends of a 95% interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailRule:
    """A guardrail as it is declared.

    Attributes:
        metric: A metric of sessions.
        margin: Harm tolerated, >= 0, in the metric's unit; None where only `max_value` is declared.
        max_value: Limit of the treatment's own value; None for none.
        direction: Which way is better; None for the metric's own.
        min_n: Users an arm must have before it says anything.
    """

    metric: str
    margin: float | None = None
    max_value: float | None = None
    direction: Direction | None = None
    min_n: int = 100

    def evidence(self, contrast: Contrast | None) -> GuardrailEvidence:
        """The guardrail with its data; None for no data."""
        own = session_metric(self.metric).direction
        return GuardrailEvidence(
            metric=self.metric,
            direction=self.direction or own,
            margin=self.margin,
            max_value=self.max_value,
            min_n=self.min_n,
            contrast=contrast,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRules:
    """What a rollout is run by.

    Attributes:
        name: Of the rollout.
        stages: Shares of the treatment, rising within (0, 1].
        policy: Days, error rate and limits.
        primary: The primary metric; `task_completion_time` where nothing else is said.
        direction: Which way it is better; None for the metric's own.
        practical_threshold: Smallest relative improvement worth a rollout.
        strong_threshold: Relative improvement that makes a strong one; None for none.
        guardrails: The guardrails.
        seed: Of the bootstrap.
    """

    name: str
    stages: tuple[float, ...] = LADDER
    policy: RolloutPolicy = field(default_factory=lambda: RolloutPolicy(monitoring="continuous"))
    primary: str = PRIMARY
    direction: Direction | None = None
    practical_threshold: float = 0.0
    strong_threshold: float | None = None
    guardrails: tuple[GuardrailRule, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        check_stages(self.stages)
        if session_metric(self.primary).form == "quantile" or self.primary == BESIDE:
            known = [PRIMARY, *SECONDARY]
            raise UsageError(f"The primary metric must be one of {known}, got {self.primary!r}.")
        for rule in self.guardrails:
            rule.evidence(None)

    def next_stage(self, share: float) -> float | None:
        """The first stage above a share; None above the last."""
        return next((stage for stage in self.stages if stage > share + 1e-9), None)

    def rng(self, metric: str, day: int) -> np.random.Generator:
        """The generator of one metric on one day."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, crc32(self.name.encode()), crc32(metric.encode()), day]))


def check_stages(stages: Sequence[float]) -> tuple[float, ...]:
    """Stages as a tuple.

    Raises:
        UsageError: There is none, one lies outside (0, 1], or they do not rise.
    """
    if not stages or not all(0.0 < check_number("A stage", stage) <= 1.0 for stage in stages):
        raise UsageError(
            f"Stages must be shares in (0, 1], one at least, got {list(stages)}.", hint="For example 0.05, 0.1, 0.25, 0.5, 1.0."
        )
    if any(a >= b for a, b in itertools.pairwise(stages)):
        raise UsageError(f"Stages must rise, got {list(stages)}.", hint="A share that falls would move users out of the treatment.")
    return tuple(stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutMoment:
    """Where a rollout stands when it is read.

    Attributes:
        day: Days complete; the primary metric is read from these alone.
        share: Share of the treatment now.
        stage: Code of the stage now, as sessions name it.
        stage_days: Days complete in it.
        look_days: Days of the looks taken before; None for one a day from the first on.
    """

    day: int
    share: float
    stage: int
    stage_days: int
    look_days: tuple[int, ...] | None = None


def moment_of(shares: Sequence[float]) -> RolloutMoment:
    """The evening of the last of these days, whose shares changed at midnight."""
    codes = stages_of(shares)
    stage = int(codes[-1])
    return RolloutMoment(day=len(shares), share=shares[-1], stage=stage, stage_days=len(shares) - int(np.argmax(codes == stage)))


def evidence_of(rules: RolloutRules, sessions: Sessions, moment: RolloutMoment) -> RolloutEvidence:
    """What the sessions so far say.

    Args:
        rules: Of the rollout.
        sessions: The sessions; guardrails and arm sizes are read from all of them, the primary metric from complete days.
        moment: Where the rollout stands.

    Returns:
        Evidence to decide by. A metric without data is there without data.
    """
    complete = sessions.until(moment.day)
    return RolloutEvidence(
        stage=moment.share,
        next_stage=rules.next_stage(moment.share),
        day=moment.day,
        stage_days=moment.stage_days,
        primary=PrimaryEvidence(
            metric=rules.primary,
            direction=rules.direction or session_metric(rules.primary).direction,
            contrast=_contrast(complete, rules.primary),
            practical_threshold=rules.practical_threshold,
            strong_threshold=rules.strong_threshold,
        ),
        guardrails=tuple(rule.evidence(_watched(rules, rule, sessions, moment)) for rule in rules.guardrails),
        look_days=moment.look_days,
        users=sessions.users_of(moment.stage),
        daily_users=daily_users(complete, moment.day),
    )


def decide_now(rules: RolloutRules, sessions: Sessions, moment: RolloutMoment) -> RolloutDecision:
    """The decision by the sessions so far; see `evidence_of`."""
    return decide_rollout(evidence_of(rules, sessions, moment), rules.policy)


def daily_users(sessions: Sessions, days: int) -> float | None:
    """Mean number of users a day, over the complete days; None before the first."""
    if days < 1:
        return None
    pairs = np.unique(np.stack([sessions.day, sessions.user]), axis=1)
    return pairs.shape[1] / days


def _contrast(sessions: Sessions, metric: str) -> Contrast | None:
    """The difference, or None where the sessions have none."""
    try:
        return combine_stages(sessions, metric).contrast if sessions.user.size else None
    except DataError:
        return None


def _watched(rules: RolloutRules, rule: GuardrailRule, sessions: Sessions, moment: RolloutMoment) -> Contrast | None:
    if session_metric(rule.metric).form != "quantile":
        return _contrast(sessions, rule.metric)
    if min(sessions.users_of(moment.stage)) < max(rule.min_n, 2):
        return None
    try:
        return tail_contrast(sessions, moment.stage, resamples=DAILY_RESAMPLES, rng=rules.rng(rule.metric, moment.day))
    except DataError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """One metric over all days.

    Attributes:
        metric: Its name.
        role: `primary`, `secondary`, or `beside` of what is shown and never decides.
        control: Value of the control.
        treatment: Value of the treatment.
        improvement: Oriented so that positive is better, in the metric's unit.
        interval: 95% interval of it, by the studentised bootstrap of users.
        normal_interval: The same by the normal approximation, for comparison.
        p_value: By the bootstrap; of a secondary metric uncorrected.
        p_adjusted: Of a secondary metric, corrected over all of them (Benjamini-Hochberg); None of others.
        n_control: Users of the control.
        n_treatment: Users of the treatment.
    """

    metric: str
    role: str
    control: float
    treatment: float
    improvement: float
    interval: Interval
    normal_interval: Interval
    p_value: float
    p_adjusted: float | None
    n_control: int
    n_treatment: int

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON."""
        return {
            "metric": self.metric,
            "role": self.role,
            "control": self.control,
            "treatment": self.treatment,
            "improvement": self.improvement,
            "ci_low": self.interval.low,
            "ci_high": self.interval.high,
            "normal_ci_low": self.normal_interval.low,
            "normal_ci_high": self.normal_interval.high,
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "n_control": self.n_control,
            "n_treatment": self.n_treatment,
            "method": "studentised bootstrap of users",
            "error_control": "fixed",
        }


def metric_results(
    rules: RolloutRules, sessions: Sessions, *, resamples: int = FINAL_RESAMPLES, tell: Callable[[str], None] = lambda _: None
) -> tuple[MetricResult, ...]:
    """Every metric over all days, with bootstrap intervals; those that cannot be estimated are left out.

    Args:
        rules: Of the rollout.
        sessions: The sessions.
        resamples: How many.
        tell: Is told of each metric as it is begun.

    Returns:
        The primary metric, the secondary ones, and task time over accepted tasks alone.
    """
    last = int(sessions.day.max(initial=0))
    secondary = [key for key in (PRIMARY, *SECONDARY) if key != rules.primary]
    found: list[MetricResult] = []
    for key, role in [(rules.primary, "primary"), *((key, "secondary") for key in secondary), (BESIDE, "beside")]:
        tell(SESSION_METRICS[key].label)
        direction = rules.direction if role == "primary" else None
        result = _result(rules, sessions, key, role, direction, last, resamples)
        if result is not None:
            found.append(result)
    return _corrected(found, rules.policy.alpha)


def _result(
    rules: RolloutRules, sessions: Sessions, key: str, role: str, direction: Direction | None, last: int, resamples: int
) -> MetricResult | None:
    try:
        combined: StageCombined = combine_stages(sessions, key)
        drawn = bootstrap_stages(combined, resamples=resamples, rng=rules.rng(key, last))
        interval = drawn.interval(method="studentised", alpha=0.05)
        p_value = drawn.p_value(method="studentised")
    except DataError:
        return None
    seen = combined.contrast
    lower = (direction or session_metric(key).direction) == "lower"
    reach = REACH * seen.std_error
    plain = Interval(low=seen.effect - reach, high=seen.effect + reach)
    return MetricResult(
        metric=key,
        role=role,
        control=seen.control,
        treatment=seen.treatment,
        improvement=-seen.effect if lower else seen.effect,
        interval=mirrored(interval) if lower else interval,
        normal_interval=mirrored(plain) if lower else plain,
        p_value=p_value,
        p_adjusted=None,
        n_control=seen.n_control,
        n_treatment=seen.n_treatment,
    )


def mirrored(interval: Interval) -> Interval:
    """The interval of the same with its sign turned."""
    return Interval(low=-interval.high, high=-interval.low)


def _corrected(found: Sequence[MetricResult], alpha: float) -> tuple[MetricResult, ...]:
    family = [result for result in found if result.role == "secondary"]
    if not family:
        return tuple(found)
    adjusted = adjust([result.p_value for result in family], "benjamini-hochberg", alpha=alpha).p_adjusted
    by_metric = {result.metric: float(p) for result, p in zip(family, adjusted, strict=True)}
    return tuple(replace(result, p_adjusted=by_metric.get(result.metric)) for result in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullDuration:
    """What the plan's full duration would have said, read once at its end.

    Attributes:
        improvement: In the primary metric's unit.
        interval: Its 95% interval of a fixed horizon.
        p_value: Of a fixed horizon, two-sided.
        std_error: Of the improvement.
        relative: Improvement over the control; None where the control is not positive.
    """

    improvement: float
    interval: Interval
    p_value: float
    std_error: float
    relative: float | None

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON."""
        return {
            "improvement": self.improvement,
            "ci_low": self.interval.low,
            "ci_high": self.interval.high,
            "p_value": self.p_value,
            "std_error": self.std_error,
            "relative": self.relative,
            "error_control": "fixed",
        }


def full_duration(rules: RolloutRules, sessions: Sessions) -> FullDuration | None:
    """The primary metric at the end of the plan, had nobody looked before; None where the sessions cannot say."""
    seen = _contrast(sessions, rules.primary)
    if seen is None:
        return None
    lower = (rules.direction or session_metric(rules.primary).direction) == "lower"
    improvement = -seen.effect if lower else seen.effect
    reach = REACH * seen.std_error
    return FullDuration(
        improvement=improvement,
        interval=Interval(low=improvement - reach, high=improvement + reach),
        p_value=float(p_value_of(improvement / seen.std_error, np.inf)),
        std_error=seen.std_error,
        relative=improvement / seen.control if seen.control > 0.0 else None,
    )
