"""Which guardrails requests show as they come, and which need more than that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from fairtrial.diagnostics.guarded_values import latency_quantile
from fairtrial.errors import UsageError
from fairtrial.serving.guard_counts import LATENCY
from fairtrial.spec.model_experiment import ExperimentConfig, binding_limits
from fairtrial.spec.stages import Watch

Kind = Literal["error", "timeout", "quantile", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A guardrail that can be read from requests as they come.

    Attributes:
        metric: Its name.
        kind: What it counts.
        low: Smallest value allowed; None for none.
        high: Largest value allowed; None for none.
        q: Of a latency quantile, which one.
        margin: How much worse than the champion it may be; None for not compared.
    """

    metric: str
    kind: Kind
    low: float | None
    high: float | None
    q: float = 0.0
    margin: float | None = None

    @property
    def tests(self) -> int:
        """How many tests it takes."""
        return sum(end is not None for end in (self.low, self.high, self.margin))


def live_guards(config: ExperimentConfig, watch: Watch, columns: Collection[str] = ()) -> tuple[tuple[Guard, ...], tuple[str, ...]]:
    """The guardrails that requests show, and the names of those that they do not.

    Args:
        config: The experiment.
        watch: Margins and limits of its own.
        columns: Columns of the log that hold numbers; a guardrail of such a name is their mean.

    Raises:
        UsageError: A margin is of no guardrail that requests show.
    """
    limits: dict[str, tuple[float | None, float | None]] = {name: binding_limits(pair) for name, pair in config.guardrail_metrics.items()}
    for name, high in watch.canary_limits.items():
        limits.setdefault(name, (None, high))
    for name in watch.margins:
        limits.setdefault(name, (None, None))
    guards: list[Guard] = []
    unwatched: list[str] = []
    for name, (low, high) in limits.items():
        kind, q = _kind(name, columns)
        if kind is None:
            unwatched.append(name)
        else:
            guards.append(Guard(metric=name, kind=kind, low=low, high=high, q=q, margin=watch.margins.get(name)))
    odd = [name for name in watch.margins if name in unwatched]
    if odd:
        raise UsageError(f"A margin to the champion needs a metric that requests show (rates, latencies, logged numbers), got {odd}.")
    return tuple(guards), tuple(unwatched)


def _kind(name: str, columns: Collection[str]) -> tuple[Kind | None, float]:
    if name in {"error_rate", "timeout_rate"}:
        return ("error" if name == "error_rate" else "timeout"), 0.0
    if name == LATENCY or name in columns:
        return "mean", 0.0
    q = latency_quantile(name)
    return (None, 0.0) if q is None else ("quantile", q)
