"""Everything that is said of two experiments that run at once, and the entry of a pair in a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairtrial.diagnostics.joint_cells import BestCell, DecisionByArm, best_cell, decisions_by_arm
from fairtrial.diagnostics.overlap import AudienceOverlap, OverlapBand
from fairtrial.diagnostics.pair_cells import PairCells
from fairtrial.diagnostics.pair_risk import (
    INTERACTION_WARNING,
    SIGNIFICANT_OVERLAP,
    PairEvidence,
    Risk,
    exposure_of,
    judge_risk,
    pair_recommendations,
    scan_recommendations,
    shared_surface,
)
from fairtrial.diagnostics.pair_tests import (
    CORRECTION,
    MIN_EXPECTED,
    MIN_USERS,
    Dependence,
    InteractionTest,
    Reason,
    assignment_dependence,
    correct,
    has_interaction,
    interaction_tests,
    why_untested,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionResult:
    """The interaction of a pair in short (IN-05).

    Attributes:
        has_interaction: True, False, or None where it could not be told.
        p_value: Smallest corrected p of the rows; None where none was tested.
        interaction_effect_size: Interaction of the row with that p, in the metric's unit.
        smallest_visible: Interaction that row would find with 80 % power.
        scale: `absolute`.
        warning_message: What it means; None without an interaction.
        unavailable_reason: Why it could not be told.
    """

    has_interaction: bool | None
    p_value: float | None
    interaction_effect_size: float | None
    smallest_visible: float | None
    scale: str
    warning_message: str | None
    unavailable_reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAnalysis:
    """The analysis of a pair.

    Attributes:
        a: Key of the first experiment.
        b: Key of the second.
        overlap: How their units overlap.
        exclusion_group: Group that keeps them apart; None where none does.
        min_users: Units that each cell of a row needed.
        min_expected: Converters and others that each cell of a rate needed.
        interaction: In short.
        tests: The rows behind it.
        dependence: Whether assignment in one depends on the arm of the other, both ways.
        decisions: Whether the decision on a treatment depends on the other's arm.
        best: The best combination of arms, a metric at a time.
        evidence: What the risk rests on.
        risk: The risk of running both.
        recommendations: What to do.
    """

    a: str
    b: str
    overlap: AudienceOverlap
    exclusion_group: int | str | None
    min_users: int
    min_expected: float
    interaction: InteractionResult
    tests: tuple[InteractionTest, ...]
    dependence: tuple[Dependence, Dependence]
    decisions: tuple[DecisionByArm, ...]
    best: tuple[BestCell, ...]
    evidence: PairEvidence
    risk: Risk
    recommendations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEntry:
    """One pair of a scan (IN-03).

    Attributes:
        experiment_a_id: Key of the first experiment.
        experiment_b_id: Key of the second.
        overlap_coefficient: Jaccard's coefficient; None where neither has units.
        overlap_band: Its band.
        shared_users: Units in both.
        share_of_a: Of A's units, those in B.
        share_of_b: Of B's units, those in A.
        has_significant_overlap: overlap_coefficient > 0.3.
        has_interaction: True, False, or None where it could not be told.
        p_value: Smallest uncorrected p of its rows.
        min_corrected_p_value: Smallest p corrected over all rows of the scan.
        smallest_visible: Smallest interaction that its best row would find with 80 % power.
        unavailable_reason: Why the interaction could not be told.
        mutual_exclusion_group_id: Group that keeps the two apart.
        overall_risk: From overlap and interaction alone.
        recommendations: What to do.
    """

    experiment_a_id: str
    experiment_b_id: str
    overlap_coefficient: float | None
    overlap_band: OverlapBand | None
    shared_users: int
    share_of_a: float | None
    share_of_b: float | None
    has_significant_overlap: bool
    has_interaction: bool | None
    p_value: float | None
    min_corrected_p_value: float | None
    smallest_visible: float | None
    unavailable_reason: str | None
    mutual_exclusion_group_id: int | str | None
    overall_risk: Risk
    recommendations: tuple[str, ...]
    correction_method: str = CORRECTION


def analyze_pair(
    cells: PairCells,
    *,
    alpha: float = 0.05,
    min_users: int = MIN_USERS,
    min_expected: float = MIN_EXPECTED,
    novelty: Sequence[str] = (),
    interference: Sequence[str] = (),
) -> PairAnalysis:
    """Analyse two experiments from the cells that they share.

    Args:
        cells: The cells.
        alpha: Error rate in (0, 1).
        min_users: Units that each cell of a row needs.
        min_expected: For rates, converters and others that each cell must be expected to have.
        novelty: Keys of those of the two whose effect was found to change with time.
        interference: Keys of those of the two whose controls were found to be exposed.

    Raises:
        UsageError: alpha lies outside (0, 1) or a floor is too low.
    """
    tested = interaction_tests(cells, alpha=alpha, min_users=min_users, min_expected=min_expected)
    tests = correct(tested, alpha=alpha)
    interaction = _in_short(tests)
    overlap = cells.overlap
    evidence = PairEvidence(
        exposure=exposure_of(overlap),
        interaction=interaction.has_interaction,
        p_value=min((row.p_value for row in tests if row.p_value is not None), default=None),
        novelty=tuple(novelty),
        interference=tuple(interference),
    )
    return PairAnalysis(
        a=cells.a.key,
        b=cells.b.key,
        overlap=overlap,
        exclusion_group=cells.exclusion_group,
        min_users=min_users,
        min_expected=min_expected,
        interaction=interaction,
        tests=tests,
        dependence=assignment_dependence(cells),
        decisions=decisions_by_arm(cells, tests, alpha=alpha, min_users=min_users),
        best=best_cell(cells, alpha=alpha, min_users=min_users),
        evidence=evidence,
        risk=judge_risk(evidence),
        recommendations=tuple(pair_recommendations(evidence, untested=interaction.unavailable_reason, surface=shared_surface(cells))),
    )


def scan_entry(cells: PairCells, rows: Sequence[InteractionTest]) -> ScanEntry:
    """The entry of a pair whose rows were corrected over the whole scan."""
    overlap = cells.overlap
    exposure = exposure_of(overlap)
    tested = [row for row in rows if row.p_value is not None]
    p_value = min((row.p_value for row in tested if row.p_value is not None), default=None)
    found = has_interaction(rows)
    evidence = PairEvidence(exposure=exposure, interaction=found, p_value=p_value)
    return ScanEntry(
        experiment_a_id=cells.a.key,
        experiment_b_id=cells.b.key,
        overlap_coefficient=overlap.jaccard,
        overlap_band=overlap.band,
        shared_users=overlap.intersection,
        share_of_a=overlap.share_of_a,
        share_of_b=overlap.share_of_b,
        has_significant_overlap=overlap.jaccard is not None and overlap.jaccard > SIGNIFICANT_OVERLAP,
        has_interaction=found,
        p_value=p_value,
        min_corrected_p_value=min((row.corrected_p_value for row in tested if row.corrected_p_value is not None), default=None),
        smallest_visible=min((row.smallest_visible for row in tested if row.smallest_visible is not None), default=None),
        unavailable_reason="no_users" if overlap.jaccard is None else why_untested(rows),
        mutual_exclusion_group_id=cells.exclusion_group,
        overall_risk=judge_risk(evidence),
        recommendations=tuple(scan_recommendations(exposure)),
    )


def scan_cells(
    pairs: Sequence[PairCells], *, alpha: float = 0.05, min_users: int = MIN_USERS, min_expected: float = MIN_EXPECTED
) -> tuple[ScanEntry, ...]:
    """Entries of pairs whose cells are at hand, corrected over the rows of all of them.

    Args:
        pairs: Every pair of the scan.
        alpha: Rate of false discoveries, in (0, 1).
        min_users: Units that each cell of a row needs.
        min_expected: For rates, converters and others that each cell must be expected to have.
    """
    tested = [interaction_tests(cells, alpha=alpha, min_users=min_users, min_expected=min_expected) for cells in pairs]
    rows = iter(correct([row for found in tested for row in found], alpha=alpha))
    return tuple(scan_entry(cells, [next(rows) for _ in found]) for cells, found in zip(pairs, tested, strict=True))


def _in_short(rows: Sequence[InteractionTest]) -> InteractionResult:
    tested = [row for row in rows if row.corrected_p_value is not None]
    first = min(tested, key=lambda row: (row.corrected_p_value or 0.0, row.p_value or 0.0), default=None)
    found = has_interaction(rows)
    return InteractionResult(
        has_interaction=found,
        p_value=None if first is None else first.corrected_p_value,
        interaction_effect_size=None if first is None else first.interaction,
        smallest_visible=None if first is None else first.smallest_visible,
        scale="absolute",
        warning_message=INTERACTION_WARNING if found else None,
        unavailable_reason=why_untested(rows),
    )
