"""Two answers to one request compared, and what many comparisons come to.

The share of requests on which two models diverge is a rate, so its interval at one look is
Wilson's. A gate that is read again and again reads the exact confidence sequence of the
same counts instead, which holds at every look (`stats.sequential.bernoulli`).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from fairtrial.errors import UsageError
from fairtrial.serving.records import iso
from fairtrial.stats.proportion_intervals import wilson_interval
from fairtrial.stats.sequential.bernoulli import bernoulli_confidence_sequence
from fairtrial.stats.sequential.confidence_sequences import Mixture, asymptotic_confidence_sequence

ShadowStatus = Literal["ok", "diverging", "inconclusive"]

TUNED_FOR = 1_000
"""Comparisons at which the sequence is tightest."""

FEWEST_LATENCIES = 100
"""Comparisons below which no interval of the latency difference is shown: it is asymptotic."""

WHOLE = 1e-6
"""How far from 1 the numbers of an answer may sum to be probabilities of classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two predictions for one request.

    Attributes:
        difference: Largest absolute difference of the numbers; 1 or 0 for labels; None where the
            two cannot be compared (other shape, other kind, not finite).
        diverged: Whether they lie further apart than the threshold, or cannot be compared.
        flipped: Whether the decision would be another; None where nothing is comparable.
    """

    difference: float | None
    diverged: bool
    flipped: bool | None


def compare_predictions(champion: Any, challenger: Any, *, threshold: float = 0.1, label_threshold: float = 0.5) -> Comparison:
    """Compare the answers of champion and challenger.

    Args:
        champion: A number, a label, or numbers in any nesting of lists.
        challenger: The same of the other model.
        threshold: Difference above which they diverge.
        label_threshold: The decision is another when one number is at or above it and the other below; with
            probabilities of several classes also when another class has the largest.
    """
    ours, theirs = _numbers(champion), _numbers(challenger)
    if ours is None or theirs is None:
        if isinstance(champion, str | bool) and type(champion) is type(challenger):
            other = champion != challenger
            return Comparison(difference=float(other), diverged=other, flipped=other)
        return Comparison(difference=None, diverged=True, flipped=None)
    if len(ours) != len(theirs) or not ours or not all(map(math.isfinite, (*ours, *theirs))):
        return Comparison(difference=None, diverged=True, flipped=None)
    difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    crossed = any((a >= label_threshold) != (b >= label_threshold) for a, b in zip(ours, theirs, strict=True))
    return Comparison(difference=difference, diverged=difference > threshold, flipped=crossed or _other_class(ours, theirs))


def _numbers(value: Any) -> list[float] | None:
    """The numbers of an answer in order; None when it holds anything else."""
    if isinstance(value, bool | str) or value is None:
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, int | float):
        return [float(value)]
    if not isinstance(value, list | tuple):
        return None
    found: list[float] = []
    for item in cast("Iterable[Any]", value):
        inner = _numbers(item)
        if inner is None:
            return None
        found += inner
    return found


def _other_class(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    if len(ours) < 2 or abs(sum(ours) - 1.0) > WHOLE or abs(sum(theirs) - 1.0) > WHOLE:
        return False
    return max(range(len(ours)), key=ours.__getitem__) != max(range(len(theirs)), key=theirs.__getitem__)


@dataclass(slots=True, kw_only=True)
class ShadowTally:
    """Counts of a shadow deployment; two of them add.

    Attributes:
        requests: Requests that were to be mirrored, the dropped among them.
        compared: Of these, answered by both.
        errors: The challenger failed.
        timeouts: The challenger was too late.
        dropped: The queue was full.
        diverged: Of the compared, further apart than the threshold.
        flipped: Of the compared, with another decision.
        slower_mean: Mean of challenger minus champion latency of the compared, in ms.
        slower_m2: Its centred sum of squares.
    """

    requests: int = 0
    compared: int = 0
    errors: int = 0
    timeouts: int = 0
    dropped: int = 0
    diverged: int = 0
    flipped: int = 0
    slower_mean: float = 0.0
    slower_m2: float = 0.0

    def add(self, comparison: Comparison, *, champion_latency_ms: float, challenger_latency_ms: float) -> None:
        """Count a pair of answers."""
        self.requests += 1
        self.compared += 1
        self.diverged += comparison.diverged
        self.flipped += comparison.flipped is True
        off = challenger_latency_ms - champion_latency_ms - self.slower_mean
        self.slower_mean += off / self.compared
        self.slower_m2 += off * (challenger_latency_ms - champion_latency_ms - self.slower_mean)

    def fail(self, what: Literal["error", "timeout", "dropped"]) -> None:
        """Count a request without the challenger's answer."""
        self.requests += 1
        self.errors += what == "error"
        self.timeouts += what == "timeout"
        self.dropped += what == "dropped"

    def __add__(self, other: ShadowTally) -> ShadowTally:
        """Both together (Chan, Golub & LeVeque 1983 for the latencies)."""
        n = self.compared + other.compared
        gap = other.slower_mean - self.slower_mean
        counts = {item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)[:7]}
        return ShadowTally(
            **counts,
            slower_mean=self.slower_mean + gap * other.compared / n if n else 0.0,
            slower_m2=self.slower_m2 + other.slower_m2 + (gap * gap * self.compared * other.compared / n if n else 0.0),
        )

    def summary(self, *, limit: float = 0.05, alpha: float = 0.05) -> dict[str, Any]:
        """What the comparisons come to.

        Args:
            limit: Share of diverging requests that is too many, in (0, 1).
            alpha: Error rate of the intervals.

        Returns:
            The counts; `divergence_rate` with Wilson's interval and `status` by it; `always_valid` the same by the
            confidence sequence, and `gate` by it, which also asks that failures of the challenger stay within the limit;
            `latency` the mean difference with its sequence. Rates are null before the first comparison.

        Raises:
            UsageError: `limit` lies outside (0, 1).
        """
        if not 0.0 < limit < 1.0:
            raise UsageError(f"limit must lie in (0, 1), got {limit}.")
        found: dict[str, Any] = {
            "requests": self.requests,
            "compared": self.compared,
            "challenger_errors": self.errors,
            "challenger_timeouts": self.timeouts,
            "dropped": self.dropped,
            "divergence_rate": None,
            "ci_low": None,
            "ci_high": None,
            "limit": limit,
            "status": "inconclusive",
            "label_flip_rate": None,
            "always_valid": None,
            "latency": self._latency(alpha),
            "gate": "inconclusive",
        }
        if self.compared:
            wilson = wilson_interval(self.diverged, self.compared, alpha=alpha)
            low, high = _always(self.diverged, self.compared, alpha)
            found |= {
                "divergence_rate": self.diverged / self.compared,
                "ci_low": wilson.low,
                "ci_high": wilson.high,
                "status": _status(wilson.low, wilson.high, limit),
                "label_flip_rate": self.flipped / self.compared,
                "always_valid": {"low": low, "high": high},
            }
            found["gate"] = self._gate(_status(low, high, limit), limit, alpha)
        return found

    def _gate(self, divergence: ShadowStatus, limit: float, alpha: float) -> ShadowStatus:
        asked = self.requests - self.dropped
        low, high = _always(self.errors + self.timeouts, asked, alpha)
        states = {divergence, _status(low, high, limit)}
        return "diverging" if "diverging" in states else "inconclusive" if "inconclusive" in states else "ok"

    def _latency(self, alpha: float) -> dict[str, float | None] | None:
        if not self.compared:
            return None
        found: dict[str, float | None] = {"mean_difference_ms": self.slower_mean, "low": None, "high": None}
        if self.compared >= FEWEST_LATENCIES and self.slower_m2 > 0.0:
            variance = self.slower_m2 / (self.compared - 1)
            sequence = asymptotic_confidence_sequence(
                self.slower_mean, variance, self.compared, mixture=Mixture(n_opt=TUNED_FOR), alpha=alpha
            )
            found |= {"low": float(sequence.low), "high": float(sequence.high)}
        return found


def summed_tallies(evidence: Iterable[Mapping[str, Any]]) -> dict[str, ShadowTally]:
    """The comparisons in the evidence of all processes, by challenger."""
    found: dict[str, ShadowTally] = {}
    for counts in evidence:
        for model, tally in cast("Mapping[str, Mapping[str, Any]]", counts.get("shadow", {})).items():
            found[model] = found.get(model, ShadowTally()) + ShadowTally(**tally)
    return found


def worst_gate(tallies: Iterable[ShadowTally], limit: float) -> ShadowStatus | None:
    """The gate of all challengers together; None without comparisons."""
    gates: set[ShadowStatus] = {tally.summary(limit=limit)["gate"] for tally in tallies}
    order: tuple[ShadowStatus, ...] = ("diverging", "inconclusive", "ok")
    return next((gate for gate in order if gate in gates), None)


def _always(count: int, n: int, alpha: float) -> tuple[float, float]:
    sequence = bernoulli_confidence_sequence(count, n, n_opt=TUNED_FOR, alpha=alpha)
    return float(sequence.low), float(sequence.high)


def _status(low: float, high: float, limit: float) -> ShadowStatus:
    return "ok" if high < limit else "diverging" if low > limit else "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRecord:
    """One mirrored request as it is logged (ML-10).

    Attributes:
        experiment: Name of the experiment.
        prediction_id: Of the champion's prediction.
        challenger: The model in the shadow.
        timestamp: When, aware.
        champion_prediction: The answer that was given.
        challenger_prediction: The one that was not; None when there was none.
        comparison: Of the two; None when the challenger has no answer.
        champion_latency_ms: How long the champion took.
        challenger_latency_ms: How long the challenger took; None when it was not asked or is still out.
        failure: `error`, `timeout` or `dropped`; None when it answered.
        features: Those that may be logged.
    """

    experiment: str
    prediction_id: str
    challenger: str
    timestamp: dt.datetime
    champion_prediction: Any
    challenger_prediction: Any
    comparison: Comparison | None
    champion_latency_ms: float
    challenger_latency_ms: float | None
    failure: Literal["error", "timeout", "dropped"] | None
    features: Any

    def as_row(self) -> dict[str, Any]:
        """The record as a row of the shadow log."""
        seen = self.comparison
        return {
            "prediction_id": self.prediction_id,
            "experiment": self.experiment,
            "challenger": self.challenger,
            "timestamp": iso(self.timestamp),
            "champion_prediction": self.champion_prediction,
            "challenger_prediction": self.challenger_prediction,
            "prediction_difference": None if seen is None else seen.difference,
            "diverged": None if seen is None else seen.diverged,
            "label_flip": None if seen is None else seen.flipped,
            "champion_latency_ms": self.champion_latency_ms,
            "challenger_latency_ms": self.challenger_latency_ms,
            "challenger_error": self.failure == "error",
            "challenger_timeout": self.failure == "timeout",
            "dropped": self.failure == "dropped",
            "features": self.features,
        }
