"""What an assessment writes back into its spec: dates, sizes, traffic and status, value by value (XC-19)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import cast

from fairtrial.evaluation.feasibility import SPEC_SOURCE, Assessment
from fairtrial.spec.catalog import is_catalog_entry
from fairtrial.spec.catalog_file import version_of

Written = tuple[tuple[str, ...], object]


def patched_version(version: str) -> str:
    """The next PATCH: "1.0.0" to "1.0.1"."""
    *front, patch = version.split(".")
    return ".".join([*front, str(int(patch) + 1)])


def values_to_write(found: Assessment, raw: Mapping[str, object]) -> list[Written]:
    """Paths below the spec's own mapping, and what to put there.

    Args:
        found: The assessment.
        raw: The spec's own mapping, in the catalog's form or the normal one.
    """
    return list(_of_catalog(found, raw) if is_catalog_entry(raw) else _of_normal(found, raw))


def _record(found: Assessment) -> dict[str, object]:
    return {"status": found.status, "assessed_on": found.at.date(), "reasons": list(found.reasons)}


def _of_catalog(found: Assessment, raw: Mapping[str, object]) -> Iterator[Written]:
    run, traffic, power = found.run, found.traffic, "power_analysis"
    if found.calendar and run.final_days is not None:
        schedule = ("design", "temporal_schedule")
        first = found.calendar[0]
        dates = {"start_date": first.start_date, "planned_end_date": first.end_date, "planned_duration_days": run.final_days}
        yield from (((*schedule, name), value) for name, value in dates.items())
        if "experiment_period_start" in _within(raw, schedule):
            period = {"start": first.start_date, "end": first.end_date, "days": run.final_days}
            yield from (((*schedule, f"experiment_period_{name}"), value) for name, value in period.items())
        if traffic.period is not None:
            since, until = traffic.period
            measured = {"start": since, "end": until, "days": (until - since).days + 1}
            yield from (((*schedule, f"baseline_period_{name}"), value) for name, value in measured.items())
    equal = len(set(found.arms.values())) == 1
    sizes: dict[str, int] = {"total": sum(found.arms.values()), "target_total": run.target_total}
    if equal:
        sizes |= {"per_variant": next(iter(found.arms.values())), "target_per_variant": next(iter(run.target_per_arm.values()))}
    yield from (((power, "sample_size", name), value) for name, value in sizes.items())
    if traffic.data_source != SPEC_SOURCE:
        per = round(traffic.daily / len(found.arms), 2)
        told = {"daily_eligible_users": max(round(traffic.daily), 1), "daily_per_variant": per}
        told |= {"coefficient_of_variation": round(traffic.cv, 4), "data_source": traffic.data_source}
        yield from (((power, "traffic_analysis", name), value) for name, value in told.items())
    days = {"required_days": run.required_days, "variability_adjusted_days": run.adjusted_days, "final_duration_days": run.final_days}
    yield from (((power, "duration_calculation", name), value) for name, value in days.items() if value is not None)
    yield (power, "feasibility"), _record(found)
    yield ("metadata", "config_version"), patched_version(version_of(raw))


def _of_normal(found: Assessment, raw: Mapping[str, object]) -> Iterator[Written]:
    if found.calendar:
        first = found.calendar[0]
        yield ("schedule", "start"), first.start_date
        yield ("schedule", "end"), first.end_date + dt.timedelta(days=1)
    yield ("plan", "sample_size"), sum(found.arms.values())
    if found.traffic.data_source != SPEC_SOURCE:
        yield ("feasibility", "daily_units"), round(found.traffic.daily, 2)
        yield ("feasibility", "daily_cv"), round(found.traffic.cv, 4)
        yield ("feasibility", "traffic_source"), found.traffic.data_source
    yield ("feasibility", "record"), _record(found)
    yield ("version",), patched_version(version_of(raw))


def _within(raw: Mapping[str, object], path: tuple[str, ...]) -> Mapping[str, object]:
    for name in path:
        inner = raw.get(name)
        if not isinstance(inner, Mapping):
            return {}
        raw = cast("Mapping[str, object]", inner)
    return raw
