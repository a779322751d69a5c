"""How batches of comparisons are made: one object for any number of metrics of a family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from fairtrial.spec.plan import CiMethod
from fairtrial.stats.batch import Present, expand
from fairtrial.stats.contrast import Contrast, linear_contrast
from fairtrial.stats.covariates import adjusted_contrast
from fairtrial.stats.lift import ArmValues
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.proportions import ProportionContrast, name_of_test
from fairtrial.stats.result import Unavailable


class ArmContrast(Contrast, ArmValues, Protocol):
    """A contrast that also knows its arms' values, and why an entry has no inference."""

    def unavailable(self, index: int | tuple[int, ...] = ()) -> Unavailable | None:
        """Why the entry at `index` has no inference; None when it has."""
        ...


class Family(Protocol):
    """Metrics that are compared by the same formula; equal families share a batch."""

    def contrast(self, control: Sequence[CoMoments], treatment: Sequence[CoMoments]) -> ArmContrast:
        """Treatment minus control for pairs of arms, shape (len(control),)."""
        ...

    @property
    def adjusted(self) -> bool:
        """Whether a covariate is used."""
        ...

    def test_name(self, margin: float = 0.0) -> str:
        """Name of the test of `effect = margin`."""
        ...

    @property
    def interval_method(self) -> str:
        """Name of the interval."""
        ...


@dataclass(frozen=True, slots=True)
class Proportions:
    """Two proportions: the pooled z test and the interval that inverts it, or another by choice."""

    ci_method: CiMethod

    def contrast(self, control: Sequence[CoMoments], treatment: Sequence[CoMoments]) -> ProportionContrast:
        """Treatment minus control for pairs of arms."""
        n_control, n_treatment = _units(control), _units(treatment)
        return ProportionContrast(
            successes_control=np.rint(_means(control) * n_control),
            n_control=n_control,
            successes_treatment=np.rint(_means(treatment) * n_treatment),
            n_treatment=n_treatment,
            ci_method=self.ci_method,
        )

    @property
    def adjusted(self) -> bool:
        """Whether a covariate is used."""
        return False

    def test_name(self, margin: float = 0.0) -> str:
        """Name of the test of `effect = margin`."""
        return name_of_test(self.ci_method, margin)

    @property
    def interval_method(self) -> str:
        """Name of the interval."""
        return self.ci_method


@dataclass(frozen=True, slots=True)
class Means:
    """Means and ratios, with or without covariates.

    Attributes:
        present: Which of numerator, denominator, covariate numerator and covariate denominator there are.
        variances: `equal` is Student's test.
        covariates: How many covariates there are, when there are several; they are combined into one.
        stratified: Whether the moments are those of post-stratified arms.
    """

    present: Present
    variances: Literal["unequal", "equal"] = "unequal"
    covariates: int = 1
    stratified: bool = False

    def contrast(self, control: Sequence[CoMoments], treatment: Sequence[CoMoments]) -> ArmContrast:
        """Treatment minus control for pairs of arms."""
        if self.several:
            return adjusted_contrast(control, treatment, ratio=self.present[1], variances=self.variances)
        return linear_contrast(expand(control, self.present), expand(treatment, self.present), variances=self.variances)

    @property
    def several(self) -> bool:
        """Whether several covariates are used, so that there is no single coefficient."""
        return self.present[2] and self.covariates > 1

    @property
    def adjusted(self) -> bool:
        """Whether a covariate is used."""
        return self.present[2]

    def test_name(self, margin: float = 0.0) -> str:  # noqa: ARG002 one name at any margin
        """Name of the test of `effect = margin`."""
        _, ratio, adjusted, _ = self.present
        base = "ratio_delta" if ratio else "student_t" if self.variances == "equal" else "welch_t"
        return f"{'post_stratified_' if self.stratified else ''}{'cuped_' if adjusted else ''}{base}"

    @property
    def interval_method(self) -> str:
        """Name of the interval."""
        return "normal" if self.present[1] else "t"


def _units(moments: Sequence[CoMoments]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([m.n for m in moments], dtype=np.float64)


def _means(moments: Sequence[CoMoments]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([m.mean[0] for m in moments], dtype=np.float64)
