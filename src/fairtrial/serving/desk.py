"""The experiment's state, shared by all gateways and the service through one row of the database.

A change is made in one transaction that holds the row, with its alert and its entry in the audit log. A stop is in force
in a gateway before it is written anywhere; it is also noted in a file beside the log, so that not
even a database which is gone at that moment lets a restarted gateway forget it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError
from fairtrial.serving.log import file_stem
from fairtrial.serving.rollout import RolloutState, begin, stop, with_ranges
from fairtrial.spec.model_file import ModelExperiment
from fairtrial.storage import Database
from fairtrial.storage.deployments import add_deployment, change_state, find_deployment, get_deployment
from fairtrial.storage.outbox import add_alert, add_message
from fairtrial.storage.tables import Alert, AuditEntry, ModelDeployment

Step = Callable[[RolloutState], RolloutState]

log = logging.getLogger("fairtrial.gateway")


def register(session: Session, served: ModelExperiment, *, by: str, role: str, now: dt.datetime) -> ModelDeployment:
    """Begin an experiment at its first stage.

    Raises:
        ConflictError: There is one of that name.
    """
    state = with_ranges(begin(served.serving.rollout.steps, now=now, by=by), served.config)
    name = served.config.name
    row = add_deployment(session, name, spec=served.raw, spec_hash=served.spec_hash, state=state.as_json(), by=by, now=now)
    session.add(_audit(name, None, state, by=by, role=role, now=now))
    return row


def change_rollout(
    session: Session, served: ModelExperiment, step: Step, *, by: str, role: str, now: dt.datetime, targets: tuple[str, ...] = ()
) -> RolloutState:
    """Take one step from the state as it stands, and tell people of it.

    Args:
        session: A writing session.
        served: The experiment.
        step: From the state to the next; the same object for no change.
        by: Who.
        role: Their role.
        now: The moment.
        targets: Names of the alert targets.

    Returns:
        The state after it.

    Raises:
        UnknownNameError: There is none of that name.
        ConflictError: Somebody else changed it at this moment.
    """
    name = served.config.name
    row = get_deployment(session, name, lock=True)
    before = RolloutState.from_json(row.state_json)
    after = step(before)
    if after is before:
        return before
    after = with_ranges(after, served.config)
    if not change_state(session, name, revision=row.revision, state=after.as_json(), by=by, now=now):
        raise ConflictError(f"The state of {name!r} was changed by somebody else at this moment.", hint="Try again.")
    event = after.history[-1]
    grave = after.status == "stopped"
    message = f"Model experiment '{name}': {event.what} at stage {event.stage}, challengers get {event.share:.2%}: {event.reason}"
    key = f"model:{name}:{after.epoch}:{event.at}:{event.what}"
    alert = Alert(
        dedupe_key=key, experiment_id=None, severity="error" if grave else "info", message=message, detail_json={}, created_at=now
    )
    if add_alert(session, alert) and grave:
        for target in targets:
            add_message(session, dedupe_key=f"{key}:{target}", target=target, title=f"fairtrial: {name}", body=message, now=now)
    session.add(_audit(name, before, after, by=by, role=role, now=now))
    return after


class Desk:
    """Reads and changes the state of one experiment for a gateway.

    Args:
        database: The service's database.
        served: The experiment.
        folder: Of the prediction log, for the note of a stop.
        who: Name of this process in the history.
        targets: Names of the alert targets.
    """

    def __init__(self, database: Database, served: ModelExperiment, folder: Path, *, who: str, targets: tuple[str, ...] = ()) -> None:
        self._database, self._served, self._who, self._targets = database, served, who, targets
        self._note = folder / f"{file_stem(served.config.name)}.stopped.json"
        self._stages = served.serving.rollout.steps

    def enter(self, now: dt.datetime) -> RolloutState:
        """The state as it stands, begun when there is none; a stop that could not be written before is written now.

        Raises:
            ConflictError: The experiment runs with another spec.
            StorageError: The database failed.
        """
        name = self._served.config.name
        with self._database.writing() as session:
            row = find_deployment(session, name) or register(session, self._served, by=self._who, role="DEVELOPER", now=now)
            if row.spec_hash != self._served.spec_hash:
                raise ConflictError(
                    f"Model experiment {name!r} runs with another spec: a started experiment is not edited.",
                    hint="Give the changed experiment another name.",
                )
            state = RolloutState.from_json(row.state_json)
        noted = self._noted_stop()
        if noted is not None and noted[0] == state.epoch and state.status != "stopped":
            state = self.change(lambda old: stop(old, self._stages, noted[1], now=now, by=self._who), now=now)
        return state

    def read(self) -> RolloutState:
        """The state as it stands.

        Raises:
            StorageError: The database failed.
        """
        with self._database.reading() as session:
            return RolloutState.from_json(get_deployment(session, self._served.config.name).state_json)

    def change(self, step: Step, *, now: dt.datetime) -> RolloutState:
        """Take one step from the state as it stands; arguments, result and errors as `change_rollout`."""
        with self._database.writing() as session:
            return change_rollout(session, self._served, step, by=self._who, role="DEVELOPER", now=now, targets=self._targets)

    def note_stop(self, epoch: int, reason: str) -> None:
        """Write beside the log that challengers are stopped, before anything else is tried."""
        try:
            beside = self._note.with_suffix(".tmp")
            beside.write_text(json.dumps({"epoch": epoch, "reason": reason}), encoding="utf-8")
            beside.replace(self._note)
        except OSError:
            log.exception("the stop could not be noted in a file")

    def _noted_stop(self) -> tuple[int, str] | None:
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
            return int(noted["epoch"]), str(noted["reason"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:  # unreadable is no permission
            log.error("the note of a stop cannot be read: %s", error)  # noqa: TRY400 - foreseen
            return 1, "a note of a stop was found that cannot be read"


def _audit(name: str, before: RolloutState | None, after: RolloutState, *, by: str, role: str, now: dt.datetime) -> AuditEntry:
    def shown(state: RolloutState) -> dict[str, object]:
        return {"status": state.status, "stage": state.stage, "share": state.share, "epoch": state.epoch}

    return AuditEntry(
        at=now,
        actor=by,
        role=role,
        action=f"model.{after.history[-1].what}",
        object_type="model_experiment",
        object_id=name,
        before_json=None if before is None else shown(before),
        after_json={**shown(after), "reason": after.reason},
        request_id=None,
    )
