"""One unit's data on request: exported as JSON, or erased everywhere with a hash as the only trace."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets

from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.privacy.schemas import UnitErased, UnitExport
from fairtrial.storage.privacy import delete_unit, experiments_of_unit, mask_in_audit, rows_of_unit


def export(session: Session, unit: str, *, actor: Actor, now: dt.datetime) -> UnitExport:
    """All that is stored of a unit; that it was read is in the audit log, by the unit's receipt.

    Args:
        session: A writing session: reading somebody's data is recorded.
        unit: The unit.
        actor: Who asks.
        now: The moment.
    """
    tables = {name: list(rows) for name, rows in rows_of_unit(session, unit)}
    total = sum(len(rows) for rows in tables.values())
    record_change(session, actor=actor, now=now, action="unit.export", on=("unit", receipt(unit)), after={"rows": total})
    return UnitExport(unit=unit, exported_at=now, rows=total, tables=tables)


def erase(session: Session, unit: str, *, actor: Actor, now: dt.datetime) -> UnitErased:
    """Delete every row of a unit and write a hash where the audit log names it.

    Erasing a unit of which nothing is stored is no error: the request itself is kept.
    """
    experiments = experiments_of_unit(session, unit)
    mark = receipt(unit)
    erased = delete_unit(session, unit)
    masked = mask_in_audit(session, unit, mark)
    record_change(
        session, actor=actor, now=now, action="unit.erase", on=("unit", mark), after={"erased": erased, "experiments": experiments}
    )
    return UnitErased(erased=erased, total=sum(erased.values()), audit_entries_masked=masked, experiments=experiments, receipt=mark)


def receipt(unit: str, salt: str | None = None) -> str:
    """`erased:<salt>:<SHA-256 of salt and unit>`: who knows the id can prove that it was asked for, nobody can look it up.

    Args:
        unit: The unit.
        salt: Of an earlier receipt, to compare with it; default: a new one.
    """
    used = secrets.token_hex(8) if salt is None else salt
    return f"erased:{used}:{hashlib.sha256(f'{used}:{unit}'.encode()).hexdigest()}"


def is_receipt_of(mark: str, unit: str) -> bool:
    """Whether a receipt stands for this unit."""
    parts = mark.split(":")
    return len(parts) == 3 and secrets.compare_digest(receipt(unit, parts[1]), mark)
