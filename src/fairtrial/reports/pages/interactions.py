"""Pairs of experiments that share users: a heat map of overlap, and one pair in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.reports.formatting import DASH
from fairtrial.reports.pages import figures

RISK: Mapping[str, str] = {"high": "bad", "medium": "caution", "low": "good"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanView:
    """A scan.

    Attributes:
        cards: Name and value of what is counted.
        squares: Points (a, b, overlap, says, risk) of the heat map, both ways.
        rows: A row a pair, the riskiest first.
        pairs: Keys of each row's two experiments.
    """

    cards: tuple[tuple[str, str], ...]
    squares: list[dict[str, Any]]
    rows: list[dict[str, str]]
    pairs: tuple[tuple[str, str], ...]


def scan_view(scan: Mapping[str, Any], names: Mapping[str, str]) -> ScanView:
    """From `GET /interactions/scan`.

    Args:
        scan: The answer.
        names: Names of the experiments by key.
    """
    order = {"high": 0, "medium": 1, "low": 2}
    entries: Sequence[Mapping[str, Any]] = sorted(
        scan["results"], key=lambda one: (order[one["overall_risk"]], -(one["shared_users"] or 0))
    )
    squares: list[dict[str, Any]] = []
    for one in entries:
        a, b = (names.get(one[side], one[side]) for side in ("experiment_a_id", "experiment_b_id"))
        overlap = one["overlap_coefficient"] or 0.0
        says = f"{figures.whole(one['shared_users'])} shared users, {figures.percent(one['overlap_coefficient'])} of both"
        squares += [{"a": x, "b": y, "overlap": overlap, "says": says, "risk": one["overall_risk"]} for x, y in ((a, b), (b, a))]
    rows = [
        {
            "First": names.get(one["experiment_a_id"], one["experiment_a_id"]),
            "Second": names.get(one["experiment_b_id"], one["experiment_b_id"]),
            "Shared users": figures.whole(one["shared_users"]),
            "Overlap": figures.percent(one["overlap_coefficient"]),
            "Interaction": _found(one),
            "Corrected p": figures.p(one["min_corrected_p_value"]),
            "Risk": one["overall_risk"],
            "Kept apart by": DASH if one["mutual_exclusion_group_id"] is None else str(one["mutual_exclusion_group_id"]),
        }
        for one in entries
    ]
    cards = (
        ("Running experiments", figures.whole(scan["total_active_experiments"])),
        ("Pairs", figures.whole(scan["pairs_analyzed"])),
        ("High risk", figures.whole(scan["high_risk_pairs"])),
        ("Correction", figures.words(scan["correction_method"])),
    )
    pairs = tuple((one["experiment_a_id"], one["experiment_b_id"]) for one in entries)
    return ScanView(cards=cards, squares=squares, rows=rows, pairs=pairs)


def _found(one: Mapping[str, Any]) -> str:
    if one["has_interaction"] is None:
        return f"cannot be told: {figures.words(one['unavailable_reason'])}"
    return "found" if one["has_interaction"] else "not shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairView:
    """Two experiments side by side.

    Attributes:
        risk: The risk of running both, and its tone.
        cards: Figures of the overlap.
        sentence: What is known of an interaction.
        tests: A row for each test, with the effects within each arm of the other.
        effects: Points (name, effect, low, high, tone, says) of the interactions.
        dependence: Warnings about assignment that is not independent.
        decisions: Sentences: does the decision depend on the other's arm?
        recommendations: What to do.
    """

    risk: tuple[str, str]
    cards: tuple[tuple[str, str], ...]
    sentence: str
    tests: list[dict[str, str]]
    effects: list[dict[str, Any]]
    dependence: tuple[str, ...]
    decisions: tuple[str, ...]
    recommendations: tuple[str, ...]


def pair_view(pair: Mapping[str, Any], names: Mapping[str, str]) -> PairView:
    """From `GET /interactions/{a}/{b}`."""
    found = pair["interaction_result"]
    said = _found(found)
    visible = found["smallest_visible"]
    power = "" if visible is None else f" An interaction of {figures.number(visible, 3)} would be seen in 80% of such samples."
    cards = (
        ("Shared users", figures.whole(pair["shared_users"])),
        ("Overlap (Jaccard)", figures.percent(pair["overlap_coefficient"])),
        ("Of the first", figures.percent(pair["share_of_a"])),
        ("Of the second", figures.percent(pair["share_of_b"])),
    )
    effects = [
        {
            "name": f"{names.get(row['tested_experiment_id'], row['tested_experiment_id'])} · {row['treatment']}",
            "effect": row["interaction"],
            "low": row["ci_low"],
            "high": row["ci_high"],
            "tone": "worse" if row["is_significant"] else "inconclusive",
            "says": f"corrected p = {figures.p(row['corrected_p_value'])}",
        }
        for row in pair["tests"]
        if row["interaction"] is not None and row["ci_low"] is not None and row["ci_high"] is not None
    ]
    return PairView(
        risk=(pair["overall_risk"], RISK[pair["overall_risk"]]),
        cards=cards,
        sentence=f"Interaction: {said}.{power}",
        tests=[_test_row(row, arm, names) for row in pair["tests"] for arm in row["arms"]],
        effects=effects,
        dependence=tuple(one["warning_message"] for one in pair["assignment_dependence"] if one["warning_message"]),
        decisions=tuple(one["sentence"] for one in pair["decisions_by_arm"]),
        recommendations=tuple(pair["recommendations"]),
    )


def _test_row(row: Mapping[str, Any], arm: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    return {
        "Effect of": f"{names.get(row['tested_experiment_id'], row['tested_experiment_id'])} · {row['treatment'] or DASH}",
        "within": f"{names.get(row['by_experiment_id'], row['by_experiment_id'])} · {arm['arm']}",
        "Metric": row["metric"] or DASH,
        "Control": figures.percent(arm["rate_control"]),
        "Treatment": figures.percent(arm["rate_treatment"]),
        "Effect": figures.points(arm["effect"]) if row["metric"] == "converted" else figures.number(arm["effect"]),
        "Units": f"{figures.whole(arm['n_treatment'])} / {figures.whole(arm['n_control'])}",
    }
