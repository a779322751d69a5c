"""Shape C: a table of ready counts or moments, one or several rows an arm, which add up.

Three forms hold a metric: successes; mean and variance (divisor n - 1); sum and sum of
squares. Rows of one arm are merged as centred moments (Chan, Golub & LeVeque 1983), so
that a table of daily rows gives what one row of totals gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from fairtrial.errors import DataError, SpecError
from fairtrial.metrics.needs import Needs
from fairtrial.spec.data import AggregatesData, MomentColumns
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats, Reading
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse.fingerprint import fingerprint
from fairtrial.warehouse.measure import check_arms
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.unit_table import as_known_arm, check_column, is_no_arm
from fairtrial.warehouse.where import filtered

Record = Mapping[str, Any]
MOST_ROWS = 1_000_000
VARIANCE_SLACK = 1e-9
"""A variance computed elsewhere from rounded sums may be this much below 0, relative to the sum of squares."""


def read_aggregates(source: Source, data: AggregatesData, needs: Sequence[Needs], arms: Sequence[str]) -> Reading:
    """Read arm statistics from a table of ready aggregates.

    Raises:
        UsageError: A table or column is not there, or a metric's columns are not named.
        DataError: A count, variance or sum is impossible.
    """
    table = filtered(source.table(data.table), data.where)
    forms = {need.metric: _form(need, data, table.columns) for need in needs}
    names = _columns(data, forms, table)
    records = [dict(zip(names, row, strict=True)) for row in source.rows(table.select(*names).limit(MOST_ROWS + 1))]
    if not records:
        raise DataError("The data must hold aggregates, it has 0 rows.", hint="Check the table and `where`.", code="no_rows")
    if len(records) > MOST_ROWS:
        raise DataError(f"A table of aggregates has at most {MOST_ROWS} rows.", hint="For rows of units use shape 'units'.")
    known: dict[str, list[Record]] = {arm: [] for arm in arms}
    unknown: dict[str, int] = {}
    without = 0
    for record in records:
        if is_no_arm(record[data.arm]):
            without += 1
            continue
        name = as_known_arm(record[data.arm], arms)
        if name in known:
            known[name].append(record)
        else:
            unknown[name] = unknown.get(name, 0) + 1
    check_arms([record[data.arm] for record in records], arms)
    stats = {arm: _arm(arm, rows, data, needs, forms) for arm, rows in known.items()}
    totals = {arm: _totals(arm_stats) for arm, arm_stats in stats.items()}
    intake = Intake(
        source=source.named(data.table),
        engine=source.engine.public,
        fingerprint=fingerprint(source.named(data.table), columns=names, where=data.where, rows=len(records), totals=totals),
        shape="aggregates",
        rows=len(records),
        units=sum(arm.n for arm in stats.values()),
        units_checked=False,
        rows_without_arm=without,
        unknown_arms=dict(sorted(unknown.items())),
    )
    return Reading(arms=stats, intake=intake)


def _form(need: Needs, data: AggregatesData, columns: Sequence[str]) -> MomentColumns | Unavailable:
    """The columns that hold a metric: as declared, or by their usual names."""
    if need.denominator is not None or need.covariate is not None or need.rows or need.buckets or need.quantile is not None:
        what = "the units' own values" if len(need.columns) == 1 else "products of two columns over units"
        return Unavailable(code="needs_unit_rows", reason=f"Metric '{need.metric}' needs {what}, which ready aggregates do not hold.")
    declared = data.columns.get(need.metric)
    if declared is not None:
        return declared
    if data.metric is not None:
        usual = (("successes",), ("mean", "variance"), ("sum", "sum_squares"))
        for names in usual:
            if set(names) <= set(columns):
                return MomentColumns.model_validate({name: name for name in names})
    named = need.outcome.source
    if need.outcome.values == "binary" and isinstance(named, str) and named in columns:
        return MomentColumns(successes=named)
    raise SpecError(
        f"Metric '{need.metric}' must name the columns that hold it, data.columns has {list(data.columns)}.",
        hint=f"Add columns: {{{need.metric}: {{mean: ..., variance: ...}}}}, or successes, or sum and sum_squares.",
    )


def _columns(data: AggregatesData, forms: Mapping[str, MomentColumns | Unavailable], table: Any) -> list[str]:
    names = [data.arm, data.n, *([data.metric] if data.metric else [])]
    for form in forms.values():
        if isinstance(form, MomentColumns):
            names += [name for name in (form.n, form.successes, form.mean, form.variance, form.sum, form.sum_squares) if name]
    names = list(dict.fromkeys(names))
    for name in names:
        kind = check_column(table, name).type()
        if name not in {data.arm, data.metric} and not kind.is_numeric():
            raise DataError(f"Column {name!r} must hold numbers, it holds {kind}.", code="wrong_type")
    return names


def _arm(
    arm: str, rows: Sequence[Record], data: AggregatesData, needs: Sequence[Needs], forms: Mapping[str, MomentColumns | Unavailable]
) -> ArmStats:
    outcomes: dict[str, OutcomeStats | Unavailable] = {}
    sizes: list[int] = []
    for need in needs:
        mine = [row for row in rows if data.metric is None or str(row[data.metric]) == need.metric]
        sizes.append(sum(_count(row, data.n, arm) for row in mine))
        form = forms[need.metric]
        outcomes[need.metric] = form if isinstance(form, Unavailable) else _outcome(arm, need, mine, data.n, form)
    n = max(sizes, default=0)
    return ArmStats(n=n, outcomes={metric: _with_missing(stats, n) for metric, stats in outcomes.items()})


def _with_missing(stats: OutcomeStats | Unavailable, n: int) -> OutcomeStats | Unavailable:
    if isinstance(stats, Unavailable):
        return stats
    return OutcomeStats(moments=stats.moments, missing=max(0, n - stats.moments.n))


def _count(row: Record, column: str, arm: str) -> int:
    number = row[column]
    if number is None or not math.isfinite(number) or number != int(number) or number < 1:
        raise DataError(
            f"Column {column!r} must count units, a whole number of at least 1, got {number} in arm '{arm}'.",
            hint="Leave rows without units out.",
            code="bad_count",
        )
    return int(number)


def _outcome(arm: str, need: Needs, rows: Sequence[Record], n_column: str, form: MomentColumns) -> OutcomeStats | Unavailable:
    merged: Moments | None = None
    for row in rows:
        moments = _moments(arm, need, row, _count(row, form.n or n_column, arm), form)
        if isinstance(moments, Unavailable):
            return moments
        merged = moments if merged is None else merged + moments
    if merged is None:
        return Unavailable(code="no_units", reason=f"Arm '{arm}' has no row of metric '{need.metric}' in the data.")
    return OutcomeStats(moments=CoMoments.of(merged))


def _moments(arm: str, need: Needs, row: Record, n: int, form: MomentColumns) -> Moments | Unavailable:
    where = f"metric '{need.metric}', arm '{arm}'"
    parts: dict[str, Any] = {}
    for part in ("successes", "mean", "variance", "sum", "sum_squares"):
        column = getattr(form, part)
        if column is None:
            continue
        number = row[column]
        if number is None or math.isnan(number):
            if part == "variance" and n == 1:
                number = 0
            else:
                return Unavailable(code=f"missing_{part}", reason=f"Column '{column}' is empty for {where}.")
        if not math.isfinite(number):
            raise DataError(f"Column {column!r} must be finite, got {number} ({where}).", code="infinite_value")
        parts[part] = number
    if "successes" in parts:
        return _of_successes(parts["successes"], n, where)
    if "mean" in parts:
        return _of_mean(need, float(parts["mean"]), float(parts["variance"]), n, where)
    return _of_sums(need, parts["sum"], parts["sum_squares"], n, where)


def _of_successes(successes: Any, n: int, where: str) -> Moments:
    if successes != int(successes) or not 0 <= successes <= n:
        raise DataError(
            f"Successes must be a whole number in 0..n, got {successes} of {n} ({where}).",
            hint="Check which column counts units and which counts those with outcome 1.",
            code="bad_count",
        )
    count = int(successes)
    return Moments(n=n, mean=count / n, m2=float(Fraction(count * (n - count), n)))


def _of_mean(need: Needs, mean: float, variance: float, n: int, where: str) -> Moments:
    if variance < 0:
        raise DataError(f"A variance must not be negative, got {variance:g} ({where}).", hint="Check the column.", code="bad_variance")
    _check_mean(need, mean, where)
    return Moments(n=n, mean=mean, m2=variance * (n - 1))


def _of_sums(need: Needs, total: Any, squares: Any, n: int, where: str) -> Moments:
    exact_total, exact_squares = Fraction(total), Fraction(squares)
    m2 = exact_squares - exact_total**2 / n
    if m2 < -Fraction(VARIANCE_SLACK) * abs(exact_squares):
        raise DataError(
            f"The sum of squares must be at least sum^2 / n, got sum={total}, sum_squares={squares}, n={n} ({where}).",
            hint="Check that all three count the same units.",
            code="bad_variance",
        )
    mean = float(exact_total / n)
    _check_mean(need, mean, where)
    return Moments(n=n, mean=mean, m2=max(0.0, float(m2)))


def _check_mean(need: Needs, mean: float, where: str) -> None:
    values = need.outcome.values
    if (values == "binary" and not 0 <= mean <= 1) or (values == "nonnegative" and mean < 0):
        rule = "lie in [0, 1]" if values == "binary" else "not be negative"
        raise DataError(f"The mean must {rule}, got {mean:g} ({where}).", hint="Check the column and the kind of metric.", code="bad_mean")


def _totals(arm: ArmStats) -> dict[str, int]:
    counts = {metric: stats.moments.n for metric, stats in arm.outcomes.items() if isinstance(stats, OutcomeStats)}
    return {"n": arm.n, **counts}
