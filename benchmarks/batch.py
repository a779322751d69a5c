"""Tests from ready moments: microseconds a metric, from arm statistics to estimates with corrected intervals.

python benchmarks/batch.py
"""

from __future__ import annotations

import time

import numpy as np

from fairtrial.evaluation.compare import compare
from fairtrial.metrics import build_metrics
from fairtrial.spec import parse_spec
from fairtrial.stats.batch import expand
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.lift import lift_interval
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.reading import ArmStats, OutcomeStats
from harness import machine


def best(work, repeats=20):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main(metrics: int = 200) -> None:
    rng = np.random.default_rng(1)
    moments = [[CoMoments.from_values(rng.normal(size=(50, 2))) for _ in range(metrics)] for _ in range(2)]

    def cuped() -> None:
        contrast = linear_contrast(expand(moments[0], "mean_cuped"), expand(moments[1], "mean_cuped"))
        contrast.p_value()
        contrast.interval(alpha=np.full(metrics, 0.05))
        lift_interval(contrast, alpha=0.05, method="delta")

    counts = rng.integers(400, 600, size=(2, metrics)).astype(float)

    def proportions() -> None:
        n = np.full(metrics, 10_000.0)
        contrast = ProportionContrast(successes_control=counts[0], n_control=n, successes_treatment=counts[1], n_treatment=n)
        contrast.p_value()
        contrast.interval(alpha=np.full(metrics, 0.05))

    listed = [
        {"key": f"m{i}", "kind": "mean" if i % 2 else "proportion", "role": "primary" if i == 0 else "secondary"} for i in range(metrics)
    ]
    spec = parse_spec({"key": "bench", "arms": ["control", "treatment"], "metrics": listed, "plan": {"sample_size": 1000}})
    built = build_metrics(spec)
    arms = {}
    for arm in ("control", "treatment"):
        outcomes = {
            f"m{i}": OutcomeStats(
                moments=CoMoments.of(
                    Moments.from_values(rng.normal(size=50)) if i % 2 else Moments.from_successes(int(rng.integers(400, 600)), 10_000)
                )
            )
            for i in range(metrics)
        }
        arms[arm] = ArmStats(n=10_000, outcomes=outcomes)

    print(f"Machine: {machine()}.\nCommand: python benchmarks/batch.py.\n")
    print("| from ready moments, 200 metrics | us a metric |\n| --- | ---: |")
    for name, work in (
        ("CUPED Welch: p, interval, lift interval", cuped),
        ("proportions: pooled z, score interval", proportions),
        ("compare(): 100 means and 100 proportions to Estimates, BH-corrected", lambda: compare(spec, built, arms)),
    ):
        print(f"| {name} | {1e6 * best(work) / metrics:.1f} |")


if __name__ == "__main__":
    main()
