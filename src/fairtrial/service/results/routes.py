"""Routes of results: parse, one call, return."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from fairtrial.reports import render_html, render_pdf
from fairtrial.service.dependencies import AsAnalyst, AsDeveloper, AsViewer, DbRead, DbWrite, Now
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.results.balance import read_balance
from fairtrial.service.results.meta_analysis import pool_experiments
from fairtrial.service.results.meta_schemas import MetaOut, MetaRequest
from fairtrial.service.results.results import decide, export_csv, read_results, read_scorecard, take_look
from fairtrial.service.results.schemas import (
    BalanceOut,
    DecisionIn,
    DecisionOut,
    PeriodOut,
    ResultsOut,
    TimeSeriesOut,
    TrajectoryOut,
    TrajectoryPoint,
)
from fairtrial.service.results.time_series import Freq, read_time_series, read_trajectory
from fairtrial.storage.experiments import list_experiments

PDF_RESPONSE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}}
router = APIRouter(prefix="/experiments", tags=["results"])
CSV_RESPONSE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get("/export.csv", response_class=Response, responses=CSV_RESPONSE)
def export_experiments(db: DbRead, actor: AsViewer, now: Now, limit: Annotated[int, Query(ge=1, le=1000)] = 1000) -> Response:
    """All experiments with their results as CSV, newest first (HO-40)."""
    del actor
    rows, _ = list_experiments(db, limit=limit)
    return Response(export_csv(db, [row for row in rows if row.kind == "holdout"], now=now), media_type="text/csv; charset=utf-8")


@router.post("/meta-analysis", response_model=MetaOut)
def pool(db: DbRead, actor: AsAnalyst, now: Now, body: MetaRequest) -> MetaOut:
    """Pool the effects of several experiments: fixed and random effects, heterogeneity, prediction interval (HO-42)."""
    del actor
    return MetaOut.model_validate(pool_experiments(db, body, now=now))


@router.get("/{experiment}/export.csv", response_class=Response, responses=CSV_RESPONSE)
def export_experiment(db: DbRead, actor: AsViewer, now: Now, experiment: str) -> Response:
    """One experiment with its results as CSV, 23 columns (HO-40)."""
    del actor
    return Response(export_csv(db, [get_experiment(db, experiment)], now=now), media_type="text/csv; charset=utf-8")


@router.get("/{experiment}/results", response_model=ResultsOut)
def results(db: DbRead, actor: AsViewer, now: Now, experiment: str) -> ResultsOut:
    """The results of this moment (HO-09)."""
    del actor
    return ResultsOut.model_validate(read_results(db, experiment, now=now))


@router.post("/{experiment}/looks", response_model=ResultsOut, status_code=201)
def look(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str) -> ResultsOut:
    """Take a look: the results of this moment, kept as a look of the plan. The nightly report does this by itself."""
    del actor
    return ResultsOut.model_validate(take_look(db, get_experiment(db, experiment, for_update=True), now=now))


@router.get("/{experiment}/scorecard", response_class=Response, responses={200: {"content": {"application/json": {"schema": {}}}}})
def scorecard(db: DbRead, actor: AsViewer, now: Now, experiment: str) -> Response:
    """The whole scorecard: the object that the library, the command line and the reports show."""
    del actor
    return Response(read_scorecard(db, experiment, now=now).to_json(), media_type="application/json")


@router.get(
    "/{experiment}/report.html", response_class=Response, responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
)
def report_page(db: DbRead, actor: AsViewer, now: Now, experiment: str) -> Response:
    """The report of this moment as one HTML page that asks for nothing else."""
    del actor
    return Response(render_html(read_scorecard(db, experiment, now=now)), media_type="text/html; charset=utf-8")


@router.get("/{experiment}/report.pdf", response_class=Response, responses=PDF_RESPONSE)
def report_on_paper(db: DbRead, actor: AsViewer, now: Now, experiment: str) -> Response:
    """The same report as a PDF file (HO-42); needs the extra `reports` where the service runs."""
    del actor
    return Response(render_pdf(read_scorecard(db, experiment, now=now)), media_type="application/pdf")


@router.get("/{experiment}/time-series", response_model=TimeSeriesOut)
def time_series(db: DbRead, actor: AsViewer, experiment: str, freq: Freq = "D") -> TimeSeriesOut:
    """Cumulative counts, rates and uplift, one row a day (`D`) or week from Monday (`W`) (HO-10)."""
    del actor
    return TimeSeriesOut(data=[PeriodOut.model_validate(row) for row in read_time_series(db, experiment, freq)])


@router.get("/{experiment}/trajectory", response_model=TrajectoryOut)
def trajectory(db: DbRead, actor: AsViewer, experiment: str, freq: Freq = "D") -> TrajectoryOut:
    """The cumulative uplift by day or week, with intervals that hold at all of them at once (G-13)."""
    del actor
    return TrajectoryOut(data=[TrajectoryPoint.model_validate(row) for row in read_trajectory(db, experiment, freq)])


@router.get("/{experiment}/balance", response_model=BalanceOut)
def balance(db: DbRead, actor: AsViewer, experiment: str) -> BalanceOut:
    """Were the groups alike before: standardised mean differences (HO-43)."""
    del actor
    return BalanceOut.model_validate(read_balance(db, experiment))


@router.post("/{experiment}/decision", response_model=DecisionOut)
def record_decision(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, body: DecisionIn) -> DecisionOut:
    """Write down what was decided and close the experiment."""
    row = decide(db, experiment, decision=body.decision, note=body.note, actor=actor, now=now)
    return DecisionOut.model_validate({"id": row.id, "status": row.status, "decision": row.decision_json})
