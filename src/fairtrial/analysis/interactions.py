"""Do experiments that run at once disturb each other? From specs and their data to pairs and scans.

Units are those that each experiment analyses (`warehouse.memberships`); two experiments in
one engine are joined there, else their units are brought side by side in the embedded one.
Only experiments that randomise can be asked, and their outcome is the primary metric, where
it is a rate, a mean or a count compared by differences of means.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fairtrial.analysis.run import data_of
from fairtrial.diagnostics.interaction_scan import scan_members
from fairtrial.diagnostics.memberships import Members, Method
from fairtrial.diagnostics.pair_analysis import PairAnalysis, ScanEntry, analyze_pair, scan_cells
from fairtrial.diagnostics.pair_cells import MeanOutcome, Outcome, PairCells, RateOutcome, Side, Untested
from fairtrial.diagnostics.pair_tests import MIN_EXPECTED, MIN_USERS
from fairtrial.errors import UsageError
from fairtrial.metrics import build_metrics
from fairtrial.metrics.needs import Needs
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.factorial import with_cells
from fairtrial.spec.metric import ADDED_UP
from fairtrial.warehouse.joint import JointSums, all_joint_sums, joint_sums
from fairtrial.warehouse.memberships import Membership, Numbered, numbered, read_membership, together
from fairtrial.warehouse.sources import Source, open_source

Progress = Callable[[str], None]
KINDS = {"proportion", "mean", "count"}
"""Kinds of primary metric that can be told apart by cells of sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """An experiment and the folder that its data is found from.

    Attributes:
        spec: The experiment.
        base: Folder that a relative source counts from.
        source: Address to read instead of the spec's own.
    """

    spec: ExperimentSpec
    base: Path | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """All pairs of experiments.

    Attributes:
        experiments: Keys of the experiments, in order.
        entries: One a pair, in order of the pairs.
        method: `exact`: every shared unit was counted; `sample`: one unit in 32, the same in every experiment.
        sampled: One unit in so many was looked at; 1 where all were.
        shared_std_error: Largest standard error of the shared units of any pair; 0 where all were counted.
        counted_in: Engine that counted.
        data_source: What was read.
        skipped: Experiments that could not be looked at, and why.
    """

    experiments: tuple[str, ...]
    entries: tuple[ScanEntry, ...]
    method: Method
    sampled: int
    shared_std_error: float
    counted_in: str
    data_source: tuple[str, ...]
    skipped: Mapping[str, str]


def analyze_interaction(
    a: Located,
    b: Located,
    *,
    alpha: float = 0.05,
    min_users: int = MIN_USERS,
    min_expected: float = MIN_EXPECTED,
    progress: Progress | None = None,
) -> PairAnalysis:
    """Does the effect of one experiment depend on the arm of the other?

    Args:
        a: The first experiment.
        b: The second.
        alpha: Error rate in (0, 1).
        min_users: Units that each cell of a row needs.
        min_expected: For rates, converters and others that each cell must be expected to have.
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: Both are one experiment, one is a quasi-experiment or names no units.
        DataError: The data cannot answer.
        ConnectorError: A source cannot be reached.
    """
    cells = read_pair(a, b, progress=progress)
    return analyze_pair(cells, alpha=alpha, min_users=min_users, min_expected=min_expected)


def read_pair(a: Located, b: Located, *, progress: Progress | None = None) -> PairCells:
    """The cells that two experiments share; errors as `analyze_interaction`."""
    if a.spec.key == b.spec.key:
        raise UsageError(f"Two different experiments are compared, got {a.spec.key!r} twice.", hint="Name another one.")
    with ExitStack() as stack:
        opened: dict[tuple[str, str], Source] = {}
        first, second = (_membership(stack, opened, one, progress) for one in (a, b))
        _say(progress, "Counting shared units by arm")
        joined = together([first, second])
        return _cells(a.spec, b.spec, joined[0], joined[1], joint_sums(joined[0], joined[1]))


def scan_interactions(
    experiments: Sequence[Located],
    *,
    alpha: float = 0.05,
    min_users: int = MIN_USERS,
    min_expected: float = MIN_EXPECTED,
    method: Method | None = None,
    progress: Progress | None = None,
) -> Scan:
    """All pairs of experiments, corrected over every row of all of them.

    In the embedded engine units are numbered there and counted in memory, exactly or, where there are too many shared
    memberships, by a coordinated sample; in other engines one self-join counts every pair. Pairs of one exclusion group, and
    pairs whose schedules do not overlap in time, are listed and not tested.

    Args:
        experiments: The experiments; quasi-experiments and those without units are skipped, with the reason.
        alpha: Rate of false discoveries, in (0, 1).
        min_users: Units that each cell of a row needs.
        min_expected: For rates, converters and others that each cell must be expected to have.
        method: `exact` or `sample` (embedded engine alone); None chooses by the number of shared memberships.
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: A name comes twice.
        DataError: The data of one cannot answer.
        ConnectorError: A source cannot be reached.
    """
    keys = [one.spec.key for one in experiments]
    if len(set(keys)) < len(keys):
        raise UsageError(f"Each experiment is named once, got {keys}.", hint="Leave out the repeated one.")
    with ExitStack() as stack:
        opened: dict[tuple[str, str], Source] = {}
        skipped: dict[str, str] = {}
        kept: list[tuple[ExperimentSpec, Membership]] = []
        for one in experiments:
            try:
                kept.append((one.spec, _membership(stack, opened, one, progress)))
            except UsageError as error:
                skipped[one.spec.key] = error.message
        if len(kept) < 2:
            told = "; ".join(f"{key}: {why}" for key, why in skipped.items())
            raise UsageError(f"A scan needs two experiments whose units are known, got {len(kept)}. {told}".rstrip(), hint="fairtrial list")
        _say(progress, f"Counting the shared units of {len(kept):,} experiments")
        members = together([member for _, member in kept])
        embedded = members[0].source.engine.name == "duckdb"
        if method == "sample" and not embedded:
            raise UsageError("Only the embedded engine takes a sample of units.", hint="Leave --method out.")
        used: Method = "exact"
        sampled, error = 1, 0.0
        if embedded:
            read = zip(kept, members, numbered(members), strict=True)
            side_by_side = [_members(spec, member, one) for (spec, _), member, one in read]
            scanned = scan_members(side_by_side, alpha=alpha, min_users=min_users, min_expected=min_expected, method=method)
            entries, used, sampled = tuple(scanned.entry(place) for place in range(len(scanned))), scanned.method, scanned.sampled
            error = float(scanned.shared_std_error.max(initial=0.0))
        else:
            entries = _pushed_down([spec for spec, _ in kept], members, alpha=alpha, min_users=min_users, min_expected=min_expected)
        return Scan(
            experiments=tuple(spec.key for spec, _ in kept),
            entries=entries,
            method=used,
            sampled=sampled,
            shared_std_error=error,
            counted_in=members[0].source.engine.public,
            data_source=tuple(dict.fromkeys(member.source.label for _, member in kept)),
            skipped=skipped,
        )


def _pushed_down(
    specs: Sequence[ExperimentSpec], members: Sequence[Membership], *, alpha: float, min_users: int, min_expected: float
) -> tuple[ScanEntry, ...]:
    """Every pair from one self-join in the engine."""
    found = all_joint_sums(members)
    pairs = [_cells(specs[i], specs[j], members[i], members[j], found.get((i, j))) for i, j in itertools.combinations(range(len(specs)), 2)]
    return scan_cells(pairs, alpha=alpha, min_users=min_users, min_expected=min_expected)


def _members(spec: ExperimentSpec, member: Membership, found: Numbered) -> Members:
    """An experiment with its units as dense numbers."""
    span = (-math.inf, math.inf)
    if spec.schedule is not None:
        span = spec.schedule.start.timestamp(), math.inf if spec.schedule.end is None else spec.schedule.end.timestamp()
    return Members(
        side=_side(spec, member),
        unit=found.unit,
        arm=found.arm,
        value=found.value,
        is_rate=spec.primary.kind == "proportion",
        metric=member.metric or "",
        untested=member.untested,
        group=spec.exclusion_group,
        span=span,
    )


def overlap_in_time(a: ExperimentSpec, b: ExperimentSpec) -> bool:
    """Whether two experiments run at once by their schedules; one without a schedule may run at any time."""
    if a.schedule is None or b.schedule is None:
        return True
    return _before(a.schedule.start, b.schedule.end) and _before(b.schedule.start, a.schedule.end)


def _before(start: dt.datetime, end: dt.datetime | None) -> bool:
    return end is None or start < end


def _say(progress: Progress | None, sentence: str) -> None:
    if progress is not None:
        progress(sentence)


@contextmanager
def open_membership(one: Located, progress: Progress | None = None) -> Generator[Membership]:
    """The units of one experiment, while the source is open; errors as `analyze_interaction`."""
    with ExitStack() as stack:
        yield _membership(stack, {}, one, progress)


def _membership(stack: ExitStack, opened: dict[tuple[str, str], Source], one: Located, progress: Progress | None) -> Membership:
    spec = one.spec
    if spec.design is not None:
        raise UsageError(f"Experiment {spec.key!r} is of kind {spec.kind!r}, in which nobody is assigned.", hint="Leave it out.")
    data = with_cells(data_of(spec, one.source), spec.arms)
    place = data.source, str(one.base)
    if place not in opened:
        opened[place] = stack.enter_context(open_source(data.source, one.base))
    _say(progress, f"Reading the units of {spec.key}")
    needs = _needs(spec)
    found = read_membership(opened[place], data, spec.key, [arm.key for arm in spec.arms], needs)
    return found if needs is not None else replace(found, untested="unsupported_metric")


def _needs(spec: ExperimentSpec) -> Needs | None:
    """What the primary metric needs without its covariates; None where cells of sums cannot hold it."""
    primary = next(metric for metric in build_metrics(spec) if metric.spec.key == spec.primary.key)
    test = getattr(primary.spec, "test", "welch")
    summed = test in ADDED_UP or test in {"score", "mantel_haenszel"}
    if primary.spec.kind not in KINDS or not summed or primary.needs.outcome.winsorize is not None or primary.needs.denominator is not None:
        return None
    return Needs(metric=primary.needs.metric, missing=primary.needs.missing, outcome=primary.needs.outcome)


def _cells(a: ExperimentSpec, b: ExperimentSpec, first: Membership, second: Membership, sums: JointSums | None) -> PairCells:
    n = np.zeros((len(first.arms), len(second.arms)), dtype=np.int64) if sums is None else sums.n
    empty = np.zeros(n.shape)
    outcomes: list[Outcome | Untested] = [
        _outcome(spec, member, n, empty if mean is None else mean, empty if m2 is None else m2)
        for spec, member, mean, m2 in (
            (a, first, None if sums is None else sums.mean_a, None if sums is None else sums.m2_a),
            (b, second, None if sums is None else sums.mean_b, None if sums is None else sums.m2_b),
        )
    ]
    same = a.exclusion_group is not None and a.exclusion_group == b.exclusion_group
    return PairCells(
        a=_side(a, first),
        b=_side(b, second),
        n=n,
        outcome_a=outcomes[0],
        outcome_b=outcomes[1],
        exclusion_group=a.exclusion_group if same else None,
        concurrent=overlap_in_time(a, b),
    )


def _side(spec: ExperimentSpec, member: Membership) -> Side:
    return Side(
        key=spec.key,
        arms=member.arms,
        units=member.units,
        control=spec.control,
        surface=spec.surface,
        higher_is_better=spec.primary.direction == "increase",
    )


def _outcome(
    spec: ExperimentSpec,
    member: Membership,
    n: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    mean: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    m2: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> Outcome | Untested:
    if member.untested is not None:
        return member.untested
    if member.metric is None:
        return "no_metric"
    if spec.primary.kind == "proportion":
        return RateOutcome(metric=member.metric, successes=np.rint(mean * n).astype(np.int64))
    return MeanOutcome(metric=member.metric, mean=mean, m2=m2)
