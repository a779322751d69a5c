"""Memory of the service under a steady, mixed load: does it stay flat?

    python benchmarks/service_memory.py [--minutes 10] [--batch 500] [--postgres] [--no-reads]

Four senders share the work: events, exposures and outcomes in batches of new rows, decisions over OFREP, and every few
seconds results and time series. The resident memory of the server's process is read every ten seconds; what is told is
its course, and the slope of a line through the second half, when caches have filled.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

import service_ofrep
from harness import machine
from service import HOLDOUT, empty_store, served

PAUSE = 10.0
"""Seconds between two readings."""

PEOPLE = 50_000


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Load:
    """The senders and what they sent."""

    def __init__(self, port: int, key: str, batch: int) -> None:
        self.address, self.headers, self.batch = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}, batch
        self.sent: Counter[str] = Counter()
        self.bad: Counter[int] = Counter()
        self.stop = threading.Event()
        client = self.client()
        made = client.post("/api/v1/experiments", json={**HOLDOUT, "start_at": "2026-03-01T00:00:00Z", "end_at": "2026-04-01T00:00:00Z"})
        self.number = made.raise_for_status().json()["id"]
        people = [f"user_{i:06d}" for i in range(PEOPLE)]
        client.post(f"/api/v1/experiments/{self.number}/assign", json={"profile_ids": people}).raise_for_status()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=self.headers, timeout=120)

    def post(self, client: httpx.Client, what: str, path: str, body: object, rows: int = 1) -> None:
        answer = client.post(path, json=body)
        if answer.status_code == 200:
            self.sent[what] += rows
        else:
            self.bad[answer.status_code] += 1

    def events(self) -> None:
        client, rng = self.client(), random.Random(1)
        while not self.stop.wait(0.02):
            now = time.time_ns() // 1_000_000
            listed = [
                {
                    "event_id": str(uuid.UUID(int=(now << 80) | (7 << 76) | (2 << 62) | rng.getrandbits(62))),
                    "unit": f"user_{rng.randrange(PEOPLE):06d}",
                    "name": "page_view",
                    "properties": {"n": i, "path": f"/p/{rng.randrange(10**9)}"},
                }
                for i in range(self.batch)
            ]
            self.post(client, "events", "/api/v1/events", {"events": listed}, self.batch)

    def rows(self) -> None:
        client, rng, n = self.client(), random.Random(2), 0
        path = f"/api/v1/experiments/{self.number}"
        while not self.stop.wait(0.02):
            ids = range(n, n := n + self.batch)
            people = [f"user_{rng.randrange(PEOPLE):06d}" for _ in ids]
            moment = f"2026-03-{1 + n // 1000 % 28:02d}T12:00:00Z"
            seen = [{"profile_id": who, "exposure_ts": moment, "message_id": f"m{i}"} for i, who in zip(ids, people, strict=True)]
            self.post(client, "exposures", f"{path}/exposures", {"exposures": seen}, self.batch)
            won = [
                {"profile_id": who, "conversion_ts": moment, "value": 1.5, "outcome_id": f"o{i}"}
                for i, who in zip(ids, people, strict=True)
            ]
            self.post(client, "outcomes", f"{path}/outcomes", {"outcomes": won[::10]}, len(won[::10]))

    def decisions(self) -> None:
        client, rng = self.client(), random.Random(3)
        while not self.stop.wait(0.002):
            body = {"context": {"targetingKey": f"visitor-{rng.getrandbits(48)}", "page": rng.getrandbits(30)}}
            self.post(client, "decisions", "/ofrep/v1/evaluate/flags/checkout", body)

    def reads(self) -> None:
        client = self.client()
        while not self.stop.wait(3.0):
            for name in ("results", "time-series", "health", "exposures"):
                answer = client.get(f"/api/v1/experiments/{self.number}/{name}")
                if answer.status_code == 200:
                    self.sent["reads"] += 1
                else:
                    self.bad[answer.status_code] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of the service under a steady load.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--no-reads", action="store_true", help="Write and decide only: what is read grows with the rows.")
    parser.add_argument("--postgres", action="store_true", help="A throwaway Postgres instead of SQLite.")
    options = parser.parse_args()
    print(f"Machine: {machine()}. {'Postgres' if options.postgres else 'SQLite'}, {options.minutes:g} minutes.\n")
    with (
        tempfile.TemporaryDirectory() as place,
        empty_store(postgres=options.postgres, folder=Path(place)) as url,
        served(url, Path(place)) as (port, key, process),
    ):
        service_ofrep.launch(port, key)
        load = Load(port, key, options.batch)
        senders = [load.events, load.rows, load.decisions, *([] if options.no_reads else [load.reads])]
        threads = [threading.Thread(target=work, daemon=True) for work in senders]
        began, read = time.monotonic(), []
        for thread in threads:
            thread.start()
        while (passed := time.monotonic() - began) < options.minutes * 60:
            read.append((passed / 60, megabytes(process.pid)))
            time.sleep(PAUSE)
        load.stop.set()
        for thread in threads:
            thread.join(120)
    print("| minute | resident MB |\n| ---: | ---: |")
    for minute, size in read[:: max(1, len(read) // 12)]:
        print(f"| {minute:.1f} | {size:.0f} |")
    late = [pair for pair in read if pair[0] >= options.minutes / 2]
    slope = float(np.polyfit(*zip(*late, strict=True), 1)[0])
    print(f"\nSecond half: {slope:+.2f} MB a minute. Sent: {dict(load.sent)}. Refused: {dict(load.bad)}.")


if __name__ == "__main__":
    main()
