"""XC-33: guardrails of the catalog's experiments, watched by the scheduler as often as each asks for."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest
import yaml
from running_service import SetClock, service_on

from fairtrial.errors import SpecError
from fairtrial.service.jobs.catalog_guardrails import due_guardrails
from fairtrial.service.jobs.runner import JobRunner
from fairtrial.service.jobs.tasks import TASKS
from fairtrial.spec import parse_spec
from fairtrial.storage.tables import Alert

WATCH = TASKS["catalog-guardrails"]
MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def spec(key="checkout", *, errors="hourly", start="2026-03-01", **more):
    return {
        "key": key,
        "arms": ["control", "treatment"],
        "metrics": [
            {"key": "bought", "kind": "proportion", "role": "primary"},
            {"key": "errors", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.01, "monitoring": errors},
            {"key": "slow", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.01, "monitoring": "weekly"},
        ],
        "plan": {"baseline": 0.1, "mde": 0.1, "sample_size": 20000},
        "schedule": {"start": start, "end": "2026-03-29"},
        **more,
    }


def warehouse(folder, **tables):
    """A table of 8,000 units for each experiment: share of errors in the control and in the treatment."""
    path = folder / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        for name, (own, other) in tables.items():
            connection.execute(
                f"create table {name} as select 'u' || i as unit, case when i % 2 = 0 then 'control' else 'treatment' end as arm, "
                f"(i % 10 = 0)::int as bought, "
                f"((i // 2) % 1000 < case when i % 2 = 0 then {own * 1000} else {other * 1000} end)::int as errors, "
                "0 as slow from range(8000) as r (i)"
            )
    return f"duckdb:///{path}"


def watched(folder, clock, url, specs):
    (folder / "catalog").mkdir(exist_ok=True)
    for one in specs:
        (folder / "catalog" / f"{one['key']}.yaml").write_text(yaml.safe_dump(one), encoding="utf-8")
    settings = {"catalog": folder / "catalog", "warehouse": url, "scheduler": False}
    return service_on(f"sqlite:///{folder}/service.db", clock=clock, **settings)


def run(service):
    runner = JobRunner(service.database, service.state.settings, service.clock)
    return [outcome.detail for outcome in runner.run_pending(WATCH, first_now=True)]


def test_harm_is_told_once_and_the_healthy_are_left_in_peace(tmp_path):
    clock = SetClock(MONDAY + dt.timedelta(hours=10))
    url = warehouse(tmp_path, checkout=(0.02, 0.08), search=(0.02, 0.02))
    with watched(tmp_path, clock, url, [spec(), spec("search")]) as service:
        for _ in range(2):
            (detail,) = run(service)
            assert sorted(detail["watched"]) == ["checkout", "search"]
            assert detail["alerting"] == ["checkout"]
            clock.move(hours=1)
        with service.database.reading() as session:
            (alert,) = session.query(Alert)
        assert alert.severity == "error"
        assert "guardrail errors is in ALERT for treatment" in alert.message
        assert alert.experiment_id is None


def test_no_data_is_no_pass_and_one_failure_stops_no_other(tmp_path):
    clock = SetClock(MONDAY + dt.timedelta(hours=10))
    url = warehouse(tmp_path, search=(0.02, 0.08))
    with watched(tmp_path, clock, url, [spec("gone"), spec("search")]) as service:
        (detail,) = run(service)
        assert sorted(detail["alerting"]) == ["gone", "search"]
        with service.database.reading() as session:
            told = sorted(alert.message for alert in session.query(Alert))
        assert "could not be read" in told[0]
        assert "ALERT" in told[1]
    (tmp_path / "none").mkdir()
    with watched(tmp_path / "none", clock, "", [spec()]) as service:
        (detail,) = run(service)
        assert (detail["watched"], detail["without_data"]) == ([], ["checkout"])


def test_only_what_runs_is_watched(tmp_path):
    clock = SetClock(MONDAY + dt.timedelta(hours=10))
    url = warehouse(tmp_path, checkout=(0.02, 0.08))
    with watched(
        tmp_path, clock, url, [spec(start="2026-03-20"), spec("old", status="completed"), spec("calm", errors="at_analysis")]
    ) as service:
        (detail,) = run(service)
    assert detail["watched"] == []


@pytest.mark.parametrize(
    ("moment", "errors", "due"),
    [
        (MONDAY + dt.timedelta(hours=2, minutes=45), "hourly", ["errors", "slow"]),
        (MONDAY + dt.timedelta(hours=3, minutes=45), "hourly", ["errors"]),
        (MONDAY + dt.timedelta(hours=3, minutes=45), "daily", []),
        (MONDAY + dt.timedelta(days=1, hours=2, minutes=45), "daily", ["errors"]),
        (MONDAY + dt.timedelta(hours=2, minutes=45), "at_analysis", ["slow"]),
    ],
)
def test_each_is_due_as_often_as_it_asks(moment, errors, due):
    assert due_guardrails(parse_spec(spec(errors=errors)), moment) == due


def test_only_guardrails_are_monitored():
    raw = spec()
    raw["metrics"][0]["monitoring"] = "daily"
    with pytest.raises(SpecError, match="monitoring is for guardrails"):
        parse_spec(raw)
