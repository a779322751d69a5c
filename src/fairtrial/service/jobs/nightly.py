"""The nightly report: a look at every running experiment, and what is worth telling (HO-13..HO-17).

Looking every night is peeking, so a claim of significance needs an always-valid p, or
the plan's fixed test at its first complete read: the first at which the planned number
of profiles is there, or the final one. An experiment whose end and conversion window
have passed gets its final report and is completed. Each experiment has a transaction
of its own: when one fails, that becomes an alert and the others go on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from sqlalchemy.orm import Session

from fairtrial.errors import FairtrialError, UsageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.bodies import as_utc, iso
from fairtrial.service.experiments.holdout import CONVERTED, VALUE
from fairtrial.service.experiments.lifecycle import change_status, get_experiment
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.service.notifications.alerts import NOBODY, Audience, Notice, raise_alerts
from fairtrial.service.results.reading import window_of
from fairtrial.service.results.results import read_results, take_look
from fairtrial.storage.experiments import find_experiment, running_experiments, stored_result
from fairtrial.storage.outbox import has_alert
from fairtrial.storage.tables import Experiment, ExperimentResult

JOB = Actor(name="job:nightly-report", role=Role.DEVELOPER)
"""Who the audit log says it was, when nobody asked."""

FIXED = "fixed"
"""The method of plans that are read once."""

log = structlog.get_logger("fairtrial.jobs")

OpenSession = Callable[[], AbstractContextManager[Session]]
Guard = Callable[[Session], None]


class StopJobError(Exception):
    """The job must end here: the process stops, or another one has taken it over. Nobody's mistake."""


def always(session: Session) -> None:
    """A guard that lets everything pass."""
    del session


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How a report is made.

    Attributes:
        as_of: The moment it speaks of; nothing later is read.
        now: The moment it is made.
        open_session: Opens the transaction of one experiment.
        guard: Called at the start of each; raises `StopJobError` to end the report.
        audience: Who is told.
        actor: Who the audit log says it was.
        fewest: Profiles that each group needs before anything is tested.
    """

    as_of: dt.datetime
    now: dt.datetime
    open_session: OpenSession
    guard: Guard = always
    audience: Audience = NOBODY
    actor: Actor = JOB
    fewest: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    entry: dict[str, Any] | None = None
    skipped: dict[str, Any] | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(slots=True)
class _Report:
    experiments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    notices: list[Notice] = field(default_factory=list[Notice])
    skipped: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def add(self, done: _Done) -> None:
        self.experiments += [] if done.entry is None else [done.entry]
        self.skipped += [] if done.skipped is None else [done.skipped]
        self.notices += done.notices

    @property
    def completed(self) -> list[int]:
        return [entry["id"] for entry in self.experiments if entry["final"]]


def moment_of(as_of: dt.datetime | dt.date) -> dt.datetime:
    """A moment in UTC; a date is its midnight.

    Raises:
        UsageError: It lies outside the years 1900 to 2200.
    """
    whole = as_of if isinstance(as_of, dt.datetime) else dt.datetime.combine(as_of, dt.time(), dt.UTC)
    try:
        return as_utc(whole)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"as_of_date {error}.") from error


@contextmanager
def nested(session: Session) -> Generator[Session]:
    """A part of an open session that is undone alone when it fails."""
    with session.begin_nested():
        yield session


def make_report(how: Reporting) -> dict[str, Any]:
    """Report on every running experiment that is within its dates, and finally on those that are over.

    Returns:
        `as_of_date`, `experiments`, `alerts` (HO-16), and besides `skipped` with reasons and the ids `completed`.

    Raises:
        StorageError: The store failed for good.
        StopJobError: The guard said so; what was reported before is kept.
    """
    report = _Report()
    with how.open_session() as session:
        todo = [(row.id, row.name) for row in running_experiments(session)]
    for experiment, name in todo:
        try:
            with how.open_session() as session:
                how.guard(session)
                done = _one(session, experiment, how)
        except StopJobError:
            raise
        except Exception as error:  # noqa: BLE001 - one experiment's failure is an alert, the others go on
            done = _failed(experiment, name, error, how)
        report.add(done)
    with how.open_session() as session:
        how.guard(session)
        did = {"experiments": len(report.experiments), "alerts": len(report.notices), "completed": report.completed}
        record_change(session, actor=how.actor, now=how.now, action="report.nightly", on=("report", iso(how.as_of)), after=did)
    return {
        "as_of_date": iso(how.as_of),
        "experiments": report.experiments,
        "alerts": [notice.as_fields() for notice in report.notices],
        "skipped": report.skipped,
        "completed": report.completed,
    }


def _one(session: Session, experiment: int, how: Reporting) -> _Done:
    row = find_experiment(session, experiment, for_update=True)
    if row is None or row.status != "running":
        return _Done()
    phase, why = phase_of(row, how.as_of)
    if phase == "not_now":
        return _Done(skipped={"id": row.id, "name": row.name, "reason": why})
    if phase == "final":
        change_status(session, str(row.id), "completed", actor=how.actor, now=how.now)
    stored = stored_result(session, row.id)
    if stored is not None and stored.computed_at > how.as_of:  # later looks are there already: nothing is taken back
        results = read_results(session, str(row.id), now=how.as_of, fewest=how.fewest, until=how.as_of)
    else:
        results = take_look(session, row, now=how.as_of, fewest=how.fewest, until=how.as_of)
    fixed = _read_once(row, stored_result(session, row.id), results, how.as_of, final=phase == "final")
    notices = notices_of(session, row, results, fixed=fixed)
    raise_alerts(session, notices, how.audience, now=how.now)
    session.flush()
    entry = {"id": row.id, "name": row.name, "channel": row.channel, "status": row.status, "results": results, "final": phase == "final"}
    return _Done(entry=entry, notices=tuple(notices))


def phase_of(row: Experiment, as_of: dt.datetime) -> tuple[Literal["within", "final", "not_now"], str]:
    """Whether an experiment is reported on at a moment, for the last time or not at all, and why not.

    Args:
        row: A running experiment.
        as_of: The moment.
    """
    if {metric.key for metric in stored_spec(row).metrics} - {CONVERTED, VALUE}:
        return "not_now", "its metrics are not outcomes of the service: fairtrial analyze SPEC"
    start = row.start_at or row.started_at
    if start is not None and as_of < start:
        return "not_now", f"it starts at {iso(start)}"
    if row.end_at is None or as_of <= row.end_at:
        return "within", ""
    last = window_of(row).last_at
    if as_of <= last:
        return "not_now", f"it has ended and waits for conversions until {iso(last)}"
    return "final", ""


def _read_once(row: Experiment, stored: ExperimentResult | None, results: dict[str, Any], as_of: dt.datetime, *, final: bool) -> bool:
    """Whether this is the one read on which the fixed test of the plan rests; the first complete one is written down."""
    if stored is None or results["insufficient_data"] or stored_spec(row).plan.method != FIXED:
        return False
    before = stored.first_complete_json
    if before is not None and before["version"] == row.version:
        return before["as_of"] == iso(as_of)
    if not (final or results["plan"]["complete"]) or stored.computed_at > as_of:
        return False
    numbers = {"p_value": results["p_value"], "uplift_abs": results["uplift_abs"], "final": final}
    stored.first_complete_json = {"version": row.version, "as_of": iso(as_of), **numbers}
    return True


def notices_of(session: Session, row: Experiment, results: dict[str, Any], *, fixed: bool) -> list[Notice]:
    """What is worth telling of an experiment's results (HO-17, II.b).

    Args:
        session: An open session.
        row: The experiment.
        results: The flat results of HO-09.
        fixed: Whether this is the read on which the plan's fixed test rests.
    """
    found: list[Notice] = []
    key = f"{row.id}:v{row.version}"
    named = f"Experiment '{row.name}'"
    srm: dict[str, Any] = results["srm"] or {}
    mismatch = srm.get("status") == "mismatch"
    if mismatch:
        text = f"{named} failed: sample ratio mismatch (p={shown_p(srm['p_value'])})"
        found.append(Notice(experiment_id=row.id, severity="error", message=text, dedupe_key=f"srm:{key}"))
    if results["insufficient_data"] or results["uplift_abs"] is None:
        text = f"{named} has insufficient data for uplift estimation"
        found.append(Notice(experiment_id=row.id, severity="info", message=text, dedupe_key=f"insufficient:{key}"))
    elif not mismatch and results["causal"]:
        found += _significant(session, row, results, key, fixed=fixed)
    return found


def _significant(session: Session, row: Experiment, results: dict[str, Any], key: str, *, fixed: bool) -> list[Notice]:
    effect, alpha = results["uplift_abs"], results["alpha"]
    p, kind = results["always_valid_p"], "always_valid"
    if p is None or not p < alpha:
        p, kind = (results["p_value"], "fixed") if fixed and results["significant"] else (None, None)
    if p is None or kind is None or effect == 0.0:
        return []
    sign, other = ("positive", "negative") if effect > 0 else ("negative", "positive")
    # The running p says that there is an effect, found at some look; when it was found on the other side, this sign is not proven.
    if kind == "always_valid" and has_alert(session, f"uplift:{key}:{other}"):
        return []
    return [
        Notice(
            experiment_id=row.id,
            severity="success" if effect > 0 else "warning",
            message=f"Experiment '{row.name}' shows significant {sign} uplift (p={shown_p(p)})",
            dedupe_key=f"uplift:{key}:{sign}",
            p_value=p,
            p_kind="always_valid" if kind == "always_valid" else "fixed",
        )
    ]


def shown_p(p: float | None) -> str:
    """A p-value in a sentence: four decimals, or a power of ten where those would all be 0."""
    if p is None:
        return "not computed"
    return f"{p:.4f}" if p >= 0.0001 or p == 0.0 else f"{p:.1e}"


def _failed(experiment: int, name: str, error: Exception, how: Reporting) -> _Done:
    if isinstance(error, FairtrialError):
        reason = error.message.rstrip(".")
        log.error("experiment not reported", experiment_id=experiment, detail=error.message)
    else:
        reason = f"internal error ({type(error).__name__})"
        log.error("experiment not reported", experiment_id=experiment, exc_info=error)
    key = f"failed:{experiment}:{iso(how.as_of)}"
    notice = Notice(experiment_id=experiment, severity="error", message=f"Experiment '{name}' failed: {reason}", dedupe_key=key)
    with how.open_session() as session:
        how.guard(session)
        row = get_experiment(session, str(experiment))
        raise_alerts(session, [notice], how.audience, now=how.now)
    entry = {"id": experiment, "name": name, "channel": row.channel, "status": row.status, "results": None, "final": False}
    return _Done(entry=entry, notices=(notice,))
