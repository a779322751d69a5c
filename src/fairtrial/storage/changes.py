"""Who must know when experiments change: a counter for other processes, a call for this one.

What answers from memory (the flags) holds a copy of a few tables. Every session that
changes one of them raises a counter in its own transaction, as its last statement, so
that the counter is locked for a moment only and a reader that sees its new value sees
the change too. Nobody has to think of it: the session's own events do it, for rows
and for statements alike. Once it is committed, whoever watches this engine is called.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event, text
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from fairtrial.storage.tables import ApiKey, Experiment, ForcedVariant

FLAGS = "flags"
"""Name of the counter."""

WATCHED = (Experiment, ForcedVariant, ApiKey)
"""Tables whose changes count."""

RAISE = text(
    "INSERT INTO change_counters (name, value) VALUES (:name, 1) ON CONFLICT (name) DO UPDATE SET value = change_counters.value + 1"
)
READ = text("SELECT value FROM change_counters WHERE name = :name")

_CHANGED, _ANNOUNCE = "fairtrial_changed", "fairtrial_announce"
_watchers: WeakKeyDictionary[Engine, list[Callable[[], None]]] = WeakKeyDictionary()


def changes(session: Session) -> int:
    """How many changes there have been."""
    return session.scalar(READ, {"name": FLAGS}) or 0


def watch(engine: Engine, called: Callable[[], None]) -> Callable[[], None]:
    """Call `called` after each change that this process commits, in the thread that commits.

    Args:
        engine: The engine of the database.
        called: What to call; it must not raise.

    Returns:
        Ends the watch.
    """
    _watchers.setdefault(engine, []).append(called)

    def end() -> None:
        _watchers[engine].remove(called)

    return end


@event.listens_for(Session, "before_flush")
def _rows(session: Session, context: object, instances: object) -> None:
    del context, instances
    if any(isinstance(row, WATCHED) for row in itertools.chain(session.new, session.dirty, session.deleted)):
        session.info[_CHANGED] = True


@event.listens_for(Session, "do_orm_execute")
def _statements(state: ORMExecuteState) -> None:
    mapper = state.bind_mapper
    if mapper is not None and (state.is_update or state.is_delete or state.is_insert) and issubclass(mapper.class_, WATCHED):
        state.session.info[_CHANGED] = True


@event.listens_for(Session, "before_commit")
def _count(session: Session) -> None:
    session.flush()
    if session.info.pop(_CHANGED, False):
        session.execute(RAISE, {"name": FLAGS})
        session.info[_ANNOUNCE] = True


@event.listens_for(Session, "after_transaction_end")
def _announce(session: Session, transaction: SessionTransaction) -> None:
    """After the connection has been given back: who is called may want one."""
    if transaction.parent is None and session.info.pop(_ANNOUNCE, False):
        bind: Any = session.get_bind()
        for called in tuple(_watchers.get(bind, ())):
            called()


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_CHANGED, None)
    session.info.pop(_ANNOUNCE, None)
