"""Bodies of the interaction routes (IN-01..IN-09, IN-25..IN-29); what was not computed is null, with a reason."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from fairtrial.service.bodies import Time

Risk = Literal["low", "medium", "high"]
Band = Literal["negligible", "low", "moderate", "high"]
Axis = Literal["exposure_day", "assignment_day"]


class ScanEntryOut(BaseModel):
    """One pair of a scan."""

    experiment_a_id: str
    """The experiment's key (G-8)."""
    experiment_b_id: str
    overlap_coefficient: float | None
    """Jaccard's: units in both over units in either; null where neither has units."""
    overlap_band: Band | None
    shared_users: int
    share_of_a: float | None
    """Of A's units, those in B."""
    share_of_b: float | None
    has_significant_overlap: bool
    has_interaction: bool | None
    p_value: float | None
    """Smallest uncorrected p of its rows."""
    min_corrected_p_value: float | None
    """Smallest p corrected over the rows of all pairs."""
    smallest_visible: float | None
    """Smallest interaction that its best row would find with 80% power."""
    correction_method: str
    unavailable_reason: str | None
    mutual_exclusion_group_id: int | str | None
    overall_risk: Risk
    """From overlap and interaction alone."""
    recommendations: list[str]


class ScanOut(BaseModel):
    """Every pair of the running experiments."""

    as_of: Time
    total_active_experiments: int
    pairs_analyzed: int
    high_risk_pairs: int
    correction_method: str
    results: list[ScanEntryOut]


class InteractionOut(BaseModel):
    """The interaction of a pair in short."""

    has_interaction: bool | None
    p_value: float | None
    """Smallest corrected p of its rows."""
    interaction_effect_size: float | None
    smallest_visible: float | None
    scale: str
    warning_message: str | None
    unavailable_reason: str | None


class ArmEffectOut(BaseModel):
    """The effect among the units of one arm of the other experiment."""

    arm: str
    n_control: int
    n_treatment: int
    conversions_control: int | None
    conversions_treatment: int | None
    rate_control: float | None
    rate_treatment: float | None
    effect: float | None
    relative_lift: float | None


class TestOut(BaseModel):
    """One treatment of one experiment against the arms of the other."""

    __test__ = False

    tested_experiment_id: str
    treatment: str | None
    by_experiment_id: str
    metric: str | None
    arms: list[ArmEffectOut]
    scale: str
    interaction: float | None
    ci_low: float | None
    ci_high: float | None
    smallest_visible: float | None
    method: str | None
    statistic: float | None
    df: int | None
    p_value: float | None
    corrected_p_value: float | None
    correction_method: str
    confidence_level: float
    is_significant: bool | None
    unavailable_reason: str | None


class DependenceOut(BaseModel):
    """Does being in one experiment depend on the arm in the other (IN-29)? p < 0.001 is a warning."""

    experiment_id: str
    in_experiment_id: str
    shares: dict[str, float | None]
    chi_square: float | None
    df: int | None
    p_value: float | None
    is_dependent: bool | None
    warning_message: str | None


class NoveltyOut(BaseModel):
    """Whether an experiment's effect fades."""

    has_novelty: bool | None
    decline_rate: float | None
    """Share of the initial effect lost per day; negative where it grows."""
    p_value: float | None
    total_decline: float | None
    trend: Literal["fades", "grows", "steady"] | None
    recommendation: str
    unavailable_reason: str | None


class DayOut(BaseModel):
    """The effect of one day."""

    day: int
    effect: float
    std_error: float
    ci_low: float
    ci_high: float


class LongRunOut(BaseModel):
    """Mean effect of the last third of the days."""

    first_day: int
    last_day: int
    effect: float
    std_error: float
    ci_low: float
    ci_high: float


class NoveltyDetail(NoveltyOut):
    """The same with the effects by day."""

    initial_effect: float | None
    """Fitted effect of day 0, taken as positive."""
    initial_std_error: float | None
    sign: int | None
    """Of the fitted effect of day 0."""
    slope: float | None
    slope_std_error: float | None
    axis: Axis
    """Days are counted from a unit's assignment: controls have no first exposure."""
    scale: str
    metric: str | None
    treatment: str
    alpha: float
    correlated_days: bool
    """Whether the covariance between days was used: one unit counts on several."""
    trajectory: list[DayOut]
    long_run_effect: LongRunOut | None
    """What is left at the end."""


class SutvaOut(BaseModel):
    """Whether controls were reached by the treatment."""

    has_violation: bool | None
    contamination_rate: float | None
    """Controls exposed over controls assigned."""
    ci_low: float | None
    ci_high: float | None
    controls_exposed: int | None
    """Null where no exposure is recorded."""
    controls_assigned: int
    declared: list[str]
    """What the experiment declares to let arms reach each other."""
    warning_message: str | None
    unavailable_reason: str | None


class WithinArmOut(BaseModel):
    """What a treatment does in one arm of the other experiment."""

    arm: str
    effect: float
    ci_low: float
    ci_high: float
    p_value: float
    answer: Literal["helps", "harms", "not_shown"]


class DecisionByArmOut(BaseModel):
    """Does the decision on a treatment depend on the arm of the other experiment?"""

    tested_experiment_id: str
    treatment: str
    by_experiment_id: str
    arms: list[WithinArmOut]
    changes: bool | None
    sentence: str


class JointCellOut(BaseModel):
    """One combination of arms."""

    arm_a: str
    arm_b: str
    n: int
    mean: float
    std_error: float
    p_value: float | None


class BestCellOut(BaseModel):
    """The combinations of arms, best first."""

    metric: str
    cells: list[JointCellOut]
    contenders: int
    best: list[str] | None
    left_out: int


class VerdictInArmOut(BaseModel):
    """The verdict of one experiment among the users of one arm of the other, on its primary metric alone."""

    experiment_id: str
    by_experiment_id: str
    arm: str
    n: int
    verdict: str | None
    state: str | None
    reason: str


class PairOut(BaseModel):
    """The full analysis of a pair."""

    experiment_a_id: str
    experiment_b_id: str
    overlap_coefficient: float | None
    overlap_band: Band | None
    shared_users: int
    share_of_a: float | None
    share_of_b: float | None
    has_significant_overlap: bool
    mutual_exclusion_group_id: int | str | None
    min_users_per_cell: int
    min_expected_per_cell: float
    interaction_result: InteractionOut
    tests: list[TestOut]
    assignment_dependence: list[DependenceOut]
    decisions_by_arm: list[DecisionByArmOut]
    verdicts_by_arm: list[VerdictInArmOut]
    best_combinations: list[BestCellOut]
    novelty_result: NoveltyOut
    novelty_result_b: NoveltyOut
    sutva_result: SutvaOut
    sutva_result_b: SutvaOut
    overall_risk: Risk
    recommendations: list[str]


class NoveltyPairOut(BaseModel):
    """Novelty of both experiments of a pair."""

    experiment_a_id: str
    experiment_b_id: str
    novelty_result: NoveltyDetail
    novelty_result_b: NoveltyDetail


class StoredScanOut(BaseModel):
    """A scan that was kept."""

    id: int
    as_of: Time
    trigger: Literal["scan", "start"]
    """`scan`: the weekly one, of all pairs. `start`: of the pairs of experiments that had just started."""
    total_active_experiments: int
    pairs_analyzed: int
    high_risk_pairs: int
    correction_method: str
    results: list[ScanEntryOut] | None = None
    """With `?results=true`."""


class StoredScanList(BaseModel):
    """Kept scans, newest first."""

    items: list[StoredScanOut]
    total: int


class TrendPoint(BaseModel):
    """What one kept scan said of a pair."""

    scan_id: int
    as_of: Time
    overlap_coefficient: float | None
    shared_users: int
    interaction_effect_size: float | None
    p_value: float | None
    min_corrected_p_value: float | None
    has_interaction: bool | None
    overall_risk: Risk
    unavailable_reason: str | None


class TrendOut(BaseModel):
    """A pair over the kept scans, oldest first."""

    experiment_a_id: str
    experiment_b_id: str
    points: list[TrendPoint]
