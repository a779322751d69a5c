"""Distinct units over days: exact for every start, never the sum of the days (XC-13)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.stats.accumulation import accumulate_distinct, days_until


def pairs_of(visits):
    pairs = {}
    for days in visits:
        for before, day in zip([None, *sorted(days)], sorted(days), strict=False):
            pairs[day, before] = pairs.get((day, before), 0) + 1
    return pairs


@given(st.lists(st.frozensets(st.integers(0, 9), min_size=1), min_size=1, max_size=8))
def test_the_curve_is_the_mean_over_starts_of_units_seen(visits):
    curve = accumulate_distinct(pairs_of(visits), 10)
    plain = [
        np.mean([sum(any(s <= day < s + length for day in days) for days in visits) for s in range(10 - length + 1)])
        for length in range(1, 11)
    ]
    assert curve == pytest.approx(np.maximum.accumulate(plain))
    assert curve[-1] == len(visits)


def test_days_until_reads_the_curve_then_carries_its_last_week_on():
    curve = [100.0 * day for day in range(1, 15)]
    assert days_until(250, curve) == (pytest.approx(2.5), False)
    assert days_until(1400, curve) == (pytest.approx(14.0), False)
    assert days_until(2100, curve) == (pytest.approx(21.0), True)
    assert days_until(20, [10.0, 10.0]) == (pytest.approx(4.0), True)
    assert days_until(20, [10.0] * 9) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: accumulate_distinct({}, 0),
        lambda: accumulate_distinct({(3, None): 1}, 3),
        lambda: accumulate_distinct({(1, 1): 1}, 3),
        lambda: days_until(0, [1.0]),
        lambda: days_until(1, []),
    ],
    ids=["no days", "outside", "not before", "no units", "no curve"],
)
def test_what_is_no_history_is_refused(call):
    with pytest.raises(UsageError):
        call()
