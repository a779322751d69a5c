"""The one result: what was planned, what came, what it means, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from fairtrial._hooks import views
from fairtrial.decisions.decision import Decision, GuardrailState
from fairtrial.decisions.impact import Impact
from fairtrial.diagnostics.allocation import SrmCheck
from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import UnknownNameError
from fairtrial.evaluation.factorial import FactorialResult
from fairtrial.evaluation.segment_report import Segments
from fairtrial.quasi.estimate import EvidenceGrade
from fairtrial.spec.metric import Direction, Role
from fairtrial.stats.reading import Intake
from fairtrial.stats.result import Estimate, Interval, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """Status of a guardrail metric for one treatment.

    Attributes:
        status: `ALERT` stops a launch, `UNAVAILABLE` is never a pass.
        harm: Effect turned so that positive is worse, on `scale`.
        interval: Its confidence interval.
        margin: Harm tolerated, on `scale`.
        scale: `absolute` is the metric's unit, `relative` a fraction of the control's value.
        non_inferior: Whether the whole interval lies within the margin.
        reason: One sentence.
    """

    status: GuardrailState
    harm: float | None
    interval: Interval | None
    margin: float | None
    scale: Literal["absolute", "relative"]
    non_inferior: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorSummary:
    """What a Bayesian plan believes of one comparison, turned so that better is better whatever the metric's direction.

    Attributes:
        model: Model of the data.
        prior: The prior used, in words.
        chance_to_win: Probability that the treatment is better.
        expected_loss: What one expects to lose by choosing the treatment, in the metric's unit, >= 0.
        expected_loss_control: The same of choosing the control.
        hdi: Highest-density credible interval of the effect (the estimate's own is equal-tailed).
        lift_hdi: The same of the lift; None where there is no lift.
        rope_worse: Probability that the effect is worse than practically nothing; None without such a region.
        rope_inside: Probability that it is practically nothing.
        rope_better: Probability that it is better than that.
        log_bayes_factor: Logarithm of the Bayes factor of a difference against none; None where there is none.
    """

    model: str
    prior: str
    chance_to_win: float
    expected_loss: float
    expected_loss_control: float
    hdi: Interval
    lift_hdi: Interval | None
    rope_worse: float | None
    rope_inside: float | None
    rope_better: float | None
    log_bayes_factor: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterStop:
    """Final inference of a plan with planned looks, by the stagewise ordering.

    Attributes:
        effect: Median-unbiased estimate, in the metric's unit; the plain one is biased after an early stop.
        interval: Interval of level 1 - `alpha`.
        p_value: Of the null hypothesis, before correction.
        alpha: Error rate of the interval, after correction.
    """

    effect: float
    interval: Interval
    p_value: float
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric, one treatment against the control; exactly one of estimate and unavailable is set.

    Attributes:
        reading: What the estimate says in the metric's direction; `unavailable` when there is none.
        posterior: What is believed of it, in a Bayesian plan.
        after_stop: Inference that allows for the looks, of the primary metric at the look that ends a plan with looks.
    """

    metric: str
    kind: Literal["proportion", "mean", "count", "ratio", "quantile"]
    role: Role
    direction: Direction
    treatment: str
    estimate: Estimate | None
    unavailable: Unavailable | None
    reading: Literal["better", "worse", "inconclusive", "unavailable"]
    guardrail: Guardrail | None = None
    posterior: PosteriorSummary | None = None
    after_stop: AfterStop | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incremental:
    """What the treatment added to its own arm: effect times units, on the primary metric.

    Attributes:
        value: Additional outcomes (conversions, revenue, ...) in the treatment arm.
        interval: The effect's interval times the arm's units.
        share: Part of the treatment arm's outcomes that is incremental; None when the arm has none.
    """

    metric: str
    treatment: str
    value: float
    interval: Interval
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """One arm: its units and its planned and observed share."""

    key: str
    role: Literal["control", "treatment"]
    n: int
    planned_share: float | None
    observed_share: float
    planned_n: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookStatus:
    """Where a look stands among the planned ones, and what it was allowed.

    Attributes:
        information: Share of the planned information that has come, in (0, 1].
        past: Shares at the earlier looks.
        assumed: Whether the earlier looks are the planned ones, no earlier scorecard having been given.
        planned: Shares at which looks were planned.
        final: Whether no look comes after this one.
        spending: How alpha is spent.
        alpha_spent: Error rate spent up to and with this look.
        nominal_alpha: Level at which this look alone tests, before any correction.
        critical_value: The same on the scale of a normal statistic.
        futility: Rule by which this plan gives up.
        futility_spending: How the type II error is spent, where it is; None else.
        futility_bound: Z of the primary metric, better being positive, below which this look gives up; None at the
            last look, under other rules, and where a treatment had no estimate to hold against it.
        binding: Whether alpha rests on obeying the futility bounds.
        given_up: Treatments below the bound.
        obeyed: Binding bounds of the earlier looks, where they have brought this look's boundary down.
    """

    information: float
    past: tuple[float, ...]
    assumed: bool
    planned: tuple[float, ...]
    final: bool
    spending: str
    alpha_spent: float
    nominal_alpha: float
    critical_value: float
    futility: str = "none"
    futility_spending: str | None = None
    futility_bound: float | None = None
    binding: bool = False
    given_up: tuple[str, ...] = ()
    obeyed: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceStatus:
    """The sequence behind intervals that hold at every look.

    Attributes:
        name: `msprt`, `asymptotic` or `bernoulli`.
        tuned_for: Units in total at which it is tightest; None where the planned effect tunes it.
    """

    name: str
    tuned_for: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """What was planned, what of it is there, and what the data could show.

    Attributes:
        planned_n: Units in total called for; None when no plan was recorded.
        planned_from: Where `planned_n` comes from.
        actual_n: Units analysed.
        complete: Whether the plan's sample (or its longest run, or its stopping rule) has been reached.
        min_days_met: Whether the shortest run has been reached.
        max_days_reached: Whether the longest run has been reached.
        days: Days from start to the look; None when no schedule was given.
        planned_mde: The MDE of the plan, as declared.
        mde_kind: Whether `planned_mde` is relative or absolute.
        power_at_mde: Power at the planned MDE with the units that came; never at the observed effect.
        detectable_effect: Smallest effect in the primary metric's unit that these units detect with the planned power.
        detectable_lift: The same relative to the control.
        reason: One sentence.
        sequential: The looks of a plan with planned looks; None in others.
        sequence: What always-valid intervals are made by, in a plan that watches at every look; None in others.
    """

    planned_n: int | None
    planned_from: Literal["sample_size", "power", "none"]
    actual_n: int
    complete: bool
    min_days_met: bool
    max_days_reached: bool
    days: float | None
    planned_mde: float | None
    mde_kind: Literal["relative", "absolute"]
    power_at_mde: float | None
    detectable_effect: float | None
    detectable_lift: float | None
    alpha: float
    power: float
    method: str
    alternative: str
    objective: str
    correction: str
    secondary_correction: str
    reason: str
    sequential: LookStatus | None = None
    sequence: SequenceStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """The result of one look at one experiment.

    Attributes:
        experiment: Key of the experiment.
        unit: What a unit is called (the unit column), for people.
        treatment: The treatment that the experiment's verdict speaks of.
        decision: The experiment's decision: the best treatment among those not stopped.
        decisions: By treatment, in declared order.
        looks: Looks taken before this one.
        best: By arm: probability to be the best on the primary metric, in a Bayesian plan; empty in others.
        factorial: Main effects and interactions of a factorial experiment; None in others.
        segments: Effects by segment, where the spec asks for them.
        impact: What each treatment's effect is worth, where the spec has a `business` section; empty in others.
    """

    schema_version: int
    experiment: str
    name: str
    kind: str
    hypothesis: str
    version: str
    spec_hash: str
    code_version: str
    unit: str
    as_of: str | None
    control: str
    primary: str
    looks: int
    error_control: str
    decision: Decision
    treatment: str
    decisions: dict[str, Decision]
    arms: tuple[ArmSummary, ...]
    plan: PlanStatus
    srm: SrmCheck
    comparisons: tuple[Comparison, ...]
    incremental: tuple[Incremental, ...]
    findings: tuple[Finding, ...]
    intake: Intake
    evidence_grade: EvidenceGrade | None = None
    best: dict[str, float] = field(default_factory=dict[str, float])
    factorial: FactorialResult | None = None
    segments: Segments | None = None
    impact: tuple[Impact, ...] = ()

    def to_json(self, *, indent: int = 2) -> str:
        """Strict, stable JSON: fields in declared order, infinite ends as null."""
        encoded = msgspec.json.encode(self)
        return msgspec.json.format(encoded, indent=indent).decode()

    def to_dict(self) -> dict[str, object]:
        """The JSON form as plain dictionaries and lists."""
        decoded: dict[str, object] = msgspec.json.decode(msgspec.json.encode(self))
        return decoded

    def to_frame(self) -> Any:
        """A pandas DataFrame with one row per metric and treatment."""
        return views().to_frame(self)

    def explain(self) -> str:
        """What the result says, in plain language, claiming only what the method allows."""
        return views().explain(self)

    def _repr_html_(self) -> str:
        return views().repr_html(self)

    def comparison(self, metric: str, treatment: str | None = None) -> Comparison:
        """The comparison of `metric` for `treatment` (default: the only one).

        Raises:
            UnknownNameError: No such metric or treatment.
        """
        wanted = treatment or next(iter(self.decisions))
        for comparison in self.comparisons:
            if comparison.metric == metric and comparison.treatment == wanted:
                return comparison
        known = list(dict.fromkeys(c.metric for c in self.comparisons))
        if metric in known:
            raise UnknownNameError.among("treatment", wanted, self.decisions)
        raise UnknownNameError.among("metric", metric, known)
