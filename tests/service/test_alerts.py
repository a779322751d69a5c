"""Alerts on their way out: retried, bounded, never twice, no address anywhere (HO-18)."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from pydantic import SecretStr
from running_service import MARCH, SetClock, service_on
from small_smtp import mailbox
from small_webhook import webhook

from fairtrial.errors import UsageError
from fairtrial.service.notifications.alerts import Audience, Notice, raise_alerts, send_digest, send_missing
from fairtrial.service.notifications.delivery import HANGING_SECONDS, MOST_ATTEMPTS, Postman, wait_seconds
from fairtrial.service.notifications.sender import AppriseSender
from fairtrial.service.settings import read_settings
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.outbox import UNKNOWN, add_message
from fairtrial.storage.tables import Alert, OutboxMessage


@pytest.fixture
def hook():
    with webhook() as running:
        yield running


@pytest.fixture
def database(store_url):
    opened = open_database(store_url)
    upgrade(opened)
    yield opened
    opened.close()


def notice(number: int = 1, severity: str = "error") -> Notice:
    return Notice(experiment_id=None, severity=severity, message=f"message {number} ü 用户", dedupe_key=f"key-{number}")


def postman(database, hook, clock, **options) -> Postman:
    return Postman(database, AppriseSender({"ops": SecretStr(hook.address)}, **options), clock, rng=random.Random(1))


def tell(database, *notices: Notice, targets=("ops",), now=MARCH) -> int:
    with database.writing() as session:
        return raise_alerts(session, notices, Audience(targets=targets), now=now)


def only(database) -> OutboxMessage:
    with database.reading() as session:
        return session.query(OutboxMessage).one()


def test_an_alert_is_raised_and_told_once_to_every_target(database, hook, clock):
    assert tell(database, notice(), notice(), targets=("ops", "other")) == 1
    assert tell(database, notice(), targets=("ops", "other")) == 0
    assert postman(database, hook, clock).deliver().delivered == 1
    assert postman(database, hook, clock).deliver().delivered == 0
    assert [body["message"] for body in hook.taken] == ["message 1 ü 用户"]
    assert hook.taken[0]["title"] == "fairtrial: error"
    with database.reading() as session:
        other = session.query(OutboxMessage).filter_by(target="other").one()
        assert "FAIRTRIAL_ALERT_TARGETS" in other.last_error
        assert session.query(Alert).count() == 1


def test_a_server_that_fails_twice_gets_it_at_the_third_time_once(database, hook, clock):
    """Back-off: not before its time, doubled each time."""
    hook.fail = 2
    tell(database, notice())
    assert postman(database, hook, clock).deliver().failed == 1
    message = only(database)
    assert (message.attempts, message.last_error) == (1, "The target answered with status 500.")
    first = (message.next_attempt_at - clock()).total_seconds()
    assert 15 <= first <= 30
    assert postman(database, hook, clock).deliver().failed == 0, "its time has not come"
    clock.move(seconds=30)
    assert postman(database, hook, clock).deliver().failed == 1
    assert 30 <= (only(database).next_attempt_at - clock()).total_seconds() <= 60
    clock.move(seconds=60)
    assert postman(database, hook, clock).deliver().delivered == 1
    clock.move(days=2)
    assert postman(database, hook, clock).deliver().delivered == 0
    assert (len(hook.got), len(hook.taken)) == (3, 1)
    assert (only(database).attempts, only(database).last_error) == (3, None)


def test_a_letter_comes_by_smtp_once_after_the_server_refused_it(database, clock):
    """E-mail by a real conversation: the mail server says 451 once, and takes it at the next attempt."""
    tell(database, notice())
    with mailbox() as box:
        box.refuse = 1
        carrier = Postman(database, AppriseSender({"ops": SecretStr(box.address)}), clock, rng=random.Random(1))
        assert carrier.deliver().delivered == 0
        assert "lab.example" not in only(database).last_error
        clock.move(hours=1)
        assert carrier.deliver().delivered == 1
        clock.move(hours=1)
        assert carrier.deliver().delivered == 0
    (letter,) = box.letters
    assert box.to == [["ops@lab.example"]]
    assert letter["Subject"] == "fairtrial: error"
    assert "fairtrial@lab.example" in letter["From"]
    assert "message 1 ü 用户" in letter.get_body(("plain",)).get_content()


def test_slack_gets_the_message_in_the_form_of_its_webhooks(database, clock, hook, monkeypatch):
    """Apprise's plug-in of Slack sends what it would send, to a server of this machine in the place of Slack's."""
    monkeypatch.setattr("apprise.plugins.slack.NotifySlack.webhook_url", f"http://127.0.0.1:{hook.port}/services")
    tell(database, notice())
    tokens = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    carrier = Postman(database, AppriseSender({"ops": SecretStr(f"slack://{tokens}/#ops")}), clock, rng=random.Random(1))
    hook.fail = 1
    assert carrier.deliver().delivered == 0
    assert "500" in only(database).last_error
    assert "TIiaj" not in only(database).last_error
    clock.move(hours=1)
    assert carrier.deliver().delivered == 1
    (told,) = hook.taken
    assert told["channel"] == "#ops"
    assert "message 1 ü 用户" in str(told)
    assert "fairtrial: error" in str(told)


def test_attempts_end(database, hook, clock):
    hook.fail = 10**6
    tell(database, notice())
    for _ in range(MOST_ATTEMPTS + 3):
        postman(database, hook, clock).deliver()
        clock.move(hours=2)
    message = only(database)
    assert len(hook.got) == message.attempts == MOST_ATTEMPTS
    assert message.failed_at is not None


def test_waiting_doubles_up_to_an_hour_and_is_spread():
    rng = random.Random(7)
    waits = [[wait_seconds(attempt, rng) for _ in range(300)] for attempt in range(1, 12)]
    for attempt, found in enumerate(waits):
        longest = min(3600, 30 * 2**attempt)
        assert longest / 2 <= min(found) < longest * 0.55
        assert longest * 0.95 < max(found) <= longest


def test_a_server_that_hangs_is_left_after_a_bounded_time(database, hook, clock):
    hook.hang = 3.0
    tell(database, notice())
    started = time.monotonic()
    assert postman(database, hook, clock, seconds=0.5).deliver().failed == 1
    assert time.monotonic() - started < 2.5
    assert "within 0.5 seconds" in only(database).last_error


def test_nobody_listens_and_an_address_that_is_none(database, clock):
    tell(database, notice(1), notice(2), targets=("gone", "odd"))
    sender = AppriseSender({"gone": SecretStr("json://u:hush-hush@127.0.0.1:9/x"), "odd": SecretStr("nosuch://hush-hush")})
    assert Postman(database, sender, clock).deliver().failed == 4
    with database.reading() as session:
        said = {row.target: row.last_error for row in session.query(OutboxMessage)}
    assert said["gone"] == "The target could not be reached."
    assert "none that Apprise knows" in said["odd"]
    assert "hush" not in str(said)


def test_two_workers_at_once_deliver_each_message_once(database, hook, clock):
    hook.hang = 0.02
    tell(database, *(notice(i) for i in range(30)))
    workers = [threading.Thread(target=postman(database, hook, clock).deliver) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(body["message"] for body in hook.taken) == sorted(f"message {i} ü 用户" for i in range(30))


KILLED = """
import sys
from pydantic import SecretStr
from fairtrial.service.notifications.delivery import Postman
from fairtrial.service.notifications.sender import AppriseSender
from fairtrial.service.clock import utc_now
from fairtrial.storage import open_database
Postman(open_database(sys.argv[1]), AppriseSender({"ops": SecretStr(sys.argv[2])}), utc_now).deliver()
"""


def test_killed_between_sending_and_marking_it_is_not_sent_again_by_itself(store_url, database, hook):
    """kill -9: the message arrived, and nobody could note it. It is set aside and said, not sent a second time."""
    now = dt.datetime.now(dt.UTC)
    tell(database, notice(), now=now)
    arrived = threading.Event()

    def hold() -> None:
        arrived.set()
        time.sleep(5)

    hook.before_answer = hold
    worker = subprocess.Popen([sys.executable, "-c", KILLED, store_url, hook.address])
    assert arrived.wait(60)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(10)
    hook.before_answer = lambda: None
    assert only(database).claimed_at is not None
    soon, late = (SetClock(now + dt.timedelta(seconds=s)) for s in (60, HANGING_SECONDS + 120))
    assert postman(database, hook, soon).deliver().delivered == 0
    done = postman(database, hook, late).deliver()
    assert (done.delivered, done.unknown) == (0, 1)
    assert only(database).last_error == UNKNOWN
    assert len(hook.taken) == 1


def test_what_was_given_up_is_sent_again_by_an_admin_alone(store_url, hook, clock):
    """The outbox over HTTP: who may see it, and that no address stands in it."""
    with service_on(store_url, clock=clock, alert_targets={"OPS": SecretStr(hook.address)}) as service:
        tell(service.database, notice(1), notice(2))
        hook.fail = 1
        postman(service.database, hook, clock).deliver()
        with service.database.writing() as session:
            session.query(OutboxMessage).filter_by(id=1).update({"failed_at": clock()})
        page = service.get("/api/v1/outbox", role="ADMIN").json()
        assert [item["state"] for item in page["items"]] == ["delivered", "failed"]
        assert page["counts"] == {"waiting": 0, "sending": 0, "delivered": 1, "failed": 1}
        assert "hush" not in str(page)
        assert service.get("/api/v1/outbox", role="DEVELOPER").status_code == 403
        assert [item["id"] for item in service.get("/api/v1/outbox?state=failed&target=ops", role="ADMIN").json()["items"]] == [1]
        assert service.post("/api/v1/outbox/1/retry", role="DEVELOPER").status_code == 403
        assert service.post("/api/v1/outbox/1/retry", role="ADMIN").json()["state"] == "waiting"
        assert service.post("/api/v1/outbox/1/retry", role="ADMIN").status_code == 409
        assert service.post("/api/v1/outbox/2/retry", role="ADMIN").status_code == 409
        assert service.post("/api/v1/outbox/99/retry", role="ADMIN").status_code == 404
        assert service.post(f"/api/v1/outbox/{2**70}/retry", role="ADMIN").status_code == 422
        assert postman(service.database, hook, clock).deliver().delivered == 1
        assert len(hook.taken) == 2
        assert service.get("/api/v1/audit?action=outbox.retry", role="ADMIN").json()["items"][0]["object_id"] == "1"


def test_alerts_are_read_page_by_page(store_url, clock):
    with service_on(store_url, clock=clock) as service:
        tell(service.database, *(notice(i, "info" if i % 2 else "warning") for i in range(5)))
        first = service.get("/api/v1/alerts", params={"limit": 2}).json()
        assert [item["message"][:9] for item in first["items"]] == ["message 4", "message 3"]
        rest = service.get("/api/v1/alerts", params={"before_id": first["next_before_id"]}).json()
        assert (len(rest["items"]), rest["next_before_id"]) == (3, None)
        assert len(service.get("/api/v1/alerts?severity=info&severity=error").json()["items"]) == 2
        assert service.get("/api/v1/alerts", params={"since": "2026-03-01T00:00:01Z"}).json()["items"] == []
        assert service.get("/api/v1/alerts", role=None).status_code == 401


def test_a_target_that_is_new_gets_the_alerts_of_the_last_days(database):
    """`run-alerts`: what a target has not got yet, by scope; info waits for the digest."""
    tell(database, notice(1), targets=(), now=MARCH - dt.timedelta(days=3))
    tell(database, notice(2), notice(3, "success"), notice(4, "info"), targets=())
    new = Audience(targets=("ops",), base_url="https://x.example")
    with database.writing() as session:
        assert send_missing(session, new, ("error",), now=MARCH) == 1
        assert send_missing(session, new, ("error", "success", "warning", "info"), now=MARCH) == 1
        assert send_missing(session, new, ("error", "success"), now=MARCH) == 0


def test_the_digest_names_the_alerts_of_its_day_once(database):
    """HO-18: 09:00; from the digest before up to this one, the gravest first, at midnight, in leap years and across DST."""
    due = dt.datetime(2028, 2, 29, 9, tzinfo=dt.UTC)
    tell(database, notice(1, "info"), now=due - dt.timedelta(days=1))
    tell(database, notice(2), now=due - dt.timedelta(seconds=1))
    tell(database, notice(3), now=due - dt.timedelta(days=1, seconds=1))
    tell(database, notice(4), now=due)
    with database.writing() as session:
        session.query(OutboxMessage).delete()
        assert send_digest(session, Audience(targets=("ops",)), due=due, now=due) == {"alerts": 2, "messages": 1}
        assert send_digest(session, Audience(targets=("ops",)), due=due, now=due)["messages"] == 0
        quiet = due + dt.timedelta(days=9)
        assert send_digest(session, Audience(targets=("ops",)), due=quiet, now=quiet) == {"alerts": 0, "messages": 1}
        first, last = session.query(OutboxMessage).order_by(OutboxMessage.id)
    assert first.title == "fairtrial: daily digest 2028-02-29"
    assert first.body.index("ERROR (1)\n- message 2") < first.body.index("INFO (1)\n- message 1")
    assert "From 2028-02-28T09:00:00Z to 2028-02-29T09:00:00Z." in first.body
    assert "No alerts." in last.body


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"alert_targets": {"a b": SecretStr("json://hush-hush")}}, "letters, digits"),
        ({"alert_targets": {"ops": SecretStr("hush-hush")}}, "Apprise"),
        ({"alert_base_url": "javascript:alert(1)"}, "web address"),
        ({"alert_base_url": "https://user:pw@x.example"}, "web address"),
    ],
)
def test_settings_of_alerts_are_checked_without_showing_them(given, said):
    with pytest.raises(UsageError, match=said) as caught:
        read_settings(**given)
    assert "hush" not in str(caught.value)


def test_no_address_stands_in_the_database_nor_in_the_log(tmp_path, hook, clock, caplog, capfd):
    url = f"sqlite:///{tmp_path}/s.db"
    opened = open_database(url)
    upgrade(opened)
    hook.fail = 1
    with caplog.at_level(0):
        tell(opened, notice(1), notice(2))
        postman(opened, hook, clock).deliver()
    opened.close()
    printed = capfd.readouterr()
    mine = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert "hush-hush" not in "".join([*mine, printed.out, printed.err])
    assert b"hush-hush" not in b"".join(path.read_bytes() for path in tmp_path.glob("s.db*"))
    assert "secret-path" not in "".join([*mine, printed.out, printed.err])


def test_a_message_is_kept_only_with_what_it_tells_of(database):
    """The outbox is written in the transaction of the alert: an error takes both back."""

    class BrokenError(Exception):
        pass

    def broken() -> None:
        with database.writing() as session:
            assert raise_alerts(session, [notice()], Audience(targets=("ops",)), now=MARCH) == 1
            raise BrokenError

    with pytest.raises(BrokenError):
        broken()
    with database.reading() as session:
        assert (session.query(Alert).count(), session.query(OutboxMessage).count()) == (0, 0)
    with database.writing() as session:
        assert add_message(session, dedupe_key="k", target="ops", title="t", body="b", now=MARCH)
        assert not add_message(session, dedupe_key="k", target="ops", title="t", body="b", now=MARCH)
