"""The prediction log, read into rows that may count: which predictions, of whom, with which labels."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.analysis.model_options import ModelOptions
from fairtrial.diagnostics import Finding
from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.spec.model_experiment import ExperimentConfig

pd: Any = import_module("pandas")

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

TIME_OF_DAY = "time_of_day"
"""A segment that is made from the time of a user's first prediction, UTC."""

QUARTERS = ("night", "morning", "afternoon", "evening")
"""Its levels: six hours each, from midnight."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogRows:
    """Predictions that count, one a row.

    Attributes:
        frame: The rows, a pandas frame with a fresh index.
        model: Name of the model that each user was assigned to, shape (n,).
        user: A whole number per user, shape (n,).
        names: Users by that number.
        times: Moment of each prediction, microseconds since 1970; None without a column `timestamp`.
        due: Whether the time in which a label may come has passed, shape (n,).
        start: First moment of the experiment, aware; None without times.
        end: First moment after it.
        options: How the rows are read.
        findings: What was left out, and why.
    """

    frame: Any
    model: NDArray[np.object_]
    user: NDArray[np.intp]
    names: NDArray[np.object_]
    times: NDArray[np.int64] | None
    due: Booleans
    start: dt.datetime | None
    end: dt.datetime | None
    options: ModelOptions
    findings: tuple[Finding, ...] = field(default=())

    @property
    def size(self) -> int:
        """Number of predictions."""
        return int(self.model.size)

    @property
    def run(self) -> tuple[dt.datetime, dt.datetime]:
        """First moment of the experiment and first moment after it.

        Raises:
            UsageError: The log has no times, and none were given.
        """
        if self.start is None or self.end is None:
            raise UsageError(
                "How long the experiment ran must be known.", hint="Add the column `timestamp`, or pass start_date and end_date."
            )
        return self.start, self.end

    def numbers(self, column: str) -> Floats:
        """A column of numbers or booleans, NaN where missing; text is 1 where it is the positive label.

        Raises:
            UnknownNameError: There is no such column.
            UsageError: It holds text, and no positive label is known.
            DataError: A number is infinite.
        """
        if column not in self.frame.columns:
            raise UnknownNameError.among("column of the log", column, [str(name) for name in self.frame.columns])
        raw = self.frame[column]
        if column in {"prediction", "outcome"} and _is_text(raw):
            if self.options.positive_label is None:
                raise UsageError(
                    f"Column {column!r} holds text, and nothing says which label means 1.",
                    hint="Set ModelOptions(positive_label=...), or ask for `accuracy`, which compares labels.",
                )
            values = np.where(raw.isna(), np.nan, (raw == self.options.positive_label).astype(np.float64))
        else:
            try:
                values = pd.to_numeric(raw).to_numpy(dtype=np.float64, na_value=np.nan)
            except (ValueError, TypeError) as error:
                raise UsageError(
                    f"Column {column!r} must hold numbers, it holds {_example(raw)!r}.", hint="Name a column of numbers."
                ) from error
        if np.isinf(values).any():
            raise DataError(f"Column {column!r} must hold finite numbers, it holds an infinite one.", code="infinite_value")
        return values

    @property
    def labelled(self) -> Booleans:
        """Which predictions have their true outcome, of those whose label is due."""
        if "outcome" not in self.frame.columns:
            return np.zeros(self.size, dtype=np.bool_)
        return np.asarray(self.frame["outcome"].notna().to_numpy(dtype=np.bool_) & self.due)

    @property
    def correct(self) -> Floats:
        """1 where the prediction says what came: labels compared as text, else sides of the threshold."""
        if _is_text(self.frame["prediction"]) and self.options.positive_label is None:
            return (self.frame["prediction"] == self.frame["outcome"]).to_numpy(dtype=np.float64)
        return (self.flagged == (self.numbers("outcome") == 1.0)).astype(np.float64)

    @property
    def flagged(self) -> Booleans:
        """Whether the prediction is positive; one that failed is not."""
        return np.asarray(self.numbers("prediction") >= (0.5 if _is_text(self.frame["prediction"]) else self.options.threshold))


def read_log(
    frame: Any,
    config: ExperimentConfig,
    options: ModelOptions,
    *,
    start: dt.datetime | None = None,
    end: dt.datetime | None = None,
) -> LogRows:
    """Which rows of a prediction log count.

    Args:
        frame: A pandas frame of `experiment_logs`.
        config: The experiment.
        options: How it is analysed.
        start: First moment, aware; rows before it are left out. Default: the first prediction.
        end: First moment that is not read. Default: whole days after the start that hold the last prediction.

    Raises:
        UsageError: A column is missing or is of the wrong kind.
        DataError: No row is left.
    """
    rows = _with_numbers(_with_models(frame, config), options)
    findings: list[Finding] = []
    rows = _once_each(rows, findings)
    rows, times, first, last = _within(rows, start, end)
    rows, times = _randomised(rows, times, findings)
    if options.washout_days:
        rows, times = _after_washout(rows, times, first, options.washout_days, findings)
    if options.new_users is not None:
        rows, times = _new_users(rows, times, first, options.new_users, findings)
    if not len(rows):
        raise DataError("No prediction is left to analyse.", hint="Check the dates, `new_users` and `washout_days`.", code="no_units")
    user, names = np.arange(len(rows)), np.arange(len(rows))
    if "user_id" in rows.columns:
        user, names = pd.factorize(rows["user_id"])
        if (user < 0).any():
            raise DataError(
                f"{int((user < 0).sum()):,} rows have no user_id.", hint="Anonymous users need a session's id there.", code="no_unit"
            )
    due = np.ones(len(rows), dtype=np.bool_)
    if config.label_window_days is not None:
        due = _due(rows, times, last, config.label_window_days)
    return LogRows(
        frame=rows,
        model=rows["model_name"].to_numpy(dtype=object),
        user=np.asarray(user, dtype=np.intp),
        names=np.asarray(names, dtype=object),
        times=times,
        due=due,
        start=first,
        end=last,
        options=options,
        findings=tuple(findings),
    )


def _with_models(frame: Any, config: ExperimentConfig) -> Any:
    """The log with a model on every row: by its name, or by `variant` where there is one challenger."""
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"A log must be a pandas frame, got {type(frame).__name__}.", hint="load_experiment_data returns one.")
    rows: Any = frame.reset_index(drop=True)
    if "model_name" not in rows.columns:
        if "variant" not in rows.columns or len(config.challenger_models) > 1:
            raise UnknownNameError.among("column of the log", "model_name", [str(name) for name in rows.columns])
        rows = rows.assign(model_name=rows["variant"].map({"champion": config.champion_model, "challenger": config.challenger_models[0]}))
    return rows


def _with_numbers(rows: Any, options: ModelOptions) -> Any:
    """Predictions and outcomes that a table holds as text, as the numbers they are; labels stay."""
    for name in ("prediction", "outcome"):
        if options.positive_label is None and name in rows.columns and _is_text(rows[name]):
            numbers = pd.to_numeric(rows[name], errors="coerce")
            if numbers.notna().sum() == rows[name].notna().sum():
                rows = rows.assign(**{name: numbers})
    return rows


def _once_each(rows: Any, findings: list[Finding]) -> Any:
    """One row a prediction: an event that was sent twice counts once."""
    if "prediction_id" not in rows.columns:
        return rows
    again = rows["prediction_id"].notna() & rows["prediction_id"].duplicated(keep="first")
    count = int(again.sum())
    if count:
        findings.append(
            Finding(
                code="repeated_predictions",
                severity="warning",
                message=f"{count:,} rows repeat the prediction_id of an earlier one and were left out.",
                action="Nothing, if retries of the writer explain them.",
                numbers={"rows": count},
            )
        )
    return rows[~again].reset_index(drop=True)


def _within(
    rows: Any, start: dt.datetime | None, end: dt.datetime | None
) -> tuple[Any, NDArray[np.int64] | None, dt.datetime | None, dt.datetime | None]:
    """Rows of [start, end), their times, and both ends."""
    if "timestamp" not in rows.columns:
        return rows, None, start, end
    times = micros_of(rows["timestamp"])
    if times.size == 0:
        return rows, times, start, end
    first = start or _moment(int(times.min()))
    last = end or first + dt.timedelta(days=max(1, -(-(int(times.max()) - _micros(first)) // _DAY)))
    # The last prediction belongs to a run whose end nobody gave, also on a whole number of days.
    inside = (times >= _micros(first)) & ((times < _micros(last)) if end is not None else True)
    return rows[inside].reset_index(drop=True), times[inside], first, last


def _randomised(rows: Any, times: NDArray[np.int64] | None, findings: list[Finding]) -> tuple[Any, NDArray[np.int64] | None]:
    """Rows whose model was drawn: with a propensity of 1 (after a stop, say) there was nothing to draw."""
    if "propensity" not in rows.columns:
        return rows, times
    drawn = ~(pd.to_numeric(rows["propensity"]).to_numpy(dtype=np.float64, na_value=np.nan) >= 1.0)
    if not drawn.all():
        findings.append(
            Finding(
                code="not_randomised",
                severity="info",
                message=f"{int((~drawn).sum()):,} predictions have a propensity of 1: nothing was drawn, and they were left out.",
                action="Nothing, if the experiment was stopped or had not begun.",
                numbers={"rows": int((~drawn).sum())},
            )
        )
    rows = rows[drawn].reset_index(drop=True)
    _check_allocation_is_constant(rows, findings)
    return rows, None if times is None else times[drawn]


def _check_allocation_is_constant(rows: Any, findings: list[Finding]) -> None:
    """Whether shares of traffic changed within the rows."""
    shares = pd.to_numeric(rows["propensity"]).round(6)
    for model, seen in shares.groupby(rows["model_name"]):
        distinct = sorted(seen.dropna().unique().tolist())
        if len(distinct) > 1:
            findings.append(
                Finding(
                    code="allocation_changed",
                    severity="critical",
                    message=f"The share of {model} changed within the run, from {distinct[0]:.2%} to {distinct[-1]:.2%} at the ends.",
                    action="Users of the arms come from different times: report each stage by itself, with its own dates.",
                    arm=str(model),
                    numbers={"least": distinct[0], "most": distinct[-1]},
                )
            )


def _after_washout(
    rows: Any, times: NDArray[np.int64] | None, first: dt.datetime | None, days: float, findings: list[Finding]
) -> tuple[Any, NDArray[np.int64]]:
    moments = _timed(times, "washout_days")
    kept = moments >= _micros(_known(first)) + int(days * _DAY)
    findings.append(
        Finding(
            code="washout",
            severity="info",
            message=f"{int((~kept).sum()):,} predictions of the first {days:g} days were left out: what users carry over fades.",
            action="Nothing: users who came in these days alone are left out in every arm; the sample-ratio check covers who is left.",
            numbers={"rows": int((~kept).sum()), "days": days},
        )
    )
    return rows[kept].reset_index(drop=True), moments[kept]


def _new_users(
    rows: Any, times: NDArray[np.int64] | None, first: dt.datetime | None, column: str, findings: list[Finding]
) -> tuple[Any, NDArray[np.int64] | None]:
    if column not in rows.columns:
        raise UnknownNameError.among("column of the log", column, [str(name) for name in rows.columns])
    raw = rows[column]
    if pd.api.types.is_bool_dtype(raw) or set(raw.dropna().unique()) <= {True, False}:
        new = raw.eq(True).to_numpy(dtype=np.bool_)  # noqa: FBT003
    else:
        new = micros_of(raw) >= _micros(_known(first))
    findings.append(
        Finding(
            code="new_users_only",
            severity="info",
            message=f"{int((~new).sum()):,} predictions for users who were there before ({column}) were left out.",
            action="Nothing: the effect is that on new users, to whom no earlier model carries over.",
            numbers={"rows": int((~new).sum())},
        )
    )
    return rows[new].reset_index(drop=True), None if times is None else times[new]


def _due(rows: Any, times: NDArray[np.int64] | None, end: dt.datetime | None, days: int) -> Booleans:
    """Whether the label window has passed at the end; labels that came later than it do not count."""
    moments = _timed(times, "label_window_days")
    due = moments + days * _DAY <= _micros(_known(end))
    if {"labelled_at", "outcome"} <= set(rows.columns):
        told = rows["labelled_at"].notna().to_numpy(dtype=np.bool_)
        late = np.zeros(due.size, dtype=np.bool_)
        late[told] = micros_of(rows["labelled_at"][told]) > moments[told] + days * _DAY
        rows.loc[late, "outcome"] = np.nan if not _is_text(rows["outcome"]) else None
    return np.asarray(due)


def micros_of(column: Any) -> NDArray[np.int64]:
    """Times as microseconds since 1970; without an offset they are UTC.

    Raises:
        DataError: A value is no time, or is missing.
    """
    try:
        parsed = pd.to_datetime(column, utc=True, format=None if pd.api.types.is_datetime64_any_dtype(column) else "ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(f"Column {column.name!r} must hold times, ISO 8601: {error.args[0]}", code="bad_value") from error
    if parsed.isna().any():
        raise DataError(
            f"{int(parsed.isna().sum()):,} rows have no {column.name}.", hint="Leave them out, or find out why.", code="bad_value"
        )
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)


_DAY = 86_400_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _moment(micros: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=micros)


def _timed(times: NDArray[np.int64] | None, what: str) -> NDArray[np.int64]:
    if times is None:
        raise UsageError(f"{what} needs the column `timestamp`.")
    return times


def _known(moment: dt.datetime | None) -> dt.datetime:
    if moment is None:
        raise UsageError("The log has no times, and no start was given.")
    return moment


def _is_text(raw: Any) -> bool:
    kept = raw.dropna()
    return len(kept) > 0 and isinstance(kept.iloc[0], str)


def _example(raw: Any) -> object:
    kept = raw.dropna()
    return next((value for value in kept if isinstance(value, str)), None if kept.empty else kept.iloc[0])
