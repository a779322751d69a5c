"""A pair of experiments, and a scan of pairs, as plain values with the names of the REST API (IN-03..IN-08, IN-25)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fairtrial.diagnostics.pair_analysis import PairAnalysis, ScanEntry
from fairtrial.diagnostics.pair_risk import SIGNIFICANT_OVERLAP
from fairtrial.diagnostics.pair_tests import CORRECTION
from fairtrial.evaluation.within_arms import VerdictInArm


def pair_dict(pair: PairAnalysis, verdicts: Sequence[VerdictInArm] = ()) -> dict[str, Any]:
    """The analysis of a pair, and the verdicts of both in the arms of the other; novelty and interference are added by whoever has them."""
    overlap = pair.overlap
    return {
        "experiment_a_id": pair.a,
        "experiment_b_id": pair.b,
        "overlap_coefficient": overlap.jaccard,
        "overlap_band": overlap.band,
        "shared_users": overlap.intersection,
        "users_a": overlap.n_a,
        "users_b": overlap.n_b,
        "share_of_a": overlap.share_of_a,
        "share_of_b": overlap.share_of_b,
        "has_significant_overlap": overlap.jaccard is not None and overlap.jaccard > SIGNIFICANT_OVERLAP,
        "mutual_exclusion_group_id": pair.exclusion_group,
        "min_users_per_cell": pair.min_users,
        "min_expected_per_cell": pair.min_expected,
        "correction_method": CORRECTION,
        "interaction_result": asdict(pair.interaction),
        "tests": [asdict(row) for row in pair.tests],
        "assignment_dependence": [asdict(one) for one in pair.dependence],
        "decisions_by_arm": [asdict(one) for one in pair.decisions],
        "verdicts_by_arm": [asdict(one) for one in verdicts],
        "best_combinations": [asdict(one) for one in pair.best],
        "overall_risk": pair.risk,
        "recommendations": list(pair.recommendations),
    }


def entry_dict(entry: ScanEntry) -> dict[str, Any]:
    """One pair of a scan."""
    return asdict(entry) | {"recommendations": list(entry.recommendations)}


def scan_dict(entries: list[ScanEntry], *, experiments: int, how: Mapping[str, Any]) -> dict[str, Any]:
    """A scan.

    Args:
        entries: One a pair.
        experiments: How many experiments were looked at.
        how: How it was counted: method, sampling rate, data source.
    """
    return {
        "total_active_experiments": experiments,
        "pairs_analyzed": experiments * (experiments - 1) // 2,
        "high_risk_pairs": sum(entry.overall_risk == "high" for entry in entries),
        "correction_method": CORRECTION,
        **how,
        "results": [entry_dict(entry) for entry in entries],
    }
