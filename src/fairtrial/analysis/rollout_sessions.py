"""Sessions of a rollout as sums by user and stage, and what they say of each metric.

A stage is a run of days with one share. Within a stage users of the two arms are compared; the
stages are then combined by inverse variance, never pooled, for a pool over changed shares
compares early days with late ones. A user who is seen in several stages makes their estimates
alike; the standard error of the combination adds up each user's influence over all stages
first, so that nobody counts as two.

Task time and latency are means over users of each user's mean; acceptance and errors are
sessions with the event over sessions, their error by the delta method over users. An
unaccepted task takes the declared censoring time; the mean over accepted tasks alone stands
beside it and decides nothing, since the treatment can change who is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.decisions.ramp_evidence import Contrast, Direction
from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError
from fairtrial.stats.resampling.distribution import BootstrapDistribution, check_resamples
from fairtrial.stats.resampling.smooth import bucket_counts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BUCKETS = 1_000
"""Groups of users that a stratum is resampled in; a stratum with fewer users is resampled user by user."""
TAIL = 0.95
"""The quantile of latency that is watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetric:
    """A metric of sessions.

    Attributes:
        key: Its name.
        direction: Which way is better.
        form: `user_mean` averages each user's mean; `session_rate` counts sessions over sessions; `quantile` is one of all sessions.
        unit: Of its values, for people.
        label: What it is, for people.
    """

    key: str
    direction: Direction
    form: Literal["user_mean", "session_rate", "quantile"]
    unit: str
    label: str


SESSION_METRICS: Mapping[str, SessionMetric] = {
    metric.key: metric
    for metric in (
        SessionMetric(key="task_completion_time", direction="lower", form="user_mean", unit="s", label="Task completion time"),
        SessionMetric(key="acceptance_rate", direction="higher", form="session_rate", unit="", label="Acceptance rate"),
        SessionMetric(key="latency", direction="lower", form="user_mean", unit="ms", label="Latency"),
        SessionMetric(key="error_rate", direction="lower", form="session_rate", unit="", label="Error rate"),
        SessionMetric(key="latency_p95", direction="lower", form="quantile", unit="ms", label="Latency, 95th percentile"),
        SessionMetric(key="completed_task_time", direction="lower", form="user_mean", unit="s", label="Task time, accepted tasks alone"),
    )
}
"""What can be read from sessions. `completed_task_time` is shown and never decides."""


def session_metric(key: str) -> SessionMetric:
    """A metric by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if key not in SESSION_METRICS:
        raise UnknownNameError.among("metric of a rollout", key, SESSION_METRICS)
    return SESSION_METRICS[key]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sessions:
    """Sessions of a rollout, one entry a session.

    Attributes:
        user: Codes of users, 0, 1, ...
        day: Day of the rollout, from 1.
        treated: Whether the user was in the treatment then.
        stage: Code of the stage, 0, 1, ... in order.
        task: Seconds of the task, NaN where it was not accepted.
        accepted: Whether it was.
        latency: In ms.
        error: Whether an error was met.
        level: Code of the user's engagement before the rollout; None where it is not known.
        censor_seconds: What an unaccepted task counts as.
    """

    user: Integers
    day: Integers
    treated: NDArray[np.bool_]
    stage: Integers
    task: Floats
    accepted: NDArray[np.bool_]
    latency: Floats
    error: NDArray[np.bool_]
    level: Integers | None = None
    censor_seconds: float = 90.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.latency).all():
            raise DataError("Latency must be a finite number in every session.", code="not_finite")
        if not np.isfinite(self.task[self.accepted]).all():
            raise DataError("An accepted task must have a finite completion time.", code="not_finite")
        both = np.unique(np.stack([self.stage * 2 + self.treated, self.user]), axis=1)
        if both.shape[1] and (np.diff(_key(both[0] // 2, both[1])[_order(both)]) == 0).any():
            raise DataError(
                "A user must be in one arm throughout a stage; some are in both.", hint="Record sessions under the arm that was assigned."
            )

    def until(self, day: int) -> Sessions:
        """The sessions up to a day."""
        return self.where(self.day <= day)

    def where(self, rows: NDArray[np.bool_]) -> Sessions:
        """Some of the sessions."""
        return Sessions(
            user=self.user[rows],
            day=self.day[rows],
            treated=self.treated[rows],
            stage=self.stage[rows],
            task=self.task[rows],
            accepted=self.accepted[rows],
            latency=self.latency[rows],
            error=self.error[rows],
            level=None if self.level is None else self.level[rows],
            censor_seconds=self.censor_seconds,
        )

    def users_of(self, stage: int) -> tuple[int, int]:
        """Users seen in a stage, by arm."""
        here = self.stage == stage
        return np.unique(self.user[here & ~self.treated]).size, np.unique(self.user[here & self.treated]).size

    def values(self, key: str) -> tuple[Floats, NDArray[np.bool_]]:
        """What each session says of a metric, and which sessions say anything."""
        everywhere = np.ones(self.user.size, dtype=bool)
        found: dict[str, tuple[Any, NDArray[np.bool_]]] = {
            "task_completion_time": (np.where(self.accepted, self.task, self.censor_seconds), everywhere),
            "completed_task_time": (np.where(self.accepted, self.task, 0.0), self.accepted),
            "acceptance_rate": (self.accepted, everywhere),
            "latency": (self.latency, everywhere),
            "latency_p95": (self.latency, everywhere),
            "error_rate": (self.error, everywhere),
        }
        values, here = found[session_metric(key).key]
        return np.asarray(values, dtype=np.float64), here


def _key(first: Integers, second: Integers) -> Integers:
    return first * (int(second.max(initial=0)) + 1) + second


def _order(pairs: Integers) -> Integers:
    return np.argsort(_key(pairs[0] // 2, pairs[1]), kind="stable")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageCombined:
    """One metric, its stages combined.

    Attributes:
        metric: Its name.
        contrast: The difference with its errors.
        influence: What each user adds to the difference, shape (users,); sums to 0 within an arm of a stage.
        stratum: Of each user: 0 for who was never treated, else 1 + the first stage as treated.
        weights: Of the stages that could be compared, by code, summing to 1.
    """

    metric: str
    contrast: Contrast
    influence: Floats
    stratum: Integers
    weights: Mapping[int, float]


def combine_stages(sessions: Sessions, metric: str) -> StageCombined:
    """Compare the arms within each stage, and combine the stages by inverse variance.

    Args:
        sessions: The sessions.
        metric: A metric of `SESSION_METRICS`, but the quantile.

    Returns:
        The difference, treatment less control, and each user's part in it.

    Raises:
        NotEnoughDataError: No stage has two users in each arm, or nothing varies.
    """
    rows = _by_user_and_stage(sessions, metric)
    parts = [part for stage in np.unique(rows.stage) if (part := _within(rows, int(stage))) is not None]
    if not parts:
        raise NotEnoughDataError(f"No stage has two users in each arm whose {metric} varies.", code="empty_arm")
    precision = np.array([1.0 / part.variance for part in parts])
    weights = precision / precision.sum()
    users = int(sessions.user.max()) + 1
    arms = np.zeros((2, users))
    for part, weight in zip(parts, weights, strict=True):
        arms[part.arm, part.user] += weight * part.influence
    control, treatment = (float(weights @ np.array([part.means[arm] for part in parts])) for arm in (0, 1))
    influence = arms[1] - arms[0]
    n_control, n_treatment = (int(np.count_nonzero(np.bincount(rows.user[rows.arm == arm], minlength=users))) for arm in (0, 1))
    lift_error = None
    if control > 0.0:
        lift_error = float(np.sqrt(np.sum(np.square((arms[1] - treatment / control * arms[0]) / control))))
    own = float(np.sqrt(np.sum(np.square(arms[1]))))
    return StageCombined(
        metric=metric,
        contrast=Contrast(
            effect=treatment - control,
            std_error=float(np.sqrt(np.sum(np.square(influence)))),
            control=control,
            treatment=treatment,
            n_control=n_control,
            n_treatment=n_treatment,
            lift_std_error=lift_error or None,
            treatment_std_error=own if own > 0.0 else None,
        ),
        influence=influence,
        stratum=_strata(sessions, users),
        weights={part.stage: float(weight) for part, weight in zip(parts, weights, strict=True)},
    )


def bootstrap_stages(combined: StageCombined, *, resamples: int = 2_000, rng: np.random.Generator) -> BootstrapDistribution:
    """Bootstrap whole users, stratified by arm and stage.

    A user's sessions and stages stay together. Strata are who was never treated and who
    was first treated in each stage; within one, users are drawn with replacement (in up to 1,000 random
    buckets), and each resample has a standard error of its own, so that intervals can be studentised.

    Args:
        combined: As `combine_stages` returns it.
        resamples: How many, at least 100; 10,000 for a final analysis.
        rng: Source of the draws; the same state gives the same bytes.

    Returns:
        A distribution for `studentised`, `percentile` and `basic`.

    References:
        Davison & Hinkley (1997), sections 2.4, 3.2 and 3.8.
    """
    draws, variance = np.zeros(resamples), np.zeros(resamples)
    seen = combined.influence != 0.0
    for stratum in np.unique(combined.stratum[seen]):
        own = combined.influence[seen & (combined.stratum == stratum)]
        buckets = min(own.size, BUCKETS)
        place = rng.permutation(own.size) % buckets
        sums = np.bincount(place, weights=own, minlength=buckets)
        both = np.stack([sums, np.square(sums)], axis=1)
        drawn = np.concatenate([counts @ both for counts in bucket_counts(buckets, resamples, rng)])
        draws += drawn[:, 0] - own.sum()
        variance += np.maximum(drawn[:, 1] - np.square(drawn[:, 0]) / buckets, 0.0)
    contrast = combined.contrast
    return BootstrapDistribution(
        estimate=contrast.effect,
        draws=contrast.effect + draws,
        n_control=contrast.n_control,
        n_treatment=contrast.n_treatment,
        statistic=f"{combined.metric}_difference",
        formula_std_error=contrast.std_error,
        draw_std_errors=np.sqrt(variance),
        control=contrast.control,
        treatment=contrast.treatment,
    )


def tail_contrast(sessions: Sessions, stage: int, *, resamples: int = 2_000, rng: np.random.Generator) -> Contrast:
    """The 95th percentile of latency in one stage, its error by the bootstrap of users.

    Args:
        sessions: The sessions.
        stage: Code of the stage; quantiles of several stages are not combined.
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        The difference of the quantiles (the least value that holds 95% of the sessions).

    Raises:
        NotEnoughDataError: An arm has fewer than two users.
        DataError: The quantile is the same in every resample.

    References:
        Davison & Hinkley (1997), section 3.8.
    """
    check_resamples(resamples)
    here = sessions.where(sessions.stage == stage)
    sizes = here.users_of(stage)
    if min(sizes) < 2:
        raise NotEnoughDataError("A quantile of latency needs two users in each arm.", code="empty_arm")
    arms = [_tail_draws(here.where(here.treated == arm), resamples, rng) for arm in (False, True)]
    (control, of_control), (treatment, of_treatment) = arms
    spread = float((of_treatment - of_control).std(ddof=1))
    if not spread > 0.0:
        raise DataError("The quantile of latency is the same in every resample.", code="no_variance")
    own = float(of_treatment.std(ddof=1))
    return Contrast(
        effect=treatment - control,
        std_error=spread,
        control=control,
        treatment=treatment,
        n_control=sizes[0],
        n_treatment=sizes[1],
        treatment_std_error=own if own > 0.0 else None,
    )


def _tail_draws(arm: Sessions, resamples: int, rng: np.random.Generator) -> tuple[float, Floats]:
    """The quantile of one arm and of resamples of its users.

    Only sessions near the quantile are looked at one by one; those below count as a number a user.
    """
    order = np.argsort(arm.latency, kind="stable")
    values = arm.latency[order]
    users, user = np.unique(arm.user[order], return_inverse=True)
    n, rows = users.size, values.size
    reach = 10.0 * math.sqrt(TAIL * (1.0 - TAIL) / n)
    first, last = int(max(TAIL - reach, 0.0) * rows), math.ceil(min(TAIL + reach, 1.0) * rows)
    ahead = np.stack([np.bincount(user[:first], minlength=n), np.bincount(user, minlength=n)], axis=1).astype(np.float64)
    near, whose = values[first:last], user[first:last]
    found: list[Floats] = []
    for counts in bucket_counts(n, resamples, rng):
        passed, total = (counts @ ahead).T
        reached = passed[:, None] + np.cumsum(counts[:, whose], axis=1)
        place = (reached < TAIL * total[:, None] - 1e-9).sum(axis=1)
        found.append(near[np.minimum(place, near.size - 1)])
    return float(values[math.ceil(TAIL * rows - 1e-9) - 1]), np.concatenate(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """One entry a user and stage."""

    user: Integers
    stage: Integers
    arm: Integers
    top: Floats
    base: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stage:
    """One stage compared: `influence` is on each arm's own value."""

    stage: int
    user: Integers
    arm: Integers
    influence: Floats
    means: tuple[float, float]
    variance: float


def _by_user_and_stage(sessions: Sessions, metric: str) -> _Rows:
    values, here = sessions.values(metric)
    if session_metric(metric).form == "quantile":
        raise UnknownNameError.among("metric of means", metric, [m.key for m in SESSION_METRICS.values() if m.form != "quantile"])
    user, stage, arm = sessions.user[here], sessions.stage[here], sessions.treated[here].astype(np.int64)
    keys, first, place = np.unique(_key(stage, user), return_index=True, return_inverse=True)
    total = np.bincount(place, weights=values[here], minlength=keys.size)
    count = np.bincount(place, minlength=keys.size).astype(np.float64)
    averaged = session_metric(metric).form == "user_mean"
    return _Rows(
        user=user[first],
        stage=stage[first],
        arm=arm[first],
        top=np.asarray(total / count if averaged else total, dtype=np.float64),
        base=np.ones(keys.size) if averaged else count,
    )


def _within(rows: _Rows, stage: int) -> _Stage | None:
    """The arms of one stage; None where they cannot be compared."""
    here = rows.stage == stage
    user, arm, top, base = rows.user[here], rows.arm[here], rows.top[here], rows.base[here]
    influence, means = np.zeros(user.size), [0.0, 0.0]
    for side in (0, 1):
        own = arm == side
        n = int(own.sum())
        if n < 2:
            return None
        total = base[own].sum()
        means[side] = float(top[own].sum() / total)
        influence[own] = (top[own] - means[side] * base[own]) / total * math.sqrt(n / (n - 1))
    variance = float(np.sum(np.square(influence)))
    if not variance > 0.0:
        return None
    return _Stage(stage=stage, user=user, arm=arm, influence=influence, means=(means[0], means[1]), variance=variance)


def _strata(sessions: Sessions, users: int) -> Integers:
    never = np.iinfo(np.int64).max
    first = np.full(users, never)
    np.minimum.at(first, sessions.user[sessions.treated], sessions.stage[sessions.treated])
    return np.where(first == never, 0, first + 1)


def sessions_of(columns: Mapping[str, ArrayLike], shares: Sequence[float], *, censor_seconds: float = 90.0) -> Sessions:
    """Sessions from columns named as `fairtrial.simulation.rollout.COLUMNS`.

    Args:
        columns: Equally long columns: `user_id`, `day`, `variant`, `task_completion_time`, `accepted`, `latency_ms`, `error`
            and, where it is known, `engagement`.
        shares: Share of the treatment on days 1, 2, ...
        censor_seconds: What an unaccepted task counts as.

    Returns:
        The sessions; a run of days with one share is a stage.

    Raises:
        DataError: A column is missing, a day lies outside the shares, or a variant has another name.
    """
    missing = [
        name for name in ("user_id", "day", "variant", "task_completion_time", "accepted", "latency_ms", "error") if name not in columns
    ]
    if missing:
        raise DataError(f"Sessions need the columns {missing}, which are not there.", hint=f"There are {list(columns)}.")
    day, variant = np.asarray(columns["day"], dtype=np.int64), np.asarray(columns["variant"]).astype(str)
    strange = np.setdiff1d(variant, ["control", "treatment"])
    if strange.size:
        raise DataError(f"A variant must be 'control' or 'treatment', got {str(strange[0])!r}.")
    if day.size and not (day.min() >= 1 and day.max() <= len(shares)):
        raise DataError(f"Days must lie in 1..{len(shares)}, got {day.min()}..{day.max()}.")
    level = None
    if "engagement" in columns:
        level = np.unique(np.asarray(columns["engagement"]).astype(str), return_inverse=True)[1]
    return Sessions(
        user=np.unique(np.asarray(columns["user_id"]).astype(str), return_inverse=True)[1],
        day=day,
        treated=variant == "treatment",
        stage=stages_of(shares)[day - 1] if day.size else day,
        task=np.asarray(columns["task_completion_time"], dtype=np.float64),
        accepted=np.asarray(columns["accepted"], dtype=bool),
        latency=np.asarray(columns["latency_ms"], dtype=np.float64),
        error=np.asarray(columns["error"], dtype=bool),
        level=level,
        censor_seconds=censor_seconds,
    )


def stages_of(shares: Sequence[float]) -> Integers:
    """Code of the stage of each day: it rises by one whenever the share changes."""
    return np.cumsum(np.r_[0, np.diff(np.asarray(shares, dtype=np.float64)) != 0.0]).astype(np.int64)
