"""Two rates at any look, exactly: from the first unit on, however rare the events.

A unit goes to the treatment with its planned chance w and converts, or not. So the two rates t
and c are two other numbers: q = w t + (1 - w) c, the chance that any unit converts, and
s = w t / q, the chance that a converter is of the treatment. The sign of the effect, and the whole lift,
rest on s alone, the effect's size also on q:

    lift = s / (1 - s) (1 - w) / w - 1,      t - c = q (s - w) / (w (1 - w))

Each has an exact sequence of its own (`stats.sequential.bernoulli`). The interval of the effect takes s at
nine tenths of alpha and q at the last tenth, and goes to the far corners of both: at most alpha leaves the truth
out, at all looks together. It excludes 0 exactly when s excludes w at that level, which is the p-value; the
lift's interval is that of s alone and agrees with both.

References: Lindon & Malek (2022), NeurIPS 35 (arXiv 2011.03567); Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of
Statistics 49, 1055-1080, proposition 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.evaluation.control import AnyLook, Floats
from fairtrial.metrics import ArmContrast
from fairtrial.stats.lift import LiftBounds, LiftMethod
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.result import Alternative
from fairtrial.stats.sequential.bernoulli import bernoulli_confidence_sequence, bernoulli_log_e_value
from fairtrial.stats.sequential.msprt import p_value_of_log_e

OF_CONVERTERS = 0.9
"""Share of alpha that the side of the effect is read at; the level of the rates has the rest."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExactRates(AnyLook):
    """Exact Bernoulli sequences of two rates; arrays broadcast against the contrast.

    Attributes:
        share: Planned chance of a unit of the two arms to be of the treatment; NaN where it is not in (0, 1).
        units: Units of both arms at which the rates' level is tightest, > 0.
        events: Converters of both arms at which the effect is tightest, > 0.
        alpha_opt: Error rate that both are tuned for.
    """

    share: Floats
    units: Floats
    events: Floats
    alpha_opt: float

    @property
    def method(self) -> str:
        """Name of the sequence."""
        return "bernoulli_sequence"

    def too_early(self, contrast: ArmContrast) -> NDArray[np.bool_]:
        """Nowhere: it holds from the first unit on."""
        return np.zeros(contrast.n_control.shape, dtype=np.bool_)

    def p_value(self, contrast: ArmContrast, raw: Floats, *, alternative: Alternative, margin: Floats) -> Floats:  # noqa: ARG002 a protocol's
        """This look's p-value of no difference; margins other than 0 are refused with the spec."""
        control, treatment, share, known = self._counts(contrast)
        log_e = bernoulli_log_e_value(
            treatment, control + treatment, null=share, n_opt=self.events, alpha_opt=self.alpha_opt, alternative=alternative
        )
        return np.where(known, p_value_of_log_e(log_e + math.log(OF_CONVERTERS)), np.nan)

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """Ends of the effects that are not ruled out."""
        control, treatment, share, known = self._counts(contrast)
        low, high = self._of_converters(contrast, alpha, alternative)
        level = bernoulli_confidence_sequence(
            control + treatment,
            np.where(known, contrast.n_control + contrast.n_treatment, 0.0),
            n_opt=self.units,
            alpha=(1.0 - OF_CONVERTERS) * alpha,
            alpha_opt=self.alpha_opt,
        )
        ends = [(end - share) / (share * (1.0 - share)) for end in (low, high)]
        least = np.maximum(np.where(ends[0] > 0.0, level.low, level.high) * ends[0], -1.0)
        most = np.minimum(np.where(ends[1] > 0.0, level.high, level.low) * ends[1], 1.0)
        least = np.where(alternative == "less", -np.inf, least)
        most = np.where(alternative == "greater", np.inf, most)
        return np.where(known, least, np.nan), np.where(known, most, np.nan)

    def lift(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative, method: LiftMethod) -> LiftBounds:  # noqa: ARG002 a protocol's
        """Ends of the lifts that are not ruled out: one method serves."""
        _, _, share, known = self._counts(contrast)
        odds = share / (1.0 - share)
        with np.errstate(divide="ignore"):
            low, high = (end / (1.0 - end) / odds - 1.0 for end in self._of_converters(contrast, alpha, alternative))
        nothing = ~known | np.isnan(low)
        return LiftBounds(
            low=np.where(nothing | (alternative == "less"), -np.inf, low), high=np.where(nothing | (alternative == "greater"), np.inf, high)
        )

    def own_rate(self, contrast: ProportionContrast, *, alpha: float) -> tuple[Floats, Floats]:
        """Two-sided ends of the treatment's own rate."""
        found = bernoulli_confidence_sequence(
            contrast.successes_treatment,
            contrast.n_treatment,
            n_opt=self.units * np.where(np.isfinite(self.share), self.share, 0.5),
            alpha=alpha,
            alpha_opt=self.alpha_opt,
        )
        return found.low, found.high

    def _of_converters(self, contrast: ArmContrast, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """Ends of the treatment's share among converters."""
        control, treatment, _, _ = self._counts(contrast)
        found = bernoulli_confidence_sequence(
            treatment,
            control + treatment,
            n_opt=self.events,
            alpha=OF_CONVERTERS * alpha,
            alpha_opt=self.alpha_opt,
            alternative=alternative,
        )
        return found.low, found.high

    def _counts(self, contrast: ArmContrast) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        """Converters of both arms and the planned share (0, 0 and a half where unknown), and where they are known."""
        if not isinstance(contrast, ProportionContrast):  # the spec refuses it
            nothing = np.zeros(contrast.n_control.shape)
            return nothing, nothing, nothing + 0.5, nothing > 0.0
        share = np.broadcast_to(self.share, contrast.n_control.shape)
        known = ~contrast.undefined & np.isfinite(share)
        control, treatment = (np.where(known, x, 0.0) for x in (contrast.successes_control, contrast.successes_treatment))
        return control, treatment, np.where(known, share, 0.5), known
