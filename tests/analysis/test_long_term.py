"""XC-44: long_term_value from frames: days since the start, the end of the data, censoring said, corrected over horizons."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from fairtrial.analysis import long_term_value
from fairtrial.errors import DataError, UnknownNameError, UsageError

END = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def logs():
    """4,000 units that start over 120 days; treatment buys a third more often."""
    rng = np.random.default_rng(5)
    n = 4000
    arm = np.where(np.arange(n) % 2 == 0, "control", "treatment")
    start = pd.Timestamp("2026-03-03", tz="UTC") + pd.to_timedelta(rng.uniform(0, 120, n), unit="D")
    assigned = pd.DataFrame({"unit": [f"ü{i}" for i in range(n)], "arm": arm, "time": start})
    orders = rng.poisson(np.where(arm == "treatment", 4.0, 3.0))
    unit = np.repeat(np.arange(n), orders)
    events = pd.DataFrame(
        {
            "unit": assigned.unit.to_numpy()[unit],
            "time": start[unit] + pd.to_timedelta(rng.uniform(0, 120, unit.size), unit="D"),
            "value": rng.gamma(2, 10, unit.size),
        }
    )
    return assigned, events[events.time < END]


def test_the_value_grows_and_the_censored_are_counted(logs):
    assigned, events = logs
    found = long_term_value(assigned, events, as_of=END, horizons=(30, 90))
    assert [(one.treatment, one.day) for one in found] == [("treatment", 30), ("treatment", 90)]
    for one, truth in zip(found, (5.0, 15.0), strict=True):
        assert abs(one.estimate.effect - truth) < 4 * one.estimate.std_error
        assert one.estimate.correction == "holm"
        assert one.estimate.p_adjusted >= one.estimate.p_value
        assert (one.estimate.p_adjusted < 0.05) == one.estimate.interval.excludes(0.0)
    ages = (pd.Timestamp(END) - assigned.time) // pd.Timedelta(days=1)
    assert found[1].followed == int((ages >= 90).sum())
    assert found[1].censored == pytest.approx(1 - (ages >= 90).mean())
    assert 0.6 < found[1].censored < 0.9


def test_a_horizon_that_nobody_reached_says_so(logs):
    found = long_term_value(*logs, as_of=END, horizons=(30, 365))
    assert found[0].estimate is not None
    assert found[1].estimate is None
    assert "followed for 365 days" in found[1].unavailable.reason


def test_events_before_the_start_or_of_strangers_do_not_count(logs):
    assigned, events = logs
    early = events.assign(time=events.time - pd.Timedelta(days=400), value=1e6)
    strangers = events.assign(unit="nobody", value=1e6)
    again = long_term_value(assigned, pd.concat([events, early, strangers]), as_of=END, horizons=(30,))
    plain = long_term_value(assigned, events, as_of=END, horizons=(30,))
    assert again[0].estimate == plain[0].estimate


def test_the_first_row_of_a_unit_counts(logs):
    assigned, events = logs
    later = assigned.assign(time=assigned.time + pd.Timedelta(hours=5))
    assert long_term_value(pd.concat([later, assigned]), events, as_of=END, horizons=(30,)) == long_term_value(
        assigned, events, as_of=END, horizons=(30,)
    )


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"horizons": ()}, UsageError, "Horizons"),
        ({"horizons": (90, 30)}, UsageError, "increasing"),
        ({"control": "blue"}, UnknownNameError, "blue"),
        ({"as_of": END.replace(tzinfo=None)}, UsageError, "time zone"),
        ({"as_of": dt.datetime(2020, 7, 1, tzinfo=dt.UTC)}, DataError, "No unit started"),
    ],
)
def test_what_cannot_be_compared_is_refused(logs, change, kind, said):
    with pytest.raises(kind, match=said):
        long_term_value(*logs, **{"as_of": END, "horizons": (30,), **change})


def test_a_unit_in_two_arms_and_gaps_are_refused(logs):
    assigned, events = logs
    with pytest.raises(DataError, match="more than one arm"):
        long_term_value(pd.concat([assigned, assigned.iloc[:3].assign(arm="blue")]), events, as_of=END)
    with pytest.raises(UnknownNameError, match="value"):
        long_term_value(assigned, events.rename(columns={"value": "revenue"}), as_of=END)
    with pytest.raises(DataError, match="missing values"):
        long_term_value(assigned, events.assign(value=events.value.mask(events.index == events.index[0])), as_of=END)
