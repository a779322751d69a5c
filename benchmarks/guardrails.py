"""Guardrails watched while traffic flows: false stops, time to detect and cost; writes the tables of the docs page.

python benchmarks/guardrails.py [--runs 2000] [--detections 200] [--only cost]
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from pathlib import Path

import numpy as np
from scipy import stats

from fairtrial.serving.live_guardrails import LiveMonitor
from fairtrial.simulation.rate_watch import first_alarms
from fairtrial.spec.examples import FRAUD_DETECTION_EXPERIMENT
from fairtrial.spec.stages import Watch
from harness import machine

PAGE = Path(__file__).parent.parent / "docs" / "statistics" / "guardrails-of-models.md"
WINDOWS, WEEK = 1_344, 672
BUDGET = 0.01
HEALTHY = (
    ("error rate, limit 1 %", 0.01, 0.01),
    ("p95, limit exactly met", 0.05, 0.05),
    ("timeouts, limit 0.5 %", 0.005, 0.002),
    ("p99", 0.01, 0.008),
)
DEGRADED = (
    ("errors 0.5 % to 2 %, limit 1 %", 0.01, 0.005, 0.02),
    ("errors 0.5 % to 5 %", 0.01, 0.005, 0.05),
    ("errors 0.5 % to 20 %", 0.01, 0.005, 0.20),
    ("p95: 3 % to 10 % over its limit", 0.05, 0.03, 0.10),
    ("p95: 3 % to 20 % over its limit", 0.05, 0.03, 0.20),
    ("p95: 3 % to 50 % over its limit", 0.05, 0.03, 0.50),
)
MINUTES, LONGEST = 15, 2_880


def any_alarm(rng: np.random.Generator, runs: int) -> dict[str, int]:
    """Healthy runs of two weeks, checked three times a window, 300 to 2,000 requests in it: how many each guardrail stops, and any."""
    per_check = rng.integers(100, 667, WINDOWS * 3)
    stopped = np.zeros(runs, dtype=bool)
    found: dict[str, int] = {}
    for name, limit, rate in HEALTHY:
        alarms = first_alarms(
            np.full(per_check.size, rate),
            per_check,
            checks_per_window=3,
            limit=limit,
            alpha=BUDGET / len(HEALTHY),
            planned_windows=WINDOWS,
            runs=runs,
            rng=rng,
        )
        found[name] = int((alarms > 0).sum())
        stopped |= alarms > 0
    return found | {"any of the four": int(stopped.sum())}


def windowed(rng: np.random.Generator, runs: int, limit: float, rate: float) -> tuple[int, int]:
    """The same weeks by windowed tests: runs stopped by the first window with p < .05, and by three of four in a row."""
    requests = rng.integers(300, 2_001, WINDOWS)
    broken = np.empty((runs, WINDOWS), dtype=bool)
    for window, n in enumerate(requests):
        counts = rng.binomial(n, rate, runs)
        broken[:, window] = (stats.binom.sf(counts - 1, n, limit) < 0.05) & (counts > limit * n)
    recent = np.lib.stride_tricks.sliding_window_view(broken, 4, axis=1).sum(axis=2)
    return int(broken.any(axis=1).sum()), int((recent >= 3).any(axis=1).sum())


def delay(rng: np.random.Generator, runs: int, per_minute: int, healthy: int, limit: float, rates: tuple[float, float]) -> np.ndarray:
    """Minutes from the change to the alarm, checked each minute; infinite where none came; runs stopped before are left out."""
    before = healthy * MINUTES
    after = min(LONGEST, WINDOWS * MINUTES - before)
    alarms = first_alarms(
        np.r_[np.full(before, rates[0]), np.full(after, rates[1])],
        np.full(before + after, per_minute),
        checks_per_window=MINUTES,
        limit=limit,
        alpha=BUDGET / 2,
        planned_windows=WINDOWS,
        runs=runs,
        rng=rng,
    )
    known = alarms[(alarms == 0) | (alarms > before)]
    return np.where(known == 0, np.inf, known - before)


def minutes(value: float) -> str:
    """A delay for people."""
    if not np.isfinite(value):
        return "> 48 h"
    return f"{value:.0f} min" if value < 180 else f"{value / 60:.1f} h"


def quantile(values: np.ndarray, q: float) -> float:
    """An order statistic, which may be infinite."""
    return float(np.sort(values)[min(int(np.ceil(q * values.size)), values.size) - 1])


def costs() -> tuple[float, float]:
    """Microseconds to count a request, and milliseconds to read two guardrails after a week."""
    origin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    monitor = LiveMonitor(FRAUD_DETECTION_EXPERIMENT, Watch(), origin)
    model, start = FRAUD_DETECTION_EXPERIMENT.challenger_models[0], origin.timestamp()
    latencies = np.random.default_rng(1).gamma(4.0, 25.0, 200_000).tolist()
    times = [start + i * WEEK * 900 / len(latencies) for i in range(len(latencies))]
    begun = time.perf_counter()
    for at, latency in zip(times, latencies, strict=True):
        monitor.observe(model, at, latency, error=False, timeout=False)
    counted = (time.perf_counter() - begun) / len(latencies)
    begun = time.perf_counter()
    for _ in range(20):
        monitor.check(origin + dt.timedelta(days=7), {model: 1.0})
    return counted * 1e6, (time.perf_counter() - begun) / 20 * 1e3


def cost() -> str:
    """What the watch costs, in a sentence."""
    count, read = costs()
    return f"Counting a request takes {count:.1f} microseconds, reading two guardrails after a week {read:.1f} ms ({machine()})."


def false_stops(rng: np.random.Generator, runs: int) -> str:
    """Table of false stops with exact 95 % intervals."""
    lines = ["| healthy guardrail | watched by | stopped | 95 % interval |", "| --- | --- | ---: | --- |"]

    def line(name: str, how: str, stopped: int) -> str:
        interval = stats.binomtest(stopped, runs).proportion_ci(0.95, method="exact")
        return f"| {name} | {how} | {stopped} of {runs:,} | {interval.low:.2%} to {interval.high:.2%} |"

    lines += [line(name, f"e-process, budget {BUDGET:.0%} over four", stopped) for name, stopped in any_alarm(rng, runs).items()]
    first, three = windowed(rng, runs, 0.01, 0.01)
    lines.append(line("error rate, limit 1 %, exactly met", "first window with p < .05", first))
    lines.append(line("error rate, limit 1 %, exactly met", "three windows of four with p < .05", three))
    first, three = windowed(rng, runs, 0.01, 0.005)
    lines.append(line("error rate 0.5 %, limit 1 %", "three windows of four with p < .05", three))
    return "\n".join(lines)


def detections(rng: np.random.Generator, runs: int) -> str:
    """Table of the time to detect: median and 95 % quantile."""
    lines = [
        "| change | requests a minute | at the start: half, 95 % of runs within | after seven healthy days |",
        "| --- | ---: | --- | --- |",
    ]
    for name, limit, good, bad in DEGRADED:
        for per_minute in (3, 20, 100):
            found = [delay(rng, runs, per_minute, healthy, limit, (good, bad)) for healthy in (0, WEEK)]
            cells = [f"{minutes(quantile(values, 0.5))}, {minutes(quantile(values, 0.95))}" for values in found]
            lines.append(f"| {name} | {per_minute} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def write(name: str, text: str) -> None:
    """Put a table between its marks on the page."""
    page = PAGE.read_text(encoding="utf-8")
    start = f"<!-- measured: {name} by benchmarks/guardrails.py -->\n"
    head, rest = page.split(start)
    tail = rest[rest.index("<!-- measured end -->") :]
    PAGE.write_text(f"{head}{start}\n{text}\n\n{tail}", encoding="utf-8")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--detections", type=int, default=200)
    parser.add_argument("--only", choices=["false stops", "time to detect", "cost"])
    options = parser.parse_args()
    tables = {
        "false stops": lambda: false_stops(np.random.default_rng(20_260_101), options.runs),
        "time to detect": lambda: detections(np.random.default_rng(20_260_102), options.detections),
        "cost": cost,
    }
    for name in [options.only] if options.only else tables:
        text = tables[name]()
        print(text, flush=True)
        write(name, text)


if __name__ == "__main__":
    main()
