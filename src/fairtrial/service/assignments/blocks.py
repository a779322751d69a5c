"""Assign a list in stratified blocks: strata are attributes of profiles, and each list goes on where those before it ended (HO-42)."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from fairtrial.assignment import Routing, assign_in_blocks
from fairtrial.assignment.blocks import stratum_of
from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.results.segments import check_attributes
from fairtrial.spec.assignment import AssignmentSpec
from fairtrial.spec.combinations import STRATIFIABLE
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import chosen_test, covariates_of
from fairtrial.storage.assignments import Unit
from fairtrial.storage.strata import listed_units, stratum_sizes
from fairtrial.storage.tables import Experiment

MOST_UNITS = 2_000_000
"""Units of one list: all of them stand in order before the first is assigned."""

Given = tuple[str, str | None]
"""A profile, and the group drawn for it elsewhere, if any."""


def is_by_list(spec: ExperimentSpec) -> bool:
    """Whether an experiment's units are assigned by lists, so that a unit alone has no arm."""
    return spec.assignment is not None and spec.assignment.by_list


def check_blocks(spec: ExperimentSpec) -> None:
    """Refuse what the service cannot do for stratified blocks.

    Raises:
        UsageError: A stratum is no attribute of profiles, or a metric's test does not go with strata.
    """
    rules = spec.assignment
    if rules is None or not rules.by_list:
        return
    check_attributes(rules.strata, "stratum")
    if spec.shares is None:
        raise UsageError(f"Blocks hold the arms in fixed shares; the allocation of {spec.key!r} is {spec.allocation!r}.")
    if spec.plan.always_valid.sequence == "bernoulli":
        raise UsageError(
            "Blocks are compared within their strata, and the sequence bernoulli counts units as they are.", hint="Use asymptotic."
        )
    for metric in spec.metrics:
        if covariates_of(metric):
            raise UsageError(
                f"The service compares blocks within their strata, so metric {metric.key!r} takes no covariate as well.",
                hint="Leave the covariate out, or make classes of it and name them as a stratum.",
            )
        if chosen_test(metric) not in STRATIFIABLE:
            raise UsageError(
                f"The service compares blocks within their strata; metric {metric.key!r} has the test {chosen_test(metric)!r}.",
                hint="Leave the test out.",
            )


def in_blocks(session: Session, row: Experiment, spec: ExperimentSpec, routing: Routing, units: Iterable[Given]) -> list[Unit]:
    """The profiles of a list with their arms and strata; those that have a group already keep it.

    Args:
        session: A writing session.
        row: The experiment, locked.
        spec: Its spec.
        routing: What says who is left out.
        units: The list, with repeats; a group drawn elsewhere is taken as it is.

    Raises:
        ConflictError: There are more than two million units.
    """
    rules = spec.assignment or AssignmentSpec()
    listed: dict[str, str | None] = {}
    for unit, group in units:
        listed.setdefault(unit, group)
        if len(listed) > MOST_UNITS:
            raise ConflictError(
                f"A list for stratified blocks has at most {MOST_UNITS:,} profiles.", hint="Send it in parts; blocks go on."
            )
    found: list[Unit] = []
    fresh: list[str] = []
    strata: list[str] = []
    drawn = {unit: group for unit, group in listed.items() if group is not None}
    for unit, stored, values in listed_units(session, row.id, listed, rules.strata):
        outside = None if unit in drawn else routing.decide(unit).reason
        if stored is not None or outside is not None:
            found.append((unit, stored, None if stored is not None else outside, None))
        else:
            fresh.append(unit)
            strata.append(stratum_of(values))
    if fresh:
        made = assign_in_blocks(
            fresh,
            strata,
            spec.shares or {},
            hash_key=row.hash_key,
            salt=row.salt,
            given={unit: drawn[unit] for unit in fresh if unit in drawn},
            before=stratum_sizes(session, row.id),
            least=rules.minimum_stratum_size,
        )
        found += [(unit, arm, None, stratum) for unit, arm, stratum in zip(fresh, made.arms, made.strata, strict=True)]
    return found
