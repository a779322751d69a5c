"""A simulated rollout of a feature: users with sessions, sticky arms, and the truth beside them (AD-01 to AD-05).

Each user has a pace, a device and a habit of their own, so that sessions of one user are
alike. What every session would have been under either arm is drawn first; the arm of the
user on that day then picks one of the two. So the same seed gives the same users and the
same noise whatever the shares, and a share that rises moves control users only.

    data = simulate_rollout(RolloutConfig(users=10_000, days=14, seed=42))
    data.frame(), data.truth["task_completion_time"]

Engagement is cut into thirds by the sessions of the days before the rollout, never by
sessions after it: what the feature changes cannot say who somebody was.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.assignment.hashing import HASH_SPACE, unit_hash
from fairtrial.errors import UnknownNameError, UsageError

Floats = NDArray[np.float64]
Level = Literal["low", "medium", "high"]
LEVELS: tuple[Level, ...] = ("low", "medium", "high")
"""Engagement before the rollout: thirds of all users by their sessions."""

METRICS = ("task_completion_time", "acceptance_rate", "latency", "error_rate")
"""The primary metric and the secondary ones."""

COLUMNS = ("user_id", "session_id", "day", "variant", "engagement", "task_completion_time", "accepted", "latency_ms", "error")
"""Columns of the rows, in order."""

PRE_DAYS = 14
"""Days before the rollout whose sessions tell the engagement."""

TASK_SECONDS, ACCEPTED, LATENCY_MS, ERRORS = 42.0, 0.85, 180.0, 0.02
"""Means of the control."""
SPREAD_OF_USERS, SPREAD_OF_SESSIONS = 0.25, 0.35
"""Standard deviations of the logarithm of a task's time, between users and within them, at noise 1."""
SPREAD_OF_DEVICES, SPREAD_OF_REQUESTS = 0.20, 0.25
"""The same of latency."""
HABIT = 0.5
"""Standard deviation between users of the logit of acceptance and of errors, at noise 1."""
PACE: Mapping[Level, float] = {"low": 1.08, "medium": 1.0, "high": 0.92}
"""Task time by engagement, relative to the mean."""

Effect = float | Mapping[str, float]
"""One effect for all users, or one for each level of engagement (a level that is not named has none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutEffects:
    """What the treatment does: treatment less control.

    Attributes:
        task_completion_time: Relative, as -0.05 for 5% less time a completed task.
        acceptance_rate: In the rate itself, as 0.01 for one point more.
        latency: Relative.
        error_rate: In the rate itself.
    """

    task_completion_time: Effect = -0.05
    acceptance_rate: Effect = 0.0
    latency: Effect = 0.0
    error_rate: Effect = 0.0

    def __post_init__(self) -> None:
        for metric in METRICS:
            for level in LEVELS:
                value = float(self.at(metric, level))
                if not -1.0 < value < 1.0:
                    raise UsageError(f"The effect on {metric} must lie in (-1, 1), got {value!r}.", hint="Effects are fractions: -0.05.")

    @classmethod
    def none(cls) -> RolloutEffects:
        """A treatment that does nothing."""
        return cls(task_completion_time=0.0)

    def at(self, metric: str, level: Level) -> float:
        """The effect on one metric at one level of engagement.

        Raises:
            UnknownNameError: A level is named that there is not.
        """
        value: Effect = getattr(self, metric)
        if not isinstance(value, Mapping):
            return value
        for name in value:
            if name not in LEVELS:
                raise UnknownNameError.among("level of engagement", str(name), LEVELS)
        return value.get(level, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutConfig:
    """What is simulated.

    Attributes:
        users: Users assigned, >= 2.
        days: Days of the rollout, >= 1.
        seed: Equal seeds give equal bytes.
        noise: How unlike users and sessions are; 0 makes all alike, 1 is usual.
        treatment_share: Share of users in the treatment, in (0, 1); on every day, unless `shares` names others.
        shares: Share on each day, in [0, 1] and never falling; empty for `treatment_share` on all.
        effects: What the treatment does.
        sessions_per_day: Mean sessions of a user on a day, > 0.
        censor_seconds: What an unaccepted task counts as, in seconds.
        key: What the assignment hashes beside the user.
    """

    users: int = 10_000
    days: int = 14
    seed: int = 42
    noise: float = 1.0
    treatment_share: float = 0.5
    shares: tuple[float, ...] = ()
    effects: RolloutEffects = field(default_factory=RolloutEffects)
    sessions_per_day: float = 0.6
    censor_seconds: float = 90.0
    key: str = "simulated-rollout"

    def __post_init__(self) -> None:
        for name, least in (("users", 2), ("days", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name} must be a whole number >= {least}, got {value!r}.")
        if not (math.isfinite(self.noise) and 0.0 <= self.noise <= 10.0):
            raise UsageError(f"noise must lie in [0, 10], got {self.noise}.")
        if not 0.0 < self.treatment_share < 1.0:
            raise UsageError(
                f"treatment_share must lie strictly between 0 and 1, got {self.treatment_share}.", hint="Half of the users: 0.5."
            )
        for name in ("sessions_per_day", "censor_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise UsageError(f"{name} must be positive and finite, got {value}.")
        if self.shares:
            _check_shares(self.shares, self.days)

    @property
    def share_by_day(self) -> tuple[float, ...]:
        """Share of the treatment on days 1, 2, ..."""
        return self.shares or (self.treatment_share,) * self.days


def _check_shares(shares: tuple[float, ...], days: int) -> None:
    if len(shares) != days:
        raise UsageError(f"shares must name every one of {days} days, got {len(shares)}.")
    if not all(0.0 <= share <= 1.0 for share in shares) or any(a > b for a, b in itertools.pairwise(shares)):
        raise UsageError(f"shares must lie in [0, 1] and never fall, got {list(shares)}.", hint="Only control users move in a ramp.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueEffect:
    """The truth about one metric, of all users or of a level of engagement.

    Attributes:
        control: Expected value had everybody been control.
        treatment: The same under the treatment.
        effect: Treatment less control, in the metric's unit; of task time, unaccepted tasks at the censoring time.
        lift: Relative to the control.
    """

    control: float
    treatment: float

    @property
    def effect(self) -> float:
        """Treatment less control."""
        return self.treatment - self.control

    @property
    def lift(self) -> float:
        """Effect relative to the control."""
        return self.effect / self.control


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RolloutData:
    """Rows of a simulated rollout and the truth behind them.

    Attributes:
        config: What was asked for.
        columns: By the names of `COLUMNS`, arrays of one length, by day and within it by user. `day` counts from 1;
            `task_completion_time` is NaN where the task was not accepted.
        users: One entry a user: `user_id`, `engagement`, `pre_sessions` and `variant` (on the last day).
        truth: By metric; key "" is all users, others the levels of engagement.
    """

    config: RolloutConfig
    columns: Mapping[str, NDArray[Any]]
    users: Mapping[str, NDArray[Any]]
    truth: Mapping[str, Mapping[str, TrueEffect]]

    def __len__(self) -> int:
        """Number of sessions."""
        return len(self.columns["day"])

    def frame(self) -> Any:
        """The rows as a pandas frame."""
        pandas: Any = import_module("pandas")  # frames at the edges only
        return pandas.DataFrame(dict(self.columns))


def simulate_rollout(config: RolloutConfig) -> RolloutData:
    """Simulate a rollout, user by user and day by day.

    Args:
        config: Sizes, randomness, shares and effects.

    Returns:
        Sessions of every user under the arm of the day, and the truth.
    """
    return SimulatedUsers(config).observed(config.share_by_day)


class SimulatedUsers:
    """Users and what each of their sessions would be under either arm; days can be observed under shares decided on the way."""

    def __init__(self, config: RolloutConfig) -> None:
        self.config = config
        streams = iter(np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(7))
        n = config.users
        width = len(str(n - 1))
        self.ids = np.array([f"user-{i:0{width}d}" for i in range(n)])
        self.hashes = np.array([unit_hash(str(user), config.key) for user in self.ids], dtype=np.uint64)
        rng = next(streams)
        rate = rng.gamma(2.0, config.sessions_per_day / 2.0, size=n)
        self.pre_sessions = rng.poisson(rate * PRE_DAYS)
        self.level = _thirds(self.pre_sessions, rng.random(n))
        counts = next(streams).poisson(rate[:, None], size=(n, config.days))
        day, user = np.nonzero(counts.T)
        times = counts.T[day, user]
        self.user, self.day = np.repeat(user, times), np.repeat(day, times) + 1
        self._draw(streams)

    def _draw(self, streams: Iterable[np.random.Generator]) -> None:
        """Each session under either arm: rows are sessions, columns control and treatment."""
        config, rows = self.config, self.user.size
        rng_users, rng_task, rng_accept, rng_wait, rng_error = streams
        own = rng_users.standard_normal((4, config.users))
        self.pace = config.noise * SPREAD_OF_USERS * own[0]
        self.device = config.noise * SPREAD_OF_DEVICES * own[1]
        self.habit, self.luck = config.noise * HABIT * own[2], config.noise * HABIT * own[3]
        u, within, jitter = self.user, config.noise * SPREAD_OF_SESSIONS, config.noise * SPREAD_OF_REQUESTS
        self.task = self.expected_task()[u] * np.exp(within * rng_task.standard_normal(rows) - within**2 / 2.0)[:, None]
        self.wait = self.expected_wait()[u] * np.exp(jitter * rng_wait.standard_normal(rows) - jitter**2 / 2.0)[:, None]
        self.accepted = rng_accept.random(rows)[:, None] < self.chance("acceptance_rate", ACCEPTED, self.habit)[u]
        self.failed = rng_error.random(rows)[:, None] < self.chance("error_rate", ERRORS, self.luck)[u]

    def expected_task(self) -> Floats:
        """Expected seconds of a completed task by user and arm."""
        spread = self.config.noise * SPREAD_OF_USERS
        pace = np.array([PACE[level] for level in LEVELS])[self.level]
        return (TASK_SECONDS * pace * np.exp(self.pace - spread**2 / 2.0))[:, None] * (1.0 + self._effect("task_completion_time"))

    def expected_wait(self) -> Floats:
        """Expected latency by user and arm, in ms."""
        spread = self.config.noise * SPREAD_OF_DEVICES
        return (LATENCY_MS * np.exp(self.device - spread**2 / 2.0))[:, None] * (1.0 + self._effect("latency"))

    def chance(self, metric: str, mean: float, own: Floats) -> Floats:
        """Chance of an event by user and arm."""
        base = special.expit(special.logit(mean) + own)
        return np.clip(base[:, None] + self._effect(metric), 0.0, 1.0)

    def _effect(self, metric: str) -> Floats:
        by_level = np.array([self.config.effects.at(metric, level) for level in LEVELS])[self.level]
        return np.stack([np.zeros(by_level.size), by_level], axis=1)

    def treated(self, share: float) -> NDArray[np.bool_]:
        """Who is in the treatment at a share, by user: the hash lies in the first `share` of its space."""
        border = math.ceil(Fraction(str(share)) * HASH_SPACE)
        return np.ones(self.hashes.size, dtype=bool) if border >= HASH_SPACE else self.hashes < np.uint64(border)

    def outcomes(self, shares: tuple[float, ...]) -> dict[str, NDArray[Any]]:
        """The sessions of the first days under these shares, in numbers alone.

        Args:
            shares: Share of the treatment on days 1, 2, ...; fewer days than planned are a rollout still under way.

        Returns:
            `user`, `level`, `arm` (codes), `day`, `task` (NaN where unaccepted), `accepted`, `wait` and `failed`, one entry a session.
        """
        _check_shares(shares, len(shares))
        here = slice(0, int(np.searchsorted(self.day, len(shares), side="right")))
        user, day = self.user[here], self.day[here]
        arm = np.zeros(user.size, dtype=np.int64)
        for share in dict.fromkeys(shares):
            rows = np.isin(day, [i + 1 for i, other in enumerate(shares) if other == share])
            arm[rows] = self.treated(share)[user[rows]]
        row = np.arange(user.size)
        accepted = self.accepted[here][row, arm]
        return {
            "user": user,
            "level": self.level[user],
            "arm": arm,
            "day": day,
            "task": np.where(accepted, self.task[here][row, arm], np.nan),
            "accepted": accepted,
            "wait": self.wait[here][row, arm],
            "failed": self.failed[here][row, arm],
        }

    def observed(self, shares: tuple[float, ...]) -> RolloutData:
        """The same as rows with names, and the truth beside them."""
        seen = self.outcomes(shares)
        names, levels = np.array(["control", "treatment"]), np.array(LEVELS)
        columns: dict[str, NDArray[Any]] = {
            "user_id": self.ids[seen["user"]],
            "session_id": np.char.add("s-", np.char.zfill(np.arange(seen["user"].size).astype(str), 8)),
            "day": seen["day"],
            "variant": names[seen["arm"]],
            "engagement": levels[seen["level"]],
            "task_completion_time": seen["task"],
            "accepted": seen["accepted"],
            "latency_ms": seen["wait"],
            "error": seen["failed"],
        }
        users: dict[str, NDArray[Any]] = {
            "user_id": self.ids,
            "engagement": levels[self.level],
            "pre_sessions": self.pre_sessions,
            "variant": names[self.treated(shares[-1]).astype(np.int64)],
        }
        return RolloutData(config=self.config, columns=columns, users=users, truth=self.truth())

    def truth(self) -> dict[str, dict[str, TrueEffect]]:
        """Expected values under either arm: means over users, all of them and each level."""
        accepted = self.chance("acceptance_rate", ACCEPTED, self.habit)
        by_user = {
            "task_completion_time": accepted * self.expected_task() + (1.0 - accepted) * self.config.censor_seconds,
            "acceptance_rate": accepted,
            "latency": self.expected_wait(),
            "error_rate": self.chance("error_rate", ERRORS, self.luck),
        }
        groups = {"": np.ones(self.level.size, dtype=bool)} | {level: self.level == i for i, level in enumerate(LEVELS)}
        return {
            metric: {
                name: TrueEffect(control=float(values[who, 0].mean()), treatment=float(values[who, 1].mean()))
                for name, who in groups.items()
                if who.any()
            }
            for metric, values in by_user.items()
        }


def _thirds(sessions: NDArray[np.int64], ties: Floats) -> NDArray[np.int64]:
    """0, 1 or 2 by thirds of the sessions before; users with equally many are told apart by a draw."""
    order = np.lexsort((ties, sessions))
    place = np.empty(sessions.size, dtype=np.int64)
    place[order] = np.arange(sessions.size)
    return np.minimum(place * len(LEVELS) // sessions.size, len(LEVELS) - 1)
