"""What every scorecard says in the same way, whatever was read: its heading, its arms and its comparisons.

An experiment and a quasi-experiment reach their numbers on different roads; who
they are, which version judged them, and how one metric's result becomes a row
is written here once, so that the two cannot drift apart.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict

from fairtrial._version import __version__
from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.evidence import read_direction
from fairtrial.evaluation.scorecard import ArmSummary, Comparison
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.plan import PlanSpec
from fairtrial.stats.result import Estimate, Unavailable

SCHEMA_VERSION = 1
SEVERITIES = ("critical", "warning", "info")
"""Of findings, the worst first."""


class Heading(TypedDict):
    """The fields of a `Scorecard` that the spec and the moment of the reading decide alone."""

    schema_version: int
    experiment: str
    name: str
    kind: str
    hypothesis: str
    version: str
    spec_hash: str
    code_version: str
    as_of: str | None
    control: str
    primary: str


class Declared(TypedDict):
    """The fields of a `PlanStatus` that only repeat what the plan declares."""

    planned_mde: float | None
    mde_kind: Literal["relative", "absolute"]
    alpha: float
    power: float
    method: str
    alternative: str
    objective: str
    secondary_correction: str


def heading_of(spec: ExperimentSpec, as_of: dt.datetime | None) -> Heading:
    """Which experiment a scorecard speaks of, by which version of it and of the code.

    Args:
        spec: The experiment.
        as_of: Moment of the reading, aware; None where it does not matter.

    Returns:
        Fields to pass on to `Scorecard`; the moment in UTC with `Z`.
    """
    return Heading(
        schema_version=SCHEMA_VERSION,
        experiment=spec.key,
        name=spec.name,
        kind=spec.kind,
        hypothesis=spec.hypothesis,
        version=spec.version,
        spec_hash=spec.spec_hash,
        code_version=__version__,
        as_of=None if as_of is None else as_of.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
        control=spec.control,
        primary=spec.primary.key,
    )


def declared_of(plan: PlanSpec) -> Declared:
    """What a plan declares, as its status repeats it; a Bayesian plan has no p-values to correct."""
    return Declared(
        planned_mde=plan.mde,
        mde_kind=plan.mde_kind,
        alpha=plan.alpha,
        power=plan.power,
        method=plan.method,
        alternative=plan.alternative,
        objective=plan.objective,
        secondary_correction=plan.secondary_correction if plan.method != "bayesian" else "none",
    )


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings, the worst first; those of one severity stay in the order in which they were made."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def comparison_of(spec: ExperimentSpec, metric: MetricSpec, treatment: str, result: Estimate | Unavailable) -> Comparison:
    """One row of a scorecard: what a metric says of a treatment, or why it says nothing.

    Args:
        spec: The experiment, for its error rate.
        metric: The metric.
        treatment: Key of the treatment's arm.
        result: The estimate, or the reason that there is none.
    """
    estimate = result if isinstance(result, Estimate) else None
    return Comparison(
        metric=metric.key,
        kind=metric.kind,
        role=metric.role,
        direction=metric.direction,
        treatment=treatment,
        estimate=estimate,
        unavailable=result if isinstance(result, Unavailable) else None,
        reading=read_direction(metric, estimate, spec.plan.alpha),
    )


def arm_summaries(
    spec: ExperimentSpec, units: Mapping[str, int], *, shares: Mapping[str, float] | None = None, planned: Mapping[str, int] | None = None
) -> tuple[ArmSummary, ...]:
    """The arms with what came to each and what was planned.

    Args:
        spec: The experiment, for which arm is the control.
        units: Units by arm, in the order to show.
        shares: Planned share of every arm; None where no shares were planned.
        planned: Planned units of every arm; None where none were.
    """
    total = sum(units.values()) or 1  # without any unit every share is 0
    return tuple(
        ArmSummary(
            key=key,
            role="control" if key == spec.control else "treatment",
            n=n,
            planned_share=None if shares is None else shares[key],
            observed_share=n / total,
            planned_n=None if planned is None else planned[key],
        )
        for key, n in units.items()
    )
