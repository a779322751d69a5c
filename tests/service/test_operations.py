"""The running service: stop without loss, two processes, a client that hangs up, logs, metrics, docs page, container files."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
import yaml
from running_service import PROGRAM, real_service, service_on
from test_experiments import HOLDOUT
from throwaway_postgres import WHEEL

from fairtrial.client import Client
from fairtrial.errors import AccessError, ConflictError, ConnectorError, UnknownNameError, UsageError
from fairtrial.service import Settings
from fairtrial.storage import differences, downgrade, open_database
from fairtrial.storage.backup import back_up, restore
from fairtrial.storage.tables import ExperimentAssignment

ROOT = Path(__file__).parent.parent.parent


def count(url: str) -> int:
    database = open_database(url)
    with database.reading() as session:
        found = session.query(ExperimentAssignment).count()
    database.close()
    return found


def test_what_is_under_way_when_it_is_stopped_is_finished_and_kept(store_url, tmp_path):
    """Graceful shutdown loses nothing: the upload that SIGTERM interrupts is answered with 200, and its rows are there."""
    with real_service(tmp_path, store_url) as (address, token, process):
        client = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert client.post("/api/experiments", json=HOLDOUT).status_code == 201
        half_sent, stopped = threading.Event(), threading.Event()

        def slowly():
            yield "".join(f'"u{i}"\n' for i in range(2000)).encode()
            half_sent.set()
            stopped.wait(20)
            yield "".join(f'"u{i}"\n' for i in range(2000, 4000)).encode()

        answers: list[httpx.Response] = []
        sender = threading.Thread(
            target=lambda: answers.append(
                client.post("/api/experiments/1/assign/upload", content=slowly(), headers={"Content-Type": "application/x-ndjson"})
            )
        )
        sender.start()
        assert half_sent.wait(20)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        stopped.set()
        sender.join(60)
        assert process.wait(40) in {0, -signal.SIGTERM}
    assert (answers[0].status_code, answers[0].json()["new"]) == (200, 4000)
    assert count(store_url) == 4000


def test_a_client_that_hangs_up_half_way_leaves_nothing_behind(store_url, tmp_path):
    """Neither half a batch nor a stuck worker; many of them do not wear the service out."""
    with real_service(tmp_path, store_url) as (address, token, _):
        host, port = address.removeprefix("http://").split(":")
        assert httpx.post(f"{address}/api/experiments", json=HOLDOUT, headers={"Authorization": f"Bearer {token}"}).status_code == 201
        body = json.dumps({"profile_ids": [f"u{i}" for i in range(500)]}).encode()
        paths = {"/api/experiments/1/assign": body, "/api/experiments/1/assign/upload": b'"u1"\n' * 500, "/api/experiments": body}
        for path, sent in [*paths.items()] * 15:
            with socket.create_connection((host, int(port)), timeout=5) as line:
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                kind = "application/x-ndjson" if path.endswith("upload") else "application/json"
                line.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent[: len(sent) // 2])
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        after = httpx.post(f"{address}/api/experiments/1/assign", content=body, headers=headers, timeout=30)
        assert (after.status_code, after.json()["new"]) == (200, 500), "nothing of the broken ones was stored"
        assert time.monotonic() - started < 20
    assert count(store_url) == 500
    assert "Traceback" not in (tmp_path / "service.log").read_text()


def test_two_processes_serve_one_postgres(postgres_url, tmp_path):
    """Both assign the same people at once: one row each, the same groups; a key made by one opens the other."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with real_service(tmp_path / "a", postgres_url) as (first, token, _), real_service(tmp_path / "b", postgres_url) as (second, _, _):
        one, two = Client(first, token), Client(second, token)
        made = one.create_experiment(**HOLDOUT)
        people = [f"p{i}" for i in range(6000)]
        answers = []
        workers = [
            threading.Thread(target=lambda c=c, ids=ids: answers.append(c.assign(made["id"], ids)))
            for c, ids in ((one, people), (two, people[::-1]))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(90)
        assert sum(answer["new"] for answer in answers) == len(people)
        assert {answer["treatment"] for answer in answers} == {answers[0]["treatment"]}
        two.start(made["id"])
        assert one.experiment(made["id"])["status"] == "running"
        key = one.create_key("other", "VIEWER")
        with Client(second, key["token"]) as third:
            assert third.experiments()["total"] == 1
        one.close()
        two.close()
    assert count(postgres_url) == 6000


def test_starting_without_authentication_is_said_and_only_here(tmp_path):
    """Local mode without auth: loud, and on loopback only (G-7)."""
    refused = subprocess.run(
        [PROGRAM, "serve", "--auth", "off", "--host", "0.0.0.0"], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60
    )
    assert refused.returncode == 2
    assert "loopback" in refused.stderr
    with real_service(tmp_path, f"sqlite:///{tmp_path}/s.db", "--auth", "off") as (address, _, _):
        assert httpx.get(f"{address}/api/v1/experiments").status_code == 200
    assert "NO AUTHENTICATION" in (tmp_path / "service.log").read_text()


def test_a_request_is_one_line_of_json_with_its_id_and_no_path(tmp_path):
    url = f"sqlite:///{tmp_path}/s.db"
    with real_service(tmp_path, url, env={"FAIRTRIAL_LOG_LEVEL": "info", "FAIRTRIAL_LOG_FORMAT": "json"}) as (address, token, _):
        headers = {"Authorization": f"Bearer {token}", "X-Request-Id": "mine-7"}
        assert httpx.get(f"{address}/api/v1/experiments/zoe@mail.example", headers=headers).status_code == 404
    text = (tmp_path / "service.log").read_text()
    (line,) = [entry for entry in map(as_json, text.splitlines()) if entry.get("request_id") == "mine-7"]
    assert (line["event"], line["status"], line["method"], line["level"]) == ("request", 404, "GET", "info")
    assert line["timestamp"].endswith("Z")
    assert line["milliseconds"] > 0
    assert "zoe@mail.example" not in text
    assert token not in text


def as_json(line: str) -> dict:
    try:
        return json.loads(line)
    except ValueError:
        return {}


def test_health_says_ready_only_with_the_tables_of_this_version(stored_service):
    assert stored_service.get("/healthz", role=None).json() == {"status": "ok"}
    assert stored_service.get("/readyz", role=None).status_code == 200
    downgrade(stored_service.database, "base")
    answer = stored_service.get("/readyz", role=None)
    assert (answer.status_code, answer.json()["code"]) == (503, "migration_needed")
    assert stored_service.get("/healthz", role=None).status_code == 200, "alive, if not ready"


def test_counters_name_routes_and_not_people(service):
    service.post("/api/experiments", HOLDOUT)
    service.call("GET", "/api/experiments/1/assignments/zoe@mail.example")
    service.call("BREW", "/api/experiments")
    text = service.get("/metrics", role=None).text
    assert re.search(r'fairtrial_http_requests_total{method="POST",route="[^"]*/experiments",status="201"} [1-9]', text)
    assert "zoe@mail.example" not in text
    assert "BREW" not in text


class Sources(HTMLParser):
    """Collects what a page loads and what it runs in place."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.found += [given[name] for name in ("src", "href") if name in given]
        self.inline += sum(name.startswith("on") or name == "style" for name in given) + (tag in {"style", "script"} and "src" not in given)


def test_the_docs_page_asks_no_other_host(service):
    """Offline API docs page: no CDN, nothing inline, everything it names is there."""
    page = service.get("/docs", role=None)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    sources = Sources()
    sources.feed(page.text)
    assert sources.inline == 0
    for source in sources.found:
        assert source.startswith("data:") or service.get(f"/{source}", role=None).status_code == 200
    folder = files("fairtrial.service.docs_page") / "static"
    texts = [item.read_text(encoding="utf-8") for item in folder.iterdir()]
    assert not re.findall(r"https?://|//[a-z0-9-]+\.[a-z]{2,}|@import|innerHTML|eval\(", "".join(texts))
    assert sum(map(len, texts)) < 60_000


def test_a_backup_is_made_while_it_is_used_and_restored_elsewhere(tmp_path):
    """Backup and restore by the commands, with a service writing meanwhile; keys and rows are there again."""
    url, copy = f"sqlite:///{tmp_path}/live.db", tmp_path / "copy.db"
    elsewhere = f"sqlite:///{tmp_path}/new.db"
    with real_service(tmp_path, url) as (address, token, _), Client(address, token) as client:
        made = client.create_experiment(**HOLDOUT)
        client.assign(made["id"], [f"a{i}" for i in range(1000)])
        stop = threading.Event()

        def keep_writing():
            batch = 0
            while not stop.is_set():
                client.assign(made["id"], [f"b{batch}-{i}" for i in range(200)])
                batch += 1

        writer = threading.Thread(target=keep_writing)
        writer.start()
        done = fairtrial("db", "backup", "--file", str(copy), "--database", url)
        stop.set()
        writer.join(60)
        assert done.returncode == 0, done.stderr
    restored = fairtrial("db", "restore", "--file", str(copy), "--database", elsewhere, "--json")
    assert restored.returncode == 0, restored.stderr
    rows = count(elsewhere)
    assert rows >= 1000
    assert (rows - 1000) % 200 == 0, "one moment: no half batch"
    opened = open_database(elsewhere)
    with pytest.raises(ConflictError, match="empty database"):
        restore(opened, copy)
    with pytest.raises(UsageError, match="new file"):
        back_up(opened, copy)
    assert differences(opened) == []
    opened.close()
    with real_service(tmp_path, elsewhere) as (address, _, _), Client(address, token) as client:
        assert client.experiment(made["id"])["name"] == HOLDOUT["name"], "the old key opens the new place"


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\x00" + b"\x00" * 500])
def test_what_is_no_backup_is_not_restored(tmp_path, content):
    (tmp_path / "bad.db").write_bytes(content)
    database = open_database(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(UsageError, match="must be"):
        restore(database, tmp_path / "bad.db")
    database.close()


def test_a_database_of_somebody_else_is_not_restored(tmp_path):
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as theirs:
        theirs.execute("CREATE TABLE t (x)")
    database = open_database(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(UsageError, match="ours"):
        restore(database, tmp_path / "theirs.db")
    database.close()


def test_postgres_is_backed_up_and_restored_by_its_own_tools(postgres_url, tmp_path):
    """The commands of the how-to, pg_dump and pg_restore, on a real server."""
    named = os.environ.get("FAIRTRIAL_TEST_PG_BIN")
    tools = Path(named) if named else Path(importlib.util.find_spec(WHEEL).origin).parent / "pginstall18" / "bin"
    if not (tools / "pg_dump").exists():
        pytest.skip("pg_dump is not installed")
    with service_on(postgres_url) as running:
        running.post("/api/experiments", HOLDOUT)
        running.post("/api/experiments/1/assign", {"profile_ids": [f"用户{i}" for i in range(500)]})
    admin = re.sub(r"/t_[0-9a-f]+\?", "/postgres?", postgres_url)
    target = re.sub(r"/t_([0-9a-f]+)\?", r"/r_\1?", postgres_url)
    name = re.search(r"/(r_[0-9a-f]+)\?", target)[1]
    run([tools / "pg_dump", "--format", "custom", "--no-owner", "--file", tmp_path / "copy.dump", postgres_url])
    run([tools / "psql", admin, "-c", f"CREATE DATABASE {name}"])
    try:
        run([tools / "pg_restore", "--no-owner", "--exit-on-error", "--dbname", target, tmp_path / "copy.dump"])
        assert count(target) == 500
        with service_on(target) as running:
            assert running.get("/api/v1/experiments").json()["total"] == 1
            assert running.post("/api/experiments", {**HOLDOUT, "name": "next"}).json()["id"] == 2, "its sequences came along"
    finally:
        run([tools / "psql", admin, "-c", f"DROP DATABASE {name} WITH (FORCE)"])


def run(words: list) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def fairtrial(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60)


def test_the_container_files_name_settings_that_exist_and_run_without_rights():
    """On paper: no engine here. Names, the user and the health check are held to the code."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    named = set(re.findall(r"FAIRTRIAL_(\w+)", dockerfile)) | {
        name.removeprefix("FAIRTRIAL_") for name in compose["services"]["service"]["environment"]
    }
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    assert re.search(r"^USER 10001$", dockerfile, re.MULTILINE)
    assert dockerfile.count("FROM ") == 2
    assert "/readyz" in dockerfile
    for copied in re.findall(r"^COPY (?!--from)(.+) \./?\S*$", dockerfile, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists(), name
    assert "postgresql://" in compose["services"]["service"]["environment"]["FAIRTRIAL_DATABASE_URL"]
    assert not re.search(r"PASSWORD: (?!\$)", (ROOT / "compose.yaml").read_text(encoding="utf-8")), "no default secret"


# The client


def through(service) -> httpx.BaseTransport:
    """Carries a client's requests to the application of this process."""

    def answer(request: httpx.Request) -> httpx.Response:
        got = service.client.request(request.method, str(request.url), content=request.content, headers=dict(request.headers))
        return httpx.Response(got.status_code, headers=dict(got.headers), content=got.content)

    return httpx.MockTransport(answer)


def test_the_client_says_errors_as_the_library_does(service):
    client = Client("http://testserver", service.tokens["DEVELOPER"], transport=through(service))
    made = client.create_experiment(**HOLDOUT)
    assert (made["id"], made["plan"]["total_sample_size"]) == (1, 25999)
    assert client.assign(1, ["user_001", "user_002", "user_003"])["treatment"] == 3
    with pytest.raises(UnknownNameError, match="nothing"):
        client.experiment("nothing")
    with pytest.raises(ConflictError):
        client.assign(1, ["x"], treatment_rate=0.1)
    with pytest.raises(UsageError, match="end_at"):
        client.create_experiment("x", start_at="2026-03-02", end_at="2026-03-01")
    with pytest.raises(AccessError):
        client.keys()
    admin = Client("http://testserver", service.tokens["ADMIN"], transport=through(service))
    assert len(list(admin.audit(limit=1, object_type="experiment"))) > 1, "page after page"
    assert admin.export_unit("user_001")["rows"] == 1
    assert admin.erase_unit("user_001")["total"] == 1
    with pytest.raises(AccessError):
        Client("http://testserver", "ft_0_0", transport=through(service)).experiments()


def test_the_client_waits_as_it_is_told_and_sends_what_may_be_sent_again():
    asked, waited = [], []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) == 1:
            raise httpx.ConnectError("gone")
        return httpx.Response(503, headers={"Retry-After": "7"}, json={"code": "storage", "detail": "d", "hint": ""})

    client = Client(transport=httpx.MockTransport(answer), sleep=waited.append)
    with pytest.raises(ConnectorError) as caught:
        client.experiments()
    assert (asked, waited[1:]) == (["GET"] * 4, [7.0, 7.0])
    assert (caught.value.code, caught.value.retriable) == ("storage", True)
    asked.clear()
    with pytest.raises(ConnectorError, match="does not"):
        client.create_experiment("x")
    assert asked == ["POST"], "an experiment is never made twice"


def test_a_path_holds_whatever_an_id_holds():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(200, json={})

    Client(transport=httpx.MockTransport(answer)).assignment("a/b", "../用户?x=1#y")
    assert seen == [b"/api/v1/experiments/a%2Fb/assignments/..%2F%E7%94%A8%E6%88%B7%3Fx%3D1%23y"]


def test_batches_are_cut_and_their_counts_added():
    sizes = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        sizes.append(len(sent["outcomes"]))
        return httpx.Response(200, json={"inserted": sizes[-1], "duplicates": 0, "unassigned": 0})

    client = Client(transport=httpx.MockTransport(answer))
    total = client.record_outcomes(1, ({"profile_id": f"u{i}"} for i in range(11_000)))
    assert (sizes, total["inserted"]) == ([5000, 5000, 1000], 11_000)
    assert client.record_outcomes(1, [])["inserted"] == 0
