"""One unit's data exported and erased everywhere; rows that grow old go by the rules."""

from __future__ import annotations

import datetime as dt
import json
import uuid

import pytest
from holdout_rows import START, add_exposures, add_outcomes, add_units
from sqlalchemy import inspect, text
from test_experiments import HOLDOUT

from fairtrial.service.access.roles import LOCAL
from fairtrial.service.audit import record_change
from fairtrial.service.privacy.retention import apply_retention
from fairtrial.service.privacy.units import is_receipt_of
from fairtrial.storage.privacy import AGEING, PERSONAL
from fairtrial.storage.tables import (
    Alert,
    AuditEntry,
    BanditDecision,
    Base,
    Conversion,
    Event,
    Experiment,
    ExperimentOutcome,
    ForcedVariant,
    JobRun,
    OutboxMessage,
    PredictionRow,
    Profile,
    RolloutSession,
    RolloutUser,
    Touchpoint,
)

UNIT, OTHER = "zoë@mail.example/用户 %_'\"", "zoë@mail.example/用户 %_'\"2"
PREDICTION = {
    "experiment": "m", "variant": "champion", "model_name": "v1", "served_by": "v1", "prediction": "0.5", "latency_ms": 1.0, "error": False,
    "timeout": False, "fallback": False, "propensity": 1.0, "stage": "", "features": "{}",
}  # fmt: skip
NAMES_UNITS = {"profile_id", "unit", "user_id", "targeting_key"}


DECISION = {"bandit": "b", "period": 1, "arm": "a", "propensity": 0.5, "fixed": False, "propensities_json": None, "context_json": None}


def fill(service, *units: str) -> None:
    """Every personal table and the audit log name each unit."""
    service.post("/api/experiments", HOLDOUT)
    service.post("/api/experiments", {**HOLDOUT, "name": "second"})
    with service.database.writing() as session:
        for unit in units:
            session.add_all(
                [
                    Profile(id=unit, age=30.0, ltv=1.0, attributes_json={"mail": unit}, updated_at=START),
                    Touchpoint(profile_id=unit, channel="email", touched_at=START),
                    Conversion(profile_id=unit, kpi="purchase", converted_at=START, value=3.0),
                    Event(
                        event_id=uuid.uuid4().bytes, unit=unit, name="n", occurred_at=START, properties_json={"u": unit}, received_at=START
                    ),
                    ForcedVariant(experiment_id=2, unit=unit, arm="control", created_by="x", created_at=START),
                    PredictionRow(**PREDICTION, prediction_id=unit[::-1], user_id=unit, assignment_id=f"{unit}_m", timestamp=START),
                    RolloutUser(rollout_id=1, user_id=unit, variant="control", assigned_at=START),
                    RolloutSession(
                        rollout_id=1,
                        session_id=unit[::-1],
                        user_id=unit,
                        occurred_at=START,
                        variant="control",
                        accepted=False,
                        latency_ms=1.0,
                        error=False,
                    ),
                    BanditDecision(**DECISION, decision_id=str(uuid.uuid4()), unit=unit, decided_at=START),
                ]
            )
            (name,) = add_units(session, 1, "treatment", 1, prefix=f"{unit}|")
            session.execute(text("UPDATE experiment_assignments SET profile_id = :u WHERE profile_id = :n"), {"u": unit, "n": name})
            add_exposures(session, 1, [unit], at=START)
            add_outcomes(session, 1, [unit], at=START, value=2.0)
            record_change(session, actor=LOCAL, now=START, action="variant.force", on=("unit", unit), after={"unit": unit, "list": [unit]})
            record_change(session, actor=LOCAL, now=START, action="variant.force", on=("forced", f"2/{unit}"), before={unit: {"a": 1}})


def everything(database) -> str:
    """Every value of every row of every table, as one text."""
    with database.reading() as session:
        rows = [tuple(row) for table in Base.metadata.sorted_tables for row in session.execute(table.select())]
    return json.dumps(rows, default=str, ensure_ascii=False)


def post(service, path: str, unit: str):
    return service.post(f"/api/v1/privacy/{path}", {"unit": unit}, role="ADMIN")


def test_every_table_that_names_units_is_known():
    """A table that is added must say how it forgets."""
    naming = {table.name for table in Base.metadata.sorted_tables if {column.name for column in table.columns} & NAMES_UNITS}
    assert naming <= set(PERSONAL), "add the table to PERSONAL"
    assert {"profiles", *naming} == set(PERSONAL)


def test_a_unit_is_exported_with_every_row_and_nobody_elses(stored_service):
    fill(stored_service, UNIT, OTHER)
    body = post(stored_service, "export", UNIT).json()
    assert body["rows"] == len(PERSONAL)
    assert {name: len(rows) for name, rows in body["tables"].items()} == dict.fromkeys(PERSONAL, 1)
    assert body["tables"]["experiment_outcomes"][0]["value"] == 2.0
    assert body["tables"]["experiment_outcomes"][0]["conversion_ts"] == "2026-03-01T00:00:00Z"
    assert body["tables"]["profiles"][0]["attributes_json"] == {"mail": UNIT}
    assert OTHER not in json.dumps(body, ensure_ascii=False)
    (entry,) = stored_service.get("/api/v1/audit?action=unit.export", role="ADMIN").json()["items"]
    assert is_receipt_of(entry["object_id"], UNIT)
    assert UNIT not in json.dumps(entry, ensure_ascii=False), "that it was read is kept, not whose it was"


def test_a_unit_is_erased_everywhere_and_the_audit_log_keeps_a_hash(stored_service):
    """Nothing but the hash is left in any column of any table; whose id is longer stays."""
    fill(stored_service, UNIT)
    fill(stored_service, OTHER)
    body = post(stored_service, "erase", UNIT).json()
    assert body["erased"] == dict.fromkeys(PERSONAL, 1)
    assert (body["total"], body["experiments"], body["audit_entries_masked"]) == (len(PERSONAL), [1, 2], 4)
    assert is_receipt_of(body["receipt"], UNIT)
    assert not is_receipt_of(body["receipt"], OTHER)
    left = everything(stored_service.database)
    assert json.dumps(UNIT, ensure_ascii=False)[1:-1] not in left.replace(json.dumps(OTHER, ensure_ascii=False)[1:-1], "")
    assert body["receipt"] in left
    assert post(stored_service, "export", OTHER).json()["rows"] == len(PERSONAL)
    assert post(stored_service, "export", UNIT).json()["rows"] == 0


def test_erasing_again_or_a_stranger_is_no_error(service):
    service.post("/api/experiments", HOLDOUT)
    for unit in ("nobody", "nobody"):
        body = post(service, "erase", unit).json()
        assert (body["total"], body["experiments"]) == (0, [])
    receipts = [row["object_id"] for row in service.get("/api/v1/audit?action=unit.erase", role="ADMIN").json()["items"]]
    assert len(set(receipts)) == 2, "salted: two requests for one unit cannot be linked without its id"


@pytest.mark.parametrize("body", [{}, {"unit": ""}, {"unit": "x" * 201}, {"unit": "a\x00"}, {"unit": ["a"]}, {"unit": "a", "all": True}])
def test_what_is_no_unit_is_refused(service, body):
    for path in ("export", "erase"):
        assert service.post(f"/api/v1/privacy/{path}", body, role="ADMIN").status_code == 422


def test_rules_of_retention_are_set_listed_and_taken_back(stored_service):
    def call(method: str, path: str, **kwargs):
        return stored_service.call(method, f"/api/v1/privacy/retention{path}", role="ADMIN", **kwargs)

    assert {row["table"]: row["days"] for row in call("GET", "").json()["items"]} == dict.fromkeys(AGEING)
    assert call("PUT", "/events", json={"days": 90}).json()["days"] == 90
    assert call("PUT", "/events", json={"days": 30}).json()["column"] == "occurred_at"
    assert next(row for row in call("GET", "").json()["items"] if row["days"])["days"] == 30
    for path, body in (
        ("/experiments", {"days": 1}),
        ("/api_keys", {"days": 1}),
        ("/events", {"days": 0}),
        ("/events", {"days": 10**9}),
        ("/events", {"days": 1.5}),
    ):
        assert call("PUT", path, json=body).status_code == 422, (path, body)
    assert call("DELETE", "/events").json()["days"] is None
    assert call("DELETE", "/events").status_code == 200
    actions = [row["action"] for row in stored_service.get("/api/v1/audit?action=retention.", role="ADMIN").json()["items"]]
    assert actions == ["retention.remove", "retention.set", "retention.set"]


def test_rows_go_by_age_but_not_those_of_open_experiments(stored_service):
    """To the second at the boundary, leap day and all."""
    fill(stored_service, UNIT)
    now = dt.datetime(2028, 2, 29, 12, tzinfo=dt.UTC)
    edge = now - dt.timedelta(days=365)
    with stored_service.database.writing() as session:
        for seconds in (-1, 0, 1):
            at = edge + dt.timedelta(seconds=seconds)
            session.add(Event(event_id=uuid.uuid4().bytes, unit="e", name="n", occurred_at=at, received_at=at))
        session.add_all(
            [
                Alert(dedupe_key="a", severity="info", message="m", created_at=START),
                JobRun(task="t", due_at=START, started_at=START, status="running"),
                JobRun(task="u", due_at=START, started_at=START, status="done"),
                OutboxMessage(dedupe_key="o", target="t", title="t", body="b", created_at=START, next_attempt_at=START),
                OutboxMessage(dedupe_key="p", target="t", title="t", body="b", created_at=START, next_attempt_at=START, delivered_at=START),
            ]
        )
        session.get_one(Experiment, 2).status = "decided"
        add_outcomes(session, 2, ["old"], at=START)
    for table in AGEING:
        stored_service.call("PUT", f"/api/v1/privacy/retention/{table}", role="ADMIN", json={"days": 365})
    stored_service.clock.now = now
    done = apply_retention(stored_service.database, now=now)
    assert done.deleted["events"] == 2, "of UNIT and one second too old"
    assert (done.deleted["experiment_outcomes"], done.deleted["experiment_assignments"]) == (1, 0), "of the decided one alone"
    assert (done.deleted["profiles"], done.deleted["alerts"], done.deleted["job_runs"], done.deleted["outbox"]) == (1, 1, 1, 1)
    with stored_service.database.reading() as session:
        assert {row.profile_id for row in session.query(ExperimentOutcome)} == {UNIT}
        assert session.query(JobRun).one().status == "running"
        assert session.query(OutboxMessage).one().dedupe_key == "o"
        assert session.query(AuditEntry).filter_by(action="retention.apply").one().actor == "job:retention"
    again = stored_service.call("POST", "/api/v1/privacy/retention/apply", role="ADMIN").json()
    assert again["total"] == 0


def test_many_old_rows_go_in_small_transactions(stored_service):
    with stored_service.database.writing() as session:
        session.execute(
            Event.__table__.insert(),
            [
                {"event_id": i.to_bytes(16, "big"), "unit": "u", "name": "n", "occurred_at": START, "received_at": START}
                for i in range(12_001)
            ],
        )
    stored_service.call("PUT", "/api/v1/privacy/retention/events", role="ADMIN", json={"days": 1})
    stored_service.clock.move(days=2)
    done = stored_service.call("POST", "/api/v1/privacy/retention/apply", role="ADMIN").json()
    assert done == {"deleted": {"events": 12_001}, "total": 12_001}


def test_every_ageing_table_has_the_column_it_names():
    for name, ageing in AGEING.items():
        assert inspect(ageing.table).local_table.name == name
        assert ageing.time in inspect(ageing.table).columns
