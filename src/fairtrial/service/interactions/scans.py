"""Scans that the jobs make and keep: every week of all pairs, and of an experiment's pairs when it starts (IN-21).

A pair that a scan finds at high risk, and that the scan before it did not, raises one
alert; pairs and alerts are stored in one transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy.orm import Session

from fairtrial.diagnostics.pair_tests import CORRECTION
from fairtrial.service.bodies import iso
from fairtrial.service.interactions.analysis import Scanned, entry_out, find_pair, scan, scan_pairs
from fairtrial.service.interactions.cells import cells_with, load
from fairtrial.service.interactions.schemas import ScanEntryOut, StoredScanList, StoredScanOut, TrendOut, TrendPoint
from fairtrial.service.jobs.nightly import Guard
from fairtrial.service.notifications.alerts import Audience, Notice, raise_alerts
from fairtrial.storage import Database
from fairtrial.storage.experiments import running_experiments
from fairtrial.storage.interaction_scans import history_of_pair, latest_risks, list_scans, pairs_of_scans, scanned_experiments
from fairtrial.storage.tables import Experiment, InteractionPair, InteractionScan


def run_scan(database: Database, *, as_of: dt.datetime, now: dt.datetime, audience: Audience, guard: Guard) -> dict[str, Any]:
    """Scan all pairs of running experiments, keep what was found, and raise alerts.

    Args:
        database: The database.
        as_of: The moment that the scan is filed under.
        now: When it is done.
        audience: Who is told.
        guard: Called in the transaction that stores.

    Returns:
        The scan's id and counts, and how many alerts are new.

    Raises:
        StorageError: The store failed; nothing was kept.
        StopJobError: The guard said so.
    """
    with database.reading() as session:
        rows = running_experiments(session)
        found = scan(load(session, rows))
    with database.writing() as session:
        guard(session)
        return _keep(session, found, rows, "scan", as_of=as_of, now=now, audience=audience)


def run_starts(database: Database, *, now: dt.datetime, audience: Audience, guard: Guard) -> dict[str, Any]:
    """Scan the pairs of running experiments that no scan has looked at yet: those that have started since the last one.

    Returns:
        Keys of those experiments, and with pairs what `run_scan` returns.

    Raises:
        StorageError: The store failed; nothing was kept.
        StopJobError: The guard said so.
    """
    with database.reading() as session:
        rows = running_experiments(session)
        known = scanned_experiments(session)
        new = [place for place, row in enumerate(rows) if row.id not in known]
        if not new or len(rows) < 2:
            return {"started": [rows[place].key for place in new]}
        found = scan_pairs(len(rows), cells_with(load(session, rows), new))
    with database.writing() as session:
        guard(session)
        kept = _keep(session, found, rows, "start", as_of=now, now=now, audience=audience)
    return {"started": [rows[place].key for place in new], **kept}


def list_kept(session: Session, *, limit: int, offset: int, results: bool) -> StoredScanList:
    """Kept scans, newest first."""
    rows, total = list_scans(session, limit=limit, offset=offset)
    pairs = pairs_of_scans(session, [row.id for row in rows]) if results else {}
    return StoredScanList(items=[_stored(row, pairs.get(row.id)) for row in rows], total=total)


def read_trend(session: Session, first: str, second: str) -> TrendOut:
    """A pair over the kept scans.

    Raises:
        NotFoundError: One of the two does not exist.
        UsageError: Both are the same.
    """
    a, b = find_pair(session, first, second)
    points = [_point(scan, pair) for scan, pair in history_of_pair(session, a.id, b.id)]
    return TrendOut(experiment_a_id=a.key, experiment_b_id=b.key, points=points)


def _keep(
    session: Session,
    found: Scanned,
    rows: Sequence[Experiment],
    trigger: str,
    *,
    as_of: dt.datetime,
    now: dt.datetime,
    audience: Audience,
) -> dict[str, Any]:
    before = latest_risks(session)
    kept = InteractionScan(
        as_of=as_of,
        trigger=trigger,
        total_active_experiments=found.active,
        pairs_analyzed=len(found.entries),
        high_risk_pairs=found.high,
        correction_method=CORRECTION,
    )
    session.add(kept)
    session.flush()
    numbers = {row.key: row for row in rows}
    for entry, effect in zip(found.entries, found.effects, strict=True):
        session.add(
            InteractionPair(
                scan_id=kept.id,
                experiment_a_id=numbers[entry.experiment_a_id].id,
                experiment_b_id=numbers[entry.experiment_b_id].id,
                overall_risk=entry.overall_risk,
                effect=effect,
                entry_json=entry_out(entry).model_dump(mode="json"),
            )
        )
    session.flush()
    alerts = raise_alerts(session, _notices(found, numbers, before, as_of), audience, now=now)
    return {
        "scan": kept.id,
        "as_of": iso(as_of),
        "experiments": found.active,
        "pairs": len(found.entries),
        "high_risk_pairs": found.high,
        "new_alerts": alerts,
    }


def _notices(found: Scanned, rows: dict[str, Experiment], before: dict[tuple[int, int], str], as_of: dt.datetime) -> Iterator[Notice]:
    """One notice for each pair of high risk that was not before."""
    for entry in found.entries:
        a, b = rows[entry.experiment_a_id], rows[entry.experiment_b_id]
        if entry.overall_risk != "high" or before.get((a.id, b.id)) == "high":
            continue
        p = entry.min_corrected_p_value
        said = "" if p is None else f" (corrected p={p:.4g})"
        text = (
            f"Experiments '{a.name}' ({a.key}) and '{b.name}' ({b.key}) disturb each other: {entry.shared_users:,} shared users and a "
            f"significant interaction{said}. Look at the pair, and consider pausing one"
        )
        yield Notice(experiment_id=a.id, severity="warning", message=text, dedupe_key=f"interaction:{a.id}:{b.id}:{iso(as_of)}")


def _stored(row: InteractionScan, pairs: Sequence[InteractionPair] | None) -> StoredScanOut:
    return StoredScanOut(
        id=row.id,
        as_of=row.as_of,
        trigger=cast("Any", row.trigger),
        total_active_experiments=row.total_active_experiments,
        pairs_analyzed=row.pairs_analyzed,
        high_risk_pairs=row.high_risk_pairs,
        correction_method=row.correction_method,
        results=None if pairs is None else [ScanEntryOut.model_validate(pair.entry_json) for pair in pairs],
    )


def _point(scan: InteractionScan, pair: InteractionPair) -> TrendPoint:
    entry = ScanEntryOut.model_validate(pair.entry_json)
    return TrendPoint(
        scan_id=scan.id,
        as_of=scan.as_of,
        overlap_coefficient=entry.overlap_coefficient,
        shared_users=entry.shared_users,
        interaction_effect_size=pair.effect,
        p_value=entry.p_value,
        min_corrected_p_value=entry.min_corrected_p_value,
        has_interaction=entry.has_interaction,
        overall_risk=entry.overall_risk,
        unavailable_reason=entry.unavailable_reason,
    )
