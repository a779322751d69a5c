"""When jobs run, that each runs once, and that what was missed is made up for (HO-13, HO-14, HO-18, HO-19)."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import threading
import time

import httpx
import pytest
import structlog
from holdout_rows import START
from running_service import MARCH, PROGRAM, SetClock, real_service
from small_webhook import webhook
from test_jobs_nightly import NIGHT, make

from fairtrial.service import Settings, scheduler
from fairtrial.service.jobs.nightly import StopJobError
from fairtrial.service.jobs.runner import MOST_MISSED, JobRunner
from fairtrial.service.jobs.tasks import TASKS, Options, Task, Work, scheduled_tasks
from fairtrial.service.scheduler import Intervals, SchedulerHandle, start_scheduler
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.journeys import days_of_channels
from fairtrial.storage.leases import acquire_lease, claim_run, holds_lease, renew_lease, skip_run
from fairtrial.storage.tables import Alert, Conversion, ExperimentLook, JobRun, Lease, OutboxMessage, Touchpoint

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
REPORT = TASKS["nightly-report"]


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


@pytest.fixture
def database(store_url):
    opened = open_database(store_url)
    upgrade(opened)
    yield opened
    opened.close()


def runs_of(database, task: str) -> list[tuple[dt.datetime, str]]:
    with database.reading() as session:
        return [(run.due_at, run.status) for run in session.query(JobRun).filter_by(task=task).order_by(JobRun.due_at)]


def task_that(run, *, cron: str = "0 2 * * *", every: bool = True) -> Task:
    return Task(name="test", cron=cron, run=run, every=every, summary="A task of a test.")


def runner(database, clock, **options) -> JobRunner:
    return JobRunner(database, Settings(), clock, **options)


def noted(seen: list[dt.datetime]):
    def run(work: Work) -> dict:
        seen.append(work.as_of)
        return {"as_of": work.as_of.isoformat()}

    return run


@pytest.mark.parametrize(
    ("task", "after", "until", "due"),
    [
        ("nightly-report", utc(2026, 3, 28, 12), utc(2026, 3, 30, 2), [utc(2026, 3, 29, 2), utc(2026, 3, 30, 2)]),
        ("nightly-report", utc(2026, 10, 24, 12), utc(2026, 10, 26, 1, 59), [utc(2026, 10, 25, 2)]),
        ("nightly-report", utc(2028, 2, 28, 2), utc(2028, 3, 1, 2), [utc(2028, 2, 29, 2), utc(2028, 3, 1, 2)]),
        ("nightly-report", utc(2026, 12, 31, 2), utc(2027, 1, 1, 2), [utc(2027, 1, 1, 2)]),
        ("alert-daily-digest", utc(2026, 3, 29), utc(2026, 3, 29, 23, 59), [utc(2026, 3, 29, 9)]),
        ("run-alerts", utc(2026, 3, 29), utc(2026, 3, 29, 3), [utc(2026, 3, 29, hour) for hour in (1, 2, 3)]),
        ("interaction-scan", utc(2026, 3, 1), utc(2026, 3, 15), [utc(2026, 3, 2, 3), utc(2026, 3, 9, 3)]),
    ],
)
def test_when_a_task_is_due(task, after, until, due):
    """HO-14, HO-18: 02:00 UTC every night, at the changes of summer time too, on 29 February and across New Year."""
    assert TASKS[task].due_between(after, until) == due
    assert TASKS[task].last_due(until) == due[-1]


def test_midnight_belongs_to_the_new_day(database):
    """Due at midnight sharp: not a moment before, and once."""
    seen: list[dt.datetime] = []
    task = task_that(noted(seen), cron="0 0 * * *")
    clock = SetClock(utc(2028, 2, 28, 12))
    assert runner(database, clock).run_pending(task) == []
    clock.now = utc(2028, 2, 29) - dt.timedelta(microseconds=1)
    runner(database, clock).run_pending(task)
    assert seen == []
    clock.now = utc(2028, 2, 29)
    runner(database, clock).run_pending(task)
    runner(database, clock).run_pending(task)
    assert seen == [utc(2028, 2, 29)]


def test_missed_nights_are_made_up_for_in_order_and_the_last_reads_what_is_there_now(database):
    seen: list[dt.datetime] = []
    clock = SetClock(utc(2026, 3, 1, 12))
    runner(database, clock).run_pending(task_that(noted(seen)))
    assert (seen, runs_of(database, "test")) == ([], [(utc(2026, 3, 1, 2), "skipped")]), "nothing was due since it was installed"
    clock.now = utc(2026, 3, 5, 12)
    runner(database, clock).run_pending(task_that(noted(seen)))
    assert seen == [utc(2026, 3, 2, 2), utc(2026, 3, 3, 2), utc(2026, 3, 4, 2), utc(2026, 3, 5, 12)]
    clock.now = utc(2027, 3, 5, 12)
    runner(database, clock).run_pending(task_that(noted(seen)))
    assert len(seen) == 4 + MOST_MISSED


def test_what_is_not_made_up_for_runs_once_for_the_latest(database):
    seen: list[dt.datetime] = []
    clock = SetClock(utc(2026, 3, 1, 12, 30))
    hourly = task_that(noted(seen), cron="0 * * * *", every=False)
    runner(database, clock).run_pending(hourly)
    clock.now = utc(2026, 3, 4, 7, 1)
    runner(database, clock).run_pending(hourly)
    assert seen == [utc(2026, 3, 4, 7)]


def test_a_clock_that_went_back_runs_nothing_twice_and_one_that_was_ahead_stops_nothing(database):
    seen: list[dt.datetime] = []
    task = task_that(noted(seen))
    clock = SetClock(utc(2026, 3, 1, 12))
    runner(database, clock).run_pending(task)
    clock.now = utc(2026, 3, 2, 2)
    runner(database, clock).run_pending(task)
    clock.now = utc(2026, 3, 2, 1)
    assert runner(database, clock).run_pending(task) == []
    clock.now = utc(2026, 3, 2, 2, 1)
    assert runner(database, clock).run_pending(task) == []
    with database.writing() as session:
        skip_run(session, "test", utc(2030, 1, 1, 2), now=clock(), reason="by a clock that was ahead")
        session.add(Lease(name="test", holder="ahead", expires_at=utc(2030, 1, 1), renewed_at=utc(2030, 1, 1)))
    clock.now = utc(2026, 3, 3, 2)
    runner(database, clock).run_pending(task)
    assert seen == [utc(2026, 3, 2, 2), utc(2026, 3, 3, 2)]


def test_two_processes_never_both_run_one(database):
    """The lease: four at once, on each store, from connections of their own."""
    clock = SetClock(utc(2026, 3, 1, 12))
    seen: list[dt.datetime] = []

    def slow(work: Work) -> dict:
        seen.append(work.due)
        time.sleep(0.3)
        return {}

    runner(database, clock).run_pending(task_that(slow))
    clock.now = utc(2026, 3, 3, 12)
    outcomes: list[object] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        outcomes.append(runner(database, clock).run_pending(task_that(slow)))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert seen == [utc(2026, 3, 2, 2), utc(2026, 3, 3, 2)]
    assert len(outcomes) == 4
    with database.reading() as session:
        assert session.query(Lease).count() == 0, "given back"


def test_a_lease_ends_is_renewed_and_guards_every_transaction(database):
    with database.writing() as session:
        assert acquire_lease(session, "x", "one", now=MARCH, seconds=60)
        assert acquire_lease(session, "x", "one", now=MARCH, seconds=60), "one's own"
        assert not acquire_lease(session, "x", "two", now=MARCH + dt.timedelta(seconds=59), seconds=60)
        assert renew_lease(session, "x", "one", now=MARCH + dt.timedelta(seconds=59), seconds=60)
        assert not acquire_lease(session, "x", "two", now=MARCH + dt.timedelta(seconds=61), seconds=60)
        assert acquire_lease(session, "x", "two", now=MARCH + dt.timedelta(seconds=119), seconds=60)
        assert not renew_lease(session, "x", "one", now=MARCH + dt.timedelta(seconds=120), seconds=60)
        assert not holds_lease(session, "x", "one")
        assert holds_lease(session, "x", "two")


def test_one_that_was_paused_and_lost_its_lease_changes_nothing_more(database):
    """Fencing: the second takes over while the first sleeps; the first wakes up and may not write, nor end the run."""
    clock = SetClock(utc(2026, 3, 1, 12))
    runner(database, clock).run_pending(task_that(noted([])))
    clock.now = utc(2026, 3, 2, 2)
    wrote: list[str] = []

    def paused(work: Work) -> dict:
        with database.writing() as session:
            session.query(Lease).update({"holder": "thief"})
            claim_run(session, "test", work.due, "thief", now=clock())
        with database.writing() as session:
            work.guard(session)
            wrote.append("too late")
        return {}

    (outcome,) = runner(database, clock).run_pending(task_that(paused))
    assert (outcome.status, wrote) == ("interrupted", [])
    with database.reading() as session:
        run = session.query(JobRun).filter_by(status="running").one()
        assert (run.holder, run.attempts) == ("thief", 2)
        assert session.query(Lease).one().holder == "thief"


def test_a_heart_beats_while_a_job_is_at_work(database):
    """Real time: the job takes three times as long as its lease holds, and nobody gets in between."""

    def clock() -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    stolen: list[bool] = []

    def long(work: Work) -> dict:
        for _ in range(6):
            time.sleep(0.5)
            with database.writing() as session:
                stolen.append(acquire_lease(session, "test", "thief", now=clock(), seconds=1))
        with database.writing() as session:
            work.guard(session)
        return {}

    (outcome,) = runner(database, clock, lease_seconds=1.0).run_pending(task_that(long), first_now=True)
    assert (outcome.status, stolen) == ("done", [False] * 6)


def test_what_failed_is_tried_three_times_and_later_nights_wait_for_it(database):
    clock = SetClock(utc(2026, 3, 1, 12))
    runner(database, clock).run_pending(task_that(noted([])))
    clock.now = utc(2026, 3, 3, 12)
    asked: list[dt.datetime] = []

    def broken(work: Work) -> dict:
        asked.append(work.due)
        if work.due == utc(2026, 3, 2, 2):
            raise ZeroDivisionError
        return {}

    for _ in range(5):
        runner(database, clock).run_pending(task_that(broken))
    assert asked == [utc(2026, 3, 2, 2)] * 3 + [utc(2026, 3, 3, 2)]
    assert runs_of(database, "test")[1:] == [(utc(2026, 3, 2, 2), "failed"), (utc(2026, 3, 3, 2), "done")]


def test_a_run_that_a_crash_left_is_taken_up_again(database):
    clock = SetClock(utc(2026, 3, 2, 2))
    with database.writing() as session:
        claim_run(session, "test", clock(), "dead", now=clock())
        acquire_lease(session, "test", "dead", now=clock(), seconds=120)
    seen: list[dt.datetime] = []
    assert runner(database, clock).run_pending(task_that(noted(seen))) is None, "its lease still holds"
    clock.move(seconds=121)
    runner(database, clock).run_pending(task_that(noted(seen)))
    assert seen == [utc(2026, 3, 2, 2)]


def test_a_stop_ends_a_job_between_two_transactions_as_often_as_it_comes(database):
    clock = SetClock(utc(2026, 3, 1, 12))
    runner(database, clock).run_pending(task_that(noted([])))
    clock.now = utc(2026, 3, 2, 2)
    for _ in range(5):
        stopped = threading.Event()

        def stop_me(work: Work, stopped=stopped) -> dict:
            stopped.set()
            with database.writing() as session, pytest.raises(StopJobError):
                work.guard(session)
            raise StopJobError("stop")

        (outcome,) = runner(database, clock, stopped=stopped).run_pending(task_that(stop_me))
        assert outcome.status == "interrupted"
    seen: list[dt.datetime] = []
    runner(database, clock).run_pending(task_that(noted(seen)))
    assert seen == [utc(2026, 3, 2, 2)]


def test_the_scheduler_makes_up_for_missed_nights_delivers_and_stops(stored_service):
    """HO-14, HO-18: start, catch up, tell a real server, stop within seconds."""
    make(stored_service, 1, name="Push", channel="push", arms=(800, 200), won=(120, 5))
    with stored_service.database.writing() as session:
        for task in scheduled_tasks():
            skip_run(session, task.name, task.last_due(MARCH + HOUR), now=MARCH, reason="installed")
    stored_service.clock.now = utc(2026, 3, 4, 2, 1)
    with webhook() as hook:
        settings = Settings(alert_targets={"ops": hook.address})
        every = Intervals(catch_up=3600, deliver=0.2)
        handle = start_scheduler(stored_service.database, settings, clock=stored_service.clock, every=every)
        until = time.monotonic() + 60
        last = (utc(2026, 3, 4, 2), "done")
        while time.monotonic() < until and not (hook.taken and last in runs_of(stored_service.database, "nightly-report")):
            time.sleep(0.1)
        assert isinstance(handle, SchedulerHandle)
        assert handle.running
        started = time.monotonic()
        handle.stop()
        handle.stop()
        assert time.monotonic() - started < 10
        assert not handle.running
    assert "shows significant positive uplift" in hook.taken[0]["message"]
    nights = [due for due, status in runs_of(stored_service.database, "nightly-report") if status == "done"]
    assert nights == [utc(2026, 3, day, 2) for day in (2, 3, 4)] or nights == [utc(2026, 3, day, 2) for day in (1, 2, 3, 4)]
    with stored_service.database.reading() as session:
        looks = [look.as_of for look in session.query(ExperimentLook).order_by(ExperimentLook.id)]
        assert looks == sorted(looks)
        assert session.query(OutboxMessage).filter(OutboxMessage.title == "fairtrial: success").count() == 1
    listed = stored_service.get("/api/v1/jobs", params={"task": "nightly-report", "status": "done", "limit": 1}).json()
    assert listed["runs"][0]["due_at"] == "2026-03-04T02:00:00Z"
    assert listed["runs"][0]["detail"]["experiments"][0]["id"] == 1
    due = {task["name"]: task["next_due"] for task in listed["tasks"]}
    assert due["nightly-report"] == "2026-03-05T02:00:00Z"
    assert due["interaction-scan"] == "2026-03-09T03:00:00Z"
    assert due["interaction-starts"] == "2026-03-04T02:10:00Z"


def test_guardrail_checks_tell_of_harm_and_of_broken_groups_once(stored_service):
    """HO-18: hourly, without taking a look of the plan; an exposed control group by its own limit."""
    make(stored_service, 1, name="Harm", channel="email", arms=(8000, 2000), won=(400, 150))
    make(stored_service, 2, name="Srm", channel="email", arms=(7600, 2400), won=(400, 150))
    _, held = make(stored_service, 3, name="Leak", channel="email", arms=(80, 20), won=(4, 1), guardrails={"max_contamination_rate": 0.04})
    for i, name in enumerate(held[:1]):
        sent = {"exposures": [{"profile_id": name, "exposure_ts": (START + DAY).isoformat(), "message_id": str(i)}]}
        assert stored_service.post("/api/experiments/3/exposures", sent).status_code == 200
    stored_service.clock.now = NIGHT
    for _ in range(2):
        (outcome,) = runner(stored_service.database, stored_service.clock).run_pending(TASKS["guardrail-checks"], first_now=True)
        assert (outcome.status, outcome.detail["alerting"]) == ("done", [1, 2, 3])
        stored_service.clock.move(hours=1)
    with stored_service.database.reading() as session:
        told = sorted((alert.experiment_id, alert.severity) for alert in session.query(Alert))
        assert told == [(1, "warning"), (2, "error"), (3, "warning")]
        assert session.query(ExperimentLook).count() == 0
        assert "5.0% of the control group" in session.query(Alert).filter_by(experiment_id=3).one().message


def test_days_of_channels_are_made_again_and_a_silent_one_is_told(database):
    """HO-19: `journey-daily-aggs --reprocess-days 3`, `journey-alerts --domain`."""
    clock = SetClock(utc(2028, 3, 1, 1))
    with database.writing() as session:
        for back in range(1, 10):
            for channel, silent in (("email", False), ("push", True)):
                if silent and back == 1:
                    continue
                for person in ("a", "b"):
                    at = clock() - back * DAY + dt.timedelta(hours=3)
                    session.add(Touchpoint(profile_id=person, channel=channel, touched_at=at, campaign_id="x"))
        session.add(Conversion(profile_id="a", kpi="purchase", converted_at=utc(2028, 2, 29, 23, 59, 59), value=5.0))
    aggregates = TASKS["journey-daily-aggs"]
    (outcome,) = runner(database, clock).run_pending(aggregates, options=Options(reprocess_days=9), first_now=True)
    assert len(outcome.detail["channels"]) == 9
    assert outcome.detail["channels"]["2028-02-29"] == 1
    (alerts,) = runner(database, clock).run_pending(TASKS["journey-alerts"], options=Options(domain="touchpoints"), first_now=True)
    assert alerts.status == "done"
    with database.writing() as session:
        days = days_of_channels(session, dt.date(2028, 2, 29), dt.date(2028, 3, 1))
        assert [(day.channel, day.touchpoints, day.profiles, day.converters, day.value) for day in days] == [("email", 2, 2, 1, 5.0)]
        assert [alert.message for alert in session.query(Alert)] == [
            "Tracking: no touchpoint of channel 'push' arrived on 2028-02-29, after days that had some"
        ]
        session.add(Touchpoint(profile_id="c", channel="push", touched_at=utc(2028, 2, 29, 12), campaign_id="late"))
    clock.move(days=1)
    (again,) = runner(database, clock).run_pending(aggregates)
    assert again.detail["channels"] == {"2028-02-28": 2, "2028-02-29": 2, "2028-03-01": 0}


def command(url: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "FAIRTRIAL_DATABASE_URL": url, **env}
    return subprocess.run(
        [sys.executable, "-m", "fairtrial.service.scheduler", *words],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
        timeout=120,
    )


def test_the_line_for_cron(stored_service, store_url, tmp_path):
    """HO-13, HO-14: `python -m fairtrial.service.scheduler --task nightly-report`, and `fairtrial nightly-report`."""
    make(stored_service, 1, name="Push", channel="push", arms=(800, 200), won=(120, 5))
    done = command(store_url, "--task", "nightly-report")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["completed"] == [1], "its end and window have passed on this machine's clock"
    again = command(store_url, "--task", "nightly-report")
    assert (again.returncode, json.loads(again.stdout)) == (0, made)
    assert "made already" in again.stderr
    variables = {**os.environ, "FAIRTRIAL_DATABASE_URL": store_url}
    words = [PROGRAM, "nightly-report", "--as-of", "2026-03-15T02:00:00Z", "--output", "report.json", "--json"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, env=variables, cwd=tmp_path, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert json.loads(ran.stdout)["as_of_date"] == "2026-03-15T02:00:00Z"


@pytest.mark.parametrize("wrong", [["--as-of", "soon"], ["--as-of", "2999-01-01"], ["--output", "no/such/folder/x"]])
def test_a_line_for_cron_that_breaks_a_rule_is_refused(run, monkeypatch, tmp_path, wrong):
    monkeypatch.setenv("FAIRTRIAL_DATABASE_URL", f"sqlite:///{tmp_path}/s.db")
    code, _, said = run("nightly-report", *wrong)
    assert code == 2
    assert wrong[1] in said


@pytest.fixture
def task(tmp_path, monkeypatch, capsys):
    """What `python -m fairtrial.service.scheduler` does with these words, without the seconds that a process takes to start."""

    def run(*words: str, url: str = f"sqlite:///{tmp_path}/s.db"):
        monkeypatch.setenv("FAIRTRIAL_DATABASE_URL", url)
        capsys.readouterr()
        try:
            code = scheduler.main(["--task", *words])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    structlog.reset_defaults()


def test_every_task_has_its_flags_and_an_honest_exit(task):
    """HO-19."""
    code, out, _ = task("interaction-scan")
    assert (code, json.loads(out)["pairs"]) == (0, 0)
    assert json.loads(task("interaction-starts")[1]) == {"started": []}
    code, out, _ = task("run-alerts", "--scope", "errors", "--base-url", "https://x.example/")
    assert (code, json.loads(out)) == (0, {"scope": "errors", "targets": [], "queued": 0})
    assert json.loads(task("alert-daily-digest")[1])["alerts"] == 0
    assert json.loads(task("journey-daily-aggs", "--reprocess-days", "3")[1])["reprocess_days"] == 3
    assert json.loads(task("journey-alerts", "--domain", "conversions")[1])["domain"] == "conversions"
    assert task("run-alerts", "--base-url", "file:///etc")[0] == 2
    assert task("journey-daily-aggs", "--reprocess-days", "0")[0] == 2
    assert task("nothing")[0] == 2
    assert task("run-alerts", url="sqlite:////no/such/folder/x.db")[0] == 2
    assert task("run-alerts", url="postgresql://u:hush-hush@127.0.0.1:1/x")[0] == 1


@pytest.mark.parametrize("on", ["true", "false"])
def test_serve_runs_the_jobs_unless_it_is_told_not_to(tmp_path, on):
    url = f"sqlite:///{tmp_path}/s.db"
    with real_service(tmp_path, url, env={"FAIRTRIAL_SCHEDULER": on}) as (address, token, process):
        headers = {"Authorization": f"Bearer {token}"}
        until, runs = time.monotonic() + 40, []
        while time.monotonic() < until and len(runs) < len(scheduled_tasks()):
            runs = httpx.get(f"{address}/api/v1/jobs", headers=headers).json()["runs"]
            if on == "false":
                time.sleep(2)
                break
            time.sleep(0.2)
        assert {run["status"] for run in runs} == ({"skipped"} if on == "true" else set())
        process.terminate()
        assert process.wait(20) is not None
    assert "Traceback" not in (tmp_path / "service.log").read_text()
