"""The service's counts as a reading, and the reading judged by the one `evaluate()`."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.evaluation import Look, Scorecard, evaluate
from fairtrial.evaluation.amendments import amended
from fairtrial.evaluation.earlier import earlier_look
from fairtrial.service.experiments.holdout import CONVERTED, VALUE, conversion_window_days
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.service.results.segments import count_segments, plain_stats
from fairtrial.service.results.strata import Strata, count_strata, with_strata
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import covariates_of
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats, Reading
from fairtrial.stats.result import Unavailable
from fairtrial.storage.covariates import COVARIATES, CovariateSums, sum_covariate
from fairtrial.storage.flags import list_versions
from fairtrial.storage.readings import ArmCounts, HoldoutCounts, Window, count_holdout
from fairtrial.storage.tables import Experiment, ExperimentLook

MOST_TOLD = 3
"""Amendments that a finding tells one by one, the latest; GET /experiments/{id}/versions has all."""

SOURCE = "storage"
"""What `data_source` says of numbers out of the service's own tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """An experiment with what its tables hold.

    Attributes:
        row: The experiment.
        spec: Its spec.
        window: When its outcomes count.
        counts: Units and outcomes by arm.
        covariates: By column that a metric is adjusted for, its mean and sums; None where no profile has a value.
        strata: The arms by stratum, where they were assigned within strata.
    """

    row: Experiment
    spec: ExperimentSpec
    window: Window
    counts: HoldoutCounts
    covariates: Mapping[str, tuple[float, Mapping[str, CovariateSums]] | None] = field(default_factory=dict[str, Any])
    strata: Strata | None = None

    @property
    def control(self) -> ArmCounts:
        """The control arm."""
        return self.counts.arms[self.spec.control]

    @property
    def treatment(self) -> ArmCounts:
        """The first treatment arm: the only one of a holdout."""
        return self.counts.arms[self.spec.treatments[0]]


def window_of(row: Experiment, *, until: dt.datetime | None = None) -> Window:
    """When an experiment's outcomes count."""
    return Window(
        experiment_id=row.id,
        start_at=row.start_at,
        end_at=row.end_at,
        window_days=conversion_window_days(row.channel, row.policy_json),
        until=until,
    )


def count(session: Session, row: Experiment, *, until: dt.datetime | None = None) -> Counted:
    """Count an experiment.

    Raises:
        UsageError: Its metrics are not those that the service's outcomes give.
    """
    spec = stored_spec(row)
    if {metric.key for metric in spec.metrics} - {CONVERTED, VALUE}:
        raise UsageError(
            f"The outcomes of experiment {row.key!r} give the metrics {CONVERTED!r} and {VALUE!r}, its spec has others.",
            hint="Analyse it from its own data: fairtrial analyze SPEC.",
        )
    arms = tuple(arm.key for arm in spec.arms)
    columns = {key: column for key in (CONVERTED, VALUE) if (column := _covariate(spec, key)) is not None}
    window = window_of(row, until=until)
    return Counted(
        row=row,
        spec=spec,
        window=window,
        counts=count_holdout(session, window, arms),
        covariates={column: sum_covariate(session, window, column) for column in sorted({*columns.values()})},
        strata=count_strata(session, window, arms) if spec.assignment is not None and spec.assignment.by_list else None,
    )


def _covariate(spec: ExperimentSpec, key: str) -> str | None:
    """The column of profiles that a metric is adjusted for.

    Raises:
        UsageError: It is adjusted for something else.
    """
    asked = [str(source) for metric in spec.metrics if metric.key == key for source in covariates_of(metric)]
    if not asked:
        return None
    if len(asked) > 1 or asked[0] not in COVARIATES:
        raise UsageError(
            f"The service adjusts metric {key!r} for one of {list(COVARIATES)}, got {asked}.",
            hint="Analyse it from its own data: fairtrial analyze SPEC.",
        )
    return asked[0]


def as_reading(counted: Counted) -> Reading:
    """The counts as arm statistics."""
    arms = {key: _arm_stats(counted, key, arm) for key, arm in counted.counts.arms.items()}
    notes: list[str] = []
    if counted.strata is not None:
        arms = with_strata(arms, counted.strata, (CONVERTED, VALUE))
        notes.append(_told(counted.strata, counted.spec))
    left = counted.counts.left_out
    totals = {key: [arm.n, arm.converters] for key, arm in counted.counts.arms.items()}
    backfilled = sum(arm.backfilled for arm in counted.counts.arms.values())
    if left.lazy_assigned:
        notes.append(f"{left.lazy_assigned} profiles were assigned by an exposure alone and are left out: one group only is ever exposed.")
    if backfilled:
        notes.append(f"{backfilled} assignments were recorded after the end; their outcomes count from the start of the experiment.")
    return Reading(
        arms=arms,
        intake=Intake(
            source=f"{SOURCE}:experiments/{counted.row.id}",
            engine=SOURCE,
            fingerprint=hashlib.sha256(json.dumps([counted.row.id, totals], sort_keys=True).encode()).hexdigest(),
            shape="logs",
            rows=sum(arm.n for arm in counted.counts.arms.values()),
            units=sum(arm.n for arm in counted.counts.arms.values()),
            unknown_unit_events=left.unassigned,
            early_events=left.before_start,
            late_events=left.after_window,
            notes=tuple(notes),
        ),
    )


def _told(strata: Strata, spec: ExperimentSpec) -> str:
    columns = "" if spec.assignment is None else f" of {', '.join(spec.assignment.strata)}"
    joined = f"; {strata.merged} thin ones were joined to others" if strata.merged else ""
    if len(strata.cells) < 2:
        return f"The arms have too few units in the strata{columns} to be compared within them{joined}."
    return f"The arms were compared within {len(strata.cells)} strata{columns}{joined}."


def _arm_stats(counted: Counted, key: str, arm: ArmCounts) -> ArmStats:
    plain = plain_stats(arm, (CONVERTED, VALUE))
    return ArmStats(n=plain.n, outcomes={metric: _adjusted(counted, key, metric, outcome) for metric, outcome in plain.outcomes.items()})


def _adjusted(counted: Counted, arm: str, metric: str, outcome: OutcomeStats | Unavailable) -> OutcomeStats | Unavailable:
    """An outcome with the covariate that its metric is adjusted for, if any."""
    column = _covariate(counted.spec, metric)
    if column is None or isinstance(outcome, Unavailable):
        return outcome
    found = counted.covariates[column]
    if found is None:
        return Unavailable(code="all_missing", reason=f"No assigned profile has a value of {column}, for which {metric} is adjusted.")
    about, sums = found[0], found[1][arm]
    return replace(outcome, moments=with_covariate(outcome.moments, metric, about, sums), missing_covariate=sums.missing)


def with_covariate(outcome: CoMoments, metric: str, about: float, sums: CovariateSums) -> CoMoments:
    """Moments of a metric and, as a second column, of a covariate.

    Args:
        outcome: Moments of the metric alone.
        metric: `converted` or `value`.
        about: Mean of the covariate over all arms.
        sums: Its sums in the arm.
    """
    n, mean = outcome.n, float(outcome.mean[0])
    products = (sums.of_converters if metric == CONVERTED else sums.with_value) - sums.total * mean
    spread = max(0.0, sums.squares - sums.total * sums.total / n)
    return CoMoments(
        n=n,
        mean=np.array([mean, about + sums.total / n]),
        cross=np.array([[float(outcome.cross[0, 0]), products], [products, spread]]),
    )


def judge(session: Session, counted: Counted, *, as_of: dt.datetime) -> Scorecard:
    """The scorecard of this moment, with the looks taken before it.

    Raises:
        NotEnoughDataError: No unit is assigned yet.
        DataError: A segment has too many values to be a category.
    """
    if not any(arm.n for arm in counted.counts.arms.values()):
        raise NotEnoughDataError(f"Experiment {counted.row.key!r} has no assigned profiles yet.", hint="POST /experiments/{id}/assign")
    scheduled = as_of if counted.spec.schedule is not None else None
    reading = replace(as_reading(counted), segments=count_segments(session, counted.spec, counted.window))
    card = evaluate(counted.spec, reading, past_looks(session, counted.row, before=as_of), as_of=scheduled)
    started = [version for version in reversed(list_versions(session, counted.row.id)) if version.frozen_at is not None]
    if len(started) < 2:
        return card
    told = [
        f"Version {one.version} of {one.created_at:%Y-%m-%d} by {one.created_by}: {one.reason or 'no reason given'}." for one in started[1:]
    ]
    return amended(card, counted.spec, ExperimentSpec.model_validate(started[0].spec_json), record=" ".join(told[-MOST_TOLD:]))


def past_looks(session: Session, row: Experiment, *, before: dt.datetime) -> Sequence[Look]:
    """Looks of the plan taken before this moment, oldest first."""
    rows = session.scalars(
        select(ExperimentLook)
        .where(ExperimentLook.experiment_id == row.id, ExperimentLook.version == row.version, ExperimentLook.as_of < before)
        .order_by(ExperimentLook.as_of)
    ).all()
    return [earlier_look(msgspec.json.encode(found.scorecard_json)).look for found in rows]
