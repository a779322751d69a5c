"""The spec's own decision rule over many readings at once.

The evidence of every reading is gathered as arrays; the decision table itself is
`decisions.rules.read_table`, asked by paths (`paths`), so that a changed row changes the simulation
too. A test holds this rule to `evaluate()` on the same arm statistics, case by case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.decisions import Policy
from fairtrial.decisions.guardrails import SEVERITY
from fairtrial.decisions.rules import STOPPED, Outcome, read_table
from fairtrial.diagnostics.allocation import MISMATCH
from fairtrial.evaluation.evidence import MIN_ARM_UNITS
from fairtrial.evaluation.sequence import any_look
from fairtrial.metrics import Metric
from fairtrial.simulation.batch_beliefs import Beliefs, loss_is_small
from fairtrial.simulation.batch_compare import ComparedReplicates, Test, compare_replicates, lift_method_of, planned_effects
from fairtrial.simulation.batch_guardrails import GuardrailStates, read_guardrails
from fairtrial.simulation.lines import policies_of
from fairtrial.simulation.paths import Column, Flags, Intervals, Numbers, Words, by_paths
from fairtrial.simulation.planned import LookState, gave_up, power_left
from fairtrial.simulation.replicates import Replicates
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import SEQUENTIAL
from fairtrial.stats.lift import relative_lift

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
        effect: Primary effect as a scorecard shows it, treatment - control, in the metric's unit (in a Bayesian
            plan the posterior mean); NaN where there is none.
        complete: Whether the plan is complete: by its size or longest run, or by a rule that stops on expected loss.
        compared: The comparisons behind it.
    """

    verdict: Texts
    reason: Texts
    state: Texts
    low: Floats
    effect: Floats
    complete: Booleans
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
    for policy, where in zip(policies_of(spec), (positive, ~positive), strict=True):
        chosen = np.flatnonzero(where)
        fields = {name: _some(column, chosen) for name, column in facts.items()}
        for rows, outcome in by_paths(fields, chosen.size, partial(_first_that_applies, policy=policy)):
            texts["verdict"][chosen[rows]] = outcome.verdict or ""
            texts["reason"][chosen[rows]] = outcome.reason
            texts["state"][chosen[rows]] = outcome.state
    interval = facts["interval"]
    low = interval.low if isinstance(interval, Intervals) else np.full(positive.shape, np.nan)
    believed = compared.beliefs.get(spec.primary.key)
    return Judged(
        verdict=texts["verdict"].reshape(shape),
        reason=texts["reason"].reshape(shape),
        state=texts["state"].reshape(shape),
        low=low.reshape(shape),
        effect=np.where(np.isnan(primary.p_value), np.nan, primary.contrast.effect) if believed is None else believed.effect,
        complete=complete_plans(spec, compared, look),
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
    return read_table(evidence, policy)[1]


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
    shape, believed = primary.p_value.shape, compared.beliefs.get(spec.primary.key)
    known = ~np.isnan(primary.p_value) & ~primary.contrast.undefined if believed is None else believed.known
    significant = known & compared.significant(spec.primary.key)
    measured = _of_test(spec, primary, compared, known) if believed is None else _of_belief(spec, believed)
    power, below = power_left(spec, primary, look), gave_up(spec, primary, look)
    units = replicates.units
    enough = np.minimum(units[:, :1], units[:, 1:]) >= MIN_ARM_UNITS
    return {
        **measured,
        "invalid": _flags(_mismatch(spec, units)[:, None], shape),
        "insufficient": Words(codes=(enough & known).astype(np.intp).ravel(), words=("too little data", None)),
        "significant": _flags(significant, shape),
        "harm_interval": _harm_interval(spec, primary, look, measured["interval"], significant),
        **_on_guardrails(guardrails, shape),
        "planned": look.planned,
        "plan_complete": _flags(complete_plans(spec, compared, look)[:, None], shape),
        "fixed_horizon": spec.plan.method not in SEQUENTIAL,
        "looks_left": look.looks_left(spec),
        "conditional_power": None if power is None else _numbers(power, known),
        "min_days_met": look.min_days_met or look.max_days_reached,
        "max_days_reached": look.max_days_reached,
        "live": look.live,
        "gave_up": None if below is None else _flags(below & known & enough, shape),
        "error_controlled": spec.plan.method != "bayesian",
    }


def complete_plans(spec: ExperimentSpec, compared: ComparedReplicates, look: LookState) -> Booleans:
    """Where the plan is complete at this look, shape (runs,): by its size, its longest run, or its stopping rule.

    Args:
        spec: The experiment.
        compared: Comparisons of the readings.
        look: Where the look stands.
    """
    primary = compared.tests[spec.primary.key]
    believed = compared.beliefs.get(spec.primary.key)
    done = np.full(primary.p_value.shape[0], look.complete)
    if believed is None or look.complete or not look.min_days_met:
        return done
    return loss_is_small(spec, believed, primary.contrast)


class _Measured(TypedDict):
    """The fields of `Evidence` that say how large the improvement is."""

    effect: Numbers
    interval: Intervals
    lift: Numbers
    lift_interval: Intervals


def _of_test(spec: ExperimentSpec, primary: Test, compared: ComparedReplicates, known: Booleans) -> _Measured:
    """Of a plan that tests: estimates and their corrected intervals."""
    contrast, sign = primary.contrast, _sign(spec)
    low, high = _turned(*primary.control.interval(contrast, alpha=compared.levels, alternative=primary.alternative), sign)
    method = lift_method_of(spec.plan.lift_method, contrast)
    bounds = primary.control.lift(contrast, alpha=np.where(known, compared.levels, np.nan), alternative=primary.alternative, method=method)
    lifted = known & bounds.defined & (contrast.control > 0)
    lift_low, lift_high = _turned(np.where(lifted, bounds.low, np.nan), np.where(lifted, bounds.high, np.nan), sign)
    return _Measured(
        effect=_numbers(sign * contrast.effect, known),
        interval=_intervals(low, high, known),
        lift=_numbers(sign * relative_lift(contrast), known & (contrast.control > 0)),
        lift_interval=_intervals(lift_low, lift_high, lifted),
    )


def _of_belief(spec: ExperimentSpec, believed: Beliefs) -> _Measured:
    """Of a Bayesian plan: posterior means (of the lift, medians) and credible intervals."""
    sign, lifted = _sign(spec), ~np.isnan(believed.lift)
    low, high = _turned(believed.low, believed.high, sign)
    lift_low, lift_high = _turned(believed.lift_low, believed.lift_high, sign)
    return _Measured(
        effect=_numbers(sign * believed.effect, believed.known),
        interval=_intervals(low, high, believed.known),
        lift=_numbers(sign * believed.lift, lifted),
        lift_interval=_intervals(lift_low, lift_high, lifted),
    )


def _sign(spec: ExperimentSpec) -> float:
    return 1.0 if spec.primary.direction == "increase" else -1.0


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
    watched = [(spec.primary, treatment) for treatment in spec.treatments]
    watch = any_look(spec, watched, planned_effects(spec, spec.primary, contrast))
    low, high = watch.interval(contrast, alpha=shared, alternative="two-sided")
    known = ~np.isnan(in_force.low).reshape(low.shape)
    return _intervals(*_turned(low, high, _sign(spec)), known)


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
