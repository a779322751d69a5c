"""The spec's own decision rule over many readings at once.

The evidence of every reading is gathered as arrays; the decision table itself is
`decisions.RULES`, asked by paths (`paths`), so that a changed row changes the simulation
too. A test holds this rule to `evaluate()` on the same arm statistics, case by case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.decisions import Policy
from fairtrial.decisions.guardrails import SEVERITY
from fairtrial.decisions.rules import RULES, STOPPED, Outcome
from fairtrial.diagnostics.allocation import MISMATCH
from fairtrial.evaluation.control import AnyLook
from fairtrial.evaluation.evidence import MIN_ARM_UNITS, policy_of
from fairtrial.metrics import Metric
from fairtrial.simulation.batch_compare import SMALLEST_LEVEL, ComparedReplicates, Test, compare_replicates, lift_method_of, planned_effects
from fairtrial.simulation.batch_guardrails import GuardrailStates, read_guardrails
from fairtrial.simulation.paths import Column, Flags, Intervals, Numbers, Words, by_paths
from fairtrial.simulation.planned import LookState, power_left
from fairtrial.simulation.replicates import Replicates
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import SEQUENTIAL
from fairtrial.stats.lift import lift_interval, relative_lift
from fairtrial.stats.result import Estimate, Interval, Unavailable

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Texts = NDArray[np.str_]

LONGEST_WORD = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What the rule says of every reading.

    Attributes:
        verdict: Verdicts, shape (runs, treatments); the empty text where there is none.
        reason: Stable codes of why, of the same shape.
        state: `valid`, `invalid` or `not_enough_data`, of the same shape.
        low: Lower end of the primary improvement's interval, NaN where there is none.
        effect: Primary effect, treatment - control, in the metric's unit; NaN where there is none.
        compared: The comparisons behind it.
    """

    verdict: Texts
    reason: Texts
    state: Texts
    low: Floats
    effect: Floats
    compared: ComparedReplicates

    @property
    def best(self) -> NDArray[np.intp]:
        """Place of the treatment that speaks for each experiment, shape (runs,)."""
        return best_treatments(self.reason, self.low)


def judge(spec: ExperimentSpec, metrics: Sequence[Metric], replicates: Replicates, look: LookState) -> Judged:
    """Judge every reading by the spec's own rule.

    Args:
        spec: The experiment.
        metrics: Those of its metrics that were simulated, as built; the primary one is among them.
        replicates: Arm statistics, as of this look.
        look: Where the look stands in the plan.

    Returns:
        Verdicts by treatment, each reading judged by itself; what earlier looks decided is for the caller.
    """
    compared = compare_replicates(spec, metrics, replicates, look.control)
    primary = compared.tests[spec.primary.key]
    guardrails = read_guardrails(
        {key: test for key, test in compared.tests.items() if test.metric.role == "guardrail"},
        alpha=spec.plan.alpha,
        lift_method=spec.plan.lift_method,
    )
    facts = evidence_columns(spec, replicates, compared, look, guardrails)
    shape = primary.p_value.shape
    texts = {name: np.empty(shape, dtype=f"<U{LONGEST_WORD}").ravel() for name in ("verdict", "reason", "state")}
    positive = (primary.contrast.control > 0).ravel()
    for policy, where in ((policy_of(spec, _POSITIVE), positive), (policy_of(spec, _UNKNOWN), ~positive)):
        chosen = np.flatnonzero(where)
        fields = {name: _some(column, chosen) for name, column in facts.items()}
        for rows, outcome in by_paths(fields, chosen.size, partial(_first_that_applies, policy=policy)):
            texts["verdict"][chosen[rows]] = outcome.verdict or ""
            texts["reason"][chosen[rows]] = outcome.reason
            texts["state"][chosen[rows]] = outcome.state
    interval = facts["interval"]
    low = interval.low if isinstance(interval, Intervals) else np.full(positive.shape, np.nan)
    return Judged(
        verdict=texts["verdict"].reshape(shape),
        reason=texts["reason"].reshape(shape),
        state=texts["state"].reshape(shape),
        low=low.reshape(shape),
        effect=np.where(np.isnan(primary.p_value), np.nan, primary.contrast.effect),
        compared=compared,
    )


def best_treatments(reason: Texts, low: Floats) -> NDArray[np.intp]:
    """Place of the treatment that speaks for each experiment: the best lower bound among those not stopped.

    Args:
        reason: Codes of why, shape (runs, treatments).
        low: Lower ends of the improvements' intervals, of the same shape; NaN where there is none.
    """
    stopped = np.isin(reason, sorted(STOPPED))
    barred = stopped & ~stopped.all(axis=1, keepdims=True)
    rank = np.where(np.isnan(low), -np.inf, low)
    known = np.where(np.isnan(low), 0, 1)
    # in order: in the running, a bound at all, the higher bound, the earlier treatment
    places: NDArray[np.intp] = np.arange(reason.shape[1], dtype=np.intp)
    order = np.lexsort((np.broadcast_to(-places, reason.shape), rank, known, ~barred), axis=1)
    return order[:, -1]


def _first_that_applies(evidence: Any, policy: Policy) -> Outcome:
    rule = next(rule for rule in RULES if rule.applies(evidence, policy))
    return rule.outcome(evidence)


def _some(column: object, chosen: NDArray[np.intp]) -> object:
    match column:
        case Numbers(values=values):
            return Numbers(values=values[chosen])
        case Flags(values=values):
            return Flags(values=values[chosen])
        case Intervals(low=low, high=high):
            return Intervals(low=low[chosen], high=high[chosen])
        case Words(codes=codes, words=words):
            return Words(codes=codes[chosen], words=words)
        case _:
            return column


def evidence_columns(
    spec: ExperimentSpec, replicates: Replicates, compared: ComparedReplicates, look: LookState, guardrails: dict[str, GuardrailStates]
) -> dict[str, object]:
    """The fields of `decisions.Evidence` as columns over (runs x treatments), run by run.

    Args:
        spec: The experiment.
        replicates: Arm statistics.
        compared: Their comparisons.
        look: Where the look stands.
        guardrails: States of the guardrails, by metric key.
    """
    primary = compared.tests[spec.primary.key]
    shape, contrast = primary.p_value.shape, primary.contrast
    known = ~np.isnan(primary.p_value) & ~contrast.undefined
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    low, high = _turned(*primary.control.interval(contrast, alpha=compared.levels, alternative=primary.alternative), sign)
    level = primary.control.nominal(contrast, alpha=compared.levels, alternative=primary.alternative)
    bounds = lift_interval(
        contrast,
        alpha=np.where(known, np.maximum(level, SMALLEST_LEVEL), np.nan),
        alternative=primary.alternative,
        method=lift_method_of(spec.plan.lift_method, contrast),
    )
    lifted = known & bounds.defined & (contrast.control > 0)
    lift_low, lift_high = _turned(np.where(lifted, bounds.low, np.nan), np.where(lifted, bounds.high, np.nan), sign)
    significant = known & (compared.adjusted[spec.primary.key] < spec.plan.alpha)
    power = power_left(spec, primary, look)
    units = replicates.units
    enough = np.minimum(units[:, :1], units[:, 1:]) >= MIN_ARM_UNITS
    return {
        "invalid": _flags(_mismatch(spec, units)[:, None], shape),
        "insufficient": Words(codes=(enough & known).astype(np.intp).ravel(), words=("too little data", None)),
        "effect": _numbers(sign * contrast.effect, known),
        "interval": _intervals(low, high, known),
        "lift": _numbers(sign * relative_lift(contrast), known & (contrast.control > 0)),
        "lift_interval": _intervals(lift_low, lift_high, lifted),
        "significant": _flags(significant, shape),
        "harm_interval": _harm_interval(spec, primary, look, _intervals(low, high, known), significant),
        **_on_guardrails(guardrails, shape),
        "planned": look.planned,
        "plan_complete": look.complete,
        "fixed_horizon": spec.plan.method not in SEQUENTIAL,
        "looks_left": look.looks_left(spec),
        "conditional_power": None if power is None else _numbers(power, known),
        "min_days_met": look.min_days_met or look.max_days_reached,
        "max_days_reached": look.max_days_reached,
        "live": look.live,
    }


def _on_guardrails(guardrails: dict[str, GuardrailStates], shape: tuple[int, ...]) -> dict[str, object]:
    if not guardrails:
        return {"guardrails": None, "guardrails_non_inferior": True, "guardrail_reasons": ()}
    codes = np.max(np.stack([states.codes for states in guardrails.values()]), axis=0)
    safe = np.all(np.stack([states.non_inferior for states in guardrails.values()]), axis=0)
    return {
        "guardrails": Words(codes=codes.ravel(), words=SEVERITY),
        "guardrails_non_inferior": _flags(safe, shape),
        "guardrail_reasons": (),
    }


def _harm_interval(spec: ExperimentSpec, primary: Test, look: LookState, in_force: Intervals, significant: Booleans) -> Column:
    """What harm is read from: the always-valid interval where the plan watches for it, else the one in force where its p-value backs it."""
    watching = spec.plan.method == "hybrid" or (spec.plan.method == "fixed" and not look.complete)
    if not watching:
        backed = significant.ravel() | (spec.plan.objective == "non_inferiority")
        return Intervals(low=np.where(backed, in_force.low, np.nan), high=in_force.high)
    contrast = primary.contrast
    shared = np.full(contrast.effect.shape, spec.plan.alpha / contrast.effect.shape[1])
    watch = AnyLook(effects=planned_effects(spec, spec.primary, contrast))
    low, high = watch.interval(contrast, alpha=shared, alternative="two-sided")
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    known = ~np.isnan(in_force.low).reshape(low.shape)
    return _intervals(*_turned(low, high, sign), known)


def _mismatch(spec: ExperimentSpec, units: Floats) -> Booleans:
    """Whether the arms' sizes contradict their planned shares, shape (runs,)."""
    shares, no = spec.shares, units[:, 0] < 0.0
    if shares is None:
        return no
    planned = np.array([shares[arm] for arm in (spec.control, *spec.treatments)], dtype=np.float64)
    counts, weights = units[:, planned > 0], planned[planned > 0]
    if weights.size < 2:
        return no
    expected = counts.sum(axis=1, keepdims=True) * weights / weights.sum()
    chi_square = np.sum(np.square(counts - expected) / np.maximum(expected, 1e-300), axis=1)
    p_value = np.asarray(special.chdtrc(weights.size - 1, chi_square), dtype=np.float64)
    return p_value < MISMATCH


def _turned(low: Floats, high: Floats, sign: float) -> tuple[Floats, Floats]:
    """The interval of the improvement: mirrored when lower is better."""
    return (low, high) if sign > 0 else (-high, -low)


def _numbers(values: Floats, known: Booleans) -> Numbers:
    return Numbers(values=np.where(known, values, np.nan).ravel())


def _intervals(low: Floats, high: Floats, known: Booleans) -> Intervals:
    return Intervals(low=np.where(known, low, np.nan).ravel(), high=np.where(known, high, np.nan).ravel())


def _flags(values: Booleans, shape: tuple[int, ...]) -> Flags:
    return Flags(values=np.broadcast_to(values, shape).ravel())


_UNKNOWN = Unavailable(code="unknown", reason="Not known.")
_POSITIVE = Estimate(
    effect=0.0,
    interval=Interval(low=0.0, high=0.0),
    p_value=1.0,
    std_error=None,
    statistic=None,
    df=None,
    control=1.0,
    treatment=1.0,
    n_control=1,
    n_treatment=1,
    alpha=0.05,
    alternative="two-sided",
    method="",
    interval_method="",
)
"""Stands for any reading whose control is positive: all that a policy asks of an estimate."""
