"""Run cases in fresh processes, interleaved over rounds: wall seconds, CPU seconds, peak memory above the start."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def measure(work: Callable[[], object]) -> dict[str, float | str]:
    """Time `work` once in this process; imports and inputs are outside the clock."""
    before = _resident_mb()
    peak = [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], _resident_mb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    return {"wall": wall, "cpu": cpu, "peak_mb": max(peak[0], _resident_mb()) - before, "checksum": str(result)}


def compare(script: str, cases: Sequence[str], arguments: Sequence[str], *, rounds: int) -> dict[str, dict[str, float | str]]:
    """Run every case `rounds` times in turn; medians of memory and minima of time by case."""
    runs: dict[str, list[dict[str, float | str]]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            command = [sys.executable, script, "--case", case, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})
            runs[case].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        case: {
            "wall": min(float(run["wall"]) for run in found),
            "cpu": min(float(run["cpu"]) for run in found),
            "peak_mb": statistics.median(float(run["peak_mb"]) for run in found),
            "checksum": found[0]["checksum"],
        }
        for case, found in runs.items()
    }


def table(title: str, results: dict[str, dict[str, float | str]], limit: str) -> str:
    """A Markdown table with ratios to the case named as the limit."""
    base = float(results[limit]["wall"])
    lines = [f"### {title}", "", "| case | wall s | x limit | CPU s | peak extra MB |", "| --- | ---: | ---: | ---: | ---: |"]
    for case, found in results.items():
        wall = float(found["wall"])
        lines.append(f"| {case} | {wall:.3f} | {wall / base:.2f} | {float(found['cpu']):.2f} | {float(found['peak_mb']):.0f} |")
    return "\n".join([*lines, ""])


def machine() -> str:
    """What this ran on, in one line."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown"
    )
    return f"{os.cpu_count()} x {model}, Python {sys.version.split()[0]}"


def _resident_mb() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
