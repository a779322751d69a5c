"""Raw samples of two arms for calibration studies: shapes, sizes, splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.calibration.study import Case, Cost, Simulated, joined

Floats = NDArray[np.float64]
Shape = Callable[[np.random.Generator, tuple[int, int]], Floats]
Told = tuple[Floats | None, Floats | None, Floats | None]
"""p-values, and lower and upper ends of intervals, an entry a run; None where a method has none."""
Estimator = Callable[[Floats, Floats, float], Told]
"""From the control's values (runs, n), the treatment's and alpha."""

CHUNK = 4_000_000
POWERED = 2.8015852
"""z(0.975) + z(0.8): an effect of so many standard errors is seen with power 80% by a normal test."""
ALPHA = 0.05


def normal(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Normal, mean 1, standard deviation 0.5."""
    return 1.0 + 0.5 * rng.standard_normal(size)


def skewed(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Log-normal with sigma 1: skewness 6.2, as time or spend of those who spend."""
    return np.exp(rng.standard_normal(size))


def few_spend(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Zero for 95 in 100, log-normal for the rest: revenue per visitor, skewness about 20."""
    return np.where(rng.random(size) < 0.05, np.exp(rng.standard_normal(size)), 0.0)


def ties(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Poisson with mean 0.7: a handful of distinct values."""
    return rng.poisson(0.7, size).astype(np.float64)


MOMENTS: dict[Shape, tuple[float, float]] = {
    normal: (1.0, 0.5),
    skewed: (float(np.exp(0.5)), float(np.sqrt((np.e - 1.0) * np.e))),
    few_spend: (0.05 * float(np.exp(0.5)), float(np.sqrt(0.05 * np.exp(2.0) - 0.0025 * np.e))),
    ties: (0.7, float(np.sqrt(0.7))),
}
"""Mean and standard deviation of each shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoArms:
    """A pair of arms that differ by a shift, or by nothing.

    Attributes:
        name: Of the case.
        words: What it is.
        shape: Of the outcomes.
        n_control: Units of the control.
        n_treatment: Units of the treatment.
        wider: Standard deviation of the treatment over the control's; its mean stays.
    """

    name: str
    words: str
    shape: Shape
    n_control: int
    n_treatment: int
    wider: float = 1.0

    @property
    def mean(self) -> float:
        """Mean of the control."""
        return MOMENTS[self.shape][0]

    @property
    def shift(self) -> float:
        """The effect that a normal test sees with power 80%."""
        sd = MOMENTS[self.shape][1]
        return POWERED * sd * float(np.sqrt(1.0 / self.n_control + self.wider**2 / self.n_treatment))

    def draw(self, runs: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Values of both arms without an effect, shapes (runs, n)."""
        control = self.shape(rng, (runs, self.n_control))
        treatment = self.shape(rng, (runs, self.n_treatment))
        return control, treatment if self.wider == 1.0 else self.mean + self.wider * (treatment - self.mean)


GRID = (
    TwoArms(name="normal 10", words="normal outcomes, 10 units an arm", shape=normal, n_control=10, n_treatment=10),
    TwoArms(name="normal 100", words="normal outcomes, 100 units an arm", shape=normal, n_control=100, n_treatment=100),
    TwoArms(name="ties 100", words="counts with many ties, 100 units an arm", shape=ties, n_control=100, n_treatment=100),
    TwoArms(name="skewed 30", words="log-normal outcomes, 30 units an arm", shape=skewed, n_control=30, n_treatment=30),
    TwoArms(name="skewed 300", words="log-normal outcomes, 300 units an arm", shape=skewed, n_control=300, n_treatment=300),
    TwoArms(name="rare 300", words="5% spend, 300 units an arm", shape=few_spend, n_control=300, n_treatment=300),
    TwoArms(name="95/5 normal", words="normal outcomes, 950 against 50 units", shape=normal, n_control=950, n_treatment=50),
    TwoArms(name="95/5 skewed", words="log-normal outcomes, 950 against 50 units", shape=skewed, n_control=950, n_treatment=50),
    TwoArms(
        name="95/5 wider", words="normal, 950 against 50, treatment's sd doubled", shape=normal, n_control=950, n_treatment=50, wider=2.0
    ),
)


def two_arm_case(arms: TwoArms, estimator: Estimator, *, truth: Callable[[TwoArms], float], cost: Cost = "cheap") -> Case:
    """A case that measures an estimator on two arms: without an effect, then with a shift.

    Args:
        arms: The arms.
        estimator: The method.
        truth: What its interval estimates when the treatment is shifted.
        cost: Of a run.
    """

    def simulate(runs: int, rng: np.random.Generator) -> Simulated:
        step = max(1, CHUNK // (arms.n_control + arms.n_treatment))
        parts = [_one(arms, estimator, truth(arms), min(step, runs - start), rng) for start in range(0, runs, step)]
        return joined(parts)

    return Case(name=arms.name, words=arms.words, simulate=simulate, cost=cost)


def _one(arms: TwoArms, estimator: Estimator, truth: float, runs: int, rng: np.random.Generator) -> Simulated:
    control, treatment = arms.draw(runs, rng)
    p_null, _, _ = estimator(control, treatment, ALPHA)
    p_value, low, high = estimator(control, treatment + arms.shift, ALPHA)
    return Simulated(
        rejected_null=None if p_null is None else p_null < ALPHA,
        covered=None if low is None or high is None else (low <= truth) & (truth <= high),
        rejected_effect=None if p_value is None else p_value < ALPHA,
    )
