"""The catalog that the service reads, and what it answers from it. The numbers are those of `fairtrial.evaluation`."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import msgspec

from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation.feasibility import HINTS, REQUEST_SOURCE, TrafficFigures, assess_feasibility, feasibility_document, traffic_of
from fairtrial.evaluation.feasibility_advice import what_to_change
from fairtrial.service.configs.schemas import AnalysisOut, AnalysisRequest, ConfigOut, ConfigsOut, FeasibilityOut, FeasibilityRequest
from fairtrial.service.settings import Settings
from fairtrial.spec import ExperimentConfigClient, get_package_version
from fairtrial.spec.catalog_file import version_of
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.result import Unavailable


def list_configs(settings: Settings) -> ConfigsOut:
    """Names of the configurations, in the catalog's order."""
    return ConfigsOut(experiments=_catalog(settings.catalog).list_available_experiments(), package_version=get_package_version())


def read_config(settings: Settings, name: str, version: str | None) -> ConfigOut:
    """One configuration as its file has it.

    Raises:
        ExperimentConfigError: There is no such experiment or version.
    """
    config = _catalog(settings.catalog).get_experiment_config(name, version)
    return ConfigOut(name=name, config_version=version_of(config), config=config)


def assess_config(settings: Settings, name: str, asked: FeasibilityRequest, *, now: dt.datetime) -> FeasibilityOut:
    """Units, days and dates of one configuration; no data source is opened.

    Raises:
        ExperimentConfigError: There is no such experiment.
        DataError: The configuration says too little to plan from.
    """
    spec = _catalog(settings.catalog).get_experiment_spec(name)
    at = now if asked.reference_date is None else dt.datetime.combine(asked.reference_date, dt.time(), tzinfo=dt.UTC)
    found = assess_feasibility(spec, at=at, traffic=_traffic(spec, asked), buffer=asked.buffer)
    if isinstance(found, Unavailable):
        raise DataError(found.reason, hint=HINTS.get(found.code, ""), code=found.code)
    document = feasibility_document(found, changes=[change.as_data() for change in what_to_change(found)])
    return FeasibilityOut.model_validate(msgspec.to_builtins(document))


def analyze_config(settings: Settings, name: str, asked: AnalysisRequest, *, now: dt.datetime) -> AnalysisOut:
    """Everything known of one configuration's result; the numbers are those of `fairtrial analyze`.

    Raises:
        ExperimentConfigError: There is no such experiment.
        UsageError: Neither the configuration nor the settings say where the units are.
        DataError: The data cannot answer.
        ConnectorError: The warehouse cannot be reached.
    """
    from fairtrial.analysis.quick import end_of_day, quick_analysis, store  # noqa: PLC0415 - loads the engines

    found = _catalog(settings.catalog).load(name)
    if found.spec.data is None and not settings.warehouse:
        raise UsageError(f"Experiment {name!r} names no data, and the service has no warehouse.", hint="Set FAIRTRIAL_WAREHOUSE.")
    moment = now if asked.reference_date is None else end_of_day(asked.reference_date)
    source = settings.warehouse if found.spec.data is None else None
    if asked.write_to_warehouse and not settings.warehouse:
        raise UsageError("The service has no warehouse to write to.", hint="Set FAIRTRIAL_WAREHOUSE.")
    made = quick_analysis(found.spec, source=source, base=found.base, as_of=moment)
    if asked.write_to_warehouse:
        store(made, settings.warehouse, legacy=asked.use_legacy_schema)
    return AnalysisOut.model_validate(made.to_dict())


def _traffic(spec: ExperimentSpec, asked: FeasibilityRequest) -> TrafficFigures | None:
    """What was asked for, over what the configuration states."""
    stated = traffic_of(spec)
    if asked.daily_eligible_users is None:
        return stated if stated is None or asked.daily_cv is None else replace(stated, cv=asked.daily_cv)
    cv = asked.daily_cv if asked.daily_cv is not None else 0.0 if stated is None else stated.cv
    return TrafficFigures(daily=asked.daily_eligible_users, cv=cv, data_source=REQUEST_SOURCE)


@lru_cache(maxsize=8)
def _catalog(place: Path | None) -> ExperimentConfigClient:
    return ExperimentConfigClient(place)
