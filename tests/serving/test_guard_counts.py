"""Counts of requests by window: cheap, exact, and those of several processes add."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.serving.guard_counts import LATENCY, LONGEST_MS, ModelCounts

LIMITS = [100.0, 200.0]
requests = st.lists(st.tuples(st.integers(0, 5), st.floats(0.01, 1e6), st.booleans(), st.booleans()), min_size=0, max_size=60)


def counted(given_requests):
    counts = ModelCounts()
    for window, latency, error, timeout in given_requests:
        counts.observe(window, latency, LIMITS, error=error, timeout=timeout)
    return counts


def same(a, b):
    assert a.windows == b.windows
    assert (a.n, a.bins) == (b.n, b.bins)
    assert a.mean_of(LATENCY).mean == pytest.approx(b.mean_of(LATENCY).mean, rel=1e-9)
    assert a.mean_of(LATENCY).m2 == pytest.approx(b.mean_of(LATENCY).m2, rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(seen=requests, cut=st.integers(0, 60), order=st.randoms())
def test_counts_of_two_processes_add_in_any_order(seen, cut, order):
    """Split anywhere, shuffled, sent as JSON: the same counts as of one process."""
    whole = counted(seen)
    mixed = list(seen)
    order.shuffle(mixed)
    one, two = counted(mixed[:cut]), counted(mixed[cut:])
    sent = ModelCounts.from_json(json.loads(json.dumps(two.as_json(), allow_nan=False)))
    same(two, sent)
    one.add(sent)
    same(one, whole)


@settings(deadline=None)
@given(seen=requests)
def test_counts_are_those_of_the_requests(seen):
    counts = counted(seen)
    assert counts.n == len(seen)
    assert (counts.total("errors"), counts.total("timeouts")) == (sum(r[2] for r in seen), sum(r[3] for r in seen))
    for place, limit in enumerate(LIMITS):
        assert sum(cell.over[place] for cell in counts.windows.values()) == sum(r[1] > limit or r[3] for r in seen)
    if len(seen) > 1:
        assert counts.mean_of(LATENCY).mean == pytest.approx(np.mean([r[1] for r in seen]))
        assert counts.mean_of(LATENCY).variance == pytest.approx(np.var([r[1] for r in seen], ddof=1), rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(latencies=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=50))
def test_the_histogram_is_right_to_one_percent(latencies):
    """A bin's edge is at or above what lies in it and less than 1.1 % above."""
    counts = counted([(0, latency, False, False) for latency in latencies])
    edges, at_or_below = counts.histogram()
    assert at_or_below[-1] == len(latencies)
    ordered = np.sort(latencies)
    for rank in range(1, len(latencies) + 1):
        edge = edges[np.searchsorted(at_or_below, rank)]
        assert ordered[rank - 1] * (1 - 1e-9) <= edge <= ordered[rank - 1] * math.exp(0.01) * (1 + 1e-9)


@pytest.mark.parametrize("latency", [math.nan, math.inf, 1e300])
def test_a_latency_that_is_no_number_is_not_healthy(latency):
    """IV.c: NaN is not ok; it neither crashes nor passes a limit."""
    counts = counted([(0, latency, False, False)])
    assert counts.windows[0].over == [1, 1]
    assert counts.mean_of(LATENCY).mean == LONGEST_MS
    json.dumps(counts.as_json(), allow_nan=False)


@pytest.mark.parametrize("latency", [0.0, -5.0])
def test_a_clock_that_went_back_is_counted_as_the_shortest(latency):
    assert counted([(0, latency, False, False)]).histogram()[0][-1] == pytest.approx(1e-3, rel=0.02)


def test_an_empty_count_has_no_spread():
    assert ModelCounts().mean_of(LATENCY).variance == 0.0
