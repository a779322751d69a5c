"""Reading and writing the rules of retention."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.storage.tables import RetentionRule


def list_rules(session: Session) -> Sequence[RetentionRule]:
    """Every rule, by table."""
    return session.scalars(select(RetentionRule).order_by(RetentionRule.table_name)).all()


def find_rule(session: Session, table: str) -> RetentionRule | None:
    """The rule of a table."""
    return session.get(RetentionRule, table)


def store_rule(session: Session, table: str, *, days: int, by: str, now: dt.datetime) -> RetentionRule:
    """Make or change the rule of a table."""
    rule = find_rule(session, table)
    if rule is None:
        rule = RetentionRule(table_name=table, days=days, updated_at=now, updated_by=by)
        session.add(rule)
    else:
        rule.days, rule.updated_at, rule.updated_by = days, now, by
    session.flush()
    return rule


def drop_rule(session: Session, rule: RetentionRule) -> None:
    """Take a rule back."""
    session.delete(rule)
    session.flush()
