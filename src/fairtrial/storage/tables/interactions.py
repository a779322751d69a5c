"""Kept scans of experiments that run at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from fairtrial.storage.tables.base import Base


class InteractionScan(Base):
    """One scan of pairs of running experiments."""

    __tablename__ = "interaction_scans"
    __table_args__ = (Index(None, "as_of"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    as_of: Mapped[dt.datetime]
    trigger: Mapped[str]
    """`scan`: all pairs, by the clock. `start`: pairs of experiments that had just started."""
    total_active_experiments: Mapped[int]
    pairs_analyzed: Mapped[int]
    high_risk_pairs: Mapped[int]
    correction_method: Mapped[str]


class InteractionPair(Base):
    """What a scan said of one pair."""

    __tablename__ = "interaction_pairs"
    __table_args__ = (Index(None, "experiment_a_id", "experiment_b_id"), Index(None, "scan_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("interaction_scans.id"))
    experiment_a_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    """The one that was made first."""
    experiment_b_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), index=True)
    overall_risk: Mapped[str]
    effect: Mapped[float | None]
    """The interaction of the row with the smallest p."""
    entry_json: Mapped[dict[str, Any]]
    """The entry as the scan shows it."""
