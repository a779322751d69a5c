"""Decisions come from memory: swapped at once here, within a second elsewhere, without a database on the path (G-9)."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from flag_specs import CHECKOUT, COLOURS, UNITS, arms_of, create, evaluate, evaluate_all
from running_service import service_on
from sqlalchemy import event, select, text, update

from fairtrial.errors import ConflictError, StorageError
from fairtrial.service.snapshot import SnapshotHolder
from fairtrial.storage import open_database
from fairtrial.storage.changes import changes
from fairtrial.storage.tables import AuditEntry, Experiment, ExperimentAssignment


def holder_of_another_process(service) -> SnapshotHolder:
    database = open_database(service.database.engine.url.render_as_string(hide_password=False))
    return SnapshotHolder(database, service.clock)


def wait_for(happens, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_change_of_another_process_is_seen_within_seconds(stored_service):
    other = holder_of_another_process(stored_service)
    other.start()
    try:
        number = create(stored_service, CHECKOUT)
        assert wait_for(lambda: other.current.find("production", "checkout") is not None)
        assert wait_for(lambda: other.current.find("production", "checkout").needs_unit)
        stored_service.call("PUT", f"/api/v1/experiments/{number}/forced/me", json={"arm": "control"})
        assert wait_for(lambda: "me" in other.current.find("production", "checkout").forced)
        stored_service.post(f"/api/v1/experiments/{number}/status", {"status": "stopped"})
        assert wait_for(lambda: not other.current.find("production", "checkout").needs_unit)
    finally:
        other.stop()
        other._database.close()


def test_a_decision_runs_no_statement(service):
    create(service, CHECKOUT)
    evaluate(service, "checkout")  # proves the key
    statements: list[str] = []

    def listen(connection, cursor, statement, *rest) -> None:
        statements.append(threading.current_thread().name)

    event.listen(service.database.engine, "before_cursor_execute", listen)
    for unit in UNITS[:50]:
        assert evaluate(service, "checkout", unit).status_code == 200
        assert evaluate_all(service, unit).status_code == 200
    event.remove(service.database.engine, "before_cursor_execute", listen)
    assert [name for name in statements if not name.startswith("fairtrial-")] == []


def test_what_is_rolled_back_is_not_announced(service):
    create(service, CHECKOUT)
    before = service.state.snapshot.current
    refused = service.post("/api/v1/experiments", {"spec": CHECKOUT})
    assert refused.status_code == 409
    with service.database.reading() as session:
        assert changes(session) == before.changes
    assert service.state.snapshot.current is before


def test_a_statement_that_changes_experiments_is_noticed_too(service):
    create(service, CHECKOUT)
    with service.database.writing() as session:
        session.execute(update(Experiment).values(status="stopped"))
    assert evaluate(service, "checkout").json()["reason"] == "DISABLED"


def test_a_flag_that_cannot_be_read_does_not_take_the_others_along(service):
    number = create(service, CHECKOUT)
    create(service, COLOURS)
    with service.database.writing() as session:
        session.execute(update(Experiment).where(Experiment.id == number).values(spec_json={"key": "checkout", "kind": "of the future"}))
    assert evaluate(service, "checkout").status_code == 404
    assert evaluate(service, COLOURS["key"]).status_code == 200


def test_a_flag_is_made_anew_only_when_it_changed(service):
    create(service, CHECKOUT)
    create(service, COLOURS)
    snapshot = service.state.snapshot
    before = {key: snapshot.current.find("production", key) for key in ("checkout", COLOURS["key"])}
    service.call("PUT", "/api/v1/experiments/checkout/forced/me", json={"arm": "control"})
    assert snapshot.current.find("production", "checkout") is not before["checkout"]
    assert snapshot.current.find("production", COLOURS["key"]) is before[COLOURS["key"]]


def test_decisions_become_assignments_once(stored_service):
    """HO-24: assigned at the moment of the decision, by a writer of its own; audited; whoever has no arm is not stored."""
    service = stored_service
    number = create(service, {**CHECKOUT, "eligibility": {"exclude": [{"attribute": "staff", "operator": "equals", "value": True}]}})
    for unit in UNITS[:100] * 2:
        evaluate(service, "checkout", unit)
    evaluate(service, "checkout", "member", staff=True)
    evaluate_all(service, "Zoë")
    service.clock.move(hours=1)
    service.state.assignments.flush()
    arms = arms_of(CHECKOUT)
    assert wait_for(lambda: len(stored_groups(service, number)) == 101)
    stored = stored_groups(service, number)
    assert {unit: group for unit, (group, _, _) in stored.items()} == {unit: arms[unit] for unit in [*UNITS[:100], "Zoë"]}
    assert {source for _, source, _ in stored.values()} == {"flag"}
    assert all(at.hour == 0 for _, _, at in stored.values())
    with service.database.reading() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "assignments.store")).all()
    assert sum(entry.after_json["new"] for entry in entries) == 101


def stored_groups(service, number: int) -> dict:
    with service.database.reading() as session:
        rows = session.scalars(select(ExperimentAssignment).where(ExperimentAssignment.experiment_id == number)).all()
    return {row.profile_id: (row.group, row.source, row.assigned_at) for row in rows}


def test_an_experiment_may_keep_its_decisions_to_itself(service):
    number = create(service, CHECKOUT, log_assignments=False)
    evaluate(service, "checkout")
    service.state.assignments.flush()
    assert stored_groups(service, number) == {}


def test_decisions_wait_while_the_database_cannot_write(service):
    number = create(service, CHECKOUT)
    evaluate(service, "checkout", "first")
    service.state.assignments.flush()
    wait_for(lambda: len(stored_groups(service, number)) == 1)
    with service.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE experiment_assignments RENAME TO away"))
    service.state.assignments.stop()
    assert evaluate(service, "checkout", "second").status_code == 200
    with pytest.raises(StorageError):
        service.state.assignments.flush()
    with service.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO experiment_assignments"))
    assert service.state.assignments.flush() == 1
    assert set(stored_groups(service, number)) == {"first", "second"}


def test_a_batch_that_no_database_takes_is_let_go_and_noted_again(service):
    create(service, CHECKOUT)
    service.state.assignments.stop()
    flag = service.state.snapshot.current.find("production", "checkout")
    gone = replace(flag, experiment_id=99)
    for _ in range(2):
        service.state.assignments.note(gone, "u", flag.decide("u", {}))
        with pytest.raises(ConflictError):
            service.state.assignments.flush()
    assert service.state.assignments.flush() == 0


def test_a_graceful_stop_stores_what_waits(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    with service_on(url) as service:
        number = create(service, CHECKOUT)
        for unit in UNITS:
            evaluate(service, "checkout", unit)
    database = open_database(url)
    with database.reading() as session:
        count = session.query(ExperimentAssignment).filter_by(experiment_id=number).count()
    database.close()
    assert count == len(UNITS)


def test_the_stored_group_wins_after_shares_have_changed(stored_service):
    """G-9, II.b: whoever was assigned stays; raising the rate moves nobody who is stored, and nobody from treatment."""
    service = stored_service
    service.post("/api/v1/experiments", {"name": "h", "channel": "email", "conversion_key": "buy", "key": "mail", "treatment_rate": 0.5})
    service.post("/api/v1/experiments/mail/status", {"status": "running"})
    people, others = UNITS[:300], UNITS[300:600]
    service.post("/api/v1/experiments/mail/assign", {"profile_ids": people})
    before = {unit: evaluate(service, "mail", unit).json()["variant"] for unit in UNITS[:600]}
    forced = {"profile_ids": [people[0]], "treatment_rate": 0.9, "force_reassign": True}
    assert service.post("/api/v1/experiments/mail/assign", forced).status_code == 200
    after = {unit: evaluate(service, "mail", unit).json()["variant"] for unit in UNITS[:600]}
    assert {unit: after[unit] for unit in people[1:]} == {unit: before[unit] for unit in people[1:]}
    assert [unit for unit in others if before[unit] == "treatment" and after[unit] != "treatment"] == []
    assert sum(after[unit] == "treatment" for unit in others) > sum(before[unit] == "treatment" for unit in others) + 60
    again = holder_of_another_process(service)
    again.refresh()
    flag = again.current.find("production", "mail")
    assert {unit: flag.decide(unit, {}).arm for unit in UNITS[:600]} == after
    again._database.close()
    service.post("/api/v1/experiments/mail/assign", {"profile_ids": people, "treatment_rate": 0.9, "force_reassign": True})
    moved = {unit: evaluate(service, "mail", unit).json()["variant"] for unit in people}
    stored = {unit: group for unit, (group, _, _) in stored_groups(service, 1).items()}
    assert moved == {unit: stored[unit] for unit in people}
    assert sum(arm == "treatment" for arm in moved.values()) > sum(before[unit] == "treatment" for unit in people) + 60
