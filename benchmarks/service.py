"""The service under load: the real program in its own process, our own driver over keep-alive sockets in this one.

python benchmarks/service.py                       # ingest into SQLite, every case
python benchmarks/service.py --postgres            # into a throwaway Postgres with fsync on
python benchmarks/service.py --cases events --rows 1000000 --seconds 20 --connections 16 --batch 1000
python benchmarks/service.py --cases ofrep         # decisions over HTTP

Bodies are made before the clock starts; every answer is read and its counts are added
up, and at the end the rows of the table are counted: a figure is printed only when
every row that was sent was stored once. Each case runs first on `bare.py`, bare ASGI
over the same tables, and then on the service; the ratio is that of their CPU, which
other work on the machine moves less than the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
from sqlalchemy import text

import service_ofrep
from fairtrial.storage import open_database
from harness import machine

PROGRAM = Path(sys.executable).parent / "fairtrial"
TESTS = Path(__file__).parent.parent / "tests"
BARE = Path(__file__).with_name("bare.py")
HOLDOUT = {"name": "load", "channel": "email", "conversion_key": "purchase", "treatment_rate": 0.5}
NEW = {"events": "stored", "exposures": "recorded", "outcomes": "inserted"}
TABLE = {"events": "events", "exposures": "experiment_exposures", "outcomes": "experiment_outcomes"}


class Connection:
    """One keep-alive connection that sends its requests one after the other."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self.port, self.requests = port, requests
        self.seconds: list[float] = []
        self.new = 0
        self.sent = 0
        self.refused = 0

    def run(self, path: str, until: float) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for request in self.requests:
                start = time.perf_counter()
                if start >= until:
                    return
                self.sent += 1
                link.sendall(request)
                status, body = answer_of(link)
                self.seconds.append(time.perf_counter() - start)
                if status == 200:
                    self.new += json.loads(body)[NEW[path]]
                else:
                    self.refused += 1


def answer_of(link: socket.socket) -> tuple[int, bytes]:
    got = b""
    while b"\r\n\r\n" not in got:
        got += received(link)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += received(link)
    return int(head.split(b" ", 2)[1]), body


def received(link: socket.socket) -> bytes:
    piece = link.recv(65_536)
    if not piece:
        raise ConnectionError("the service closed the connection")
    return piece


def bodies(case: str, rows: int, batch: int, connections: int) -> list[list[bytes]]:
    """The bodies of each connection; the rows come in turns, as from senders whose clocks agree."""
    rng = random.Random(1)
    made: list[list[bytes]] = [[] for _ in range(connections)]
    for at in range(0, rows, batch):
        listed = [one_row(case, i, rng) for i in range(at, min(at + batch, rows))]
        made[(at // batch) % connections].append(json.dumps({case: listed}, separators=(",", ":")).encode())
    return made


def one_row(case: str, i: int, rng: random.Random) -> dict[str, object]:
    moment = f"2026-03-{1 + i // 43_200_000:02d}T{i // 1_800_000 % 24:02d}:{i // 30_000 % 60:02d}:{i // 500 % 60:02d}.{i % 500:03d}Z"
    unit = f"user_{rng.randrange(100_000):06d}"
    if case == "events":
        key = uuid.UUID(int=((1_772_323_200_000 + i // 4) << 80) | (7 << 76) | (2 << 62) | (i << 20) | rng.getrandbits(20))
        return {"event_id": str(key), "unit": unit, "name": "page_view", "occurred_at": moment, "value": 1.5}
    if case == "exposures":
        return {"profile_id": unit, "exposure_ts": moment, "campaign_id": "email_q1_2026", "message_id": f"msg_{i:09d}"}
    return {"profile_id": unit, "conversion_ts": moment, "value": round(rng.random() * 100, 2), "outcome_id": f"order_{i:09d}"}


@contextlib.contextmanager
def served(url: str, folder: Path, bare: str = "") -> Iterator[tuple[int, str, subprocess.Popen[bytes]]]:
    """The real program on a free port, or the bare one of a case: its port, a key and its process."""
    env = {**os.environ, "FAIRTRIAL_DATABASE_URL": url, "FAIRTRIAL_LOG_LEVEL": "warning"}
    made = [PROGRAM, "token", "create", "--role", "ADMIN"]
    key = "" if bare else subprocess.run(made, env=env, check=True, capture_output=True, text=True, cwd=folder).stdout
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, BARE, str(port), bare, url] if bare else [PROGRAM, "serve", "--port", str(port)]
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stderr=log, stdout=log)
        try:
            wait_until_ready(port, process)
            yield port, key.strip(), process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                return
        time.sleep(0.05)
    raise SystemExit("the service did not start")


@contextlib.contextmanager
def empty_store(*, postgres: bool, folder: Path) -> Iterator[str]:
    """The address of an empty database."""
    if not postgres:
        yield f"sqlite:///{folder}/load.db"
        return
    sys.path.insert(0, str(TESTS / "warehouse"))
    import throwaway_postgres

    with throwaway_postgres.server(durable=True) as place:
        yield f"postgresql://postgres@/postgres?host={place}"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(case: str, port: int, key: str) -> str:
    """An experiment with its profiles assigned, the key proven, the writer running; the path to send to."""
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120)
    path = "events"
    if case != "events":
        number = client.post("/experiments", json=HOLDOUT).raise_for_status().json()["id"]
        people = [f"user_{i:06d}" for i in range(100_000)]
        client.post(f"/experiments/{number}/assign", json={"profile_ids": people}).raise_for_status()
        path = f"experiments/{number}/{case}"
    client.post(f"/{path}", json={case: []}).raise_for_status()
    return path


def load(case: str, url: str, folder: Path, options: argparse.Namespace, *, bare: bool) -> dict[str, float]:
    """Send everything once, or what fits into the time; figures of the run."""
    made = bodies(case, options.rows, options.batch, options.connections)
    with contextlib.ExitStack() as stack:
        if bare:
            with served(url, folder) as (port, key, _):
                path = prepare(case, port, key)
            port, key, process = stack.enter_context(served(url, folder, case))
        else:
            port, key, process = stack.enter_context(served(url, folder))
            path = prepare(case, port, key)
        head = f"POST /api/v1/{path} HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        links = [
            Connection(port, [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in listed]) for listed in made if listed
        ]
        cpu, own, start = cpu_seconds(process.pid), time.process_time(), time.perf_counter()
        threads = [threading.Thread(target=link.run, args=(case, start + options.seconds), daemon=True) for link in links]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(options.seconds + 60)
        wall = time.perf_counter() - start
        cpu, own = cpu_seconds(process.pid) - cpu, time.process_time() - own
    found = open_database(url)
    with found.reading() as session:
        stored = session.scalar(text(f"SELECT count(*) FROM {TABLE[case]}"))
    found.close()
    sent = sum(len(json.loads(request.partition(b"\r\n\r\n")[2])[case]) for link in links for request in link.requests[: link.sent])
    new, refused = sum(link.new for link in links), sum(link.refused for link in links)
    if (stored, new, refused) != (sent, sent, 0):
        raise SystemExit(f"{case}: {sent} rows sent, {new} answered as new, {stored} stored, {refused} requests refused")
    waits = sorted(seconds for link in links for seconds in link.seconds)
    return {
        "rate": sent / wall,
        "p50": waits[len(waits) // 2] * 1e3,
        "p99": waits[min(len(waits) - 1, int(len(waits) * 0.99))] * 1e3,
        "cpu": cpu / sent * 1e6,
        "driver": own / sent * 1e6,
    }


def ask(folder: Path, options: argparse.Namespace, *, bare: bool) -> dict[str, float]:
    """Decisions over HTTP."""
    url = f"sqlite:///{folder}/flags.db"
    with served(url, folder, "ofrep" if bare else "") as (port, key, process):
        if not bare:
            service_ofrep.launch(port, key)
        requests = [service_ofrep.asked(key or "none", f"user-{i}", "/ofrep/v1/evaluate/flags/checkout") for i in range(4096)]
        asyncio.run(service_ofrep.drive(port, requests, options.connections, 1.0))
        cpu, own = cpu_seconds(process.pid), time.process_time()
        seconds = min(options.seconds, 10.0)
        waits, bad = asyncio.run(service_ofrep.drive(port, requests, options.connections, seconds))
        cpu, own = cpu_seconds(process.pid) - cpu, time.process_time() - own
    if bad or not waits:
        raise SystemExit(f"ofrep: {len(waits)} answers, {len(bad)} of them refused")
    waits.sort()
    n = len(waits)
    return {
        "rate": n / seconds,
        "p50": waits[n // 2] * 1e3,
        "p99": waits[int(n * 0.99)] * 1e3,
        "cpu": cpu / n * 1e6,
        "driver": own / n * 1e6,
    }


def run(case: str, options: argparse.Namespace, *, bare: bool) -> dict[str, float]:
    """One case on an empty store."""
    with tempfile.TemporaryDirectory() as place:
        if case == "ofrep":
            return ask(Path(place), options, bare=bare)
        with empty_store(postgres=options.postgres, folder=Path(place)) as url:
            return load(case, url, Path(place), options, bare=bare)


def main() -> None:
    parser = argparse.ArgumentParser(description="Load on the service.")
    parser.add_argument("--cases", nargs="+", choices=[*NEW, "ofrep"], default=[*NEW, "ofrep"])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0, help="A run ends after this long, whatever is left to send.")
    parser.add_argument("--postgres", action="store_true", help="A throwaway Postgres instead of SQLite.")
    options = parser.parse_args()
    store = "Postgres" if options.postgres else "SQLite"
    print(f"Machine: {machine()}.")
    print(f"At most {options.rows:,} rows in batches of {options.batch:,} over {options.connections} connections, {store}.\n")
    print("| case | server | a second | p50 ms | p99 ms | server CPU us | 1 / CPU, a second | CPU x bare | driver CPU us | load |")
    print("| --- | --- " + "| ---: " * 8 + "|")
    for case in options.cases:
        limit = 0.0
        for name, bare in (("bare", True), ("fairtrial", False)):
            found = run(case, options, bare=bare)
            limit = limit or found["cpu"]
            figures = f"{found['rate']:,.0f} | {found['p50']:.1f} | {found['p99']:.1f} | {found['cpu']:.2f} | {1e6 / found['cpu']:,.0f}"
            tail = f"{found['cpu'] / limit:.2f} | {found['driver']:.2f} | {os.getloadavg()[0]:.1f}"
            print(f"| {case} | {name} | {figures} | {tail} |", flush=True)


if __name__ == "__main__":
    main()
