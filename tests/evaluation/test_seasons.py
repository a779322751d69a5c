"""When an experiment ran: periods unlike others and weeks that are not whole (XC-36)."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import rate, reading

from fairtrial import evaluate, parse_spec
from fairtrial.evaluation.seasons import days_of, seasonal_findings


def at(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)


def spec(start="2024-04-15", end="2024-04-29", feasibility: object = ()):
    raw = {"key": "x", "arms": ["control", "t"], "metrics": [{"key": "bought", "kind": "proportion"}], "plan": {"sample_size": 400}}
    if start is not None:
        raw["schedule"] = {"start": start, "end": end}
    if feasibility is not None:
        raw["feasibility"] = {"avoid_periods": list(feasibility)}
    return parse_spec(raw)


def told(*args, as_of=None, **kwargs):
    return {finding.code: finding for finding in seasonal_findings(spec(*args, **kwargs), as_of)}


def test_two_quiet_weeks_say_nothing():
    """XC-18: 2024-04-15 to 04-28 is clear of every period."""
    assert told() == {}


def test_days_in_a_usual_period_are_counted_and_named():
    found = told("2024-12-02", "2024-12-16")
    assert set(found) == {"seasonal_period"}
    finding = found["seasonal_period"]
    assert (finding.severity, finding.numbers) == ("info", {"days": 10, "of": 14})
    assert "Black Friday and Cyber Monday (2024-11-20 to 2024-12-05)" in finding.message
    assert "Christmas and the January sales (2024-12-10 to 2025-01-10)" in finding.message


def test_a_period_that_the_spec_itself_avoids_is_a_warning():
    own = [{"start": "2024-04-20", "end": "2024-04-21", "reason": "our sale"}]
    finding = told(feasibility=own)["seasonal_period"]
    assert (finding.severity, finding.numbers["days"]) == ("warning", 2)
    assert "our sale" in finding.message


def test_a_day_in_two_periods_counts_once():
    own = [{"start": "2024-12-01", "end": "2024-12-31"}]
    assert told("2024-12-02", "2024-12-16", feasibility=own)["seasonal_period"].numbers["days"] == 14


@pytest.mark.parametrize(
    ("end", "days", "severity"), [("2024-04-25", 10, "info"), ("2024-04-18", 3, "warning"), ("2024-04-16", 1, "warning")]
)
def test_a_run_that_is_no_whole_weeks_says_so(end, days, severity):
    finding = told(end=end)["partial_week"]
    assert (finding.severity, finding.numbers) == (severity, {"days": days})


def test_a_look_reads_the_days_so_far_and_never_beyond_the_end():
    assert told(as_of=at("2024-04-22")) == {}
    assert told(as_of=at("2024-04-22T00:00:01"))["partial_week"].numbers == {"days": 8}
    assert told(as_of=at("2024-12-24")) == {}
    assert told(as_of=at("2024-04-15")) == told(as_of=at("2024-01-01")) == {}


def test_only_a_schedule_and_a_calendar_ask_for_it():
    assert told("2024-12-02", "2024-12-13", feasibility=None) == {}
    assert told(None) == {}


@given(start=st.dates(dt.date(2020, 1, 1), dt.date(2030, 1, 1)), days=st.integers(1, 500))
def test_the_last_day_is_the_one_before_the_end(start, days):
    made = spec(start.isoformat(), (start + dt.timedelta(days=days)).isoformat())
    assert days_of(made, None) == (start, start + dt.timedelta(days=days - 1))
    found = {finding.code: finding for finding in seasonal_findings(made, None)}
    assert ("partial_week" in found) == (days % 7 != 0)
    if "seasonal_period" in found:
        assert 1 <= found["seasonal_period"].numbers["days"] <= days


def test_a_scorecard_tells_it_and_the_verdict_stays():
    read = reading({"control": {"bought": rate(20, 200)}, "t": {"bought": rate(60, 200)}})
    quiet, loud = evaluate(spec(), read), evaluate(spec("2024-12-02", "2024-12-16"), read)
    assert "seasonal_period" in [finding.code for finding in loud.findings]
    assert "seasonal_period" not in [finding.code for finding in quiet.findings]
    assert loud.decision == quiet.decision
