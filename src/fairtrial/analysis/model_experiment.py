"""ExperimentAnalyzer: a champion against its challengers, from the prediction log to a report.

The log becomes a table of users, the table arm statistics, and these go through `evaluate`
like those of any experiment: one scorecard, one verdict. The report is that scorecard in the
words of model experiments.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fairtrial.analysis.model_checks import Checked, Evidence, validate_model_experiment
from fairtrial.analysis.model_curves import curve_comparisons
from fairtrial.analysis.model_labels import label_coverage, label_findings, prevalence, reliability_table
from fairtrial.analysis.model_metrics import metric_rows, value_of
from fairtrial.analysis.model_novelty import model_novelty
from fairtrial.analysis.model_options import ModelOptions
from fairtrial.analysis.model_report import ReportParts, model_report, report_word
from fairtrial.analysis.model_rows import Floats, LogRows, pd, read_log
from fairtrial.analysis.model_source import load_log
from fairtrial.analysis.model_units import UnitReading, read_units_of
from fairtrial.analysis.quality import Quality
from fairtrial.diagnostics.novelty import NoveltyResult
from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.evaluation import Look, Scorecard, evaluate
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.proportions import two_proportion_test

CONTINUOUS = ("continuous", "mean", "count")
"""Metric types that are compared by Welch's test."""


class ExperimentAnalyzer:
    """Analyse a model experiment (ML-12 to ML-16).

    Attributes:
        config: The experiment.
        source: Where the log is: a folder of `*.ndjson` files, a Parquet or CSV file, or the URL of a database.
        options: How the log is read and the experiment judged.
        base: Folder that a relative source counts from.
    """

    def __init__(
        self,
        experiment_config: ExperimentConfig,
        source: str | Path = "experiment_logs",
        *,
        options: ModelOptions | None = None,
        base: Path | None = None,
    ) -> None:
        self.config = experiment_config
        self.source = str(source)
        self.options = options or ModelOptions()
        self.base = base

    def load_experiment_data(self, start_date: dt.datetime | dt.date | str, end_date: dt.datetime | dt.date | str) -> Any:
        """The log of [start_date, end_date), labels joined by prediction_id (ML-12, ML-26, ML-31).

        Args:
            start_date: First moment that is read; without an offset UTC, a date its midnight.
            end_date: First moment that is not read.

        Returns:
            A pandas frame; `frame.attrs["loading"]` counts lines that were left out.

        Raises:
            UsageError: The dates are in the wrong order, or the source is none.
            DataError: A line is broken, or a time cannot be read.
            ConnectorError: The database does not answer.
        """
        return load_log(self.source, start_date, end_date, base=self.base)

    def calculate_metrics(self, df: Any) -> dict[str, dict[str, Any]]:
        """The values of the config's metrics, model by model (ML-13).

        Returns:
            By model: `n_samples` (predictions), `n_users`, `primary_metric` and `secondary_metrics`; a value is None where
            no prediction counts for it.

        Raises:
            UsageError: A metric is neither known nor a column of numbers.
            DataError: The log is empty.
        """
        rows = read_log(df, self.config, self.options)
        primary = metric_rows(self.config.primary_metric, rows)
        secondary = {name: metric_rows(name, rows) for name in self.config.secondary_metrics}
        found: dict[str, dict[str, Any]] = {}
        for model in self._models:
            where = rows.model == model
            found[model] = {
                "n_samples": int(where.sum()),
                "n_users": int(np.unique(rows.user[where]).size),
                "primary_metric": value_of(primary, where),
                "secondary_metrics": {name: value_of(metric, where) for name, metric in secondary.items()},
            }
        return found

    def test_statistical_significance(
        self, champion_data: Any, challenger_data: Any, metric_type: str | None = None
    ) -> tuple[float | None, float, dict[str, Any]]:
        """Compare values of the primary metric, one a user (ML-14).

        Args:
            champion_data: Values (0 and 1 of a proportion), or a log's rows of the champion with one prediction a user;
                missing values are left out.
            challenger_data: The same of the challenger.
            metric_type: `proportion` (pooled z, score interval) or `continuous` (Welch); default: what the config says.

        Returns:
            The statistic, the p-value and the details; with an expected count below 5 the p-value is Fisher's exact one,
            the details say `small_counts`, and the statistic is still that of the z test.

        Raises:
            UsageError: The type is unknown, or a proportion's value is neither 0 nor 1 (a ValueError).
            DataError: An arm is too small, or nothing varies.
        """
        kind = metric_type if metric_type is not None else self.config.metric_types.get(self.config.primary_metric, "proportion")
        if kind != "proportion" and kind not in CONTINUOUS:
            raise UsageError(f"Unknown metric_type: {kind}")
        champion, challenger = self._values(champion_data), self._values(challenger_data)
        return _proportions(champion, challenger, self._alpha) if kind == "proportion" else _means(champion, challenger, self._alpha)

    def scorecard(
        self, df: Any, *, start_date: dt.datetime | None = None, end_date: dt.datetime | None = None, looks: Sequence[Look] = ()
    ) -> Scorecard:
        """The experiment's scorecard, as `evaluate` gives it.

        Args:
            df: The log, as `load_experiment_data` returns it.
            start_date: Start of the experiment, aware; default: what the log was loaded for, else its first prediction.
            end_date: Moment of the look; rows from then on are left out.
            looks: Earlier looks, of a plan that may be looked at more than once.

        Raises:
            UsageError: A column is missing or of the wrong kind.
            DataError: The log cannot answer.
        """
        return self._judged(df, start_date, end_date, looks)[0]

    def generate_report(
        self, df: Any, *, start_date: dt.datetime | None = None, end_date: dt.datetime | None = None, looks: Sequence[Look] = ()
    ) -> dict[str, Any]:
        """The report of the experiment, strict JSON (ML-15, ML-16).

        Args:
            df: The log, as `load_experiment_data` returns it.
            start_date: As for `scorecard`.
            end_date: As for `scorecard`.
            looks: As for `scorecard`.

        Returns:
            The report; with several challengers the figures are those of the one that speaks for the experiment, and
            `challengers` holds each by its name.

        Raises:
            UsageError: A column is missing or of the wrong kind.
            DataError: The log cannot answer.
        """
        card, rows, units = self._judged(df, start_date, end_date, looks)
        parts = ReportParts(
            config=self.config,
            card=card,
            rows=rows,
            units=units,
            coverage=label_coverage(rows, units),
            prevalence=prevalence(rows, units),
            curves=curve_comparisons([*self.config.secondary_metrics], rows, units, self._alpha),
        )
        return model_report(parts)

    def reliability(self, df: Any) -> dict[str, list[dict[str, float | int]]]:
        """Mean score and share of positives by tenth of the score, for each model.

        Raises:
            UsageError: The log has no scores or no outcomes.
            DataError: The log is empty.
        """
        return reliability_table(read_log(df, self.config, self.options))

    def novelty(self, df: Any, challenger: str | None = None) -> NoveltyResult:
        """Whether the effect on the primary metric fades or grows with time (ML-25).

        Args:
            df: The log.
            challenger: Which one; default: the first.

        Raises:
            UsageError: The log has no times, the metric is no ratio of sums, or no such challenger has traffic.
            DataError: The log cannot answer.
        """
        rows = self.read(df)
        units = read_units_of(rows, self.config)
        chosen = challenger or units.spec.treatments[0]
        if chosen not in units.spec.treatments:
            raise UnknownNameError.among("challenger", chosen, units.spec.treatments)
        return model_novelty(rows, units, chosen, self._alpha)

    def validate_experiment(self, df: Any, evidence: Evidence | None = None) -> Quality:
        """The validation list of a model experiment (ML-33).

        Args:
            df: The log.
            evidence: What other parts of the platform saw: alerts, shadow, the decision on record.

        Returns:
            Every check; one that could not be made is `not_checked`.

        Raises:
            UsageError: A column is missing or of the wrong kind.
            DataError: The log cannot answer.
        """
        card, rows, units = self._judged(df, None, None, ())
        return validate_model_experiment(
            Checked(card=card, rows=rows, units=units, decision=report_word(card.decision), evidence=evidence or Evidence())
        )

    def read(self, df: Any, start_date: dt.datetime | None = None, end_date: dt.datetime | None = None) -> LogRows:
        """The rows of the log that count."""
        start, end = df.attrs.get("window", (None, None)) if isinstance(df, pd.DataFrame) else (None, None)
        return read_log(df, self.config, self.options, start=_aware(start_date or start), end=_aware(end_date or end))

    @property
    def _models(self) -> list[str]:
        return [self.config.champion_model, *self.config.challenger_models]

    @property
    def _alpha(self) -> float:
        return self.config.significance_level

    def _judged(
        self, df: Any, start: dt.datetime | None, end: dt.datetime | None, looks: Sequence[Look]
    ) -> tuple[Scorecard, LogRows, UnitReading]:
        rows = self.read(df, start, end)
        units = read_units_of(rows, self.config)
        seen = [*rows.findings, *label_findings(self.config, units, label_coverage(rows, units), prevalence(rows, units))]
        return evaluate(units.spec, units.reading, looks, as_of=rows.end, seen=seen), rows, units

    def _values(self, data: Any) -> Floats:
        """Values of the primary metric, one a user."""
        if isinstance(data, pd.DataFrame):
            rows = read_log(data, self.config, self.options)
            if np.unique(rows.user).size < rows.size:
                raise UsageError(
                    "Rows of one user are no independent values, the log has several predictions a user.",
                    hint="generate_report takes them as clusters.",
                )
            metric = metric_rows(self.config.primary_metric, rows)
            if metric.kind not in {"rate", "mean"}:
                raise UsageError(f"Metric {self.config.primary_metric!r} has no value for each user.", hint="generate_report compares it.")
            return metric.numerator[metric.denominator > 0.0]
        values = np.asarray(pd.to_numeric(pd.Series(data)), dtype=np.float64)
        return values[~np.isnan(values)]


def _proportions(champion: Floats, challenger: Floats, alpha: float) -> tuple[float | None, float, dict[str, Any]]:
    for values in (champion, challenger):
        if not np.isin(values, (0.0, 1.0)).all():
            raise UsageError("Values of a proportion must be 0 or 1.", hint="Pass metric_type='continuous', or say so in the config.")
    found = two_proportion_test(int(champion.sum()), champion.size, int(challenger.sum()), challenger.size, alpha=alpha)
    details: dict[str, Any] = {
        "champion_rate": found.control,
        "challenger_rate": found.treatment,
        "absolute_difference": found.effect,
        "relative_lift": found.lift,
        "confidence_interval": (found.interval.low, found.interval.high),
        "method": found.method,
        "notes": list(found.notes),
    }
    z = found.statistic
    if z is None and found.effect != 0.0:
        pooled = (champion.sum() + challenger.sum()) / (champion.size + challenger.size)
        z = found.effect / float(np.sqrt(pooled * (1.0 - pooled) * (1.0 / champion.size + 1.0 / challenger.size)))
    return z, _known(found.p_value), details


def _means(champion: Floats, challenger: Floats, alpha: float) -> tuple[float | None, float, dict[str, Any]]:
    found = welch_test(_moments(champion), _moments(challenger), alpha=alpha)
    details: dict[str, Any] = {
        "champion_mean": found.control,
        "challenger_mean": found.treatment,
        "absolute_difference": found.effect,
        "relative_change": found.lift,
        "confidence_interval": (found.interval.low, found.interval.high),
        "method": found.method,
        "notes": list(found.notes),
    }
    return found.statistic, _known(found.p_value), details


def _moments(values: ArrayLike) -> Moments:
    return Moments.from_values(values)


def _known(p_value: float | None) -> float:
    if p_value is None:
        raise DataError("The comparison has no p-value.", code="no_variance")
    return p_value


def _aware(moment: dt.datetime | None) -> dt.datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
