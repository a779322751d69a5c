"""Daily sums and exposed controls out of the service's tables: each store against a plain count in Python (IN-06, IN-07)."""

from __future__ import annotations

import datetime as dt
import hashlib

import numpy as np
import pytest

from fairtrial.diagnostics.daily_effects import sums_of_values
from fairtrial.errors import UsageError
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.daily import daily_sums, exposed_units
from fairtrial.storage.readings import Window, count_holdout
from fairtrial.storage.tables import Experiment, ExperimentAssignment, ExperimentExposure, ExperimentOutcome, ForcedVariant

START = dt.datetime(2026, 3, 1, 6, 30, tzinfo=dt.UTC)
END = START + dt.timedelta(days=20)
DAY = dt.timedelta(days=1)
ARMS = ("control", "treatment")


@pytest.fixture(params=["sqlite", "postgres"])
def filled(request, tmp_path):
    """400 profiles of one experiment and a few of another: late, lazy, forced and back-filled ones, times to the microsecond."""
    if request.param == "sqlite":
        database = open_database(f"sqlite:///{tmp_path}/service.db")
        upgrade(database)
    else:
        database = open_database(request.getfixturevalue("postgres_service_url"))
    rows = scene()
    with database.writing() as session:
        for number in (1, 2):
            session.add(
                Experiment(
                    id=number,
                    key=f"e{number}",
                    name="E",
                    spec_json={},
                    spec_hash="x",
                    hash_key=str(number),
                    created_at=START,
                    updated_at=START,
                )
            )
        session.flush()
        session.add_all(ExperimentAssignment(**row) for row in rows["assigned"])
        session.add_all(ExperimentExposure(**row) for row in rows["exposed"])
        session.add_all(ExperimentOutcome(outcome_id=None, **row) for row in rows["outcomes"])
        session.add_all(
            ForcedVariant(experiment_id=1, unit=unit, arm="treatment", created_by="qa", created_at=START) for unit in rows["forced"]
        )
    yield database, rows
    database.close()


def key_of(*parts):
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


def scene():
    rng = np.random.default_rng(9)

    def moment(low, high):
        return START + dt.timedelta(microseconds=int(rng.integers(low * 86_400_000_000, high * 86_400_000_000)))

    assigned = [
        {
            "experiment_id": 1,
            "profile_id": f"p{i:03d}",
            "group": ARMS[int(rng.integers(0, 2))],
            "assigned_at": moment(-3, 14) if i % 20 else END + DAY,
            "source": "exposure" if i % 11 == 5 else "assign",
        }
        for i in range(400)
    ]
    assigned.append({"experiment_id": 2, "profile_id": "p001", "group": "control", "assigned_at": START, "source": "assign"})

    def outcome(i):
        return {"profile_id": f"p{int(rng.integers(0, 420)):03d}", "conversion_ts": moment(-5, 30), "dedupe_key": key_of(i)}

    outcomes = [outcome(i) | {"experiment_id": 1 if i % 50 else 2, "value": float(rng.integers(-200, 900)) / 8} for i in range(2500)]
    first = next(row for row in assigned if row["source"] == "assign" and START < row["assigned_at"] < END)
    outcomes += [
        {
            "experiment_id": 1,
            "profile_id": first["profile_id"],
            "conversion_ts": first["assigned_at"] + edge * DAY + dt.timedelta(microseconds=micro),
            "value": 1.5,
            "dedupe_key": key_of("edge", edge, micro),
        }
        for edge, micro in ((0, 0), (0, -1), (1, 0), (1, -1), (5, 0))
    ]
    exposed = [
        {
            "experiment_id": 1 if i % 40 else 2,
            "profile_id": f"p{int(rng.integers(0, 420)):03d}",
            "exposure_ts": moment(-3, 20),
            "dedupe_key": key_of("x", i),
        }
        for i in range(600)
    ]
    return {"assigned": assigned, "outcomes": outcomes, "exposed": exposed, "forced": {"p003", "p017"}}


def analysed(rows, *, until, start_at):
    """Profiles of the population with their arm and start."""
    found = {}
    for row in rows["assigned"]:
        at = row["assigned_at"]
        if row["experiment_id"] != 1 or row["source"] == "exposure" or row["profile_id"] in rows["forced"]:
            continue
        if until is not None and until < at <= END:
            continue
        start = at if start_at is None else start_at if at > END or at < start_at else at
        found[row["profile_id"]] = row["group"], start
    return found


def plain(rows, *, window, observed_until, outcome, axis, days):
    units = analysed(rows, until=window.until, start_at=window.start_at)
    end = min(window.last_at, observed_until)
    if axis == "exposure_day":
        for profile, (arm, start) in list(units.items()):
            mine = [
                row["exposure_ts"]
                for row in rows["exposed"]
                if row["experiment_id"] == 1 and row["profile_id"] == profile and row["exposure_ts"] >= start
            ]
            mine = [at for at in mine if window.until is None or at <= window.until]
            if mine:
                units[profile] = arm, min(mine)
            else:
                del units[profile]
    by_profile = {}
    for row in rows["outcomes"]:
        if row["experiment_id"] == 1:
            by_profile.setdefault(row["profile_id"], []).append(row)
    found = {arm: [] for arm in ARMS}
    for profile, (arm, start) in units.items():
        line = [np.nan] * days
        for day in range(days):
            if start + (day + 1) * DAY <= end:
                values = [
                    row["value"]
                    for row in by_profile.get(profile, [])
                    if start + day * DAY <= row["conversion_ts"] < start + (day + 1) * DAY
                ]
                line[day] = sum(values) if outcome == "value" else float(bool(values))
        found[arm].append(line)
    return {arm: sums_of_values(np.array(lines)) for arm, lines in found.items()}


def window(**changes):
    return Window(**{"experiment_id": 1, "start_at": START, "end_at": END, "window_days": 3.0} | changes)


@pytest.mark.parametrize("outcome", ["converted", "value"])
@pytest.mark.parametrize("axis", ["assignment_day", "exposure_day"])
@pytest.mark.parametrize("changes", [{}, {"until": START + 9 * DAY}, {"start_at": None}])
def test_daily_sums_are_those_of_the_profiles(filled, outcome, axis, changes):
    database, rows = filled
    period, seen_until = window(**changes), START + dt.timedelta(days=21, hours=3)
    with database.reading() as session:
        found = daily_sums(session, period, ARMS, outcome, observed_until=seen_until, axis=axis, days=12)
        counts = count_holdout(session, period, ARMS)
    wanted = plain(rows, window=period, observed_until=seen_until, outcome=outcome, axis=axis, days=12)
    for arm in ARMS:
        assert np.array_equal(found[arm].units, wanted[arm].units)
        np.testing.assert_allclose(found[arm].sums, wanted[arm].sums, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(found[arm].products, wanted[arm].products, rtol=1e-12, atol=1e-9)
        assert found[arm].units[11, 11] > 0 or changes.get("until") is not None
        assert found[arm].units[0, 0] <= counts.arms[arm].n


def test_an_arm_without_units_is_there_and_empty(filled):
    database, _ = filled
    with database.reading() as session:
        found = daily_sums(session, window(), (*ARMS, "third"), "converted", observed_until=END)
    assert (found["third"].units == 0).all()
    assert found["third"].days == 28


def test_exposed_units_of_an_arm_are_listed_in_order(filled):
    database, rows = filled
    units = analysed(rows, until=None, start_at=START)
    wanted = sorted({
        row["profile_id"] for row in rows["exposed"] if row["experiment_id"] == 1 and units.get(row["profile_id"], ("",))[0] == "control"
    })  # fmt: skip
    with database.reading() as session:
        assert exposed_units(session, window(), "control", listed=1000) == tuple(wanted)
        assert exposed_units(session, window(), "control", listed=3) == tuple(wanted[:3])
        assert count_holdout(session, window(), ARMS).arms["control"].exposed == len(wanted) > 3


@pytest.mark.parametrize("change", [{"days": 0}, {"days": 121}, {"observed_until": dt.datetime(2026, 3, 1)}])  # noqa: DTZ001
def test_days_and_moments_that_cannot_be_are_refused(filled, change):
    database, _ = filled
    with database.reading() as session, pytest.raises(UsageError):
        daily_sums(session, window(), ARMS, "converted", **{"observed_until": END} | change)
