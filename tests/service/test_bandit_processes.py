"""Bandits in several processes, and in one that dies (XC-40, AD-18)."""

import datetime as dt
import signal
import subprocess
import sys

import httpx
from bandit_scene import KEY, spec
from running_service import real_service

from fairtrial.service.access.roles import LOCAL
from fairtrial.service.bandits.control import create
from fairtrial.service.bandits.deciding import decide, keep_rewards
from fairtrial.service.bandits.schemas import BanditIn, DecideIn, RewardsIn
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.bandits import list_periods
from fairtrial.storage.tables import AuditEntry

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
UPDATES = """
import datetime as dt, sys
from fairtrial.service.access.roles import LOCAL
from fairtrial.service.bandits.updating import update
from fairtrial.storage import open_database
database = open_database(sys.argv[1])
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
for hour in range(1, 13):
    made = update(database, "banner", actor=LOCAL, now=now + dt.timedelta(hours=hour))
    sys.stdout.write(f"{int(made.updated)} {made.period}\\n")
"""


def prepared(url):
    database = open_database(url)
    upgrade(database)
    with database.writing() as session:
        create(session, BanditIn(spec=spec()), actor=LOCAL, now=START)
    made = decide(database, KEY, [DecideIn(unit=f"u{i}") for i in range(300)], now=START)
    body = RewardsIn.model_validate({"rewards": [{"decision_id": one.decision_id, "reward": one.arm == "blue"} for one in made]})
    with database.writing() as session:
        keep_rewards(session, KEY, body, now=START)
    return database


def test_two_processes_make_one_update_a_period(store_url):
    """XC-40: four processes ask at once for twelve periods: twelve updates, no period twice, one line of audit each."""
    database = prepared(store_url)
    workers = [
        subprocess.Popen([sys.executable, "-c", UPDATES, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    lines = [line.split() for worker in workers for line in worker.communicate(timeout=120)[0].splitlines()]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert len(lines) == 48
    assert sorted(int(period) for updated, period in lines if updated == "1") == list(range(2, 14))
    with database.reading() as session:
        assert [row.period for row in list_periods(session, KEY)] == list(range(1, 14))
        assert session.query(AuditEntry).filter_by(action="bandit.update").count() == 12
    database.close()


def test_a_decision_outlives_the_process_that_made_it(tmp_path, store_url):
    """AD-18: kill -9 between decision and reward: what was answered is on disk, and its reward counts."""
    with real_service(tmp_path, store_url) as (address, key, process), httpx.Client(headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.post(f"{address}/api/v1/bandits", json={"spec": spec()}, timeout=60).status_code == 201
        made = [client.post(f"{address}/api/v1/bandits/{KEY}/decide", json={"unit": f"ü{i}"}, timeout=60).json() for i in range(25)]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with real_service(tmp_path, store_url) as (address, key, _), httpx.Client(headers={"Authorization": f"Bearer {key}"}) as client:
        again = [client.post(f"{address}/api/v1/bandits/{KEY}/decide", json={"unit": f"ü{i}"}, timeout=60).json() for i in range(25)]
        assert again == made
        body = {"rewards": [{"decision_id": one["decision_id"], "reward": 1} for one in made]}
        assert client.post(f"{address}/api/v1/bandits/{KEY}/rewards", json=body, timeout=60).json()["stored"] == 25
        assert client.post(f"{address}/api/v1/bandits/{KEY}/rewards", json=body, timeout=60).json()["duplicates"] == 25
