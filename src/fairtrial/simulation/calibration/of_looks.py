"""Studies of what looking often does: to tests of one look, to planned looks, to any look.

In each experiment the data grow from look to look; it errs when any look rejects a true
null hypothesis, and its intervals cover when they hold the truth at every look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.evaluation.control import AnyLook
from fairtrial.metrics import ArmContrast
from fairtrial.simulation.calibration.samples import ALPHA, MOMENTS, POWERED, Shape, few_spend, normal, skewed
from fairtrial.simulation.calibration.study import Case, Simulated, Study, joined
from fairtrial.simulation.replicates import simple_moments
from fairtrial.spec.plan import Spending
from fairtrial.stats.batch import BatchMoments
from fairtrial.stats.bayes.stopping import LossRule, simulate_loss_stopping
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries
from fairtrial.stats.sequential.confidence_sequences import Mixture, always_valid_difference, always_valid_lift

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Reader = Callable[[ArmContrast, float], tuple[Booleans, Booleans]]
"""From contrasts (runs, looks) and the true effect: whether each look rejects 0, and whether its interval holds the truth."""

CHUNK = 3_000_000
RATE = 0.05
"""Of outcomes of 0 or 1, in the control."""


def look_studies() -> tuple[Study, ...]:
    """Studies of peeking at a fixed test, of group-sequential boundaries, and of always-valid inference."""
    once = "It rejects a true null hypothesis with probability alpha at ONE look, decided beforehand."
    planned = (
        "Over all planned looks together it rejects a true null hypothesis with probability alpha; repeated intervals cover at all of them."
    )
    any_look = (
        "However often one looks, it rejects a true null hypothesis with probability alpha at most, "
        "and its intervals cover at all looks at once."
    )
    peeks = tuple(_case(design, _fixed(design)) for design in (_rates(1), _rates(2), _rates(5), _rates(20), _means(normal, 14, 500)))
    return (
        Study(
            method="peeking",
            title="Peeking at a test of one look",
            promise=once,
            cases=peeks,
            note="Nothing is wrong with the test: it is asked more often than it was made for.",
        ),
        _group("group_sequential_obf", "Group-sequential looks, O'Brien-Fleming spending", "lan-demets-obrien-fleming", planned),
        _group("group_sequential_pocock", "Group-sequential looks, Pocock spending", "lan-demets-pocock", planned),
        _always("msprt", "Always-valid test (normal mixture)", any_look, _mixture),
        _always("confidence_sequence", "Asymptotic confidence sequence", any_look, _sequence),
        _always("lift_sequence", "Asymptotic confidence sequence of a relative lift", any_look, _lifts),
        _expected_loss(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growing:
    """Two arms that grow from look to look; without a shape outcomes are 0 or 1 with rate 5%."""

    name: str
    words: str
    shape: Shape | None
    units: tuple[int, ...]

    @property
    def fractions(self) -> tuple[float, ...]:
        return tuple(n / self.units[-1] for n in self.units)

    @property
    def effect(self) -> float:
        """Seen at the last look, and there alone, with power 80%."""
        shape = self.shape
        sd = float(np.sqrt(RATE * (1.0 - RATE))) if shape is None else MOMENTS[shape][1]
        return POWERED * sd * float(np.sqrt(2.0 / max(self.units)))

    def contrasts(self, runs: int, rng: np.random.Generator, effect: float) -> ArmContrast:
        """Treatment against control at every look, shape (runs, looks)."""
        if self.shape is None:
            new = np.diff((0, *self.units))
            control, treatment = (np.cumsum(rng.binomial(new, rate, (runs, new.size)), axis=1) for rate in (RATE, RATE + effect))
            n = np.broadcast_to(np.array(self.units, dtype=np.float64), control.shape)
            return ProportionContrast(
                successes_control=control.astype(np.float64),
                n_control=n,
                successes_treatment=treatment.astype(np.float64),
                n_treatment=n,
            )
        return linear_contrast(self._moments(runs, rng, 0.0), self._moments(runs, rng, effect))

    def _moments(self, runs: int, rng: np.random.Generator, effect: float) -> BatchMoments:
        draw = normal if self.shape is None else self.shape
        values = draw(rng, (runs, self.units[-1])) + effect
        n = np.array(self.units, dtype=np.float64)
        places = np.array(self.units) - 1
        mean = np.cumsum(values, axis=1)[:, places] / n
        m2 = np.maximum(np.cumsum(values * values, axis=1)[:, places] - n * mean * mean, 0.0)
        return simple_moments(np.broadcast_to(n, mean.shape), mean, m2)


def _rates(looks: int, first: int | None = None) -> _Growing:
    units = tuple(int(4000 * (k + 1) / looks) for k in range(looks))
    if first is not None:
        units = (first, *(n for n in units if n > first))
    plural = "s" if len(units) > 1 else ""
    words = f"rate 5%, {len(units)} look{plural} up to 4,000 units an arm, the first at {min(units):,}"
    return _Growing(name=f"5%, {len(units)} look{plural}", words=words, shape=None, units=units)


def _means(shape: Shape, looks: int, last: int) -> _Growing:
    units = tuple(max(2, round(last * (k + 1) / looks)) for k in range(looks))
    kind = "normal" if shape is normal else "skewed" if shape is skewed else "rare"
    words = f"{kind} outcomes, {looks} looks up to {last:,} units an arm, the first at {units[0]}"
    return _Growing(name=f"{kind} {last}, {looks} looks", words=words, shape=shape, units=units)


def _case(growing: _Growing, read: Reader) -> Case:
    def simulate(runs: int, rng: np.random.Generator) -> Simulated:
        step = max(1, CHUNK // (len(growing.units) if growing.shape is None else growing.units[-1]))
        return joined([_one(growing, read, min(step, runs - start), rng) for start in range(0, runs, step)])

    return Case(name=growing.name, words=growing.words, simulate=simulate)


def _one(growing: _Growing, read: Reader, runs: int, rng: np.random.Generator) -> Simulated:
    with np.errstate(all="ignore"):
        wrong, _ = read(growing.contrasts(runs, rng, 0.0), 0.0)
        right, inside = read(growing.contrasts(runs, rng, growing.effect), growing.effect)
    return Simulated(
        rejected_null=np.asarray(wrong.any(axis=1)), covered=np.asarray(inside.all(axis=1)), rejected_effect=np.asarray(right.any(axis=1))
    )


def _at_levels(levels: Floats) -> Reader:
    """A test of one look at a level of its own at every look, with the interval that belongs to it."""

    def read(contrast: ArmContrast, truth: float) -> tuple[Booleans, Booleans]:
        rejects = np.nan_to_num(contrast.p_value(), nan=1.0) < levels
        # the interval leaves the truth out exactly when the test of that truth rejects
        return rejects, ~(np.nan_to_num(contrast.p_value(margin=truth), nan=1.0) < levels)

    return read


def _fixed(growing: _Growing) -> Reader:
    return _at_levels(np.full(len(growing.units), ALPHA))


def _group(method: str, title: str, spending: Spending, promise: str) -> Study:
    def case(growing: _Growing) -> Case:
        design = GroupSequentialDesign(alpha=ALPHA, sides=2, spending=spending, information_fractions=growing.fractions)
        return _case(growing, _at_levels(np.asarray(actual_boundaries(design, growing.fractions, final=True).nominal_p)))

    return Study(
        method=method,
        title=title,
        promise=promise,
        cases=(
            case(_rates(2)),
            case(_rates(5)),
            case(_rates(20)),
            case(_rates(5, first=100)),
            case(_means(normal, 5, 50)),
            case(_means(skewed, 5, 500)),
            case(_means(few_spend, 5, 500)),
        ),
    )


def _always(method: str, title: str, promise: str, of: Callable[[_Growing], Reader]) -> Study:
    grid = (
        _rates(5),
        _rates(20),
        _rates(100),
        _rates(5, first=100),
        _means(normal, 25, 50),
        _means(normal, 50, 1000),
        _means(skewed, 50, 500),
        _means(few_spend, 50, 500),
    )
    return Study(
        method=method,
        title=title,
        promise=promise,
        cases=tuple(_case(growing, of(growing)) for growing in grid),
        note=(
            "It is tuned to the effect of each case. Fewer rejections than alpha are part of the bargain: "
            "looks that were never taken are paid for."
        ),
    )


def _mixture(growing: _Growing) -> Reader:
    def read(contrast: ArmContrast, truth: float) -> tuple[Booleans, Booleans]:
        shape = contrast.effect.shape
        control = AnyLook(effects=np.full(shape, growing.effect))
        raw = contrast.p_value()
        p_value = control.p_value(contrast, raw, alternative="two-sided", margin=np.zeros(shape))
        low, high = control.interval(contrast, alpha=np.full(shape, ALPHA), alternative="two-sided")
        return np.nan_to_num(p_value, nan=1.0) < ALPHA, ~((low > truth) | (high < truth))

    return read


def _sequence(growing: _Growing) -> Reader:
    def read(contrast: ArmContrast, truth: float) -> tuple[Booleans, Booleans]:
        found = always_valid_difference(contrast, mixture=Mixture(n_opt=2.0 * growing.units[-1]), alpha=ALPHA)
        return np.nan_to_num(found.p_value, nan=1.0) < ALPHA, ~((found.low > truth) | (found.high < truth))

    return read


def _lifts(growing: _Growing) -> Reader:
    mean = RATE if growing.shape is None else MOMENTS[growing.shape][0]

    def read(contrast: ArmContrast, truth: float) -> tuple[Booleans, Booleans]:
        found = always_valid_lift(contrast, mixture=Mixture(n_opt=2.0 * growing.units[-1]), alpha=ALPHA)
        return np.nan_to_num(found.p_value, nan=1.0) < ALPHA, ~((found.low > truth / mean) | (found.high < truth / mean))

    return read


def _expected_loss() -> Study:
    """How often stopping on expected loss chooses a treatment that does nothing."""

    def case(name: str, words: str, looks: int, chance: float) -> Case:
        last = float(np.sqrt(2.0 / 1000.0))
        effect = POWERED * last
        errors = last * np.sqrt(looks / np.arange(1.0, looks + 1.0))

        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            rule = LossRule(threshold=0.05 * effect, chance=chance)
            shares = [
                simulate_loss_stopping(rule, effect=at, std_errors=errors, rng=rng, runs=runs).chose_treatment for at in (0.0, effect)
            ]
            null, seen = (np.arange(runs) < round(share * runs) for share in shares)
            return Simulated(rejected_null=null, rejected_effect=seen)

        return Case(name=name, words=words, simulate=simulate)

    return Study(
        method="expected_loss",
        title="Bayesian stopping on expected loss",
        promise="It promises a small expected loss, and NO error rate; the share of false launches is measured here to be known.",
        cases=(
            case("1 look", "loss below 5% of the effect to detect, one look", 1, 0.0),
            case("5 looks", "loss below 5% of the effect to detect, five looks", 5, 0.0),
            case("20 looks", "loss below 5% of the effect to detect, twenty looks", 20, 0.0),
            case("20 looks, 95%", "loss below 5% of the effect, chance to win of 95%, twenty looks", 20, 0.95),
        ),
        note="Size is the share of experiments without an effect in which the treatment is chosen. A flat prior, normal outcomes.",
    )
