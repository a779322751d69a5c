"""What all tables share: one metadata with named constraints, JSON and times that mean the same on every store."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from fairtrial.errors import UsageError

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints, so that a migration can name what it drops."""

Json = JSONB().with_variant(JSON(), "sqlite")
"""A JSON document."""

RowId = BigInteger().with_variant(Integer(), "sqlite")
"""A row number: SQLite counts by itself only in a column of type INTEGER."""


class UtcTime(TypeDecorator[dt.datetime]):
    """An aware time, stored in UTC: `timestamptz` in Postgres, text that sorts in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """To UTC; a naive time is refused, for nobody can say which moment it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise UsageError(f"A stored time must be aware, got {value.isoformat()} without an offset.")
        utc = value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Aware, in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Base(DeclarativeBase):
    """Root of the tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {dt.datetime: UtcTime(), dict[str, Any]: Json, list[Any]: Json}  # noqa: RUF012
