"""Eight experiments at once on the real process: assigned, recorded and scanned over HTTP, one interaction planted (Part I)."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys

import httpx
from running_service import real_service
from test_experiments import HOLDOUT

from fairtrial.client import Client

PEOPLE = [f"käufer-{number:05d}" for number in range(10_000)]
KEYS = [f"exp-{number}" for number in range(8)]
BASE, DAY = 0.12, dt.timedelta(days=1)
ROUTES = ("scan", "scans", "exp-0/exp-1", "exp-0/exp-1/novelty", "exp-0/exp-1/trend")


def token_of(http: httpx.Client, role: str) -> str:
    made = http.post("/keys", json={"role": role, "name": role.lower()})
    assert made.status_code == 201, made.text
    return made.json()["token"]


def assigned_groups(http: httpx.Client, key: str, start: dt.datetime) -> dict[str, str]:
    """Everybody sent for assignment, and the group that each one got."""
    lines = "\n".join(["profile_id", *PEOPLE]).encode()
    answer = http.post(
        f"/experiments/{key}/assign/upload",
        params={"assigned_at": start.isoformat()},
        content=lines,
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    page = http.get(f"/experiments/{key}/assignments", params={"limit": 10_000}).json()
    return {row["profile_id"]: row["group"] for row in page["items"]}


def play(http: httpx.Client, start: dt.datetime) -> dict[str, dict[str, str]]:
    """Make and start the experiments, the last two of them apart, assign everybody, and record who bought."""
    group = http.post("/mutual-exclusion-groups", json={"name": "checkout"}).json()["id"]
    arms: dict[str, dict[str, str]] = {}
    for key in KEYS:
        asked = {**HOLDOUT, "key": key, "name": key, "treatment_rate": 0.5, "start_at": start.isoformat(), "end_at": None}
        assert http.post("/experiments", json=asked).status_code == 201
        if key in KEYS[-2:]:
            joined = http.post(f"/mutual-exclusion-groups/{group}/experiments", json={"experiment_id": key, "share": 0.5})
            assert joined.status_code == 200, joined.text
        assert http.post(f"/experiments/{key}/status", json={"status": "running"}).status_code == 200
        arms[key] = assigned_groups(http, key, start)
    rng = random.Random(20)
    bought: list[str] = []
    for unit in PEOPLE:
        treated = [arms[key].get(unit) == "treatment" for key in KEYS]
        rate = BASE + 0.05 * treated[0] + 0.05 * treated[1] - 0.12 * (treated[0] and treated[1]) + 0.02 * treated[2]
        if rng.random() < rate:
            bought.append(unit)
    at = (start + DAY).isoformat()
    for key in KEYS:
        rows = [{"profile_id": unit, "conversion_ts": at, "value": 10.0, "outcome_id": unit} for unit in bought if unit in arms[key]]
        answer = http.post(f"/experiments/{key}/outcomes", json={"outcomes": rows})
        assert answer.json()["inserted"] == len(rows), answer.text
    return arms


def test_eight_experiments_of_which_two_disturb_each_other(tmp_path, store_url):
    """IN-01..IN-03, IN-15, IN-17, IN-21, IN-23, IN-28: 28 pairs, the planted one found, exclusion respected, VIEWER and ANALYST refused."""
    start = dt.datetime.now(dt.UTC).replace(microsecond=0) - 3 * DAY
    with real_service(tmp_path, store_url, env={"FAIRTRIAL_SCHEDULER": "false"}) as (address, token, _):
        http = httpx.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=120)
        with http:
            arms = play(http, start)
            developer = {"Authorization": f"Bearer {token_of(http, 'DEVELOPER')}"}
            check_scan(http.get("/interactions/scan", headers=developer).json(), arms)
            check_client(http, address, token)
            check_pair(http, developer, arms)
            check_roles(http)
            check_unknown(http, developer)
            check_kept(http, developer, store_url)
            if store_url.startswith("sqlite"):
                check_failing_store(http, developer, store_url)


def check_scan(scan: dict, arms: dict[str, dict[str, str]]) -> None:
    assert (scan["total_active_experiments"], scan["pairs_analyzed"]) == (8, 28)
    pairs = [(row["experiment_a_id"], row["experiment_b_id"]) for row in scan["results"]]
    assert pairs == list(itertools.combinations(KEYS, 2))
    for row, (a, b) in zip(scan["results"], pairs, strict=True):
        both = len(arms[a].keys() & arms[b].keys())
        assert row["shared_users"] == both
        assert row["overlap_coefficient"] == both / len(arms[a].keys() | arms[b].keys())
        if (a, b) == ("exp-6", "exp-7"):
            assert (both, row["unavailable_reason"], row["mutual_exclusion_group_id"]) == (0, "mutual_exclusion_group", 1)
            assert (row["has_interaction"], row["overall_risk"]) == (None, "low")
        else:
            assert row["has_interaction"] is ((a, b) == ("exp-0", "exp-1")), (a, b, row)
            assert row["overall_risk"] == ("high" if (a, b) == ("exp-0", "exp-1") else "medium")
    assert scan["high_risk_pairs"] == 1


def check_pair(http: httpx.Client, developer: dict[str, str], arms: dict[str, dict[str, str]]) -> None:
    body = http.get("/interactions/exp-0/exp-1", headers=developer).json()
    short = body["interaction_result"]
    assert short["has_interaction"] is True
    assert -0.18 < short["interaction_effect_size"] < -0.06
    assert body["recommendations"][0] == "Interaction detected: consider pausing one experiment."
    for row in body["tests"]:
        for arm in row["arms"]:
            own, other = arms[row["tested_experiment_id"]], arms[row["by_experiment_id"]]
            counted = sum(group == "treatment" and other.get(unit) == arm["arm"] for unit, group in own.items())
            assert arm["n_treatment"] == counted
    calm = http.get("/interactions/exp-3/exp-4", headers=developer).json()
    assert calm["interaction_result"]["has_interaction"] is False
    assert calm["sutva_result"]["unavailable_reason"] == "no_exposure_log"
    novelty = http.get("/interactions/exp-0/exp-1/novelty", headers=developer).json()
    assert novelty["novelty_result"]["unavailable_reason"] == "too_few_days"


def check_client(http: httpx.Client, address: str, token: str) -> None:
    """The typed client says the same."""
    with Client(address, token, timeout_seconds=120) as client:
        assert client.interaction_scan()["results"] == http.get("/interactions/scan").json()["results"]
        assert client.interaction("exp-0", 2) == http.get("/interactions/exp-0/exp-1").json()
        assert client.novelty(1, "exp-1") == http.get("/interactions/exp-0/exp-1/novelty").json()


def check_roles(http: httpx.Client) -> None:
    for role in ("VIEWER", "ANALYST"):
        headers = {"Authorization": f"Bearer {token_of(http, role)}"}
        for route in ROUTES:
            refused = http.get(f"/interactions/{route}", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "role_too_low"), (role, route)
            assert refused.json()["detail"] == f"Interaction endpoints need role DEVELOPER, got {role}."


def check_unknown(http: httpx.Client, developer: dict[str, str]) -> None:
    for tail in ("", "/novelty", "/trend"):
        assert http.get(f"/interactions/exp-0/nobody{tail}", headers=developer).status_code == 404
        assert http.get(f"/interactions/exp-0/exp-0{tail}", headers=developer).status_code == 422
        assert http.get(f"/interactions/1/exp-0{tail}", headers=developer).status_code == 422


def check_kept(http: httpx.Client, developer: dict[str, str], url: str) -> None:
    """The job as cron runs it keeps the same scan and raises the alert."""
    ran = subprocess.run(
        [sys.executable, "-m", "fairtrial.service.scheduler", "--task", "interaction-scan"],
        env={**os.environ, "FAIRTRIAL_DATABASE_URL": url, "FAIRTRIAL_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["experiments"], said["pairs"], said["high_risk_pairs"], said["new_alerts"]) == (8, 28, 1, 1)
    (scan,) = http.get("/interactions/scans", params={"results": True}, headers=developer).json()["items"]
    assert scan["results"] == http.get("/interactions/scan", headers=developer).json()["results"]
    (point,) = http.get("/interactions/exp-0/exp-1/trend", headers=developer).json()["points"]
    assert point["overall_risk"] == "high"
    (alert,) = http.get("/alerts").json()["items"]
    assert "(exp-0)" in alert["message"]
    assert "(exp-1)" in alert["message"]


def check_failing_store(http: httpx.Client, developer: dict[str, str], url: str) -> None:
    """Somebody takes a table away under the running process: an error, never an empty scan."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as other:
        other.execute("ALTER TABLE experiment_assignments RENAME TO away")
    for route in ("scan", "exp-0/exp-1", "exp-0/exp-1/novelty"):
        failed = http.get(f"/interactions/{route}", headers=developer)
        assert (failed.status_code, failed.json()["code"]) == (503, "storage"), failed.text
