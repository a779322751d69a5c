"""Bodies of the monitoring routes (IN-30..IN-33); what was not computed is null, with a reason."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

MetricName = Literal["converted", "value"]
CovariateName = Literal["age", "ltv", "pre_period_value"]
Algorithm = Literal["thompson_sampling", "ucb1", "epsilon_greedy", "fixed"]
EvidenceStrength = Literal["none", "weak", "moderate", "strong"]
RiskLevel = Literal["none", "medium", "high"]


class SrmCheckOut(BaseModel):
    """The sample-ratio check of an experiment (IN-30)."""

    experiment_id: str
    """The experiment's key (G-8)."""
    counts: dict[str, int]
    expected_shares: dict[str, float] | None
    """Null where the shares are not fixed."""
    chi_square: float | None
    df: int | None
    p_value: float | None
    always_valid_p: float | None
    """Of the sequential check, which may be read as often as one likes."""
    threshold: float
    """Below this p the sizes do not agree with the plan."""
    status: Literal["ok", "warning", "mismatch", "skipped"]
    reason: str
    """Why it stands so."""


class LongRunning(BaseModel):
    """Whether the experiment runs for longer than was meant. Late is not futile: it says nothing of the effect."""

    level: RiskLevel
    """`none` up to `max_days`, `medium` beyond, `high` beyond twice that."""
    days_running: int | None
    """Null before the start."""
    max_days: float


class SequentialOut(BaseModel):
    """A look by the mSPRT, which may be taken at any time (IN-31)."""

    experiment_id: str
    metric: MetricName
    treatment: str
    method: Literal["msprt_normal"] = "msprt_normal"
    alpha: float
    estimate: float | None
    """Treatment minus control."""
    variance: float | None
    """Of the estimate."""
    tau2: float | None
    """Of the mixing distribution: the square of the planned effect."""
    likelihood_ratio: float | None
    """Null where it is larger than a double holds; its logarithm is there then."""
    log_likelihood_ratio: float | None
    boundary: float
    """1 / alpha: a likelihood ratio from there on is significant."""
    always_valid_p: float | None
    """Running minimum over the looks that were stored."""
    ci_low: float | None
    ci_high: float | None
    evidence_strength: EvidenceStrength | None
    crossed: bool | None
    """Whether this look reaches the boundary."""
    futility: None = None
    """The mSPRT has no verdict of futility."""
    long_running_risk: LongRunning
    unavailable_reason: Literal["empty_arm", "no_variance"] | None


class AllocationOut(BaseModel):
    """What an algorithm would play next, given the counts (IN-32). Nothing is changed."""

    experiment_id: str
    algorithm: Algorithm
    metric: MetricName
    weights: dict[str, float]
    """Shares by arm: they sum to 1."""
    counts: dict[str, int]
    """Units that each arm's weight rests on."""
    floor: float
    """Smallest share of an arm."""
    epsilon: float | None
    """Share of even exploration, of `epsilon_greedy` alone."""
    seed: int
    """Of the draws, which more than 64 arms need; fewer are computed without."""


class EffectOut(BaseModel):
    """A difference of means by Welch's test."""

    effect: float
    std_error: float | None
    p_value: float | None
    ci_low: float
    ci_high: float


class CupedOut(BaseModel):
    """An effect with and without adjustment by what was known before (IN-33)."""

    experiment_id: str
    metric: MetricName
    treatment: str
    covariate: CovariateName
    theta: float | None
    """Slope of the metric on the covariate, within the arms."""
    coverage: float | None
    """Share of units that have a value of the covariate; the others are set to its mean."""
    raw: EffectOut | None
    adjusted: EffectOut | None
    variance_reduction: float | None
    """1 - variance of the adjusted effect / variance of the raw one; negative where the covariate costs more than it saves."""
    unavailable_reason: Literal["empty_arm", "no_variance", "no_covariate"] | None
