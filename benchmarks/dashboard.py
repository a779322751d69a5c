"""How long a person waits for the dashboard: a real browser before the real service, with many experiments and assignments.

python benchmarks/dashboard.py                                   # 100 experiments, 1M assignments
python benchmarks/dashboard.py --experiments 100 --assignments 1000000 --visits 5

Each page is opened in a browser that has never seen the service (cold: an empty profile) and again in one that has loaded the
app once (warm: the page is opened anew, files come from its cache). The clock runs from the navigation to the first chart that is drawn; of
the page Home, which has none, to its last card. Medians over the visits. Results were stored by a nightly report before.

Needs Chromium.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import insert

from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.experiments.lifecycle import change_status, create_holdout
from fairtrial.service.experiments.schemas import ExperimentCreate
from fairtrial.service.incrementality import run_nightly_report
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.tables import ExperimentAssignment, ExperimentOutcome
from harness import machine

PROGRAM = Path(sys.executable).parent / "fairtrial"
BENCH = Actor(name="bench", role=Role.ADMIN)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
CHART = "canvas, svg.marks"
PAGES = {"": "h3 >> text=Running", "incrementality?experiment_id=1": CHART, "experiment?experiment_id=1": CHART, "plan": CHART}


def fill(url: str, experiments: int, assignments: int) -> None:
    """Running holdouts, their assignments and outcomes over twenty days, and a nightly report."""
    database = open_database(url)
    upgrade(database)
    now = dt.datetime.now(dt.UTC)
    start = now - dt.timedelta(days=20)
    each = assignments // experiments
    for number in range(experiments):
        with database.writing() as session:
            form = {
                "name": f"Holdout {number}", "channel": ("email", "push", "sms")[number % 3], "conversion_key": "purchase",
                "treatment_rate": 0.5, "baseline_rate_estimate": 0.05, "mde_target": 0.01, "start_at": start.isoformat(),
                "end_at": (now + dt.timedelta(days=10)).isoformat(),
            }  # fmt: skip
            row = create_holdout(session, ExperimentCreate.model_validate(form), actor=BENCH, now=start)
            change_status(session, str(row.id), "running", actor=BENCH, now=start)
            units = [
                {
                    "experiment_id": row.id, "profile_id": f"p{unit}", "group": "treatment" if unit % 2 else "control", "source": "assign",
                    "assigned_at": start + dt.timedelta(days=unit % 20),
                }
                for unit in range(each)
            ]  # fmt: skip
            session.execute(insert(ExperimentAssignment), units)
            converted = [
                {
                    "experiment_id": row.id, "profile_id": one["profile_id"], "conversion_ts": one["assigned_at"] + dt.timedelta(hours=5),
                    "value": 20.0, "outcome_id": f"o{unit}", "dedupe_key": unit.to_bytes(16, "big"),
                }
                for unit, one in enumerate(units) if unit % 19 == 0
            ]  # fmt: skip
            session.execute(insert(ExperimentOutcome), converted)
    with database.writing() as session:
        run_nightly_report(session, now, now=now)
    database.close()


def seconds(page: Page, address: str, path: str, until: str) -> float:
    """From the navigation to what is waited for."""
    begun = time.perf_counter()
    page.goto(f"{address}/dashboard/{path}")
    page.locator(until).first.wait_for(timeout=120_000)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=100)
    parser.add_argument("--assignments", type=int, default=1_000_000)
    parser.add_argument("--visits", type=int, default=5)
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("This needs Chromium (apt-get install chromium).")
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        begun = time.perf_counter()
        fill(url, asked.experiments, asked.assignments)
        print(f"{asked.experiments} experiments, {asked.assignments:,} assignments: filled in {time.perf_counter() - begun:.0f} s")
        with (Path(folder) / "log").open("wb") as log:
            command = [str(PROGRAM), "serve", "--auth", "off", "--port", "0", "--database", url]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=log, text=True)
            try:
                address = listening(process)
                measure(address, chromium, asked.visits)
            finally:
                process.terminate()
                process.wait(30)


def listening(process: subprocess.Popen[str]) -> str:
    """Where the service is; its talk is read on, so that it never waits for us."""
    import threading

    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Listening on "):
            address = line.split()[2]
            threading.Thread(target=process.stderr.read, daemon=True).start()
            while True:
                try:
                    if httpx.get(f"{address}/readyz", timeout=5).status_code == 200:
                        return address
                except httpx.TransportError:
                    time.sleep(0.05)
    raise SystemExit("the service ended")


def measure(address: str, chromium: str, visits: int) -> None:
    print(f"{'page':34} {'cold, s':>8} {'warm, s':>8}")
    with sync_playwright() as tool:
        for path, until in PAGES.items():
            cold: list[float] = []
            warm: list[float] = []
            for _ in range(visits):
                with tempfile.TemporaryDirectory() as profile:
                    context = tool.chromium.launch_persistent_context(profile, executable_path=chromium, args=FLAGS)
                    page = context.new_page()
                    cold.append(seconds(page, address, path, until))
                    page.goto("about:blank")
                    warm.append(seconds(page, address, path, until))
                    context.close()
            print(f"{path or 'home':34} {statistics.median(cold):8.2f} {statistics.median(warm):8.2f}")


if __name__ == "__main__":
    main()
