"""Operating characteristics: how often a spec's own rule gives each verdict, against the true effect.

Many imagined experiments run through the design: arm statistics are drawn look by look
(`draws`), every look is judged by the spec's rule (`rule`), and an experiment ends at the
first look that decides. All true effects are met with the same random numbers, so that
the curves are smooth and differences between them are sharper than each alone.

The first treatment has the true effect asked for, further ones have none. A verdict to
launch is STRONG_LAUNCH, LAUNCH or CONSIDER_LAUNCH, of a treatment. It is a false launch
when that treatment's true effect is no improvement (under non-inferiority: lies at the
margin or beyond); a missed win is an experiment with a true effect worth having - the planned
MDE or more - that launches no such treatment. The exaggeration of launched
effects is |estimate| / |truth| and a sign error is an estimate on the other side of 0
(Gelman & Carlin 2014, Perspectives on Psychological Science 9, 641-651).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fairtrial.decisions import Verdict
from fairtrial.errors import UsageError
from fairtrial.evaluation.looks import CROSSED
from fairtrial.simulation.draws import draw_block
from fairtrial.simulation.looks import SimulatedLook
from fairtrial.simulation.monte_carlo import Measured, mean_of, share_of
from fairtrial.simulation.planned import look_state
from fairtrial.simulation.replicates import Replicates
from fairtrial.simulation.rule import Judged, best_treatments, judge
from fairtrial.simulation.world import World, known_metric
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import SEQUENTIAL
from fairtrial.stats.batch import BatchMoments

Floats = NDArray[np.float64]

LAUNCHES = ("STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH")
OUTCOMES: tuple[str, ...] = (*get_args(Verdict), "UNDECIDED")
"""Verdicts with which an experiment may end; undecided is no verdict at the last look."""

CHUNK = 5_000
"""Experiments drawn at a time: enough to be fast, few enough for memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """What the rule does at one true effect.

    Attributes:
        effect: True improvement of the first treatment, on the scale of the plan's MDE.
        absolute: The same as treatment - control in the primary metric's unit.
        runs: Experiments simulated.
        verdicts: Share of experiments by verdict of the treatment that speaks for them; all of `OUTCOMES`, summing to 1.
        launch: Share of experiments that launch a treatment.
        false_launch: Share that launch a treatment which is no improvement.
        missed_win: Share that fail to launch the treatment whose effect is worth having; None where it is not.
        units: Units at the look that ended the experiment.
        days: Days at that look; None where nothing says how fast units come.
        looks: Looks taken.
        exaggeration: Mean |estimate| / |truth| of launched effects; None without a true effect or a launch.
        sign_error: Share of launched effects whose estimate has the wrong sign; None likewise.
        significant: By metric key: share of experiments in which it was significant for the first treatment when they
            ended; in a Bayesian plan, in which its credible interval excluded no effect.
    """

    effect: float
    absolute: float
    runs: int
    verdicts: Mapping[str, Measured]
    launch: Measured
    false_launch: Measured
    missed_win: Measured | None
    units: Measured
    days: Measured | None
    looks: Measured
    exaggeration: Measured | None
    sign_error: Measured | None
    significant: Mapping[str, Measured]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingCharacteristics:
    """How a spec's rule behaves over true effects.

    Attributes:
        experiment: Key of the experiment.
        spec_hash: Of its design.
        method: The plan's.
        scale: Scale of the effects: `relative` to the baseline, or `absolute` in the primary metric's unit.
        worth_having: Smallest improvement that counts as a win, on that scale; None without an MDE.
        planned_units: Units at the last look.
        looks: Units at every look.
        rows: One a true effect, increasing.
        assumptions: What the numbers rest on, in sentences.
    """

    experiment: str
    spec_hash: str
    method: str
    scale: str
    worth_having: float | None
    planned_units: int
    looks: tuple[int, ...]
    rows: tuple[EffectRow, ...]
    assumptions: tuple[str, ...] = field(default=())

    @property
    def false_launch_rate(self) -> Measured | None:
        """The largest false-launch rate over the effects that are no improvement; None where none was asked for."""
        worst = [row.false_launch for row in self.rows if row.effect <= 0.0]
        return max(worst, key=lambda rate: rate.value) if worst else None

    @property
    def missed_win_rate(self) -> Measured | None:
        """Missed wins at the smallest effect worth having that was asked for."""
        return next((row.missed_win for row in self.rows if row.missed_win is not None), None)


def default_effects(spec: ExperimentSpec) -> tuple[float, ...]:
    """True effects to ask for: multiples of the MDE from a harm to twice the effect planned for.

    Raises:
        UsageError: The plan names neither an MDE nor a margin.
    """
    if spec.plan.objective == "non_inferiority" and spec.primary.margin:
        return tuple(_rounded(spec.primary.margin * times) for times in (-1.5, -1.0, -0.5, 0.0, 0.5))
    if spec.plan.mde is None:
        raise UsageError("Without an MDE in the plan the true effects must be named.", hint="Pass --effect, or declare plan.mde.")
    return tuple(_rounded(spec.plan.mde * times) for times in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0))


def _rounded(effect: float) -> float:
    """A multiple as a person would write it."""
    return float(f"{effect:.12g}")


def operating_characteristics(
    spec: ExperimentSpec,
    world: World,
    looks: Sequence[SimulatedLook],
    *,
    effects: Sequence[float],
    others: Mapping[str, float] | None = None,
    runs: int,
    rng: np.random.Generator,
) -> OperatingCharacteristics:
    """Simulate the spec's rule at every true effect.

    Args:
        spec: The experiment.
        world: Laws of its metrics.
        looks: When it is looked at.
        effects: True improvements of the first treatment, on the scale of the plan's MDE (positive is better
            whatever the metric's direction).
        others: By key of another metric: its true effect in the first treatment, treatment - control in the
            metric's unit. The others do not move.
        runs: Experiments a true effect, >= 1.
        rng: Source of randomness; two equal ones give the same result.

    Raises:
        UsageError: An argument breaks its rule, or an effect takes a rate out of [0, 1].
        UnknownNameError: `others` names a metric that is not simulated.
    """
    if runs < 1 or not effects or not np.isfinite(np.asarray(effects, dtype=np.float64)).all():
        raise UsageError(f"A simulation needs a run and a finite effect at least, got {runs} runs and effects {list(effects)}.")
    if spec.kind not in {"ab_test", "holdout", "factorial"}:
        raise UsageError(f"Operating characteristics are simulated of randomised experiments, this is of kind {spec.kind!r}.")
    seed = int(rng.integers(2**63))
    rows = [_at_effect(spec, world, looks, effect, dict(others or {}), runs, seed) for effect in sorted(set(effects))]
    return OperatingCharacteristics(
        experiment=spec.key,
        spec_hash=spec.spec_hash,
        method=spec.plan.method,
        scale=effect_scale(spec),
        worth_having=_worth_having(spec),
        planned_units=looks[-1].total,
        looks=tuple(look.total for look in looks),
        rows=tuple(rows),
        assumptions=_assumptions(spec, world, looks),
    )


def effect_scale(spec: ExperimentSpec) -> str:
    """Scale of the true effects: that of the MDE, or of the margin."""
    return "absolute" if spec.plan.objective == "non_inferiority" else spec.plan.mde_kind


def absolute_effect(spec: ExperimentSpec, world: World, effect: float) -> float:
    """An improvement as treatment - control in the primary metric's unit."""
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    size = effect if effect_scale(spec) == "absolute" else effect * abs(known_metric(world, spec.primary.key).value)
    return sign * size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """Decisions in force, shape (experiments, treatments), and whether a complete plan made them, shape (experiments, 1)."""

    verdict: NDArray[np.str_]
    reason: NDArray[np.str_]
    state: NDArray[np.str_]
    complete: NDArray[np.bool_]

    def some(self, chosen: NDArray[np.bool_]) -> _Decided:
        """Some of the experiments."""
        return _Decided(verdict=self.verdict[chosen], reason=self.reason[chosen], state=self.state[chosen], complete=self.complete[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """How experiments ended, an entry each, as of the look that decided.

    Attributes:
        verdict: Verdict of the treatment that speaks for the experiment.
        treatment: Its place among the treatments.
        look: Place of the look.
        estimate: The primary effect of that treatment, treatment - control; NaN where there is none.
        significant: By metric key: whether the first treatment differed significantly on it.
    """

    verdict: NDArray[np.str_]
    treatment: NDArray[np.intp]
    look: NDArray[np.intp]
    estimate: Floats
    significant: Mapping[str, NDArray[np.bool_]]


def _at_effect(
    spec: ExperimentSpec, world: World, looks: Sequence[SimulatedLook], effect: float, others: Mapping[str, float], runs: int, seed: int
) -> EffectRow:
    absolute = absolute_effect(spec, world, effect)
    sizes = {**others, spec.primary.key: absolute}
    shifts = {key: _on_first_treatment(size, len(spec.arms)) for key, size in sizes.items() if known_metric(world, key)}
    rng = np.random.default_rng(seed)
    ended = [_run(spec, world, looks, shifts, min(CHUNK, runs - start), rng) for start in range(0, runs, CHUNK)]
    return _summary(spec, looks, effect, absolute, _joined(ended))


def _on_first_treatment(size: float, arms: int) -> Floats:
    shift = np.zeros(arms)
    shift[1] = size
    return shift


def _run(
    spec: ExperimentSpec, world: World, looks: Sequence[SimulatedLook], shifts: Mapping[str, Floats], runs: int, rng: np.random.Generator
) -> _Ended:
    """Experiments look by look, each until it decides."""
    metrics = [law.metric for law in world.laws.values()]
    found = _nothing_yet(runs, len(looks), list(world.laws))
    going, seen, before = np.arange(runs), None, (0,) * len(spec.arms)
    kept: _Decided | None = None
    for place, look in enumerate(looks):
        new = tuple(now - then for now, then in zip(look.units, before, strict=True))
        if min(new) < 1:
            continue  # no new units in some arm: nothing to look at that the last look did not show
        block = draw_block(world, new, shifts, runs=runs, rng=rng)
        seen, before = block if seen is None else seen + block, look.units
        judged = judge(spec, metrics, _rows(seen, going), look_state(spec, looks, place))
        kept = _standing(spec, kept, judged)
        best = best_treatments(kept.reason, judged.low)
        at = np.arange(going.size), best
        verdict = kept.verdict[at]
        last = place == len(looks) - 1
        over = (verdict != "EXTEND_TEST") & (verdict != "")
        ending = over | last
        rows = going[ending]
        found.verdict[rows] = np.where(over, verdict, "UNDECIDED")[ending]
        found.treatment[rows], found.look[rows] = best[ending], place
        found.estimate[rows] = judged.effect[at][ending]
        for key in judged.compared.tests:
            found.significant[key][rows] = judged.compared.significant(key)[ending, 0]
        going, kept = going[~ending], kept.some(~ending)
        if not going.size:
            break
    return found


def _nothing_yet(runs: int, looks: int, keys: Sequence[str]) -> _Ended:
    return _Ended(
        verdict=np.full(runs, "UNDECIDED", dtype="<U24"),
        treatment=np.zeros(runs, dtype=np.intp),
        look=np.full(runs, looks - 1),
        estimate=np.full(runs, np.nan),
        significant={key: np.zeros(runs, dtype=np.bool_) for key in keys},
    )


def _joined(parts: Sequence[_Ended]) -> _Ended:
    return _Ended(
        verdict=np.concatenate([part.verdict for part in parts]),
        treatment=np.concatenate([part.treatment for part in parts]),
        look=np.concatenate([part.look for part in parts]),
        estimate=np.concatenate([part.estimate for part in parts]),
        significant={key: np.concatenate([part.significant[key] for part in parts]) for key in parts[0].significant},
    )


def _rows(replicates: Replicates, chosen: NDArray[np.intp]) -> Replicates:
    if chosen.size == replicates.units.shape[0]:
        return replicates
    moments = {
        key: BatchMoments(n=batch.n[chosen], mean=batch.mean[chosen], cross=batch.cross[chosen], present=batch.present)
        for key, batch in replicates.moments.items()
    }
    return Replicates(units=replicates.units[chosen], moments=moments)


def _standing(spec: ExperimentSpec, kept: _Decided | None, now: Judged) -> _Decided:
    """Verdicts that stand: of a boundary crossed at an earlier look of a sequential plan, or of a Bayesian plan's first complete look."""
    decided = _Decided(verdict=now.verdict, reason=now.reason, state=now.state, complete=now.complete[:, None])
    if kept is None or spec.plan.method == "fixed":
        return decided
    earlier = kept.complete
    if spec.plan.method in SEQUENTIAL:
        earlier = np.isin(kept.reason, sorted(CROSSED)) & (kept.state == "valid")
    stands = earlier & (now.state != "invalid")
    return _Decided(
        verdict=np.where(stands, kept.verdict, now.verdict),
        reason=np.where(stands, kept.reason, now.reason),
        state=np.where(stands, kept.state, now.state),
        complete=decided.complete | kept.complete,
    )


def _summary(spec: ExperimentSpec, looks: Sequence[SimulatedLook], effect: float, absolute: float, ended: _Ended) -> EffectRow:
    launched = np.isin(ended.verdict, LAUNCHES)
    first = ended.treatment == 0
    worth = _worth_having(spec)
    units = np.array([look.total for look in looks], dtype=np.float64)[ended.look]
    days = None if any(look.days is None for look in looks) else np.array([look.days or 0.0 for look in looks])[ended.look]
    real = launched & first & np.isfinite(ended.estimate)
    estimates = ended.estimate[real] if absolute != 0.0 else np.empty(0)
    return EffectRow(
        effect=effect,
        absolute=absolute,
        runs=ended.verdict.size,
        verdicts={verdict: share_of(ended.verdict == verdict) for verdict in OUTCOMES},
        launch=share_of(launched),
        false_launch=share_of(launched & ~first if _is_improvement(spec, effect) else launched),
        missed_win=share_of(~(launched & first)) if worth is not None and effect >= worth * (1.0 - 1e-9) else None,
        units=mean_of(units),
        days=None if days is None else mean_of(days),
        looks=mean_of(ended.look.astype(np.float64) + 1.0),
        exaggeration=mean_of(np.abs(estimates) / abs(absolute)) if estimates.size else None,
        sign_error=share_of(estimates * absolute < 0.0) if estimates.size else None,
        significant={key: share_of(answers) for key, answers in ended.significant.items()},
    )


def _is_improvement(spec: ExperimentSpec, effect: float) -> bool:
    """Whether to launch this true effect is right: above 0, or above minus the margin."""
    if spec.plan.objective == "non_inferiority":
        return effect > -(spec.primary.margin or 0.0)
    return effect > 0.0


def _worth_having(spec: ExperimentSpec) -> float | None:
    """Smallest improvement whose miss counts: the MDE; under non-inferiority no difference."""
    return 0.0 if spec.plan.objective == "non_inferiority" else spec.plan.mde


def _assumptions(spec: ExperimentSpec, world: World, looks: Sequence[SimulatedLook]) -> tuple[str, ...]:
    said = [f"Units behave as {world.source} says: {', '.join(f'{key} {law.value:.6g}' for key, law in world.laws.items())}."]
    said += [f"{why} The rule ran without this {spec.metric(key).role} metric." for key, why in world.left_out.items()]
    if len(spec.treatments) > 1:
        said.append(f"Only the treatment {spec.treatments[0]!r} has the true effect; the others have none.")
    said += _of_beliefs(spec, len(looks))
    said.append("Arms hold exactly their planned shares, and every unit's outcome is known at the look.")
    if looks[-1].days is None:
        said.append("Nothing says how fast units come, so days are not known.")
    return tuple(said)


def _of_beliefs(spec: ExperimentSpec, looks: int) -> list[str]:
    """What must be said of a Bayesian plan: whose promise these rates are not, and which looks they belong to."""
    plan = spec.plan
    if plan.method != "bayesian":
        return []
    said = ["A Bayesian plan controls no error rate: the rates are those measured at these true effects, and no promise."]
    if plan.bayesian.stop_loss is not None:
        often = f"at one of {looks} looks" if looks > 1 else "at the only look"
        said.append(
            f"It stops {often} once the expected loss is below {plan.bayesian.stop_loss:g} of the control's value; "
            "more looks are more chances to stop on luck."
        )
    return said
