"""The service in tests: inside this process over a test client, or as the real program."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from sqlalchemy import select
from starlette.testclient import TestClient

from fairtrial.service import Settings, create_app
from fairtrial.service.access.keys import KeyRequest, create_key
from fairtrial.service.access.roles import Role
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.tables import ApiKey

PROGRAM = str(Path(sys.executable).parent / "fairtrial")
MARCH = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: dt.datetime = MARCH) -> None:
        self.now = now

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += dt.timedelta(**by)


class Service:
    """The application with a key for each role."""

    def __init__(self, client: TestClient, clock: SetClock, tokens: dict[str, str]) -> None:
        self.client, self.clock, self.tokens = client, clock, tokens

    @property
    def state(self):
        return self.client.app.state.service

    @property
    def database(self):
        return self.state.database

    def call(self, method: str, path: str, *, role: str | None = "DEVELOPER", **kwargs):
        headers = {**kwargs.pop("headers", {})}
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return self.client.request(method, path, headers=headers, **kwargs)

    def get(self, path: str, *, role: str | None = "VIEWER", **kwargs):
        return self.call("GET", path, role=role, **kwargs)

    def post(self, path: str, json: object = None, *, role: str | None = "DEVELOPER", **kwargs):
        return self.call("POST", path, role=role, json=json, **kwargs)


def make_tokens(database, now: dt.datetime) -> dict[str, str]:
    """A key of each role. Hashing one is slow on purpose, so it is done once a process and the rows are copied from then on."""
    made = first_keys()
    with database.writing() as session:
        there = set(session.scalars(select(ApiKey.public_id)))
        session.add_all(ApiKey(**row, created_at=now) for row, _ in made.values() if row["public_id"] not in there)
    return {role: token for role, (_, token) in made.items()}


@cache
def first_keys() -> dict[str, tuple[dict, str]]:
    with TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{folder}/keys.db")
        upgrade(database)
        with database.writing() as session:
            made = {role: create_key(session, KeyRequest(role=role, name=f"test {role.name}"), now=MARCH, by="test") for role in Role}
            session.flush()
            names = [column.name for column in ApiKey.__table__.columns if column.name not in {"id", "created_at"}]
            found = {role.name: ({name: getattr(key.row, name) for name in names}, key.token) for role, key in made.items()}
        database.close()
    return found


@cache
def empty_tables() -> bytes:
    """A SQLite file with the service's tables and no row: migrations take a while, so they run once a process."""
    with TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{folder}/empty.db")
        upgrade(database)
        database.close()
        return (Path(folder) / "empty.db").read_bytes()


def made(url: str):
    """The database at an address, with its tables."""
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not file.exists():
        file.write_bytes(empty_tables())
    database = open_database(url)
    upgrade(database)
    return database


@contextmanager
def service_on(url: str, *, clock: SetClock | None = None, **settings):
    """The application over a database, in this process."""
    clock = clock or SetClock()
    database = made(url)
    tokens = make_tokens(database, clock())
    app = create_app(Settings(database_url=url, **settings), clock=clock, database=database)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield Service(client, clock, tokens)
    database.close()


@contextmanager
def real_service(folder: Path, url: str, *arguments: str, env: dict[str, str] | None = None):
    """The real program on a free port; yields its address, a key of an ADMIN and the process."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables = {**inherited, "FAIRTRIAL_DATABASE_URL": url, "FAIRTRIAL_LOG_LEVEL": "warning", **(env or {})}
    database = made(url)
    key = make_tokens(database, dt.datetime.now(dt.UTC))["ADMIN"]
    database.close()
    port = free_port()
    log = (folder / "service.log").open("ab")
    process = subprocess.Popen([PROGRAM, "serve", "--port", str(port), *arguments], env=variables, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, process)
        yield address, key, process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        log.close()


def wait_until_ready(address: str, process: subprocess.Popen, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, f"the service ended with {process.returncode}"
        try:
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the service was not ready in time")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
