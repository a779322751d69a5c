"""The experiments of the examples of Part I, written into the tables: known sets of units, arms and converters."""

from __future__ import annotations

import datetime as dt
import itertools

from holdout_rows import START, mark
from test_experiments import HOLDOUT

from fairtrial.storage.tables import ExperimentAssignment, ExperimentExposure, ExperimentOutcome

DAY = dt.timedelta(days=1)
ARMS = ("control", "treatment")
CELLS = {("control", "control"): 200, ("control", "treatment"): 400, ("treatment", "control"): 300, ("treatment", "treatment"): 600}
"""Converters of 2,000 units each, by (arm of A, arm of B)."""
SMALL = {("control", "control"): 50, ("control", "treatment"): 52, ("treatment", "control"): 55, ("treatment", "treatment"): 60}
"""Converters of 500 units each, by (arm of A, arm of C)."""


def run_experiment(service, key: str, **fields) -> int:
    """A running experiment; its id."""
    made = service.post("/api/v1/experiments", {**HOLDOUT, "key": key, "treatment_rate": 0.5, **fields})
    assert made.status_code == 201, made.text
    assert service.post(f"/api/v1/experiments/{key}/status", {"status": "running"}).status_code == 200
    return made.json()["id"]


def put(session, experiment: int, arms: dict[str, str], converted: set[str], *, exposed: tuple[str, ...] = (), value: float = 1.0) -> None:
    """Units with their arm, who of them converted on the second day, and who was exposed."""
    session.add_all(
        ExperimentAssignment(experiment_id=experiment, profile_id=unit, group=arm, assigned_at=START, source="assign")
        for unit, arm in arms.items()
    )
    at = START + DAY
    session.add_all(
        ExperimentOutcome(
            experiment_id=experiment, profile_id=unit, conversion_ts=at, value=value, outcome_id=None, dedupe_key=mark(at, value)
        )
        for unit in sorted(converted)
    )
    session.add_all(ExperimentExposure(experiment_id=experiment, profile_id=unit, exposure_ts=at, dedupe_key=mark(at)) for unit in exposed)


def crossed(prefix: str, n: int, converters: dict) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """n units in each combination of arms: the arms in both experiments, and who converts."""
    first: dict[str, str] = {}
    second: dict[str, str] = {}
    won: set[str] = set()
    for arms in itertools.product(ARMS, ARMS):
        units = [f"{prefix}-{arms[0][0]}{arms[1][0]}-{number:05d}" for number in range(n)]
        first |= dict.fromkeys(units, arms[0])
        second |= dict.fromkeys(units, arms[1])
        won |= set(units[: converters[arms]])
    return first, second, won


def the_pair(service) -> None:
    """exp-a-uuid with 9,400 units and exp-b-uuid with 9,411, of which 8,000 are in both."""
    numbers = [run_experiment(service, key) for key in ("exp-a-uuid", "exp-b-uuid")]
    a, b, won = crossed("ab", 2000, CELLS)
    a |= {f"a-{number}": ARMS[number % 2] for number in range(1400)}
    b |= {f"b-{number}": ARMS[number >= 706] for number in range(1411)}
    with service.database.writing() as session:
        put(session, numbers[0], a, won, exposed=tuple(unit for unit, arm in a.items() if arm == "control")[:47])
        put(session, numbers[1], b, won, exposed=tuple(unit for unit, arm in b.items() if arm == "control")[:33])


def third_experiment(service) -> None:
    """exp-c-uuid with 5,000 units, of which 2,000 are in A: 350 of each cell in A alone, 150 of each in B too."""
    number = run_experiment(service, "exp-c-uuid")
    c: dict[str, str] = {}
    won: set[str] = set()
    for place, (arm_a, arm_c) in enumerate(itertools.product(ARMS, ARMS)):
        converters = SMALL[arm_a, arm_c]
        own = [f"a-{2 * n + ARMS.index(arm_a)}" for n in range(350 * (place % 2), 350 * (place % 2) + 350)]
        numbers = [*range(15 * (place % 2), 15 * (place % 2) + 15), *range(1000 + 135 * (place % 2), 1135 + 135 * (place % 2))]
        shared = [f"ab-{arm_a[0]}c-{n:05d}" for n in numbers]  # in B's control; the first 15 converted in A
        c |= dict.fromkeys(own + shared, arm_c)
        was = shared[:15]
        chosen = own[: converters - len(was)]
        won |= {*was, *chosen}
        with service.database.writing() as session:
            at = START + DAY
            session.add_all(
                ExperimentOutcome(experiment_id=1, profile_id=unit, conversion_ts=at, value=1.0, outcome_id=None, dedupe_key=mark(at, 1.0))
                for unit in chosen
            )
    c |= {f"c-{n}": ARMS[n % 2] for n in range(3000)}
    with service.database.writing() as session:
        put(session, number, c, won)
