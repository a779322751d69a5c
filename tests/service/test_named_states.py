"""HO-44: each silent state of a holdout has a name, causes and remedies on its page, and is what the service says."""

from __future__ import annotations

from pathlib import Path

from holdout_rows import START, add_outcomes, add_units
from test_experiments import HOLDOUT

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "when-a-holdout-is-silent.md"


def states() -> dict[str, list[str]]:
    rows = [line.strip("| \n").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_page_names_the_four_states_with_cause_and_remedy():
    found = states()
    assert list(found) == ["Insufficient data", "Assignments not stable", "No exposures recorded", "Time series empty"]
    assert all(len(cells) == 3 and all(len(cell) > 10 for cell in cells) for cells in found.values())


def test_the_service_says_what_the_page_says(service):
    service.post("/api/experiments", {**HOLDOUT, "treatment_rate": 0.5})
    assert service.get("/api/experiments/1/time-series").json() == {"data": []}
    with service.database.writing() as session:
        names = add_units(session, 1, "treatment", 12) + add_units(session, 1, "control", 9)
        add_outcomes(session, 1, names[:3], at=START)
    few = service.get("/api/experiments/1/results").json()
    assert (few["insufficient_data"], few["reason"], few["p_value"]) == (True, "fewer than 10 profiles in a group", None)
    assert (few["cace"], few["cace_reason"]) == (None, "no exposures are recorded")
    assert service.get("/api/experiments/1/health").json()["launch_readiness"]["tracking_gaps"]
