"""Assignment: many units through the engine against loops of Python, and one decision.

    python benchmarks/assignment.py [--units 1000000] [--rounds 5] [--threads 1]

The cases take turns over the rounds in one process and each gives the same arms; the best CPU time counts, for
other work on the machine only adds to it. Ratios are to the loop that most code has.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import time
from collections.abc import Callable

import pyarrow as pa

from fairtrial.assignment import Allocation
from fairtrial.warehouse.assignment import assign
from harness import machine


def loop(units: list[str], allocation: Allocation) -> list[str]:
    """The loop that most code has: format, digest, integer, compare."""
    border = allocation.segments[0].high
    found = []
    for unit in units:
        value = int(hashlib.sha256(f"{unit}:{allocation.hash_key}:{allocation.salt}".encode()).hexdigest()[:16], 16)
        found.append("control" if value < border else "treatment")
    return found


def one_decision(allocation: Allocation, units: list[str]) -> tuple[float, float]:
    """Median and 99th percentile of one call in microseconds, an empty call taken off."""
    clock = time.perf_counter_ns

    def run(call: Callable[[str], object]) -> list[int]:
        times = []
        for unit in units:
            began = clock()
            call(unit)
            times.append(clock() - began)
        return sorted(times)

    empty, found = statistics.median(run(lambda _: None)), run(allocation.decide)
    return (statistics.median(found) - empty) / 1e3, (found[int(len(found) * 0.99)] - empty) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    units = [f"user_{i:07d}" for i in range(given.units)]
    column = pa.array(units)
    two = Allocation.from_shares("checkout", {"control": 0.5, "treatment": 0.5})
    ten = Allocation.from_shares("checkout", {f"arm_{i}": 0.1 for i in range(10)})
    cases: dict[str, Callable[[], object]] = {
        "hashlib loop": lambda: loop(units, two),
        "Allocation.assign": lambda: two.assign(units),
        "engine": lambda: assign(column, two, threads=given.threads),
        "engine, ten arms": lambda: assign(column, ten, threads=given.threads),
        "engine, half the traffic": lambda: assign(column, two.with_traffic(0.5), threads=given.threads),
    }
    if assign(column, two).to_pylist() != loop(units, two) or two.assign(units) != loop(units, two):
        raise SystemExit("the cases disagree")
    best = {name: (float("inf"), float("inf")) for name in cases}
    for _ in range(given.rounds):
        for name, work in cases.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            best[name] = min(best[name][0], cpu), min(best[name][1], wall)
    print(f"### Assignment of {given.units:,} units, {given.threads} thread(s) of the engine\n")
    print(f"{machine()}; load average {os.getloadavg()[0]:.1f}.\n")
    print("| case | M units/s of CPU | M units/s of wall | x hashlib loop (CPU) |\n| --- | ---: | ---: | ---: |")
    for name, (cpu, wall) in best.items():
        print(f"| {name} | {given.units / cpu / 1e6:.2f} | {given.units / wall / 1e6:.2f} | {best['hashlib loop'][0] / cpu:.2f} |")
    p50, p99 = one_decision(two, units[:50_000])
    print(f"\nOne decision in this process: p50 {p50:.2f} us, p99 {p99:.2f} us.")


if __name__ == "__main__":
    main()
