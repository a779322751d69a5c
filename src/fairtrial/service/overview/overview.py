"""What is running, what needs somebody, what was decided: read from the tables, nothing is computed."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairtrial.service.overview.schemas import DecidedOut, DecisionLog, Need, OverviewOut, StandingOut
from fairtrial.storage.deployments import list_deployments
from fairtrial.storage.tables import Experiment, ExperimentResult

OPEN = ("running", "stopped", "completed")
"""Statuses of experiments that somebody still has to care for."""

ORDER: Mapping[Need | None, int] = {"stop": 0, "decide": 1, "review": 2, None: 3}

FOR_STOP = {"ROLLBACK"}
FOR_REVIEW = {"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "NO_LAUNCH"}


def overview(session: Session, *, now: dt.datetime) -> OverviewOut:
    """Experiments that are open with their latest stored results, and how many there are of each status."""
    counted = session.execute(select(Experiment.status, func.count()).group_by(Experiment.status)).all()
    found = session.execute(
        select(Experiment, ExperimentResult)
        .outerjoin(ExperimentResult, ExperimentResult.experiment_id == Experiment.id)
        .where(Experiment.status.in_(OPEN))
        .order_by(Experiment.id.desc())
    ).all()
    rows = [standing(row, result, now=now) for row, result in found]
    return OverviewOut(
        as_of=now,
        by_status={str(status): int(n) for status, n in counted},
        experiments=sorted(rows, key=lambda one: ORDER[one.needs]),
        model_experiments=dict(Counter(row.status for row in list_deployments(session))),
    )


def standing(row: Experiment, result: ExperimentResult | None, *, now: dt.datetime) -> StandingOut:
    """An experiment with its latest stored results; those of an earlier version of it are not shown."""
    fields: dict[str, Any] = {}
    if result is not None and result.meta_json.get("version") == row.version:
        fields = result.meta_json.get("results") or {}
    plan = (row.guardrails_json or {}).get("power_plan")
    units = None if result is None or not fields else result.treatment_size + result.control_size
    check: Mapping[str, Any] = fields.get("srm") or {}
    srm: str | None = check.get("status")
    return StandingOut(
        id=row.id,
        key=row.key,
        name=row.name,
        kind=row.kind,
        channel=row.channel,
        status=row.status,  # pyright: ignore[reportArgumentType]
        started_at=row.started_at,
        end_at=row.end_at,
        days=None if row.started_at is None else ((row.ended_at or now) - row.started_at).days,
        units=units,
        planned=row.spec_json.get("plan", {}).get("sample_size") if plan is None else int(plan["total_sample_size"]),
        computed_at=None if result is None or not fields else result.computed_at,
        verdict=fields.get("verdict"),
        state=fields.get("verdict_state"),
        uplift_abs=fields.get("uplift_abs"),
        ci_low=fields.get("ci_low"),
        ci_high=fields.get("ci_high"),
        srm_status=srm,
        needs=_need(row.status, fields, srm),
    )


def _need(status: str, fields: Mapping[str, Any], srm: str | None) -> Need | None:
    if status != "running":
        return "decide"
    verdict = fields.get("verdict")
    if srm == "mismatch" or fields.get("verdict_state") == "invalid" or verdict in FOR_STOP:
        return "stop"
    return "review" if verdict in FOR_REVIEW else None


def decisions(session: Session, *, limit: int, skip: int) -> DecisionLog:
    """What was decided, newest first."""
    decided = select(Experiment).where(Experiment.decided_at.is_not(None))
    total = session.scalar(select(func.count()).select_from(decided.subquery())) or 0
    rows = session.scalars(decided.order_by(Experiment.decided_at.desc(), Experiment.id.desc()).limit(limit).offset(skip))
    return DecisionLog(items=[_decided(row) for row in rows], total=total)


def _decided(row: Experiment) -> DecidedOut:
    found = row.decision_json or {}
    return DecidedOut(
        id=row.id,
        key=row.key,
        name=row.name,
        kind=row.kind,
        decided_at=row.decided_at or row.updated_at,
        decision=str(found.get("decision", "")),
        note=str(found.get("note", "")),
        by=str(found.get("decided_by", found.get("by", ""))),
        verdict=found.get("verdict"),
    )
