"""Studies of Bayesian intervals: averaged over their prior, at fixed truths, and under a prior that is wrong.

A credible interval of mass 1 - alpha holds the truth with probability 1 - alpha when the truth is
drawn from the prior: that is its promise, and the first cases of every study measure it. At a fixed truth
nothing is promised; the other cases say what happens there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.calibration.of_means import row_moments
from fairtrial.simulation.calibration.one_by_one import repeated
from fairtrial.simulation.calibration.samples import ALPHA, POWERED, Shape, TwoArms, normal, skewed, two_arm_case
from fairtrial.simulation.calibration.study import Case, Simulated, Study
from fairtrial.stats.bayes.beta_binomial import beta_binomial_batch
from fairtrial.stats.bayes.gamma_poisson import gamma_poisson_batch
from fairtrial.stats.bayes.normal import normal_ab_of_contrast
from fairtrial.stats.bayes.normal_inverse_gamma import normal_inverse_gamma_ab
from fairtrial.stats.bayes.posterior import PosteriorBatch
from fairtrial.stats.bayes.priors import BetaPrior, GammaPrior, NormalInverseGammaPrior, NormalPrior
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.moments import Moments

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]
"""Two numbers a run: of control and treatment, or the two ends of an interval."""
Scale = Literal["effect", "lift"]

MASS = 1.0 - ALPHA
NOTE = (
    "Cases that begin with `prior` draw their truths from the model's own prior: there the promise is made. At a fixed truth a "
    "Bayesian interval promises nothing; size and power are those of reading an interval that leaves 0 out as a discovery."
)


def posterior_studies() -> tuple[Study, ...]:
    """Studies of credible intervals of differences and of lifts."""
    return _rates(), _counts(), _means(), _lifts(), _small_means()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Events:
    """Two arms whose units bring events, read by a conjugate model.

    Attributes:
        name: Of the case.
        words: What it is.
        prior: Of the model.
        sizes: Units of control and treatment.
        rates: True rates of control and treatment; None: drawn from the prior.
        spread: Squared coefficient of variation of an arm's own rate about the true one, for gamma-Poisson.
    """

    name: str
    words: str
    prior: BetaPrior | GammaPrior
    sizes: tuple[int, int]
    rates: tuple[float, float] | None = None
    spread: float = 0.0

    def case(self, scale: Scale = "effect") -> Case:
        """The case of the difference or of the lift."""

        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            if self.rates is None:
                control, treatment = self._of_prior(rng, runs), self._of_prior(rng, runs)
                return Simulated(covered=_covers(self._ends(rng, (control, treatment), scale), _truth(control, treatment, scale)))
            control, moved = (np.full(runs, rate) for rate in self.rates)
            null, found = self._ends(rng, (control, control), scale), self._ends(rng, (control, moved), scale)
            return Simulated(
                rejected_null=~_covers(null, np.zeros(runs)),
                covered=_covers(found, _truth(control, moved, scale)),
                rejected_effect=~_covers(found, np.zeros(runs)),
            )

        return Case(name=self.name, words=self.words, simulate=simulate, cost="dear")

    def _of_prior(self, rng: np.random.Generator, runs: int) -> Floats:
        if isinstance(self.prior, BetaPrior):
            return rng.beta(self.prior.alpha, self.prior.beta, runs)
        return rng.gamma(self.prior.shape, 1.0 / self.prior.rate, runs)

    def _draw(self, rng: np.random.Generator, rate: Floats, n: int) -> Floats:
        if isinstance(self.prior, BetaPrior):
            return rng.binomial(n, rate).astype(np.float64)
        own = rate * rng.gamma(1.0 / self.spread, self.spread, rate.size) if self.spread else rate
        return rng.poisson(own * n).astype(np.float64)

    def _ends(self, rng: np.random.Generator, rates: Pair, scale: Scale) -> Pair:
        """Ends of the interval of every run; runs with the same events are worked out once."""
        events = [self._draw(rng, rate, n) for rate, n in zip(rates, self.sizes, strict=True)]
        seen, place = np.unique(np.column_stack(events), axis=0, return_inverse=True)
        n_c, n_t = self.sizes
        if isinstance(self.prior, BetaPrior):
            found = beta_binomial_batch(seen[:, 0], n_c, seen[:, 1], n_t, prior=self.prior, mass=MASS)
        else:
            found = gamma_poisson_batch(seen[:, 0], n_c, seen[:, 1], n_t, prior=self.prior, mass=MASS)
        low, high = _ends_of(found, scale)
        return low[place.reshape(-1)], high[place.reshape(-1)]


def _truth(control: Floats, treatment: Floats, scale: Scale) -> Floats:
    return treatment - control if scale == "effect" else treatment / control - 1.0


def _ends_of(found: PosteriorBatch, scale: Scale) -> Pair:
    """The interval, equal-tailed; where it is not defined it claims nothing."""
    low, high = (found.low, found.high) if scale == "effect" else (found.lift_low, found.lift_high)
    return np.nan_to_num(low, nan=-np.inf), np.nan_to_num(high, nan=np.inf, posinf=np.inf)


def _covers(ends: Pair, truth: Floats) -> NDArray[np.bool_]:
    return ~((ends[0] > truth) | (ends[1] < truth))


def _moved(rate: float, n: tuple[int, int], *, binary: bool = True) -> tuple[float, float]:
    """A rate, and the one that a normal test tells from it with power 80%."""
    variance = rate * (1.0 - rate) if binary else rate
    return rate, rate + POWERED * float(np.sqrt(variance * (1.0 / n[0] + 1.0 / n[1])))


def _rates() -> Study:
    flat, few = BetaPrior(), BetaPrior(alpha=2.0, beta=98.0)

    def fixed(name: str, words: str, rate: float, sizes: tuple[int, int], prior: BetaPrior = flat) -> Case:
        return _Events(name=name, words=words, prior=prior, sizes=sizes, rates=_moved(rate, sizes)).case()

    strong = BetaPrior(alpha=50.0, beta=950.0)
    return Study(
        method="credible_rates",
        title="Credible interval of a difference of rates (beta-binomial)",
        promise="Averaged over its prior, its interval holds the difference with probability 1 - alpha.",
        cases=(
            _Events(name="prior flat, 20", words="rates drawn from Beta(1, 1), 20 units an arm", prior=flat, sizes=(20, 20)).case(),
            _Events(name="prior rare, 300", words="rates drawn from Beta(2, 98), 300 units an arm", prior=few, sizes=(300, 300)).case(),
            _Events(name="prior rare, 95/5", words="rates drawn from Beta(2, 98), 950 against 50", prior=few, sizes=(950, 50)).case(),
            fixed("50%, 20", "rate 50%, 20 units an arm, flat prior", 0.5, (20, 20)),
            fixed("5%, 1000", "rate 5%, 1,000 units an arm, flat prior", 0.05, (1000, 1000)),
            fixed("1%, 300", "rate 1%, 300 units an arm, flat prior", 0.01, (300, 300)),
            fixed("5%, 95/5", "rate 5%, 1,900 against 100 units, flat prior", 0.05, (1900, 100)),
            fixed("strong prior, wrong", "rate 10%, 300 units an arm, a prior Beta(50, 950) worth 1,000 units", 0.1, (300, 300), strong),
        ),
        note=NOTE,
    )


def _counts() -> Study:
    weak, known = GammaPrior(), GammaPrior(shape=4.0, rate=40.0)

    def fixed(name: str, words: str, rate: float, sizes: tuple[int, int], spread: float = 0.0) -> Case:
        rates = _moved(rate, sizes, binary=False)
        return _Events(name=name, words=words, prior=weak, sizes=sizes, rates=rates, spread=spread).case()

    return Study(
        method="credible_counts",
        title="Credible interval of a difference of event rates (gamma-Poisson)",
        promise="Averaged over its prior, its interval holds the difference with probability 1 - alpha, if events come one by one.",
        cases=(
            _Events(name="prior weak, 20", words="rates drawn from Gamma(1, 1), 20 units an arm", prior=weak, sizes=(20, 20)).case(),
            _Events(name="prior 0.1, 100", words="rates drawn from Gamma(4, 40), 100 units an arm", prior=known, sizes=(100, 100)).case(),
            _Events(name="prior 0.1, 95/5", words="rates drawn from Gamma(4, 40), 950 against 50", prior=known, sizes=(950, 50)).case(),
            fixed("0.05, 100", "5 events expected an arm of 100, prior Gamma(1, 1)", 0.05, (100, 100)),
            fixed("1, 100", "100 events expected an arm of 100, prior Gamma(1, 1)", 1.0, (100, 100)),
            fixed("0.1, 95/5", "95 events against 5 expected, prior Gamma(1, 1)", 0.1, (950, 50)),
            fixed("overdispersed", "100 events expected, arms' rates vary by 20%", 1.0, (100, 100), 0.04),
        ),
        note=f"{NOTE} Users who differ bring events in bursts, which is no Poisson law: compare means of users then.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Normal outcomes with mean 1 in the control, whose true lift is drawn from a normal law.

    Attributes:
        sd: Standard deviation of outcomes.
        n: Units an arm.
        prior: Of the model, and the law of the truth.
    """

    sd: float
    n: int
    prior: NormalPrior

    def case(self, name: str, words: str, scale: Scale) -> Case:
        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            spread = 1.0 if self.prior.sd is None else self.prior.sd
            lift = self.prior.mean + spread * rng.standard_normal(runs)  # the control's mean is 1: lift and effect are one
            step = max(1, 1_000_000 // self.n)
            inside = [self._one(rng, lift[start : start + step], scale) for start in range(0, runs, step)]
            return Simulated(covered=np.concatenate(inside))

        return Case(name=name, words=words, simulate=simulate)

    def _one(self, rng: np.random.Generator, lift: Floats, scale: Scale) -> NDArray[np.bool_]:
        control = 1.0 + self.sd * rng.standard_normal((lift.size, self.n))
        treatment = 1.0 + lift[:, None] + self.sd * rng.standard_normal((lift.size, self.n))
        contrast = linear_contrast(row_moments(control), row_moments(treatment))
        return _covers(_ends_of(normal_ab_of_contrast(contrast, prior=self.prior, mass=MASS), scale), lift)


def _shifted(name: str, words: str, prior: NormalPrior, sizes: tuple[int, int], shape: Shape = normal, scale: Scale = "effect") -> Case:
    """Two arms at a fixed truth; an interval that leaves 0 out stands for a rejection, there being no p-value."""
    arms = TwoArms(name=name, words=words, shape=shape, n_control=sizes[0], n_treatment=sizes[1])

    def read(control: Floats, treatment: Floats, alpha: float) -> tuple[Floats, Floats, Floats]:
        contrast = linear_contrast(row_moments(control), row_moments(treatment))
        low, high = _ends_of(normal_ab_of_contrast(contrast, prior=prior, mass=1.0 - alpha), scale)
        return np.where((low > 0.0) | (high < 0.0), 0.0, 1.0), low, high

    return two_arm_case(arms, read, truth=lambda arms: arms.shift / (arms.mean if scale == "lift" else 1.0))


def _means() -> Study:
    lift, flat = NormalPrior(sd=0.1), NormalPrior(sd=None, scale="effect")
    effect, narrow = NormalPrior(sd=0.1, scale="effect"), NormalPrior(sd=0.02, scale="effect")
    return Study(
        method="credible_means",
        title="Credible interval of a difference of means (normal)",
        promise="Averaged over its prior, its interval holds the difference with probability 1 - alpha, if arms are large.",
        cases=(
            _Drawn(sd=0.5, n=200, prior=effect).case(
                "prior effect, 200", "effects drawn from N(0, 0.1), sd 0.5, 200 units an arm", "effect"
            ),
            _Drawn(sd=0.5, n=1000, prior=effect).case("prior effect, 1000", "the same with 1,000 units an arm", "effect"),
            _Drawn(sd=0.5, n=10, prior=effect).case("prior effect, 10", "the same with 10 units an arm", "effect"),
            _shifted("flat, 10", "a flat prior, normal outcomes, 10 units an arm", flat, (10, 10)),
            _shifted("flat, 100", "a flat prior, normal outcomes, 100 units an arm", flat, (100, 100)),
            _shifted("flat, skewed 300", "a flat prior, log-normal outcomes, 300 units an arm", flat, (300, 300), skewed),
            _shifted("flat, 95/5 skewed", "a flat prior, log-normal outcomes, 950 against 50 units", flat, (950, 50), skewed),
            _shifted("lift prior, 100", "a prior N(0, 0.1) on the lift, a true lift of 20%, 100 units an arm", lift, (100, 100)),
            _shifted("narrow prior", "a prior N(0, 0.02) on the effect, a true effect of 0.2, 100 units an arm", narrow, (100, 100)),
        ),
        note=f"{NOTE} Its standard error is taken as known: for a handful of units take the normal-inverse-gamma model.",
    )


def _lifts() -> Study:
    flat, weak, lift = BetaPrior(), GammaPrior(), NormalPrior(sd=0.1)
    rare, wide = _moved(0.01, (300, 300)), NormalPrior()
    return Study(
        method="credible_lift",
        title="Credible interval of a relative lift, three models",
        promise="Averaged over its prior, its interval holds the relative lift with probability 1 - alpha.",
        cases=(
            _Events(name="prior beta", words="rates drawn from Beta(1, 1), 50 units an arm", prior=flat, sizes=(50, 50)).case("lift"),
            _Events(name="prior gamma", words="event rates drawn from Gamma(1, 1), 50 units an arm", prior=weak, sizes=(50, 50)).case(
                "lift"
            ),
            _Drawn(sd=0.5, n=200, prior=lift).case("prior normal", "lifts drawn from N(0, 0.1), sd 0.5, 200 units an arm", "lift"),
            _Events(name="1%, 300", words="rate 1%, 300 units an arm, flat prior", prior=flat, sizes=(300, 300), rates=rare).case("lift"),
            _Events(
                name="5%, 95/5", words="rate 5%, 1,900 against 100 units", prior=flat, sizes=(1900, 100), rates=_moved(0.05, (1900, 100))
            ).case("lift"),
            _shifted(
                "default prior, 300", "a mean, the default prior N(0, 0.3) on the lift, 300 units an arm", wide, (300, 300), scale="lift"
            ),
            _shifted("default, skewed 300", "the same, log-normal outcomes", wide, (300, 300), skewed, "lift"),
            _shifted("default, 95/5 skewed", "the same, log-normal outcomes, 950 against 50", wide, (950, 50), skewed, "lift"),
        ),
        note=NOTE,
    )


def _small_means() -> Study:
    known = NormalInverseGammaPrior(mean=1.0, kappa=4.0, alpha=3.0, beta=2.0)

    def drawn(name: str, words: str, n: int) -> Case:
        def once(rng: np.random.Generator) -> tuple[None, bool, None]:
            variance = known.beta / rng.gamma(known.alpha, size=2)
            means = known.mean + np.sqrt(variance / known.kappa) * rng.standard_normal(2)
            arms = [Moments.from_values(m + np.sqrt(v) * rng.standard_normal(n)) for m, v in zip(means, variance, strict=True)]
            inside = normal_inverse_gamma_ab(*arms, prior=known, mass=MASS).interval
            return None, bool(inside.low <= means[1] - means[0] <= inside.high), None

        return repeated(name, words, once, cost="dearest")

    def fixed(name: str, words: str, shape: Shape, sizes: tuple[int, int], wider: float = 1.0) -> Case:
        arms = TwoArms(name=name, words=words, shape=shape, n_control=sizes[0], n_treatment=sizes[1], wider=wider)

        def once(rng: np.random.Generator) -> tuple[None, bool, bool]:
            control, treatment = (row[0] for row in arms.draw(1, rng))
            base = Moments.from_values(control)
            found = normal_inverse_gamma_ab(base, Moments.from_values(treatment + arms.shift), mass=MASS).interval
            return None, not found.excludes(arms.shift), found.excludes(0.0)

        return repeated(name, words, once, cost="dearest")

    return Study(
        method="credible_small_means",
        title="Credible interval of a difference of few means (normal-inverse-gamma)",
        promise="Averaged over its prior, its interval holds the difference with probability 1 - alpha, at any number of units.",
        cases=(
            drawn("prior, 3", "means and variances drawn from a prior worth 4 units, 3 units an arm", 3),
            drawn("prior, 30", "the same with 30 units an arm", 30),
            fixed("reference, 3", "the reference prior, normal outcomes, 3 units an arm", normal, (3, 3)),
            fixed("reference, 10", "the reference prior, normal outcomes, 10 units an arm", normal, (10, 10)),
            fixed("reference, 20/5", "the reference prior, 20 against 5 units, treatment's sd doubled", normal, (20, 5), 2.0),
            fixed("reference, skewed", "the reference prior, log-normal outcomes, 30 units an arm", skewed, (30, 30)),
            fixed("95/5 skewed", "the reference prior, log-normal outcomes, 950 against 50", skewed, (950, 50)),
        ),
        note=(
            f"{NOTE} The reference prior is improper, so that nothing can be drawn from it; under it the interval moves with the effect, "
            "and rejects one minus its coverage of true nulls."
        ),
    )
