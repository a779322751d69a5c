"""Interaction scan: shared users of all pairs of experiments, exact, and the whole scan with its tests.

    python benchmarks/interactions.py [--experiments 200] [--users 5000000] [--rounds 3] [--sets] [--scan]

Experiments hold 10,000 to 1,000,000 users, log-uniform. The limit is one pass over the bits: packing every membership
and one popcount of the matrix. All cases give the same counts; they take turns over the rounds in one process and the
best CPU time counts. Python's sets take minutes at 200 experiments, so `--sets` asks for them; `--scan` adds the whole
scan (cells by arm, additive test of every row, Benjamini-Hochberg), whose peak memory is printed. pyroaring is measured
where it can be imported.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import resource
import time
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from fairtrial.diagnostics.interaction_scan import scan_members
from fairtrial.diagnostics.memberships import Members, shared_counts
from fairtrial.diagnostics.pair_cells import Side
from harness import machine


def draw(experiments: int, users: int) -> list[np.ndarray[Any, Any]]:
    """Dense numbers of each experiment's users, ascending."""
    rng = np.random.default_rng(1)
    sizes = np.exp(rng.uniform(np.log(10_000), np.log(min(1_000_000, users)), experiments)).astype(int)
    return [np.sort(rng.choice(users, size, replace=False, shuffle=False)).astype(np.uint32) for size in sizes]


def one_pass(units: list[np.ndarray[Any, Any]], users: int) -> int:
    """The limit: pack, then read every bit once."""
    words = -(-users // 64)
    bits = np.zeros((len(units), words), dtype=np.uint64)
    for row, numbers in zip(bits, units, strict=True):
        flags = np.zeros(words * 64, dtype=np.bool_)
        flags[numbers] = True
        row[:] = np.packbits(flags, bitorder="little").view(np.uint64)
    return sum(int(np.bitwise_count(row).sum(dtype=np.int64)) for row in bits)


def self_join(units: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """DuckDB: memberships joined with themselves by user, counted by pair."""
    table = pa.table(
        {
            "e": np.repeat(np.arange(len(units), dtype=np.int32), [numbers.size for numbers in units]),
            "u": np.concatenate(units).astype(np.int32),
        }
    )
    connection = duckdb.connect(config={"threads": 1})
    connection.register("m", table)
    rows = connection.execute("SELECT a.e, b.e, count(*) FROM m a JOIN m b ON a.u = b.u AND a.e < b.e GROUP BY 1, 2").fetchnumpy()
    shared = np.zeros((len(units), len(units)), dtype=np.int64)
    names = list(rows)
    shared[rows[names[0]], rows[names[1]]] = rows[names[2]]
    return shared


def by_sets(units: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """A Python set an experiment, an intersection a pair."""
    groups = [set(numbers.tolist()) for numbers in units]
    shared = np.zeros((len(units), len(units)), dtype=np.int64)
    for i, j in itertools.combinations(range(len(units)), 2):
        shared[i, j] = len(groups[i] & groups[j])
    return shared


def by_roaring(units: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """pyroaring: a bitmap an experiment, the size of an intersection a pair."""
    bitmap = importlib.import_module("pyroaring").BitMap
    groups = [bitmap(numbers) for numbers in units]
    shared = np.zeros((len(units), len(units)), dtype=np.int64)
    for i, j in itertools.combinations(range(len(units)), 2):
        shared[i, j] = groups[i].intersection_cardinality(groups[j])
    return shared


def members_of(units: list[np.ndarray[Any, Any]]) -> list[Members]:
    """Two arms each and a base rate of 5 %."""
    rng = np.random.default_rng(2)
    found = []
    for place, numbers in enumerate(units):
        arm = rng.integers(0, 2, numbers.size).astype(np.uint8)
        sizes = tuple(np.bincount(arm, minlength=2).tolist())
        side = Side(key=f"e{place}", arms=("control", "treatment"), units=sizes, control="control")
        value = (rng.random(numbers.size) < 0.05).astype(np.int8)
        found.append(Members(side=side, unit=numbers, arm=arm, value=value, is_rate=True, metric="converted"))
    return found


def cpu(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


def can_import(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--users", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", action="store_true")
    parser.add_argument("--scan", action="store_true")
    given = parser.parse_args()
    units = draw(given.experiments, given.users)
    total = sum(numbers.size for numbers in units)
    pairs = given.experiments * (given.experiments - 1) // 2
    print(machine())
    print(f"{given.experiments} experiments, {given.users:,} users, {total:,} memberships, {pairs:,} pairs")
    cases: dict[str, Callable[[], Any]] = {"limit": lambda: one_pass(units, given.users)}
    if given.experiments <= 300:
        cases["bits and popcount"] = lambda: np.triu(shared_counts(units, universe=given.users), 1)
        cases["DuckDB self-join"] = lambda: self_join(units)
        if can_import("pyroaring"):
            cases["pyroaring"] = lambda: by_roaring(units)
        if given.sets:
            cases["Python sets"] = lambda: by_sets(units)
    best: dict[str, float] = {}
    answers: dict[str, Any] = {}
    for _ in range(given.rounds):
        for name, call in cases.items():
            if name == "Python sets" and name in best:
                continue
            seconds, answers[name] = cpu(call)
            best[name] = min(seconds, best.get(name, seconds))
    counted = [answer for name, answer in answers.items() if name != "limit"]
    for other in counted[1:]:
        np.testing.assert_array_equal(other, counted[0])
    for name, seconds in best.items():
        print(f"{name:20} {seconds:8.3f} s   {seconds / best['limit']:8.1f} x the limit")
    if given.scan:
        members = members_of(units)
        seconds, found = cpu(lambda: scan_members(members, method="exact"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"{'whole scan, exact':20} {seconds:8.1f} s   {found.rows_tested:,} rows tested, peak memory {peak:.2f} GiB in all")
        seconds, found = cpu(lambda: scan_members(members, method="sample"))
        print(f"{'whole scan, 1/32':20} {seconds:8.1f} s   {found.rows_tested:,} rows tested")


if __name__ == "__main__":
    main()
