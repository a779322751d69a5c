"""What the interaction routes and jobs call: one pair, all pairs of running experiments, effects over time."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.diagnostics.daily_effects import daily_effects
from fairtrial.diagnostics.interaction_scan import scan_members
from fairtrial.diagnostics.interference import InterferenceResult, find_interference
from fairtrial.diagnostics.novelty import Axis, NoveltyResult, find_novelty
from fairtrial.diagnostics.pair_analysis import PairAnalysis, ScanEntry, analyze_pair, scan_entry
from fairtrial.diagnostics.pair_cells import PairCells
from fairtrial.diagnostics.pair_risk import SIGNIFICANT_OVERLAP, high_risk
from fairtrial.diagnostics.pair_tests import CORRECTION, Dependence, InteractionTest, correct, interaction_tests
from fairtrial.errors import UsageError
from fairtrial.evaluation.within_arms import VerdictInArm, verdicts_within_arms
from fairtrial.service.experiments.holdout import CONVERTED
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.interactions.cells import TESTED, Loaded, all_cells, as_members, load
from fairtrial.service.interactions.schemas import NoveltyDetail, NoveltyOut, NoveltyPairOut, PairOut, ScanEntryOut, ScanOut
from fairtrial.service.results.reading import window_of
from fairtrial.storage.daily import daily_sums
from fairtrial.storage.experiments import running_experiments
from fairtrial.storage.readings import exposed_by_arm
from fairtrial.storage.tables import Experiment

AXIS: Axis = "assignment_day"
"""Controls of a holdout are never exposed, so days are counted from a unit's assignment."""

DEPENDENT = "Assignment in {other} depends on the arm in {key}: the two were not assigned independently."


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A scan.

    Attributes:
        active: Running experiments.
        entries: One a pair.
        effects: By pair, the interaction of the row with the smallest p; None where none was tested.
    """

    active: int
    entries: tuple[ScanEntry, ...]
    effects: tuple[float | None, ...]

    @property
    def high(self) -> int:
        """Pairs of high risk."""
        return high_risk([entry.overall_risk for entry in self.entries])


def find_pair(session: Session, first: str, second: str) -> tuple[Experiment, Experiment]:
    """Two experiments by id or key, in any status (IN-24).

    Raises:
        NotFoundError: One of them does not exist.
        UsageError: Both are the same.
    """
    rows = get_experiment(session, first), get_experiment(session, second)
    if rows[0].id == rows[1].id:
        raise UsageError(f"Two different experiments are compared, got {rows[0].key!r} twice.", hint="Name another one.")
    return rows


def scan_running(session: Session, *, now: dt.datetime) -> ScanOut:
    """All pairs of the running experiments (IN-01..IN-03); nothing is stored.

    Raises:
        StorageError: The store failed.
    """
    found = scan(load(session, running_experiments(session)))
    return ScanOut(
        as_of=now,
        total_active_experiments=found.active,
        pairs_analyzed=len(found.entries),
        high_risk_pairs=found.high,
        correction_method=CORRECTION,
        results=[entry_out(entry) for entry in found.entries],
    )


def scan(loaded: Sequence[Loaded]) -> Scanned:
    """All pairs of loaded experiments, every shared unit counted, corrected over the rows of all of them."""
    if len(loaded) < 2:
        return Scanned(active=len(loaded), entries=(), effects=())
    found = scan_members([as_members(one) for one in loaded], method="exact")
    effects = tuple(None if math.isnan(effect) else effect for effect in found.effect.tolist())
    return Scanned(active=len(loaded), entries=tuple(found.entry(place) for place in range(len(found))), effects=effects)


def scan_pairs(active: int, pairs: Sequence[PairCells]) -> Scanned:
    """Pairs whose cells are at hand, corrected over the rows of all of them."""
    tested = [interaction_tests(cells) for cells in pairs]
    rows = iter(correct([row for found in tested for row in found]))
    corrected = [[next(rows) for _ in found] for found in tested]
    entries = tuple(scan_entry(cells, found) for cells, found in zip(pairs, corrected, strict=True))
    return Scanned(active=active, entries=entries, effects=tuple(_effect(found) for found in corrected))


def _effect(rows: Sequence[InteractionTest]) -> float | None:
    """The interaction of the row with the smallest p."""
    tested = [(row.p_value, place) for place, row in enumerate(rows) if row.p_value is not None]
    return rows[min(tested)[1]].interaction if tested else None


def entry_out(entry: ScanEntry) -> ScanEntryOut:
    """An entry as it is shown and kept."""
    return ScanEntryOut.model_validate(dataclasses.asdict(entry))


def read_pair(session: Session, first: str, second: str, *, now: dt.datetime) -> PairOut:
    """The full analysis of two experiments (IN-04..IN-08).

    Raises:
        NotFoundError: One of them does not exist.
        UsageError: Both are the same.
        StorageError: The store failed.
    """
    loaded = load(session, find_pair(session, first, second))
    novelty = [_novelty(session, one, now)[0] for one in loaded]
    reached = [_interference(session, one) for one in loaded]
    cells = all_cells(loaded)[0]
    analysis = analyze_pair(
        cells,
        novelty=[one.row.key for one, found in zip(loaded, novelty, strict=True) if found.has_novelty],
        interference=[one.row.key for one, found in zip(loaded, reached, strict=True) if found.has_violation],
    )
    return pair_out(analysis, verdicts_within_arms(loaded[0].spec, loaded[1].spec, cells), novelty, reached)


def read_novelty(session: Session, first: str, second: str, *, now: dt.datetime) -> NoveltyPairOut:
    """Novelty of two experiments, with their effects by day (IN-09).

    Raises:
        NotFoundError: One of them does not exist.
        UsageError: Both are the same.
        StorageError: The store failed.
    """
    loaded = load(session, find_pair(session, first, second))
    details = [_detail(session, one, now) for one in loaded]
    return NoveltyPairOut(
        experiment_a_id=loaded[0].row.key,
        experiment_b_id=loaded[1].row.key,
        novelty_result=details[0],
        novelty_result_b=details[1],
    )


def read_own_novelty(session: Session, reference: str, *, now: dt.datetime) -> NoveltyDetail:
    """Novelty of one experiment, with its effects by day.

    Raises:
        NotFoundError: It does not exist.
        StorageError: The store failed.
    """
    return _detail(session, load(session, [get_experiment(session, reference)])[0], now)


def pair_out(
    analysis: PairAnalysis,
    verdicts: Sequence[VerdictInArm],
    novelty: Sequence[NoveltyResult],
    reached: Sequence[InterferenceResult],
) -> PairOut:
    """An analysis as it is shown."""
    overlap = analysis.overlap
    fields: dict[str, Any] = {
        "experiment_a_id": analysis.a,
        "experiment_b_id": analysis.b,
        "overlap_coefficient": overlap.jaccard,
        "overlap_band": overlap.band,
        "shared_users": overlap.intersection,
        "share_of_a": overlap.share_of_a,
        "share_of_b": overlap.share_of_b,
        "has_significant_overlap": overlap.jaccard is not None and overlap.jaccard > SIGNIFICANT_OVERLAP,
        "mutual_exclusion_group_id": analysis.exclusion_group,
        "min_users_per_cell": analysis.min_users,
        "min_expected_per_cell": analysis.min_expected,
        "interaction_result": dataclasses.asdict(analysis.interaction),
        "tests": [dataclasses.asdict(row) for row in analysis.tests],
        "assignment_dependence": [_dependence(found) for found in analysis.dependence],
        "decisions_by_arm": [dataclasses.asdict(found) for found in analysis.decisions],
        "verdicts_by_arm": [dataclasses.asdict(found) for found in verdicts],
        "best_combinations": [dataclasses.asdict(found) for found in analysis.best],
        "novelty_result": _fields(novelty[0]),
        "novelty_result_b": _fields(novelty[1]),
        "sutva_result": dataclasses.asdict(reached[0]),
        "sutva_result_b": dataclasses.asdict(reached[1]),
        "overall_risk": analysis.risk,
        "recommendations": list(analysis.recommendations),
    }
    return PairOut.model_validate(fields)


def _fields(found: NoveltyResult) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(found).items() if name in NoveltyOut.model_fields}


def _dependence(found: Dependence) -> dict[str, Any]:
    message = DEPENDENT.format(other=found.in_experiment_id, key=found.experiment_id) if found.is_dependent else None
    return dataclasses.asdict(found) | {"warning_message": message}


def _detail(session: Session, one: Loaded, now: dt.datetime) -> NoveltyDetail:
    found, treatment = _novelty(session, one, now)
    fields = dataclasses.asdict(found) | {
        "metric": one.metric if one.metric in TESTED else None,
        "treatment": treatment,
    }
    return NoveltyDetail.model_validate(fields)


def _novelty(session: Session, one: Loaded, now: dt.datetime) -> tuple[NoveltyResult, str]:
    """Novelty of an experiment's first treatment on its primary metric."""
    treatment = one.spec.treatments[0]
    alpha = one.spec.plan.alpha
    if one.metric not in TESTED:
        return find_novelty([], [], axis=AXIS, alpha=alpha), treatment
    pair, is_rate = (one.spec.control, treatment), one.metric == CONVERTED
    sums = daily_sums(session, window_of(one.row), pair, "converted" if is_rate else "value", observed_until=now, axis=AXIS)
    return daily_effects(sums[pair[0]], sums[pair[1]], is_rate=is_rate).novelty(axis=AXIS, alpha=alpha), treatment


def _interference(session: Session, one: Loaded) -> InterferenceResult:
    exposed = exposed_by_arm(session, window_of(one.row))
    side = one.side
    policy = one.row.policy_json or {}
    return find_interference(
        exposed.get(one.spec.control, 0) if exposed else None,
        side.units[side.arms.index(one.spec.control)],
        shared_resource=one.spec.interference.shared_resource or policy.get("shared_resource") is True,
        network_effects=one.spec.interference.network_effects or policy.get("network_effects") is True,
    )
