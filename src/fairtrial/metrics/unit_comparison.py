"""Tests made one by one: of the units' own numbers, of pairs, of counts by stratum, of sums by bucket, of order statistics.

They are single-look, and each comparison is made by itself (`evaluation.rowwise`); here
is what they are called and what they need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fairtrial.errors import UsageError
from fairtrial.metrics.family import ArmContrast
from fairtrial.spec.metric import DEFAULT_HC, REGRESSIONS, StdErrors
from fairtrial.stats.moments import CoMoments

UnitTestKind = Literal[
    "log",
    "log1p",
    "trimmed",
    "mann_whitney",
    "permutation",
    "bootstrap",
    "quantile",
    "lin",
    "ancova",
    "exact",
    "mantel_haenszel",
    "paired_t",
    "wilcoxon",
    "mcnemar",
]

NAMES: Mapping[str, tuple[str, str]] = {
    "log": ("log_t", "t"),
    "log1p": ("log1p_t", "t"),
    "trimmed": ("yuen_t", "t"),
    "mann_whitney": ("mann_whitney", "hodges_lehmann"),
    "permutation": ("permutation", "permutation"),
    "bootstrap": ("bootstrap", "bootstrap_studentised"),
    "quantile": ("quantile_difference", "order_statistics"),
    "lin": ("lin", "t"),
    "ancova": ("ancova", "t"),
    "exact": ("exact_unconditional", "exact_unconditional"),
    "mantel_haenszel": ("mantel_haenszel", "stratified_miettinen_nurminen"),
    "paired_t": ("paired_t", "t"),
    "wilcoxon": ("wilcoxon", "walsh_averages"),
    "mcnemar": ("mcnemar", "tango"),
}
"""By test: names of the test and of the interval that inverts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitComparison:
    """A metric compared by a test of units; fulfils `Family` but for the contrast.

    Attributes:
        test: Which.
        ratio: Whether the outcome is a ratio of two columns.
        adjusted: Whether a covariate is used.
        trim: Share of units that `trimmed` cuts from each end.
        hc: Standard errors of a regression.
        paired: Whether units of a pair are compared with each other.
    """

    test: UnitTestKind
    ratio: bool = False
    adjusted: bool = False
    trim: float = 0.2
    hc: StdErrors = DEFAULT_HC
    paired: bool = False

    def contrast(self, control: Sequence[CoMoments], treatment: Sequence[CoMoments]) -> ArmContrast:
        """No contrast: moments do not hold what the test reads.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"Test '{self.test}' reads units, and moments of {len(control)} and {len(treatment)} arms were given.",
            hint="Use test welch (or delta, for a ratio) where only moments are at hand.",
        )

    def test_name(self, margin: float = 0.0) -> str:  # noqa: ARG002 one name at any margin
        """Name of the test of `effect = margin`."""
        name = NAMES[self.test][0]
        if self.test == "bootstrap":
            return f"bootstrap_{'ratio' if self.ratio else 'cuped' if self.adjusted else 'mean'}_difference"
        if self.test in REGRESSIONS:
            return f"{name}_{self.hc.lower()}"
        return f"paired_{name}" if self.test == "permutation" and self.paired else f"{name}_ratio" if self.ratio else name

    @property
    def interval_method(self) -> str:
        """Name of the interval."""
        return NAMES[self.test][1]
