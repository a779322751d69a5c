"""A quantile of rows that belong to users (IV.b: several predictions a user)."""

import numpy as np
import pytest

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.clustered_quantiles import clustered_quantile
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval
from fairtrial.stats.result import Unavailable


def test_users_of_one_row_have_the_order_statistics_of_independent_rows() -> None:
    values = np.random.default_rng(1).normal(size=5_000)
    found = clustered_quantile(values, np.arange(5_000), 0.95)
    plain = order_statistic_interval(values, 0.95).interval
    assert isinstance(found, QuantileSummary)
    assert (found.n, found.value) == (5_000, float(np.quantile(values, 0.95)))
    assert found.interval.low == pytest.approx(plain.low, abs=0.02)
    assert found.interval.high == pytest.approx(plain.high, abs=0.02)


def test_rows_that_are_repeated_say_no_more_than_once() -> None:
    """Every row ten times over: the interval of the users stays, that of ten times the rows would shrink by sqrt(10)."""
    values = np.random.default_rng(2).normal(size=2_000)
    once = clustered_quantile(values, np.arange(2_000), 0.9)
    tenfold = clustered_quantile(np.repeat(values, 10), np.repeat(np.arange(2_000), 10), 0.9)
    assert isinstance(once, QuantileSummary)
    assert isinstance(tenfold, QuantileSummary)
    widths = [one.interval.high - one.interval.low for one in (once, tenfold)]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    assert tenfold.n == 2_000


def test_what_cannot_be_bounded_or_asked_says_so() -> None:
    assert isinstance(clustered_quantile(np.arange(10.0), np.arange(10), 0.95), Unavailable)
    assert isinstance(clustered_quantile([1.0], np.array([0]), 0.5), Unavailable)
    for probability, alpha in ((0.0, 0.05), (1.0, 0.05), (0.5, 95.0)):
        with pytest.raises(UsageError):
            clustered_quantile([1.0, 2.0], np.array([0, 1]), probability, alpha=alpha)
    with pytest.raises(UsageError):
        clustered_quantile([1.0, 2.0], np.array([0]), 0.5)
    with pytest.raises(DataError):
        clustered_quantile([], np.array([], dtype=np.intp), 0.5)
