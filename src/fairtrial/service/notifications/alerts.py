"""Alerts: raised once, kept, and put into the outbox for every target in the same transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from fairtrial.service.bodies import iso
from fairtrial.storage.outbox import add_alert, add_message, alerts_between
from fairtrial.storage.tables import Alert

Severity = Literal["info", "success", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "success", "info")
"""The gravest first."""

SENT_AT_ONCE = {"error", "warning", "success"}
"""What `info` says waits for the daily digest."""

WORTH_SENDING_HOURS = 48
"""How old an alert may be that a target which came later still gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something worth telling.

    Attributes:
        experiment_id: Of which experiment; None for the service itself.
        severity: How grave.
        message: In a sentence.
        dedupe_key: It is told once for each key.
        p_value: What a claim of significance rests on.
        p_kind: `always_valid`, or `fixed`: the plan's own test at its first complete read.
    """

    experiment_id: int | None
    severity: Severity
    message: str
    dedupe_key: str
    p_value: float | None = None
    p_kind: Literal["always_valid", "fixed"] | None = None

    def as_fields(self) -> dict[str, Any]:
        """The documented fields (HO-16)."""
        return {
            "experiment_id": self.experiment_id,
            "message": self.message,
            "severity": self.severity,
            "p_value": self.p_value,
            "p_kind": self.p_kind,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is told, and where links lead.

    Attributes:
        targets: Names of the targets in the settings.
        base_url: Address of the service for people; empty for no links.
    """

    targets: tuple[str, ...] = ()
    base_url: str = ""


NOBODY = Audience()


def raise_alerts(session: Session, notices: Iterable[Notice], audience: Audience, *, now: dt.datetime) -> int:
    """Keep what is new of these, and put it into the outbox.

    Args:
        session: The writing session in which it was found out: both are kept or neither.
        notices: What was found.
        audience: Who is told.
        now: The moment.

    Returns:
        How many are new.
    """
    new = 0
    for notice in notices:
        alert = Alert(
            dedupe_key=notice.dedupe_key,
            experiment_id=notice.experiment_id,
            severity=notice.severity,
            message=notice.message,
            detail_json={"p_value": notice.p_value, "p_kind": notice.p_kind},
            created_at=now,
        )
        if add_alert(session, alert):
            new += 1
            send_alerts(session, [alert], audience, now=now)
    return new


def send_alerts(session: Session, alerts: Iterable[Alert], audience: Audience, *, now: dt.datetime) -> int:
    """Put alerts into the outbox for every target that has not got them yet.

    Returns:
        Messages that are new.
    """
    new = 0
    for alert in alerts:
        if alert.severity not in SENT_AT_ONCE:
            continue
        for target in audience.targets:
            key = f"alert:{target}:{alert.dedupe_key}"
            title = f"fairtrial: {alert.severity}"
            new += add_message(session, dedupe_key=key, target=target, title=title, body=_body(alert, audience.base_url), now=now)
    return new


def send_missing(session: Session, audience: Audience, severities: Sequence[str], *, now: dt.datetime) -> int:
    """Put the alerts of the last days into the outbox for targets that have not got them, such as one that is new.

    Returns:
        Messages that are new.
    """
    since = now - dt.timedelta(hours=WORTH_SENDING_HOURS)
    found = alerts_between(session, since, now + dt.timedelta(seconds=1))
    return send_alerts(session, [alert for alert in found if alert.severity in severities], audience, now=now)


def send_digest(session: Session, audience: Audience, *, due: dt.datetime, now: dt.datetime) -> dict[str, Any]:
    """One message a target with the alerts of the day before `due`, the gravest first; it also says that there were none.

    Returns:
        How many alerts it names, and how many messages are new.
    """
    since = due - dt.timedelta(days=1)
    alerts = alerts_between(session, since, due)
    lines = [f"From {iso(since)} to {iso(due)}."]
    for severity in SEVERITIES:
        mine = [alert for alert in alerts if alert.severity == severity]
        if mine:
            lines += ["", f"{severity.upper()} ({len(mine)})", *(f"- {_body(alert, audience.base_url)}" for alert in mine)]
    if not alerts:
        lines += ["", "No alerts."]
    title = f"fairtrial: daily digest {due:%Y-%m-%d}"
    body = "\n".join(lines)
    sent = sum(
        add_message(session, dedupe_key=f"digest:{target}:{iso(due)}", target=target, title=title, body=body, now=now)
        for target in audience.targets
    )
    return {"alerts": len(alerts), "messages": sent}


def _body(alert: Alert, base_url: str) -> str:
    if not base_url or alert.experiment_id is None:
        return alert.message
    return f"{alert.message}\n{base_url}/api/v1/experiments/{alert.experiment_id}/results"
