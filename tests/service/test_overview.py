"""What the dashboard's first page reads, the way to a result, decisions; and the simulated experiments of the demo (HO-41, G-13)."""

from __future__ import annotations

import datetime as dt

import pytest
from holdout_rows import START, add_units
from running_service import Service, SetClock, make_tokens
from starlette.testclient import TestClient
from test_experiments import HOLDOUT

from fairtrial.errors import ConflictError
from fairtrial.service import Settings, create_app
from fairtrial.service.demo import fill_demo
from fairtrial.storage import open_database, upgrade

pytestmark = pytest.mark.xdist_group("overview")
NOW = dt.datetime(2026, 6, 15, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's database under the application."""
    url = f"sqlite:///{tmp_path_factory.mktemp('demo')}/demo.db"
    database = open_database(url)
    upgrade(database)
    said: list[str] = []
    fill_demo(database, now=NOW, say=said.append)
    assert len(said) > 10
    clock = SetClock(NOW)
    tokens = make_tokens(database, NOW)
    with TestClient(create_app(Settings(database_url=url), clock=clock, database=database), base_url="http://127.0.0.1") as client:
        yield Service(client, clock, tokens)
    database.close()


@pytest.mark.parametrize("role", ["VIEWER", "ANALYST", "DEVELOPER", "ADMIN"])
def test_a_token_learns_what_it_may(service, role):
    found = service.get("/api/v1/me", role=role).json()
    assert found["role"] == role
    assert found["auth_mode"] == "on"
    assert found["name"].startswith("key:")


def test_an_empty_service_has_an_overview(service):
    found = service.get("/api/v1/overview").json()
    assert (found["by_status"], found["experiments"], found["model_experiments"]) == ({}, [], {})
    assert service.get("/api/v1/decisions").json() == {"items": [], "total": 0}


def test_the_overview_names_what_needs_somebody(demo):
    """The stored results of the last report, the most urgent first; nothing is computed."""
    found = demo.get("/api/v1/overview").json()
    needs = [one["needs"] for one in found["experiments"]]
    assert needs == sorted(needs, key=["stop", "decide", "review", None].index)
    by_key = {one["key"]: one for one in found["experiments"]}
    assert by_key["demo-sms-reminder"]["needs"] == "stop"
    assert by_key["demo-sms-reminder"]["srm_status"] == "mismatch"
    assert by_key["demo-onsite-banner"]["needs"] == "decide"
    assert "demo-whatsapp-welcome" not in by_key
    assert found["by_status"]["draft"] == 1
    assert found["model_experiments"] == {"running": 1}
    one = by_key["demo-winback-email"]
    looked = demo.post(f"/api/v1/experiments/{one['id']}/looks").json()
    after = next(row for row in demo.get("/api/v1/overview").json()["experiments"] if row["id"] == one["id"])
    assert (after["uplift_abs"], after["ci_low"], after["verdict"]) == (looked["uplift_abs"], looked["ci_low"], looked["verdict"])
    assert after["units"] == looked["plan"]["observed_total"]


def test_results_of_an_earlier_version_are_not_shown(service):
    made = service.post("/api/v1/experiments", {**HOLDOUT, "treatment_rate": 0.5}).json()
    path = f"/api/v1/experiments/{made['id']}"
    assert service.post(f"{path}/status", {"status": "running"}).status_code == 200
    with service.database.writing() as session:
        for group in ("treatment", "control"):
            add_units(session, made["id"], group, 40)
    service.clock.now = START + dt.timedelta(days=3)
    assert service.post(f"{path}/looks").status_code == 201
    (one,) = service.get("/api/v1/overview").json()["experiments"]
    assert one["units"] == 80
    spec = service.get(f"{path}/versions").json()["items"][0]["spec"]
    changed = service.post(f"{path}/versions", {"spec": {**spec, "hypothesis": "Another one."}, "reason": "A clearer question."})
    assert changed.status_code in {200, 201}, changed.text
    (one,) = service.get("/api/v1/overview").json()["experiments"]
    assert (one["units"], one["verdict"], one["computed_at"]) == (None, None, None)


@pytest.mark.parametrize("key", ["demo-back-in-stock", "demo-winback-email", "demo-search-ranking"])
def test_the_trajectory_ends_in_the_results(demo, key):
    """G-13: the last point is the look of this moment; the running p never rises, an interval is there once both groups differ."""
    points = demo.get(f"/api/v1/experiments/{key}/trajectory").json()["data"]
    results = demo.get(f"/api/v1/experiments/{key}/results").json()
    last = points[-1]
    assert last["uplift_abs"] == pytest.approx(results["uplift_abs"], rel=1e-12)
    assert [last["ci_low"], last["ci_high"]] == pytest.approx(results["always_valid_interval"], rel=1e-12)
    running = [point["always_valid_p"] for point in points if point["always_valid_p"] is not None]
    assert running == sorted(running, reverse=True)
    assert all(point["ci_low"] <= point["uplift_abs"] <= point["ci_high"] for point in points if point["ci_low"] is not None)
    weekly = demo.get(f"/api/v1/experiments/{key}/trajectory", params={"freq": "W"}).json()["data"]
    assert weekly[-1]["uplift_abs"] == last["uplift_abs"]
    assert len(weekly) < len(points)


def test_novelty_of_one_experiment_is_that_of_the_pair(demo):
    own = demo.get("/api/v1/experiments/demo-one-page-checkout/novelty").json()
    pair = demo.get("/api/v1/interactions/demo-one-page-checkout/demo-search-ranking/novelty", role="DEVELOPER").json()
    assert own == pair["novelty_result"]
    assert demo.get("/api/v1/experiments/404/novelty").status_code == 404


def test_decisions_are_logged_newest_first(demo):
    found = demo.get("/api/v1/decisions").json()
    assert (found["total"], found["items"][0]["key"], found["items"][0]["decision"]) == (1, "demo-loyalty-letter", "LAUNCH")
    assert found["items"][0]["by"] == "demo"
    banner = demo.get("/api/v1/experiments/demo-onsite-banner").json()["id"]
    body = {"decision": "NO_LAUNCH", "note": "Nothing to see."}
    assert demo.post(f"/api/v1/experiments/{banner}/decision", body).status_code == 200
    found = demo.get("/api/v1/decisions", params={"limit": 1}).json()
    assert (found["total"], found["items"][0]["note"]) == (2, "Nothing to see.")


@pytest.mark.parametrize(("text", "name"), [("żółty", "Żółty Łabędź"), ("ŁABĘDŹ", "Żółty Łabędź"), ("été", "ÉTÉ 2026")])
def test_a_name_is_found_in_any_case_and_script(service, text, name):
    """HO-36: SQLite's own lower() knows ASCII alone."""
    made(service)
    assert found(service, text) == [name]


def test_a_name_is_found_as_it_is_written_on_every_store(stored_service):
    """A Postgres without a locale lowers ASCII alone, and finds at least what is asked for letter by letter."""
    made(stored_service)
    assert found(stored_service, "Łabędź") == ["Żółty Łabędź"]
    assert found(stored_service, "ÉTÉ") == ["ÉTÉ 2026"]
    assert found(stored_service, "100% _off_") == ["100% _OFF_"]
    assert found(stored_service, "%") == ["100% _OFF_"]


def made(service):
    for name in ("Żółty Łabędź", "ÉTÉ 2026", "100% _OFF_"):
        assert service.post("/api/v1/experiments", {**HOLDOUT, "name": name}).status_code == 201


def found(service, text):
    return [one["name"] for one in service.get("/api/v1/experiments", params={"search": text}).json()["items"]]


def test_the_demo_has_every_kind_and_tells_the_truth_it_was_made_by(demo):
    """The shares broken on purpose are found, so are the two experiments that spoil each other, and the best arm of the bandit."""
    scan = demo.get("/api/v1/interactions/scan", role="DEVELOPER").json()
    worst = next(one for one in scan["results"] if one["overall_risk"] == "high")
    assert {worst["experiment_a_id"], worst["experiment_b_id"]} == {"demo-one-page-checkout", "demo-search-ranking"}
    assert demo.get("/api/v1/bandits/demo-hero-banner/results").json()["best_arm"]["arm"] == "family"
    assert demo.get("/api/v1/rollouts/demo-fast-editor").json()["sessions"] > 3000
    assert demo.get("/api/v1/models").json()["items"][0]["status"] == "running"


def test_the_demo_fills_an_empty_database_alone(demo):
    with pytest.raises(ConflictError, match="empty database"):
        fill_demo(demo.database, now=NOW)
