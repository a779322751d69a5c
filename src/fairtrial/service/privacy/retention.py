"""How long rows are kept: a rule per table, applied by a job or on request.

Rows are deleted in small transactions of their own, so that a writer never waits for
long and what was deleted before a failure stays deleted.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.privacy.schemas import RetentionDone, RetentionList, RetentionOut, TableName
from fairtrial.storage import Database
from fairtrial.storage.privacy import AGEING, delete_older
from fairtrial.storage.retention import drop_rule, find_rule, list_rules, store_rule
from fairtrial.storage.tables import RetentionRule

AT_ONCE = 5_000

JOB = Actor(name="job:retention", role=Role.ADMIN)
"""Who the audit log says it was, when nobody asked."""


def listed(session: Session) -> RetentionList:
    """The rule of every table that may have one."""
    rules = {rule.table_name: rule for rule in list_rules(session)}
    return RetentionList(items=[_as_out(name, rules.get(name)) for name in AGEING])


def set_rule(session: Session, table: TableName, days: int, *, actor: Actor, now: dt.datetime) -> RetentionOut:
    """Keep the rows of a table for so many days; nothing is deleted yet."""
    old = find_rule(session, table)
    before = None if old is None else {"days": old.days}
    rule = store_rule(session, table, days=days, by=actor.name, now=now)
    record_change(session, actor=actor, now=now, action="retention.set", on=("table", table), before=before, after={"days": days})
    return _as_out(table, rule)


def remove_rule(session: Session, table: TableName, *, actor: Actor, now: dt.datetime) -> RetentionOut:
    """Keep the rows of a table for ever."""
    old = find_rule(session, table)
    if old is not None:
        record_change(session, actor=actor, now=now, action="retention.remove", on=("table", table), before={"days": old.days})
        drop_rule(session, old)
    return _as_out(table, None)


def apply_retention(database: Database, *, now: dt.datetime, actor: Actor = JOB) -> RetentionDone:
    """Delete what every rule says is too old.

    Args:
        database: The database; each step is a transaction of its own.
        now: The moment from which days are counted back.
        actor: Who asks.

    Raises:
        StorageError: The store failed; what was deleted before stays deleted.
    """
    with database.reading() as session:
        rules = [(rule.table_name, rule.days) for rule in list_rules(session) if rule.table_name in AGEING]
    deleted = {name: _delete(database, name, now - dt.timedelta(days=days)) for name, days in rules}
    if any(deleted.values()):
        with database.writing() as session:
            record_change(session, actor=actor, now=now, action="retention.apply", on=("table", "all"), after={"deleted": deleted})
    return RetentionDone(deleted=deleted, total=sum(deleted.values()))


def _delete(database: Database, name: str, before: dt.datetime) -> int:
    total = 0
    while True:
        with database.writing() as session:
            gone = delete_older(session, AGEING[name], before, limit=AT_ONCE)
        total += gone
        if gone < AT_ONCE:
            return total


def _as_out(name: str, rule: RetentionRule | None) -> RetentionOut:
    ageing = AGEING[name]
    return RetentionOut.model_validate(
        {
            "table": name,
            "days": None if rule is None else rule.days,
            "column": ageing.time,
            "spared": ageing.why,
            "updated_at": None if rule is None else rule.updated_at,
            "updated_by": None if rule is None else rule.updated_by,
        }
    )
