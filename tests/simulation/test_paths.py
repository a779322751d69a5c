"""A scalar rule asked by paths says of every case what it says of the case alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.simulation.paths import Flags, Intervals, Numbers, Words, by_paths
from fairtrial.stats.result import Interval


class One:
    def __init__(self, **fields):
        self.__dict__.update(fields)


def rule(case):
    if case.interval is None:
        return "no interval" if case.word is None else case.word
    if case.flag and case.interval.low > case.limit:
        return "above"
    if case.number is not None and case.number <= -case.limit:
        return "below"
    return "wide" if case.interval.high >= case.limit and case.interval.low < 0 else "else"


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(0, 60), limit=st.sampled_from([0.0, 0.5]))
def test_every_case_is_told_what_it_would_be_told_alone(seed, size, limit):
    rng = np.random.default_rng(seed)
    low, number = rng.normal(size=size), rng.normal(size=size)
    low[rng.random(size) < 0.2] = np.nan
    number[rng.random(size) < 0.2] = np.nan
    high, flag, codes = low + rng.random(size), rng.random(size) < 0.5, rng.integers(0, 3, size)
    words = ("red", None, "blue")
    fields = {
        "interval": Intervals(low=low, high=high),
        "number": Numbers(values=number),
        "flag": Flags(values=flag),
        "word": Words(codes=codes, words=words),
        "limit": limit,
    }
    told = ["" for _ in range(size)]
    for rows, answer in by_paths(fields, size, rule):
        for row in rows:
            assert told[row] == "", "every case stands in one entry"
            told[row] = answer
    for i in range(size):
        alone = One(
            interval=None if np.isnan(low[i]) else Interval(low=low[i], high=high[i]),
            number=None if np.isnan(number[i]) else number[i],
            flag=bool(flag[i]),
            word=words[codes[i]],
            limit=limit,
        )
        assert told[i] == rule(alone)


def test_a_rule_is_asked_once_for_each_way_through_it():
    asked = []

    def counting(case):
        asked.append(1)
        return case.number > 0.0

    told = by_paths({"number": Numbers(values=np.linspace(-1, 1, 100_001))}, 100_001, counting)
    assert len(told) == 2
    assert len(asked) == 3, "once for all, and once for each part"


def test_numbers_compare_with_numbers_and_their_negatives():
    fields = {"a": Numbers(values=np.array([1.0, -2.0])), "b": Numbers(values=np.array([0.5, 3.0]))}
    told = {int(rows[0]): answer for rows, answer in by_paths(fields, 2, lambda case: (case.a > case.b, -case.a >= case.b))}
    assert told == {0: (True, False), 1: (False, False)}


def test_an_unknown_field_is_an_error_and_no_answer():
    with pytest.raises(AttributeError, match="missing"):
        by_paths({"number": Numbers(values=np.ones(2))}, 2, lambda case: case.missing)


@pytest.mark.parametrize(
    "column",
    [
        Numbers(values=np.ones(3)),
        Flags(values=np.ones(3, dtype=bool)),
        Intervals(low=np.ones(3), high=np.ones(3)),
        Words(codes=np.zeros(3, dtype=int), words=("a",)),
    ],
)
def test_a_column_has_an_entry_for_every_case(column):
    with pytest.raises(UsageError, match="entry for each of 2 cases"):
        by_paths({"x": column}, 2, lambda case: case.x)
