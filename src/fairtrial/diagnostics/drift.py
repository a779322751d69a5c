"""Have inputs or scores moved: between two windows of time, or between arms (ML-35)?

A column drifts where its population stability index exceeds 0.2 and what chance would reach,
or where the two-sample Kolmogorov-Smirnov test rejects at 0.01. With several columns the
p-values are corrected by Holm's method over all that were tested, so that 0.01 is the chance
of any false alarm by this test; the raw ones are told beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.ranks import kolmogorov_smirnov_test
from fairtrial.stats.result import Unavailable
from fairtrial.stats.stability import Stability, bins_of_numbers, population_stability

PSI_LIMIT = 0.2
"""Index above which a column has drifted."""

KS_LIMIT = 0.01
"""Corrected p-value below which it has."""

SMALL_DISTANCE = 0.05
"""Distance of the distributions below which a significant shift is told to be small."""

MOST_LEVELS = 50
"""Most common values of a column of text that have a bin of their own; the others share one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """One column in two samples.

    Attributes:
        column: Its name.
        group: Which sample is held against the reference, for people.
        kind: `numeric`, or `categorical` (text, booleans).
        n_reference: Rows of the reference.
        n_current: Rows of the other sample.
        missing_reference: Share of rows without a value.
        missing_current: The same of the other sample.
        psi: Population stability index, missing rows being a bin; None with `unavailable`.
        psi_chance: What it stays below with probability 0.99 when nothing moved.
        ks_distance: Largest distance of the distribution functions over rows with a value; None of text.
        ks_p_value: Of one distribution, for this column alone.
        ks_p_adjusted: After Holm's correction over all columns tested.
        drifted: Whether either rule says so; None where nothing could be computed.
        unavailable: Why nothing could be computed.
    """

    column: str
    group: str
    kind: Literal["numeric", "categorical"]
    n_reference: int
    n_current: int
    missing_reference: float | None = None
    missing_current: float | None = None
    psi: float | None = None
    psi_chance: float | None = None
    ks_distance: float | None = None
    ks_p_value: float | None = None
    ks_p_adjusted: float | None = None
    drifted: bool | None = None
    unavailable: Unavailable | None = None


def compare_numbers(column: str, group: str, reference: Floats, current: Floats) -> ColumnDrift:
    """Compare a column of numbers.

    Args:
        column: Its name.
        group: Name of the sample that is held against the reference.
        reference: Numbers, NaN where missing, shape (n,).
        current: The same of the other sample.
    """
    found = ColumnDrift(column=column, group=group, kind="numeric", n_reference=reference.size, n_current=current.size)
    for sample in (reference, current):
        if np.isinf(sample).any():
            return replace(found, unavailable=Unavailable(code="infinite_value", reason="the column holds an infinite number"))
    found = _measured(found, np.isnan(reference), np.isnan(current), lambda: bins_of_numbers(reference, current))
    known = [sample[~np.isnan(sample)] for sample in (reference, current)]
    if found.psi is None or min(sample.size for sample in known) == 0:
        return found
    test = kolmogorov_smirnov_test(*known)
    return replace(found, ks_distance=test.distance, ks_p_value=test.p_value)


def compare_levels(column: str, group: str, reference: Sequence[str | None], current: Sequence[str | None]) -> ColumnDrift:
    """Compare a column of text.

    Args:
        column: Its name.
        group: Name of the sample that is held against the reference.
        reference: Values, None where missing.
        current: The same of the other sample.
    """
    found = ColumnDrift(column=column, group=group, kind="categorical", n_reference=len(reference), n_current=len(current))
    missing = [np.array([value is None for value in sample], dtype=np.bool_) for sample in (reference, current)]

    def bins() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of each sample at the commonest levels, missing, and at all other levels."""
        counts = [Counter(sample) for sample in (reference, current)]
        both = counts[0] + counts[1]
        common = sorted((value for value in both if value is not None), key=lambda value: (-counts[0][value], -both[value], value))[
            :MOST_LEVELS
        ]
        rows = [[count[value] for value in common] + [count[None]] for count in counts]
        sides = [
            np.array([*row, total - sum(row)], dtype=np.int64) for row, total in zip(rows, (len(reference), len(current)), strict=True)
        ]
        return sides[0], sides[1]

    return _measured(found, missing[0], missing[1], bins)


def judge_drift(
    columns: Sequence[ColumnDrift], *, psi_limit: float = PSI_LIMIT, ks_limit: float = KS_LIMIT, min_distance: float = 0.0
) -> tuple[ColumnDrift, ...]:
    """Say of each column whether it drifted, p-values corrected over all of them.

    Args:
        columns: As compared.
        psi_limit: Index above which a column has drifted, > 0.
        ks_limit: Error rate of the test over all columns, in (0, 1).
        min_distance: Distance of the distributions below which a significant shift does not count.
    """
    tested = [place for place, one in enumerate(columns) if one.ks_p_value is not None]
    p_values = [p for one in columns if (p := one.ks_p_value) is not None]
    adjusted: Mapping[int, float] = (
        dict(zip(tested, adjust(p_values, "holm", alpha=ks_limit).p_adjusted.tolist(), strict=True)) if tested else {}
    )
    judged: list[ColumnDrift] = []
    for place, one in enumerate(columns):
        if one.psi is None or one.psi_chance is None:
            judged.append(one)
            continue
        p_value = adjusted.get(place)
        by_psi = one.psi > psi_limit and one.psi > one.psi_chance
        by_test = p_value is not None and p_value < ks_limit and (one.ks_distance or 0.0) >= min_distance
        judged.append(replace(one, ks_p_adjusted=p_value, drifted=by_psi or by_test))
    return tuple(judged)


def drift_findings(columns: Sequence[ColumnDrift], *, psi_limit: float = PSI_LIMIT) -> list[Finding]:
    """What drifted, what was too small to tell, and what could not be compared."""
    found: list[Finding] = []
    for one in columns:
        where = f"{one.column} in {one.group}"
        if one.unavailable is not None:
            found.append(
                Finding(
                    code="drift_unavailable",
                    severity="info",
                    message=f"{where} could not be compared: {one.unavailable.reason}.",
                    action="Leave the column out, or mend its values.",
                    metric=one.column,
                )
            )
        elif one.drifted:
            found.append(_drifted(one, where))
        elif one.psi is not None and one.psi_chance is not None and one.psi > psi_limit:
            found.append(
                Finding(
                    code="drift_by_chance",
                    severity="info",
                    message=f"The index of {where} is {one.psi:.2f}, which chance reaches with so few rows (up to {one.psi_chance:.2f}).",
                    action="Compare more rows.",
                    metric=one.column,
                    numbers={"psi": one.psi, "chance": one.psi_chance},
                )
            )
    return found


def _drifted(one: ColumnDrift, where: str) -> Finding:
    told = f"population stability index {one.psi:.3f}"
    if one.ks_p_adjusted is not None and one.ks_distance is not None:
        told += f", Kolmogorov-Smirnov distance {one.ks_distance:.4f}, corrected p = {one.ks_p_adjusted:.2g}"
    small = one.ks_distance is not None and one.ks_distance < SMALL_DISTANCE and (one.psi or 0.0) <= PSI_LIMIT
    action = (
        f"The shift is small; {one.n_reference + one.n_current:,} rows show any. Judge by the distance, or set a least one."
        if small
        else "Look at how this column is made; retrain or recalibrate where its meaning has changed."
    )
    return Finding(
        code="drift",
        severity="warning",
        message=f"{where} has moved: {told}.",
        action=action,
        metric=one.column,
        numbers={
            "psi": one.psi,
            "ks_distance": one.ks_distance,
            "ks_p_value": one.ks_p_value,
            "ks_p_adjusted": one.ks_p_adjusted,
            "n_reference": one.n_reference,
            "n_current": one.n_current,
        },
    )


def _measured(
    found: ColumnDrift,
    missing_reference: NDArray[np.bool_],
    missing_current: NDArray[np.bool_],
    bins: Callable[[], tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> ColumnDrift:
    """With missing shares and the index."""
    if missing_reference.size == 0 or missing_current.size == 0:
        return replace(found, unavailable=Unavailable(code="no_units", reason="one sample has no rows"))
    found = replace(found, missing_reference=float(missing_reference.mean()), missing_current=float(missing_current.mean()))
    if missing_reference.all():
        return replace(found, unavailable=Unavailable(code="all_missing", reason="the reference has no value of it"))
    try:
        index: Stability = population_stability(*bins())
    except DataError as error:
        return replace(found, unavailable=Unavailable(code=error.code, reason=error.message))
    return replace(found, psi=index.psi, psi_chance=index.chance)
