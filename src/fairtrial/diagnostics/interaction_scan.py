"""Every pair of many experiments at once: what `pair_analysis.scan_cells` says, in arrays.

Cells come from `memberships.joint_counts`; the tests of all pairs go through
`stats.additivity` and array formulas, and are corrected over every row of the scan.
Results stay in columns, and `entry` makes one pair an object. With more shared
memberships than `MOST_SHARED` a coordinated sample of one unit in 32, the same units in
every experiment, takes the place of all: shared counts are then estimates with a stated
error, and the tests are those of the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.diagnostics.memberships import SAMPLED, JointCounts, Members, Method, joint_counts, shared_memberships
from fairtrial.diagnostics.overlap import overlap_from_counts
from fairtrial.diagnostics.pair_analysis import ScanEntry
from fairtrial.diagnostics.pair_risk import SIGNIFICANT_OVERLAP, PairEvidence, exposure_of, judge_risk, scan_recommendations
from fairtrial.diagnostics.pair_tests import MIN_EXPECTED, MIN_USERS, REASONS, Reason
from fairtrial.stats.additivity import additive_tests
from fairtrial.stats.batch import ROUNDING
from fairtrial.stats.interaction_mde import visible_interaction
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import check_alpha

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Codes = NDArray[np.int8]

MOST_SHARED = 2e10
"""Shared memberships up to which every unit is counted."""
TESTED = -1
"""Code of a row that was tested; others are places in `REASONS`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InteractionScan:
    """All pairs of E experiments; columns of shape (E (E - 1) / 2,) in order (0, 1), (0, 2), ...

    Attributes:
        members: The experiments, as they were counted.
        method: `exact`, or `sample`: of one unit in `sampled`.
        sampled: One unit in so many was looked at; 1 where all were.
        a: Place of the first experiment.
        b: Place of the second.
        shared: Units in both, estimated from a sample where one was taken.
        shared_std_error: Standard error of `shared`; 0 where all were counted.
        p_value: Smallest uncorrected p of the pair's rows; NaN where none was tested.
        corrected: Smallest p corrected over the scan; NaN likewise.
        visible: Smallest interaction visible in any of its rows; NaN likewise.
        effect: Interaction of the row with the smallest p; NaN likewise.
        interaction: 1 found, 0 not shown, -1 could not be told.
        reason: Place in `REASONS` of why; `TESTED` where it could be told.
        rows_tested: Rows of the scan that were tested.
    """

    members: tuple[Members, ...]
    method: Method
    sampled: int
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    shared: Counts
    shared_std_error: Floats
    p_value: Floats
    corrected: Floats
    visible: Floats
    effect: Floats
    interaction: Codes
    reason: Codes
    rows_tested: int

    def __len__(self) -> int:
        return self.a.size

    def entry(self, place: int) -> ScanEntry:
        """One pair as an object."""
        first, second = self.members[int(self.a[place])], self.members[int(self.b[place])]
        most = min(first.side.n, second.side.n)
        overlap = overlap_from_counts(first.side.n, second.side.n, min(int(self.shared[place]), most))
        found = (None, False, True)[int(self.interaction[place]) + 1]
        p_value = _number(self.p_value[place])
        exposure = exposure_of(overlap)
        why = None if self.reason[place] == TESTED else REASONS[int(self.reason[place])]
        return ScanEntry(
            experiment_a_id=first.side.key,
            experiment_b_id=second.side.key,
            overlap_coefficient=overlap.jaccard,
            overlap_band=overlap.band,
            shared_users=overlap.intersection,
            share_of_a=overlap.share_of_a,
            share_of_b=overlap.share_of_b,
            has_significant_overlap=overlap.jaccard is not None and overlap.jaccard > SIGNIFICANT_OVERLAP,
            has_interaction=found,
            p_value=p_value,
            min_corrected_p_value=_number(self.corrected[place]),
            smallest_visible=_number(self.visible[place]),
            unavailable_reason="no_users" if overlap.jaccard is None else why,
            mutual_exclusion_group_id=_group(first, second),
            overall_risk=judge_risk(PairEvidence(exposure=exposure, interaction=found, p_value=p_value)),
            recommendations=tuple(scan_recommendations(exposure)),
        )

    def riskiest(self, most: int) -> list[int]:
        """Places of the pairs with the smallest corrected p, at most so many."""
        ranked = np.argsort(np.where(np.isnan(self.corrected), 2.0, self.corrected), kind="stable")
        return ranked[:most].tolist()


def scan_members(
    members: Sequence[Members],
    *,
    alpha: float = 0.05,
    min_users: int = MIN_USERS,
    min_expected: float = MIN_EXPECTED,
    method: Method | None = None,
) -> InteractionScan:
    """Overlap and interaction of every pair.

    Args:
        members: The experiments, with units numbered alike.
        alpha: Rate of false discoveries over every row of the scan, in (0, 1).
        min_users: Units that each cell of a row needs.
        min_expected: For rates, converters and others that each cell must be expected to have.
        method: `exact` or `sample`; None chooses by the number of shared memberships.
    """
    check_alpha(alpha)
    chosen: Method = method or ("exact" if shared_memberships(members) <= MOST_SHARED else "sample")
    used = tuple(members) if chosen == "exact" else tuple(one.sampled() for one in members)
    one_in = 1 if chosen == "exact" else SAMPLED
    joint = joint_counts(used)
    a, b = np.triu_indices(len(used), 1)
    shared = _by_experiment(joint)[a, b]
    forbidden = _forbidden(used, a, b, shared)
    rows = _Rows(size=a.size)
    plan = _Plan(members=used, joint=joint, min_users=min_users, min_expected=min_expected, alpha=alpha)
    for tested, other in ((a, b), (b, a)):
        _test_side(rows, plan, tested, other, forbidden)
    return rows.scan(used, a, b, shared, one_in, chosen, alpha)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _group(first: Members, second: Members) -> int | str | None:
    return first.group if first.group is not None and first.group == second.group else None


def _by_experiment(joint: JointCounts) -> Counts:
    starts = joint.first_row[:-1]
    return np.add.reduceat(np.add.reduceat(joint.n, starts, axis=0), starts, axis=1)


def _forbidden(members: Sequence[Members], a: NDArray[np.intp], b: NDArray[np.intp], shared: Counts) -> Codes:
    """What forbids every test of a pair; `TESTED` where nothing does."""
    groups: dict[object, int] = {}
    number = np.array([-1 if one.group is None else groups.setdefault(one.group, len(groups)) for one in members])
    start, end = (np.array([one.span[side] for one in members]) for side in (0, 1))
    code = np.where(shared == 0, REASONS.index("no_shared_users"), TESTED)
    code = np.where((start[a] >= end[b]) | (start[b] >= end[a]), REASONS.index("not_concurrent"), code)
    return np.where((number[a] >= 0) & (number[a] == number[b]), REASONS.index("mutual_exclusion_group"), code).astype(np.int8)


class _Rows:
    """Rows of the scan as they are tested, by pair."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reason = np.full(size, 127, dtype=np.int8)
        """The first reason of the rows that were not tested; 127 where there is none."""
        self.pair: list[NDArray[np.intp]] = []
        self.p_value: list[Floats] = []
        self.effect: list[Floats] = []
        self.visible: list[Floats] = []

    def untested(self, pairs: NDArray[np.intp], code: int | Codes) -> None:
        """Rows of these pairs that could not be tested; of several reasons the first counts."""
        np.minimum.at(self.reason, pairs, code)

    def tested(self, pairs: NDArray[np.intp], p_value: Floats, effect: Floats, visible: Floats) -> None:
        """A tested row of each of these pairs."""
        self.pair.append(pairs)
        self.p_value.append(p_value)
        self.effect.append(effect)
        self.visible.append(visible)

    def scan(
        self,
        members: tuple[Members, ...],
        a: NDArray[np.intp],
        b: NDArray[np.intp],
        shared: Counts,
        one_in: int,
        method: Method,
        alpha: float,
    ) -> InteractionScan:
        """All pairs with their smallest p-value, corrected over all tested rows."""
        pair = np.concatenate([np.zeros(0, dtype=np.intp), *self.pair])
        p_value, effect, visible = (np.concatenate([np.zeros(0), *column]) for column in (self.p_value, self.effect, self.visible))
        corrected = adjust(p_value, "benjamini-hochberg", alpha=alpha).p_adjusted if p_value.size else p_value
        order = np.argsort(p_value, kind="stable")[::-1]  # the smallest p of a pair is written last
        columns = {name: np.full(self.size, np.nan) for name in ("p_value", "corrected", "effect", "visible")}
        columns["p_value"][pair[order]] = p_value[order]
        columns["effect"][pair[order]] = effect[order]
        for name, values in (("corrected", corrected), ("visible", visible)):
            smallest = np.full(self.size, np.inf)
            np.minimum.at(smallest, pair, values)
            columns[name] = np.where(np.isinf(smallest), np.nan, smallest)
        found = columns["corrected"] < alpha
        whole = self.reason == 127
        interaction = np.where(found, 1, np.where(whole & ~np.isnan(columns["corrected"]), 0, -1)).astype(np.int8)
        return InteractionScan(
            members=members,
            method=method,
            sampled=one_in,
            a=a,
            b=b,
            shared=shared * one_in,
            shared_std_error=np.sqrt(shared * (one_in - 1.0) * one_in),
            interaction=interaction,
            reason=np.where(interaction == -1, self.reason, TESTED).astype(np.int8),
            rows_tested=p_value.size,
            **columns,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """What every test of the scan reads."""

    members: tuple[Members, ...]
    joint: JointCounts
    min_users: int
    min_expected: float
    alpha: float


def _test_side(rows: _Rows, plan: _Plan, tested: NDArray[np.intp], other: NDArray[np.intp], forbidden: Codes) -> None:
    """Every treatment of the tested experiments by the arms of the others."""
    members = plan.members
    why = np.array([_why(one) for one in members], dtype=np.int8)[tested]
    early = {REASONS.index(reason) for reason in ("mutual_exclusion_group", "not_concurrent", "no_shared_users")}
    code = np.where(np.isin(forbidden, list(early)), forbidden, why)
    everything = np.arange(rows.size)
    rows.untested(everything[code != TESTED], code[code != TESTED])
    arms = np.array([len(one.side.arms) for one in members])
    for count in np.unique(arms).tolist():
        for place, one in enumerate(members):
            # one tested experiment at a time against all others with so many arms
            pairs = everything[(code == TESTED) & (tested == place) & (arms[other] == count)] if _why(one) == TESTED else everything[:0]
            if pairs.size:
                for treatment in one.side.treatments:
                    _test_treatment(rows, plan, place, treatment, pairs, other[pairs])


def _why(one: Members) -> int:
    if one.value is None:
        return REASONS.index(one.untested or "no_metric")
    return TESTED if one.side.treatments else REASONS.index("no_control_variant")


def _columns(one: Members, first: int) -> list[int]:
    """Rows of an experiment's arms, the control first, so that a sign has a meaning."""
    arms = sorted(range(len(one.side.arms)), key=lambda place: one.side.arms[place] != one.side.control)
    return [first + arm for arm in arms]


def _test_treatment(rows: _Rows, plan: _Plan, place: int, treatment: str, pairs: NDArray[np.intp], others: NDArray[np.intp]) -> None:
    joint, one = plan.joint, plan.members[place]
    first, centre = int(joint.first_row[place]), float(joint.centres[place])
    own = [first + one.side.arms.index(arm) for arm in (str(one.side.control), treatment)]
    columns = np.array([_columns(plan.members[int(at)], int(joint.first_row[at])) for at in others])
    n = np.stack([joint.n[row, columns] for row in own])
    sums = np.stack([joint.sums[columns, row] for row in own])
    squares = sums if joint.squares is None else np.stack([joint.squares[columns, row] for row in own])
    used = n.any(axis=0)
    for pattern in np.unique(used, axis=0):
        same = np.flatnonzero((used == pattern).all(axis=1))
        table = _Table(n=n[:, same][:, :, pattern], sums=sums[:, same][:, :, pattern], squares=squares[:, same][:, :, pattern])
        code = _floors(table, one, centre, plan)
        rows.untested(pairs[same[code != TESTED]], code[code != TESTED])
        good = np.flatnonzero(code == TESTED)
        if good.size:
            table = _Table(n=table.n[:, good], sums=table.sums[:, good], squares=table.squares[:, good])
            rows.tested(pairs[same[good]], *_test(table, one, centre, plan.alpha))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """Control and treatment of k tables in J arms: arrays of shape (2, k, J)."""

    n: Counts
    sums: Floats
    squares: Floats


def _moments(table: _Table, one: Members, centre: float) -> tuple[Floats, Floats]:
    """Mean and sum of squared deviations in each cell."""
    n: Floats = np.maximum(table.n, 1).astype(np.float64)
    mean: Floats = centre + table.sums / n
    m2: Floats = n * mean * (1.0 - mean) if one.is_rate else np.maximum(table.squares - table.sums**2 / n, 0.0)
    return mean, m2


def _floors(table: _Table, one: Members, centre: float, plan: _Plan) -> Codes:
    """Why each table is not tested, or `TESTED`."""
    k, arms = int(table.n.shape[1]), int(table.n.shape[2])
    if arms < 2:
        return np.full(int(k), REASONS.index("too_few_shared_users"), dtype=np.int8)
    fewest = table.n.min(axis=(0, 2))
    if one.is_rate:
        pooled = table.sums.sum(axis=(0, 2)) / table.n.sum(axis=(0, 2))
        second: Reason = "too_few_conversions"
        short = fewest * np.minimum(pooled, 1.0 - pooled) < plan.min_expected
    else:
        mean, m2 = _moments(table, one, centre)
        second = "no_variance"
        short = ~(m2 > table.n * (ROUNDING * np.abs(mean)) ** 2).all(axis=(0, 2))
    code = np.where(short, REASONS.index(second), TESTED)
    return np.where(fewest < plan.min_users, REASONS.index("too_few_shared_users"), code).astype(np.int8)


def _test(table: _Table, one: Members, centre: float, alpha: float) -> tuple[Floats, Floats, Floats]:
    """p-value, interaction and smallest visible interaction of k tables."""
    mean, m2 = _moments(table, one, centre)
    effects = mean[1] - mean[0]
    size = effects[:, 1] - effects[:, 0] if effects.shape[1] == 2 else np.ptp(effects, axis=1)
    if one.is_rate:
        x = np.rint(table.sums)
        variances: Floats = (m2 / table.n.astype(np.float64) ** 2).sum(axis=0)
        p_value = additive_tests(x[0], table.n[0], x[1], table.n[1]).p_value
    else:
        variances = (m2 / (table.n - 1.0) ** 2).sum(axis=0)
        p_value = _p_of_means(effects, variances)
    return p_value, size, visible_interaction(variances, alpha=alpha)


def _p_of_means(effects: Floats, variances: Floats) -> Floats:
    """Normal with HC3 for two arms, Cochran's Q for more."""
    if effects.shape[1] == 2:
        z: Floats = (effects[:, 1] - effects[:, 0]) / np.sqrt(variances.sum(axis=1))
        return 2.0 * special.ndtr(-np.abs(z))
    weights = 1.0 / variances
    common = (weights * effects).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    q: Floats = (weights * (effects - common) ** 2).sum(axis=1)
    return special.chdtrc(effects.shape[1] - 1, q)
