"""What some tests read beside the moments: units' own numbers, sums by bucket, order statistics.

Each is one more statement for all metrics that ask for it (order statistics: one a
metric), on the terms that the scan settled, so that missing values and caps are
treated as in the moments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fairtrial.metrics.needs import Needs
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.warehouse.buckets import read_buckets
from fairtrial.warehouse.order import read_quantiles
from fairtrial.warehouse.pairs import read_pair_rows
from fairtrial.warehouse.pushdown import Scan
from fairtrial.warehouse.sums import ArmSums
from fairtrial.warehouse.terms import Term
from fairtrial.warehouse.unit_rows import read_unit_rows

ByMetric = Mapping[str, Mapping[str, Any]]


def with_details(
    scan: Scan,
    needs: Sequence[Needs],
    terms: Mapping[str, tuple[Term, ...]],
    sums: Mapping[str, ArmSums],
    arms: Mapping[str, ArmStats],
    progress: Callable[[str], None],
) -> Mapping[str, ArmStats]:
    """The arm statistics with all that the needs ask for.

    Args:
        scan: The scan behind them, with its constants.
        needs: What the metrics need.
        terms: By metric: the terms that were scanned.
        sums: By arm: what was scanned.
        arms: The statistics so far.
        progress: Told what is being done.

    Raises:
        UsageError: A bootstrap is asked for and the data names no unit.
        DataError: More units would have to leave the engine than may.
    """
    found: list[tuple[str, ByMetric]] = []
    rows = {need.metric: _read(need, terms) for need in needs if need.rows and not need.paired}
    if rows and sums:
        progress("Reading the units' values")
        found.append(("rows", read_unit_rows(scan.units, rows, sums)))
    pairs = {need.metric: _read(need, terms) for need in needs if need.paired}
    if pairs and sums:
        progress("Reading the pairs' values")
        found.append(("rows", read_pair_rows(scan.units, pairs, sums)))
    buckets = {need.metric: terms[need.metric] for need in needs if need.buckets}
    if buckets and sums:
        progress("Summing by bucket of units")
        found.append(("buckets", read_buckets(scan, buckets, sums)))
    quantiles = {need.metric: (terms[need.metric][0], need.quantile) for need in needs if need.quantile is not None}
    if quantiles and sums:
        progress("Ordering for quantiles")
        found.append(("quantile", read_quantiles(scan.units, quantiles, sums)))
    for name, by_metric in found:
        arms = {arm: _extended(arm, stats, name, by_metric) for arm, stats in arms.items()}
    return arms


def _read(need: Needs, terms: Mapping[str, tuple[Term, ...]]) -> tuple[Term, ...]:
    """Outcome and denominator, and the covariates where the test reads them unit by unit."""
    if need.covariate_rows:
        return terms[need.metric]
    return terms[need.metric][: 1 if need.denominator is None else 2]


def _extended(arm: str, stats: ArmStats, name: str, by_metric: ByMetric) -> ArmStats:
    """An arm whose outcomes carry one more detail."""
    outcomes = dict(stats.outcomes)
    for metric, by_arm in by_metric.items():
        outcome = outcomes[metric]
        if isinstance(outcome, OutcomeStats):
            outcomes[metric] = replace(outcome, **{name: by_arm[arm]})
    return replace(stats, outcomes=outcomes)
