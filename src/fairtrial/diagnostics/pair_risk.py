"""How risky it is to run two experiments at once, and what to do about it (IN-11..IN-14, IN-22, IN-34).

Overlap alone is normal: independent assignment makes it. High risk needs overlap and
something found: an interaction, interference, or novelty. Jaccard's coefficient hides
nesting, so the rule looks at the largest of Jaccard and both shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairtrial.diagnostics.overlap import BANDS, AudienceOverlap, OverlapBand
from fairtrial.diagnostics.pair_cells import PairCells
from fairtrial.diagnostics.pair_tests import Reason

Risk = Literal["low", "medium", "high"]

SIGNIFICANT_OVERLAP = 0.3
"""Above it, strictly, overlap is significant (IN-12) and raises the risk."""
SUGGESTIVE = 0.05
"""An uncorrected p below this makes the risk medium at least."""

INTERACTION_WARNING = "Significant interaction detected. Results from both experiments may be unreliable."
HIGH_OVERLAP = "High user overlap detected. Consider using mutual exclusion groups."
RUN_PAIR = "Run pairwise interaction analysis to check for effect contamination."
LOW_OVERLAP = "Low overlap: monitor."
PAUSE_ONE = "Interaction detected: consider pausing one experiment."
EXCLUDE = "Add these experiments to a mutual exclusion group for future runs."
SAME_SURFACE = "Both change {surface}: run one after the other, or keep them apart."


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEvidence:
    """What the risk of a pair rests on.

    Attributes:
        exposure: max(Jaccard, share of A, share of B): o; 0 where nobody is shared.
        interaction: Whether an interaction was found; None while untested.
        p_value: Smallest uncorrected p of the pair's rows; None while untested.
        novelty: Keys of the experiments whose effect fades or grows.
        interference: Keys of the experiments whose controls are exposed.
    """

    exposure: float
    interaction: bool | None
    p_value: float | None
    novelty: tuple[str, ...] = ()
    interference: tuple[str, ...] = ()


def exposure_of(overlap: AudienceOverlap) -> float:
    """max(Jaccard, both shares); 0 where nothing is defined."""
    return max((value for value in (overlap.jaccard, overlap.share_of_a, overlap.share_of_b) if value is not None), default=0.0)


def band_of(jaccard: float | None) -> OverlapBand | None:
    """Band of Jaccard's coefficient (IN-11); None without users."""
    return None if jaccard is None else next(band for low, band in BANDS if jaccard >= low)


def judge_risk(evidence: PairEvidence) -> Risk:
    """The risk of a pair: high needs overlap above 0.3 and a finding; either, or an uncorrected p < 0.05, makes it medium."""
    overlapping = evidence.exposure > SIGNIFICANT_OVERLAP
    found = bool(evidence.interaction) or bool(evidence.novelty) or bool(evidence.interference)
    if overlapping and found:
        return "high"
    suggestive = evidence.p_value is not None and evidence.p_value < SUGGESTIVE
    return "medium" if overlapping or found or suggestive else "low"


def scan_recommendations(exposure: float) -> list[str]:
    """What a scan advises of a pair, from its overlap."""
    if exposure >= 0.6:
        return [HIGH_OVERLAP, RUN_PAIR]
    if exposure >= 0.3:
        return [RUN_PAIR]
    return [LOW_OVERLAP] if exposure >= 0.1 else []


def pair_recommendations(evidence: PairEvidence, *, untested: Reason | None = None, surface: str | None = None) -> list[str]:
    """What the analysis of a pair advises, in order.

    Args:
        evidence: What was found.
        untested: Why the interaction was not tested; None where it was.
        surface: What both experiments change, where they declare the same.
    """
    advice: list[str] = []
    if evidence.interaction:
        advice += [PAUSE_ONE, EXCLUDE]
    elif evidence.exposure >= 0.6:
        advice.append(HIGH_OVERLAP)
    if evidence.interaction is None and untested is not None and evidence.exposure >= 0.3:
        advice.append(f"Interaction not tested: {untested}.")
    if surface is not None and not evidence.interaction and evidence.exposure > 0.0:
        advice.append(SAME_SURFACE.format(surface=repr(surface)))
    advice += [f"Novelty effect detected in {key}: extend the experiment window before deciding." for key in evidence.novelty]
    advice += [f"Control users of {key} show treatment exposure: its effect is likely biased." for key in evidence.interference]
    return advice


def shared_surface(cells: PairCells) -> str | None:
    """The surface that both experiments declare to change; None where they differ or say nothing."""
    return cells.a.surface if cells.a.surface is not None and cells.a.surface == cells.b.surface else None


def high_risk(risks: Sequence[Risk]) -> int:
    """How many pairs are of high risk."""
    return sum(risk == "high" for risk in risks)
