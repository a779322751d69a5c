"""Guardrails of an experiment of models, checked on the latest rows of its log; repeated violations stop it.

Each check tests the challenger's rows (`diagnostics.model_guardrails`). Violations are counted per metric and window
of 15 minutes of the data's own timestamps, windows that do not overlap, from rows of that window alone: checks that look at the
same rows again, and several metrics in one window, add nothing. Three windows of one metric within an hour
stop the experiment; the value of a whole check beyond twice its limit with p < .001 does at once.

A healthy challenger at its limit is stopped sooner or later by any test at 5 % that is repeated; while traffic flows,
`serving.live_guardrails` watches with one error rate for the whole run.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.guarded_values import Columns
from fairtrial.diagnostics.model_guardrails import GuardrailCheck, Status, check_guardrail
from fairtrial.errors import DataError, UsageError
from fairtrial.spec.model_experiment import ExperimentConfig

if TYPE_CHECKING:
    import pandas as pd

WINDOW = dt.timedelta(minutes=15)
"""A metric counts at most once in a window of this length."""

MEMORY = dt.timedelta(hours=1)
"""Violations older than this no longer count."""

VIOLATIONS = 3
"""Windows of one metric in violation that stop an experiment."""

READ = ("latency_ms", "error", "timeout", "prediction", "outcome")
"""Columns that guardrails are made of, besides those of their own names."""

GRAVITY: tuple[Status, ...] = ("ok", "insufficient", "no_data", "violated")


@dataclass(frozen=True, slots=True)
class Violation:
    """A guardrail of a model broken in a window.

    Attributes:
        moment: Time of the last row that showed it.
        kill: Whether it stops at once.
    """

    moment: dt.datetime
    kill: bool


class GuardrailMonitor:
    """Checks the guardrails of an experiment and remembers violations (ML-17, ML-18).

    Args:
        experiment_config: The experiment.
        clock: The time now, aware; that of rows without timestamps.
    """

    def __init__(self, experiment_config: ExperimentConfig, *, clock: Callable[[], dt.datetime] | None = None) -> None:
        self.config = experiment_config
        self._clock = clock or (lambda: dt.datetime.now(dt.UTC))
        self._origin: dt.datetime | None = None
        self._latest: dt.datetime | None = None
        self._calls = 0
        self._seen: dict[tuple[str, str], dict[str, Violation]] = {}

    def check_guardrails(self, df: pd.DataFrame) -> dict[str, Any]:
        """Check every guardrail on rows of the prediction log.

        Args:
            df: Rows with `model_name` or `variant`, or of one challenger alone; `timestamp`, `latency_ms`, `error`, `timeout`,
                `prediction`, `outcome` and columns named as guardrails, as far as they are there.

        Returns:
            `has_violations`; `violations` as a list of `metric`, `value`, `threshold`, `timestamp` and `model`; `metrics` by name with
            `value`, `threshold`, `violated` (None: unknown) and all of `GuardrailCheck`, of several challengers the gravest;
            `models` the same by challenger; `has_unknown`: whether anything is neither kept nor broken.

        Raises:
            DataError: Several challengers cannot be told apart, or timestamps are none.
        """
        self._calls += 1
        df = df.reset_index(drop=True)  # labels that repeat would tell rows apart wrongly
        frames, champion = self._by_model(df)
        moments = _moments(df)
        self._advance(moments)
        columns = None if champion is None else self._read(champion)
        models: dict[str, dict[str, GuardrailCheck]] = {}
        violations: list[dict[str, Any]] = []
        for model, rows in frames.items():
            checks = self._check(self._read(rows), columns)
            models[model] = checks
            at = None if moments is None else moments.loc[rows.index]
            last = self._time() if at is None or at.isna().all() else at.max().to_pydatetime()
            broken = [check for check in checks.values() if check.violated]
            violations += [
                {"metric": check.metric, "value": check.value, "threshold": check.threshold, "timestamp": last, "model": model}
                for check in broken
            ]
            self._count(model, rows, at, {check.metric: Violation(min(last, self._time()), check.kill) for check in broken})
        gravest = {name: max((checks[name] for checks in models.values()), key=_gravity) for name in self.config.guardrail_metrics}
        return {
            "has_violations": bool(violations),
            "has_unknown": any(check.violated is None for checks in models.values() for check in checks.values()),
            "violations": violations,
            "metrics": {name: check.as_json() for name, check in gravest.items()},
            "models": {model: {name: check.as_json() for name, check in checks.items()} for model, checks in models.items()},
        }

    def should_stop_experiment(self, violation_count: int = VIOLATIONS) -> bool:
        """Whether one metric of one challenger was broken in that many windows within the last hour, or beyond the kill threshold in one.

        Args:
            violation_count: Windows, >= 1.

        Raises:
            UsageError: It is below 1.
        """
        if violation_count < 1:
            raise UsageError(f"violation_count must be 1 or more, got {violation_count}.")
        now = self._time()
        for windows in self._seen.values():
            recent = [found for found in windows.values() if now - found.moment <= MEMORY]
            if len(recent) >= violation_count or any(found.kill for found in recent):
                return True
        return False

    def _read(self, rows: pd.DataFrame) -> Columns:
        return columns_of(rows, dict.fromkeys((*READ, *self.config.guardrail_metrics)))

    def _check(self, rows: Columns, champion: Columns | None) -> dict[str, GuardrailCheck]:
        types = self.config.metric_types
        return {
            name: check_guardrail(name, limits, rows, champion, proportion=types.get(name) == "proportion")
            for name, limits in self.config.guardrail_metrics.items()
        }

    def _count(self, model: str, rows: pd.DataFrame, at: pd.Series[Any] | None, broken: Mapping[str, Violation]) -> None:
        """Note violations by window: those of each window's own rows; of rows that break a limit only together, their last window."""
        if at is None or at.isna().all():
            for metric, violation in broken.items():
                self._note(model, metric, f"call {self._calls}", violation)
            return
        names = self._windows(at)
        touched = sorted(set(names[names != ""]))
        for name in touched:
            inside = names == name
            last = min(at[inside].max().to_pydatetime(), self._time())
            for metric, check in self._check(self._read(cast("pd.DataFrame", rows[inside])), None).items():
                if check.violated:
                    self._note(model, metric, name, Violation(last, kill=False))
        for metric, violation in broken.items():
            noted = self._seen.get((model, metric), {})
            if violation.kill or not any(name in noted for name in touched):
                self._note(model, metric, touched[-1], violation)

    def _note(self, model: str, metric: str, window: str, violation: Violation) -> None:
        windows = self._seen.setdefault((model, metric), {})
        known = windows.get(window)
        kill = violation.kill or (known is not None and known.kill)
        windows[window] = Violation(violation.moment if known is None else max(known.moment, violation.moment), kill)
        now = self._time()
        for name in [name for name, found in windows.items() if now - found.moment > MEMORY]:
            del windows[name]

    def _windows(self, at: pd.Series[Any]) -> NDArray[np.str_]:
        """Name of each row's window, which sorts by time; empty for a row without a time."""
        if self._origin is None:
            raise RuntimeError("times come first")
        places = np.floor((at - self._origin) / WINDOW)
        return np.asarray(["" if np.isnan(place) else f"{int(place) + 10**9:012d}" for place in places], dtype=np.str_)

    def _advance(self, moments: pd.Series[Any] | None) -> None:
        if moments is None or moments.isna().all():
            return
        first, last = moments.min().to_pydatetime(), min(moments.max().to_pydatetime(), self._clock())
        self._origin = self._origin or first
        self._latest = last if self._latest is None else max(self._latest, last)

    def _time(self) -> dt.datetime:
        """The latest time of the data, which a clock that runs ahead does not move beyond the present; without any, the present."""
        return self._latest or self._clock()

    def _by_model(self, df: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], pd.DataFrame | None]:
        """Rows of each challenger, and the champion's."""
        challengers, champion = self.config.challenger_models, self.config.champion_model
        if "model_name" in df.columns:
            return {model: df[df["model_name"] == model] for model in challengers}, df[df["model_name"] == champion]
        if len(challengers) > 1:
            raise DataError(
                f"Rows of {len(challengers)} challengers need a column model_name, got {list(df.columns)}.",
                hint="They are not to be pooled.",
            )
        if "variant" in df.columns:
            return {challengers[0]: df[df["variant"] == "challenger"]}, df[df["variant"] == "champion"]
        return {challengers[0]: df}, None


def _gravity(check: GuardrailCheck) -> int:
    return GRAVITY.index(check.status)


def columns_of(df: pd.DataFrame, wanted: Iterable[str]) -> Columns:
    """Columns of a frame as numbers, those of them that are there; NaN where a value is none."""
    return {name: _numbers(cast("Any", df[name])) for name in wanted if name in df.columns}


def _numbers(column: Any) -> NDArray[np.float64]:
    import pandas as pd  # noqa: PLC0415 - it takes a while to load, and a gateway's process needs it only here

    try:
        return np.asarray(cast("Any", pd.to_numeric(column, errors="coerce")).to_numpy(dtype=np.float64, na_value=np.nan))
    except TypeError:  # lists and other objects that are no numbers at all
        return np.full(len(column), np.nan)


def _moments(df: pd.DataFrame) -> pd.Series[Any] | None:
    """Times of the rows, aware; None without the column."""
    import pandas as pd  # noqa: PLC0415 - as above

    if "timestamp" not in df.columns:
        return None
    try:
        return pd.to_datetime(df["timestamp"], utc=True, errors="raise", format="ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(f"Timestamps must be times, got {df['timestamp'].iloc[0]!r} and the like: {error}.") from error
