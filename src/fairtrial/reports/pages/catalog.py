"""A configuration of the catalog: is it feasible?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairtrial.reports.pages import figures

TONES: Mapping[str, str] = {"FEASIBLE": "good", "MARGINAL": "caution", "NOT_FEASIBLE": "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeasibilityView:
    """Whether a plan fits its days."""

    tone: str
    sentence: str
    cards: tuple[tuple[str, str, str], ...]
    changes: tuple[str, ...]


def feasibility_view(found: Mapping[str, Any]) -> FeasibilityView:
    """From `POST /configs/{name}/power`."""
    judged, sizes, days = found["feasibility_assessment"], found["sample_size_requirements"], found["duration_requirements"]
    traffic = found["traffic_analysis"]
    return FeasibilityView(
        tone=TONES[judged["status"]],
        sentence=" ".join([f"{figures.words(judged['status']).capitalize()}.", *judged["reasons"], *judged["warnings"]]),
        cards=(
            ("Users in all", figures.whole(sizes["total"]), f"{figures.whole(sizes['per_variant'])} a variant"),
            ("Days", figures.whole(days["final_duration_days"]), f"at most {figures.whole(days['business_maximum_days'])}"),
            ("Users a day", figures.whole(traffic["daily_eligible_users"]), f"source: {traffic['data_source']}"),
        ),
        changes=tuple(one["text"] for one in judged["what_to_change"]),
    )
