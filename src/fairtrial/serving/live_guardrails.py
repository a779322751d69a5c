"""Guardrails watched while traffic flows: counts by window, and tests that may be read at any moment.

Error and timeout rates are rates; "the p95 of the latency is at most L" says that at most 5 % of requests take longer
than L, which is a rate too. Each is tested against its limit by an e-process for the whole run
(`stats.sequential.change`), and against the champion by bounds that hold at every look. The alphas of
all tests of all challengers sum to one budget: the probability that a healthy run is ever stopped.

Counts add, so several processes watch one experiment together, and a new process goes on where the last one ended.
"""

from __future__ import annotations

import copy
import datetime as dt
import math
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np

from fairtrial.errors import UsageError
from fairtrial.serving.guard_counts import LATENCY, ModelCounts
from fairtrial.serving.guards import Guard, live_guards
from fairtrial.serving.rollout import GuardrailStatus
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.spec.stages import Watch
from fairtrial.stats.sequential.bernoulli import bernoulli_confidence_sequence
from fairtrial.stats.sequential.change import (
    TUNED_FOR,
    log_e_values_since,
    quantile_lower_bound,
    quantile_upper_bound,
    rate_change_log_e_value,
)
from fairtrial.stats.sequential.confidence_sequences import Mixture, asymptotic_confidence_sequence

KILL_FACTOR = 2.0
"""A value beyond the limit by this factor stops below the smallest number of requests too."""

EXPECTED = 20
"""Requests that a challenger should have had in a window for none to be odd."""

COUNTED = {"error": "errors", "timeout": "timeouts"}
NOTHING = ModelCounts()

Shares = Mapping[str, float]
Side = Literal["greater", "less"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardReading:
    """One guardrail of one challenger at one moment.

    Attributes:
        metric: Its name.
        model: The challenger.
        status: What may be said.
        value: Its value so far; None without requests.
        threshold: Smallest and largest value allowed.
        n: Requests of the challenger.
        ci_low: Lower end of an interval that holds at every look; None for quantiles and means without one.
        ci_high: Upper end.
        e_value: Evidence against the limits; at 1 / alpha they are broken.
        alpha: Error rate of each of its tests.
        kill: Whether it acts below the smallest number of requests too.
        reason: A breach, or what is missing, in a sentence.
    """

    metric: str
    model: str
    status: GuardrailStatus
    value: float | None
    threshold: tuple[float | None, float | None]
    n: int
    ci_low: float | None
    ci_high: float | None
    e_value: float
    alpha: float
    kill: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReading:
    """All guardrails at one moment.

    Attributes:
        status: The worst of them; `ok` where there is nothing to watch.
        guards: One reading per guardrail and challenger.
        unwatched: Guardrails that cannot be read from requests: they need labels or columns, and are read by `fairtrial monitor`.
        requests: Requests that challengers have answered.
    """

    status: GuardrailStatus
    guards: tuple[GuardReading, ...]
    unwatched: tuple[str, ...]
    requests: int

    @property
    def reason(self) -> str:
        """The first breach in words; empty when there is none."""
        return next((guard.reason for guard in self.guards if guard.status == "breach"), "")

    def as_json(self) -> dict[str, Any]:
        """The reading as JSON."""
        return {**asdict(self), "e_value_note": "broken at 1 / alpha"}


class LiveMonitor:
    """Counts requests and reads the guardrails; one thread may count while another reads.

    Args:
        config: The experiment.
        watch: Budget, windows and margins.
        origin: When the first window begins, aware.
        columns: Columns of the log that hold numbers, and may be guardrails by their mean; `prediction` is one.
    """

    def __init__(self, config: ExperimentConfig, watch: Watch, origin: dt.datetime, columns: Collection[str] = ()) -> None:
        self.config, self.watch = config, watch
        self.guards, self.unwatched = live_guards(config, watch, {"prediction", *columns})
        self._columns = tuple(guard.metric for guard in self.guards if guard.kind == "mean" and guard.metric != LATENCY)
        self._origin = origin.timestamp()
        self._seconds = watch.window_minutes * 60.0
        self.planned_windows = max(1, math.ceil(config.max_duration_days * 86_400.0 / self._seconds))
        self._limits = sorted(
            {end for guard in self.guards if guard.kind == "quantile" for end in (guard.low, guard.high) if end is not None}
        )
        tests = sum(guard.tests for guard in self.guards) * len(config.challenger_models)
        self.alpha = watch.budget / max(tests, 1)
        self.counts: dict[str, ModelCounts] = {}
        self._lock = threading.Lock()

    def observe(
        self, model: str, at: float, latency_ms: float, *, error: bool, timeout: bool, values: Mapping[str, Any] | None = None
    ) -> None:
        """Count a request.

        Args:
            model: The model that was to answer.
            at: When, in seconds since 1970; a time before the start counts for the first window, one after the plan's end for the last.
            latency_ms: How long it took.
            error: Whether it failed.
            timeout: Whether it was too late.
            values: Columns of the log; what is no number is passed over.
        """
        window = self.window_at(at)
        with self._lock:
            counts = self.counts.get(model)
            if counts is None:
                counts = self.counts[model] = ModelCounts()
            counts.observe(window, latency_ms, self._limits, error=error, timeout=timeout)
            if self._columns and values is not None:
                for column in self._columns:
                    value = values.get(column)
                    if isinstance(value, int | float) and math.isfinite(value):
                        counts.observe_value(column, float(value))

    def window_at(self, at: float) -> int:
        """Window of a time in seconds since 1970."""
        return min(max(int((at - self._origin) // self._seconds), 0), self.planned_windows - 1)

    def as_json(self) -> dict[str, Any]:
        """The counts, to be added to those of others."""
        return {**self._grid, "models": {model: counts.as_json() for model, counts in self._still().counts.items()}}

    def add(self, given: Mapping[str, Any]) -> None:
        """Add counts that another monitor of the same experiment wrote.

        Raises:
            UsageError: They were counted in other windows or against other latency limits.
        """
        theirs = {name: given.get(name) for name in self._grid}
        if theirs != self._grid:
            raise UsageError(f"Counts add when windows and latency limits are the same: {self._grid}, got {theirs}.")
        for model, counts in cast("Mapping[str, Mapping[str, Any]]", given["models"]).items():
            with self._lock:
                self.counts.setdefault(model, ModelCounts()).add(ModelCounts.from_json(counts))

    @property
    def _grid(self) -> dict[str, Any]:
        return {"origin": self._origin, "window_seconds": self._seconds, "limits": self._limits}

    def check(self, now: dt.datetime, shares: Shares) -> WatchReading:
        """Read every guardrail.

        Args:
            now: The moment.
            shares: Share of traffic by model, to tell a challenger that should have requests and has none.
        """
        return self._still()._check(now, shares)  # noqa: SLF001 - itself

    def _still(self) -> LiveMonitor:
        """The monitor as it is at this moment."""
        still = copy.copy(self)
        with self._lock:
            still.counts = {model: counts.copy() for model, counts in self.counts.items()}
        return still

    def _check(self, now: dt.datetime, shares: Shares) -> WatchReading:
        challengers = [model for model in self.config.challenger_models if shares.get(model, 0.0) > 0.0 or model in self.counts]
        readings = tuple(self._read(guard, model, now, shares) for model in challengers for guard in self.guards)
        requests = sum(self._of(model).n for model in challengers)
        return WatchReading(status=_worst([item.status for item in readings]), guards=readings, unwatched=self.unwatched, requests=requests)

    def _of(self, model: str) -> ModelCounts:
        return self.counts.get(model, NOTHING)

    def _read(self, guard: Guard, model: str, now: dt.datetime, shares: Shares) -> GuardReading:
        counts = self._of(model)
        n = counts.mean_of(guard.metric).n if guard.kind == "mean" else counts.n
        value = self._value(guard, model)
        broken = self._broken(guard, model) if n else (0.0, "")
        log_e, reason = broken
        crossed = log_e >= -math.log(self.alpha)
        exact = guard.kind != "mean"  # the sequence of a mean promises nothing about few requests
        kill = exact and crossed and value is not None and guard.high is not None and value > KILL_FACTOR * guard.high
        status: GuardrailStatus = "ok"
        if crossed and (kill or n >= self.watch.min_requests):
            status = "breach"
        elif self._silent(model, now, shares):
            status, reason = "no_data", f"{model} should have had requests in the last window and had none"
        elif counts.n >= self.watch.min_requests and not n:
            status, reason = "no_data", f"{model} has {counts.n} requests and no value of {guard.metric}"
        elif n < self.watch.min_requests:
            status, reason = "insufficient", f"{model} has {n} of {self.watch.min_requests} requests"
        interval = self._interval(guard, model) if n else None
        return GuardReading(
            metric=guard.metric,
            model=model,
            status=status,
            value=value,
            threshold=(guard.low, guard.high),
            n=n,
            ci_low=None if interval is None else interval[0],
            ci_high=None if interval is None else interval[1],
            e_value=math.exp(min(log_e, 700.0)),
            alpha=self.alpha,
            kill=kill,
            reason=reason if status != "ok" else "",
        )

    def _series(self, guard: Guard, model: str, limit: float | None = None) -> tuple[list[int], list[int]]:
        """Events and requests by window up to the last, in order."""
        windows = self._of(model).windows
        last = max(windows, default=-1)
        place = self._limits.index(limit) if limit is not None and guard.kind == "quantile" else -1
        events, trials = [0] * (last + 1), [0] * (last + 1)
        for at, cell in windows.items():
            trials[at] = cell.n
            events[at] = cell.errors if guard.kind == "error" else cell.timeouts if guard.kind == "timeout" else cell.over[place]
        return events, trials

    def _broken(self, guard: Guard, model: str) -> tuple[float, str]:
        """The largest log e-value of a guardrail's tests, and what it says."""
        found: list[tuple[float, str]] = [(0.0, "")]
        ends: tuple[tuple[float | None, Side, str], ...] = ((guard.high, "greater", "above"), (guard.low, "less", "below"))
        for end, alternative, word in ends:
            if end is not None:
                log_e = self._against_limit(guard, model, end, alternative)
                since = self._since(guard, model, end, alternative) if log_e >= -math.log(self.alpha) else ""
                found.append((log_e, f"{guard.metric} of {model} is {word} its limit {end:g}{since}"))
        if guard.margin is not None:
            worse = self._worse_than_champion(guard, model, guard.margin)
            reason = f"{guard.metric} of {model} is worse than the champion's by more than {guard.margin:g}"
            found.append((-math.log(self.alpha) if worse else 0.0, reason))
        return max(found)

    def _against_limit(self, guard: Guard, model: str, limit: float, alternative: Side) -> float:
        if guard.kind == "mean":
            return self._mean_against(guard.metric, model, limit, alternative)
        rate = 1.0 - guard.q if guard.kind == "quantile" else limit
        events, trials = self._series(guard, model, limit)
        if rate <= 0.0:
            return math.inf if sum(events) and alternative == "greater" else 0.0
        if rate >= 1.0:
            return math.inf if sum(events) < sum(trials) and alternative == "less" else 0.0
        return rate_change_log_e_value(events, trials, limit=rate, planned_windows=self.planned_windows, alternative=alternative)

    def _since(self, guard: Guard, model: str, limit: float, alternative: Side) -> str:
        """What was counted since the rate most likely changed, in words: the value of the whole run may still lie within the limit."""
        rate = 1.0 - guard.q if guard.kind == "quantile" else limit
        if guard.kind == "mean" or not 0.0 < rate < 1.0:
            return ""
        events, trials = self._series(guard, model, limit)
        logs = log_e_values_since(events, trials, limit=rate, alternative=alternative)
        start = logs.size - 1 - int(np.argmax(logs[::-1]))  # the last of equals: windows without requests add nothing
        what = {"error": "failed", "timeout": "timed out"}.get(guard.kind, f"took longer than {limit:g} ms")
        begun = dt.datetime.fromtimestamp(self._origin + start * self._seconds, dt.UTC)
        return f": since {begun:%Y-%m-%dT%H:%M}Z {sum(events[start:])} of {sum(trials[start:])} {what}"

    def _mean_against(self, column: str, model: str, limit: float, alternative: Side) -> float:
        seen = self._of(model).mean_of(column)
        if seen.n < 2:
            return 0.0
        if seen.variance <= 0.0:  # nothing to test by; many equal values beyond the limit are no sign of health
            beyond = seen.mean > limit if alternative == "greater" else seen.mean < limit
            return math.inf if beyond else 0.0
        sequence = asymptotic_confidence_sequence(
            seen.mean,
            seen.variance,
            seen.n,
            mixture=Mixture(n_opt=TUNED_FOR),
            alpha=self.alpha,
            null=limit,
            alternative=alternative,
        )
        return float(sequence.log_e_value)

    def _worse_than_champion(self, guard: Guard, model: str, margin: float) -> bool:
        """Whether the challenger's lower bound lies above the champion's upper bound and the margin, at half of alpha each."""
        champion = self.config.champion_model
        if champion not in self.counts:
            return False
        ours, theirs = self._bound(guard, champion, "less"), self._bound(guard, model, "greater")
        return theirs > ours + margin

    def _bound(self, guard: Guard, model: str, side: Side) -> float:
        """A bound for every look, with half of alpha: the lower for `greater`, the upper for `less`; infinite where there is none."""
        counts, alpha, lower = self._of(model), self.alpha / 2.0, side == "greater"
        seen = counts.mean_of(guard.metric)
        if not counts.n or (guard.kind == "mean" and seen.variance <= 0.0):
            return -math.inf if lower else math.inf
        if guard.kind == "quantile":
            edges, at_or_below = counts.histogram()
            bound = quantile_lower_bound if lower else quantile_upper_bound
            return bound(edges, at_or_below, counts.n, q=guard.q, alpha=alpha)
        if guard.kind == "mean":
            sequence = asymptotic_confidence_sequence(
                seen.mean, seen.variance, seen.n, mixture=Mixture(n_opt=TUNED_FOR), alpha=alpha, alternative=side
            )
        else:
            events = counts.total(COUNTED[guard.kind])
            sequence = bernoulli_confidence_sequence(events, counts.n, n_opt=TUNED_FOR, alpha=alpha, alternative=side)
        return float(sequence.low if lower else sequence.high)

    def _value(self, guard: Guard, model: str) -> float | None:
        counts = self._of(model)
        if not counts.n:
            return None
        if guard.kind == "mean":
            return counts.means[guard.metric].mean if guard.metric in counts.means else None
        if guard.kind == "quantile":
            edges, at_or_below = counts.histogram()
            return float(edges[int(np.searchsorted(at_or_below, guard.q * counts.n))])
        return counts.total(COUNTED[guard.kind]) / counts.n

    def _interval(self, guard: Guard, model: str) -> tuple[float, float] | None:
        if guard.kind not in COUNTED:
            return None
        counts = self._of(model)
        sequence = bernoulli_confidence_sequence(counts.total(COUNTED[guard.kind]), counts.n, n_opt=TUNED_FOR, alpha=0.05)
        return float(sequence.low), float(sequence.high)

    def _silent(self, model: str, now: dt.datetime, shares: Shares) -> bool:
        """Whether a challenger had no request in the last whole window though the champion's say that it should."""
        last = self.window_at(now.timestamp()) - 1
        champion = self.config.champion_model
        share, kept = shares.get(model, 0.0), shares.get(champion, 0.0)
        cell = self._of(champion).windows.get(last)
        if last < 0 or share <= 0.0 or kept <= 0.0 or cell is None:
            return False
        return cell.n * share / kept >= EXPECTED and last not in self._of(model).windows


ORDER: tuple[GuardrailStatus, ...] = ("ok", "insufficient", "no_data", "breach")


def _worst(statuses: Sequence[GuardrailStatus]) -> GuardrailStatus:
    return max(statuses, key=ORDER.index) if statuses else "ok"
