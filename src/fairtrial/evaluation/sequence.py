"""Which always-valid sequence a spec reads, and what it is tuned for.

The mSPRT is tuned by the effect planned for. The other sequences are tuned by units, in total over
all arms: a share of the planned size, or a number. All of it is fixed before the data: planned shares, planned
baseline, the plan's alpha; a comparison of two arms has their part of the units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairtrial.errors import UsageError
from fairtrial.evaluation.control import AnyLook, Floats
from fairtrial.evaluation.exact_rates import ExactRates
from fairtrial.evaluation.scorecard import SequenceStatus
from fairtrial.evaluation.status import planned_units
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.stats.sequential.confidence_sequences import Mixture

DEFAULT_RATE = 0.05
"""Rate that an exact sequence is tuned for where the plan names no baseline. A wrong guess costs width, never the promise."""
WATCHING = frozenset({"always_valid", "hybrid"})
"""Methods whose plan chooses the sequence; others watch for harm by the mSPRT."""

Compared = Sequence[tuple[MetricSpec, str]]
"""Metric and treatment of each comparison of a batch, along its last axis."""


def any_look(spec: ExperimentSpec, compared: Compared, effects: Floats) -> AnyLook:
    """The sequence by which these comparisons hold at any look.

    Args:
        spec: The experiment.
        compared: Metric and treatment of each comparison.
        effects: The smallest effect that matters of each, in its unit; tunes the mSPRT.

    Raises:
        UsageError: The sequence is tuned for a share of the planned size, and the plan has none.
    """
    declared = spec.plan.always_valid
    if declared.sequence == "msprt" or spec.plan.method not in WATCHING:
        return AnyLook(effects=effects)
    units = tuned_units(spec) * np.array([_part(spec, treatment) for _, treatment in compared])
    if declared.sequence == "asymptotic":
        return AnyLook(effects=np.ones(effects.shape), tuned=Mixture(n_opt=units, alpha_opt=spec.plan.alpha))
    rates = np.array([_expected_rate(spec, metric) for metric, _ in compared])
    return ExactRates(
        effects=effects,
        share=np.array([_share(spec, treatment) for _, treatment in compared]),
        units=units,
        events=np.maximum(units * rates, 1.0),
        alpha_opt=spec.plan.alpha,
    )


def tuned_units(spec: ExperimentSpec) -> float:
    """Units in total at which the sequence of a plan is tightest.

    Raises:
        UsageError: It is a share of the planned size, and the plan has none.
    """
    wanted = spec.plan.always_valid.tuned_for
    if wanted is not None and wanted > 1.0:
        return wanted
    planned, _, why = planned_units(spec)
    if planned is None:
        raise UsageError(
            f"A sequence tuned for a share of the planned size must have one. {why}",
            hint="Set plan.always_valid.tuned_for to a number of units, or plan.sample_size, or baseline and mde.",
        )
    return sum(planned.values()) * (1.0 if wanted is None else wanted)


def sequence_status(spec: ExperimentSpec) -> SequenceStatus | None:
    """Which sequence a plan watches by, for who reads the result; None in plans that do not choose one.

    Raises:
        UsageError: As `tuned_units`.
    """
    if spec.plan.method not in WATCHING:
        return None
    name = spec.plan.always_valid.sequence
    return SequenceStatus(name=name, tuned_for=None if name == "msprt" else tuned_units(spec))


def _part(spec: ExperimentSpec, treatment: str) -> float:
    """Share of all units that a treatment and the control have together."""
    shares = spec.shares
    if shares is None:
        return 2.0 / len(spec.arms)
    return shares[spec.control] + shares[treatment] or 1.0


def _share(spec: ExperimentSpec, treatment: str) -> float:
    """Planned chance of a unit of the two arms to be of the treatment; NaN where one of them is closed."""
    shares = spec.shares or {}
    own, other = shares.get(spec.control, 0.0), shares.get(treatment, 0.0)
    return other / (own + other) if own > 0.0 and other > 0.0 else float("nan")


def _expected_rate(spec: ExperimentSpec, metric: MetricSpec) -> float:
    baseline = spec.plan.baseline
    known = metric.role == "primary" and baseline is not None and 0.0 < baseline < 1.0
    return baseline if known and baseline is not None else DEFAULT_RATE
