"""Drawn specs and arm statistics, and the same statistics as a reading and as replicates."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fairtrial.metrics import build_metrics
from fairtrial.simulation.replicates import Replicates, layout_of
from fairtrial.spec.loader import parse_spec
from fairtrial.spec.plan import PLANNED_LOOKS
from fairtrial.stats.batch import BatchMoments, expand
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats, Reading

RUNS = 6
GIVING_UP = (
    {"futility": "beta_spending"},
    {"looks": 3, "futility": "beta_spending", "futility_spending": "hwang-shih-decani", "futility_shape": -2.0},
    {"looks": 4, "futility": "beta_spending", "futility_spending": "lan-demets-pocock", "binding": True},
)
KINDS = ("proportion", "mean", "count", "ratio", "mean_cuped", "proportion_cuped")


@st.composite
def specs(draw, methods=("fixed",), sequences=("msprt",)):
    treatments = draw(st.integers(1, 3))
    method = draw(st.sampled_from(methods))
    sequence = draw(st.sampled_from(sequences)) if method in {"always_valid", "hybrid"} else "msprt"
    plan = {
        "method": method,
        "alpha": draw(st.sampled_from([0.05, 0.1, 0.2])),
        "power": 0.8,
        "sample_size": draw(st.sampled_from([100, 3000, 40000])),
        "alternative": draw(st.sampled_from(["two-sided", "one-sided"])),
        "correction": draw(st.sampled_from(["holm", "none", "bonferroni", "benjamini-hochberg", "hochberg"])),
        "sequential": draw(st.sampled_from([{}, {"looks": 3, "spending": "lan-demets-pocock"}, {"futility": "none"}, *GIVING_UP])),
        "lift_method": draw(st.sampled_from(["auto", "delta", "log", "fieller"])),
        "ci_method": draw(st.sampled_from(["score", "wald", "newcombe"])),
    }
    if plan["correction"] in {"holm", "bonferroni", "hochberg"}:
        plan["gatekeeping"] = draw(st.sampled_from(["none", "none", "serial", "parallel"]))
    elif method == "fixed" and plan["correction"] == "benjamini-hochberg":
        plan["correction"] = "dunnett"
    plan |= draw(st.sampled_from([{}, {"mde": 0.1}, {"mde": 0.02, "mde_kind": "absolute"}, {"mde": 0.1, "baseline": 0.05}]))
    plan |= draw(st.sampled_from([{}, {"practical_threshold": 0.05}, {"practical_threshold": 0.01, "strong_threshold": 0.05}]))
    plan |= draw(st.sampled_from([{}, {"practical_threshold_absolute": 0.01}]))
    if method not in PLANNED_LOOKS:
        plan["sequential"] = {}
    if plan["sequential"].get("binding"):
        treatments, plan["alternative"] = 1, "one-sided"
    if sequence != "msprt":
        plan["always_valid"] = {"sequence": sequence} | draw(st.sampled_from([{}, {"tuned_for": 0.3}, {"tuned_for": 5000}]))
    kinds = ("proportion",) if sequence == "bernoulli" else KINDS
    kind = draw(st.sampled_from(kinds))
    primary = metric("main", kind) | {"role": "primary", "direction": draw(st.sampled_from(["increase", "decrease"]))}
    if draw(st.integers(0, 4)) == 0 and not (sequence == "bernoulli" and method == "always_valid"):
        plan["objective"] = "non_inferiority"
        primary["margin"] = draw(st.sampled_from([0.005, 0.02]))
    metrics = [primary]
    for i in range(draw(st.integers(0, 2))):
        guard = metric(f"guard{i}", draw(st.sampled_from(kinds))) | {
            "role": "guardrail",
            "direction": draw(st.sampled_from(["increase", "decrease"])),
        }
        guard |= draw(
            st.sampled_from(
                [{}, {"margin": 0.02}, {"margin": 0.05, "margin_kind": "relative"}, {"max_value": 0.06}, {"max_value": 0.05, "margin": 0.1}]
            )
        )
        metrics.append(guard)
    if draw(st.booleans()):
        metrics += [metric("extra", draw(st.sampled_from(kinds))), metric("extra2", draw(st.sampled_from(kinds)))]
    return parse_spec(
        {
            "key": "drawn",
            "status": draw(st.sampled_from([None, "running", "completed"])),
            "arms": ["control", *(f"t{i}" for i in range(treatments))],
            "metrics": metrics,
            "plan": plan,
        }
    )


def metric(key, kind):
    plain = {"key": key, "kind": kind.removesuffix("_cuped")}
    if plain["kind"] == "ratio":
        plain |= {"numerator": f"{key}_up", "denominator": f"{key}_down"}
    return plain | ({"covariate": f"{key}_before"} if kind.endswith("_cuped") else {})


@st.composite
def statistics(draw, spec):
    """Co-moments by metric, run and arm: sizes from a handful to a crowd, effects from none to large."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([6, 60, 300, 5000, 100_000]))
    if spec.plan.method in PLANNED_LOOKS:
        size = int(spec.plan.sample_size / len(spec.arms) * draw(st.sampled_from([0.2, 0.5, 0.8, 1.0, 1.5])))
    lopsided = draw(st.sampled_from([1.0, 1.0, 0.9]))
    units = [max(int(size * (lopsided if i else 1.0)), 1) for i in range(len(spec.arms))]
    strength = draw(st.sampled_from([0.0, 1.0, 3.0, 8.0]))
    value = draw(st.sampled_from([0.05, 0.05, 0.4, -0.3, 0.0005]))
    moments = {}
    for built in build_metrics(spec):
        k = sum(layout_of(built))
        moments[built.spec.key] = [
            [_arm(rng, built, n, k, value, strength * bool(arm)) for arm, n in enumerate(units)] for _ in range(RUNS)
        ]
    return units, moments


def _arm(rng, built, n, k, value, strength):
    spread = 0.2
    shift = strength * rng.normal() * spread * np.sqrt(2.0 / n)
    if built.spec.kind == "proportion" and k == 1:
        return CoMoments.of(Moments.from_successes(int(rng.binomial(n, min(max(abs(value) + shift, 0.0), 1.0))), n))
    root = np.tril(rng.normal(size=(k, k))) * 0.3 + np.eye(k)
    center = np.full(k, 1.0)
    center[0] = value + shift
    mean = center + spread * (root @ rng.normal(size=k)) / np.sqrt(n)
    draws = rng.normal(size=(k, k + 3))
    cross = spread**2 * (root @ draws @ draws.T @ root.T) / (k + 3) * (n - 1)
    return CoMoments(n=n, mean=mean, cross=(cross + cross.T) / 2)


def as_reading(spec, units, moments, run):
    keys = [spec.control, *spec.treatments]
    arms = {
        key: ArmStats(n=units[arm], outcomes={m: OutcomeStats(moments=stats[run][arm]) for m, stats in moments.items()})
        for arm, key in enumerate(keys)
    }
    total = sum(units)
    return Reading(arms=arms, intake=Intake(source="memory", engine="memory", fingerprint="0" * 64, shape="units", rows=total, units=total))


def as_replicates(spec, units, moments):
    batches = {}
    for built in build_metrics(spec):
        stats = moments[built.spec.key]
        flat = expand([arm for run in stats for arm in run], layout_of(built))
        shape = (len(stats), len(units))
        batches[built.spec.key] = BatchMoments(
            n=flat.n.reshape(shape), mean=flat.mean.reshape(*shape, 4), cross=flat.cross.reshape(*shape, 4, 4), present=flat.present
        )
    return Replicates(units=np.tile(np.array(units, dtype=float), (len(next(iter(moments.values()))), 1)), moments=batches)
