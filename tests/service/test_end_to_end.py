"""A holdout from its plan to its decision, played over HTTP on the real process with real data, on both stores."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from running_service import real_service
from small_webhook import webhook

from fairtrial.client import Client

DATA = Path(__file__).parents[3] / "shared" / "data"
BATCH = 5_000
DAYS_AGO = 20


@dataclass(frozen=True, kw_only=True)
class Play:
    """People of a real experiment: who was treated, who bought, for how much."""

    name: str
    treated: dict[str, bool]
    bought: dict[str, float]
    share: float
    expected: dict


def play_of(name: str) -> Play:
    """The people of a published experiment, or a skip that says what is absent."""
    file = DATA / ("hillstrom.csv.gz" if name == "hillstrom" else "marketing_ab_sample.csv.gz")
    if not file.exists():
        pytest.skip(f"{file.name} carries no licence and is read from beside the checkout, where it is not")
    with gzip.open(file, "rt", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    if name == "hillstrom":
        expected = json.loads((DATA / "expected/hillstrom.json").read_text())["comparisons"]["Mens E-Mail vs No E-Mail | conversion"]
        people = {f"käufer-{i}": row for i, row in enumerate(rows) if row["segment"] != "Womens E-Mail"}
        treated = {unit: row["segment"] == "Mens E-Mail" for unit, row in people.items()}
        bought = {unit: float(row["spend"]) for unit, row in people.items() if row["conversion"] == "1"}
        return Play(name=name, treated=treated, bought=bought, share=0.5, expected=expected)
    expected = json.loads((DATA / "expected/marketing_ab.json").read_text())["comparisons"]["SAMPLE ad vs psa | converted"]
    treated = {row["user_id"]: row["test_group"] == "ad" for row in rows}
    bought = {row["user_id"]: 1.0 for row in rows if row["converted"] == "1"}
    return Play(name=name, treated=treated, bought=bought, share=0.96, expected=expected)


def groups_file(play: Play, rng: random.Random) -> bytes:
    """Everybody with their group, shuffled, one in ten named twice."""
    lines = list(play.treated.items())
    lines += rng.sample(lines, len(lines) // 10)
    rng.shuffle(lines)
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["profile_id", "group"])
    table.writerows((unit, "treatment" if is_treated else "control") for unit, is_treated in lines)
    return out.getvalue().encode()


def shuffled_twice(rows: list[dict], rng: random.Random) -> list[list[dict]]:
    """The rows in batches, shuffled, a third of them sent again in other batches."""
    rows = rows + rng.sample(rows, len(rows) // 3)
    rng.shuffle(rows)
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def sent(http: httpx.Client, path: str, field: str, batches: list[list[dict]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for batch in batches:
        answer = http.post(path, json={field: batch})
        assert answer.status_code == 200, answer.text
        for name, count in answer.json().items():
            total[name] = total.get(name, 0) + count
    return total


@pytest.mark.parametrize("name", ["hillstrom", "marketing_ab"])
def test_a_holdout_from_its_plan_to_its_decision(tmp_path, store_url, name):
    """HO-01, HO-04..HO-11, HO-13..HO-18, HO-33, HO-40, G-11, G-12: every number equals the published one."""
    play, rng = play_of(name), random.Random(7)
    start = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=DAYS_AGO)
    with webhook() as alerts:
        settings = {"FAIRTRIAL_ALERT_TARGETS__OPS": alerts.address}
        with real_service(tmp_path, store_url, env=settings) as (address, token, _):
            http = httpx.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=120)
            with http, Client(address, token, timeout_seconds=120) as client:
                made = client.create_experiment(
                    f"{name} holdout",
                    channel="email",
                    conversion_key="purchase",
                    start_at=start.isoformat(),
                    end_at=(start + dt.timedelta(days=30)).isoformat(),
                    treatment_rate=play.share,
                    baseline_rate_estimate=0.0057,
                    mde_target=0.003,
                )
                number = made["id"]
                check_assignment(http, number, play, start, rng)
                client.start(number)
                check_data(http, number, play, start, rng)
                check_results(client, http, number, play)
                check_report(client, http, number, play, alerts)
                check_decision(client, http, number)


def check_assignment(http, number: int, play: Play, start: dt.datetime, rng: random.Random) -> None:
    path, query = f"/experiments/{number}/assign/upload", {"assigned_at": start.isoformat()}
    content, kind = groups_file(play, rng), {"Content-Type": "text/csv"}
    answer = http.post(path, params=query, content=content, headers=kind).json()
    treated = sum(play.treated.values())
    assert (answer["new"], answer["treatment"], answer["control"]) == (len(play.treated), treated, len(play.treated) - treated)
    again = http.post(path, params=query, content=content, headers=kind).json()
    assert (again["new"], again["existing"]) == (0, len(play.treated))


def check_data(http, number: int, play: Play, start: dt.datetime, rng: random.Random) -> None:
    def moment(latest: int) -> str:
        return (start + dt.timedelta(seconds=rng.randrange(3600, latest * 86400))).isoformat()

    mails = [
        {"profile_id": unit, "exposure_ts": moment(3), "message_id": f"m-{unit}", "campaign_id": play.name}
        for unit, is_treated in play.treated.items()
        if is_treated
    ]
    told = sent(http, f"/experiments/{number}/exposures", "exposures", shuffled_twice(mails, rng))
    assert told == {"recorded": len(mails), "duplicates": len(mails) // 3, "lazy_assigned": 0, "control_exposures": 0}
    orders = [
        {"profile_id": unit, "conversion_ts": moment(DAYS_AGO), "value": value, "outcome_id": f"o-{unit}"}
        for unit, value in play.bought.items()
    ]
    stranger = {"profile_id": "nobody", "conversion_ts": moment(DAYS_AGO), "value": 1e6, "outcome_id": "o-nobody"}
    told = sent(http, f"/experiments/{number}/outcomes", "outcomes", [*shuffled_twice(orders, rng), [stranger]])
    assert told == {"inserted": len(orders) + 1, "duplicates": len(orders) // 3, "unassigned": 1}


def check_results(client: Client, http, number: int, play: Play) -> None:
    expected, got = play.expected, client.results(number)
    assert (got["treatment"]["n"], got["treatment"]["conversions"]) == (expected["n_treatment"], expected["x_treatment"])
    assert (got["control"]["n"], got["control"]["conversions"]) == (expected["n_control"], expected["x_control"])
    assert got["treatment"]["total_value"] == pytest.approx(sum(v for u, v in play.bought.items() if play.treated[u]))
    assert got["uplift_abs"] == pytest.approx(expected["diff"], rel=1e-8)
    assert got["uplift_rel"] == pytest.approx(expected["relative_lift"], rel=1e-8)
    if got["test"] == "two_proportion_z_pooled":
        assert got["p_value"] == pytest.approx(expected["p_z_pooled"], rel=1e-6)
    assert got["ci_low"] == pytest.approx(expected["ci95_newcombe"][0], abs=5e-4)
    assert got["ci_high"] == pytest.approx(expected["ci95_newcombe"][1], abs=5e-4)
    assert got["srm"]["status"] == "ok"
    assert got["contamination_rate"] == 0.0
    assert got["cace"] == pytest.approx(got["uplift_abs"], rel=1e-12)  # every treated profile was reached
    days = client.time_series(number)
    assert (days[-1]["treatment_conversions"], days[-1]["control_conversions"]) == (expected["x_treatment"], expected["x_control"])
    health = http.get(f"/experiments/{number}/health").json()
    assert health["outcomes"]["unassigned"] == 1
    table = list(csv.DictReader(io.StringIO(http.get(f"/experiments/{number}/export.csv").text)))
    assert len(table[0]) == 23
    assert float(table[0]["uplift_abs"]) == got["uplift_abs"]


def check_report(client: Client, http, number: int, play: Play, alerts) -> None:
    report = client.nightly_report()
    (entry,) = [entry for entry in report["experiments"] if entry["id"] == number]
    results = client.results(number)
    assert entry["results"]["uplift_abs"] == results["uplift_abs"]
    found = [alert for alert in report["alerts"] if alert["experiment_id"] == number]
    always_valid = entry["results"]["always_valid_p"]
    if always_valid < 0.05:
        (alert,) = found
        assert (alert["severity"], alert["p_kind"]) == ("success", "always_valid")
        assert alert["message"].startswith(f"Experiment '{play.name} holdout' shows significant positive uplift (p=")
        until = time.monotonic() + 120
        while not alerts.taken and time.monotonic() < until:
            time.sleep(0.2)
        assert [alert["message"] in json.dumps(body) for body in alerts.taken] == [True]
    else:
        assert not [alert for alert in found if alert["severity"] in {"success", "warning"}]
    client.nightly_report()
    listed = http.get("/alerts").json()["items"]
    assert len([alert for alert in listed if alert["experiment_id"] == number]) <= 1  # a repeated night tells nothing twice


def check_decision(client: Client, http, number: int) -> None:
    """A decision is written down on a scorecard, after the end."""
    client.change_status(number, "stopped")
    card = client.scorecard(number)
    assert card["decision"]["verdict"] is not None
    answer = http.post(f"/experiments/{number}/decision", json={"decision": card["decision"]["verdict"], "note": "as the rule says"})
    assert answer.status_code == 200, answer.text
    assert client.experiment(number)["status"] == "decided"
    assert http.post(f"/experiments/{number}/status", json={"status": "draft"}).status_code == 409
