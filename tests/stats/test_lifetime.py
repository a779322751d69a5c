"""XC-44: value over time with late starters censored: against sums where nobody is, and against simulation where many are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.lifetime import compare_cumulative, cumulative_value


def cohort(rng, n, *, days=60, lift=1.0, spread=0.5):
    """Units that start evenly over the days before the end, each with its own rate of purchases."""
    followed = rng.integers(0, 2 * days, n)
    rate = rng.gamma(1 / spread**2, spread**2, n) * 0.1 * lift
    bought = rng.random((n, days)) < np.minimum(rate[:, None], 1)
    unit, day = np.nonzero(bought)
    return followed, unit, day, rng.gamma(2, 5, unit.size)


def test_without_censoring_it_is_the_mean_of_sums_and_its_error():
    rng = np.random.default_rng(1)
    _, unit, day, value = cohort(rng, 300)
    found = cumulative_value(np.full(300, 60), unit, day, value, days=60)
    sums = np.bincount(unit, weights=value, minlength=300)
    assert found.mean[-1] == pytest.approx(sums.mean(), rel=1e-12)
    assert found.std_error[-1] == pytest.approx(sums.std() / math.sqrt(300), rel=1e-12)
    assert (found.followed == 300).all()
    first = np.bincount(unit[day == 0], weights=value[day == 0], minlength=300)
    assert found.mean[0] == pytest.approx(first.mean())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_each_days_mean_is_over_those_followed_through_it(seed):
    rng = np.random.default_rng(seed)
    followed, unit, day, value = cohort(rng, 80, days=12)
    followed[:15] = 12
    found = cumulative_value(followed, unit, day, value, days=12)
    table = np.zeros((80, 12))
    np.add.at(table, (unit, day), value)
    risk = followed[:, None] > np.arange(12)
    means = (table * risk).sum(axis=0) / risk.sum(axis=0)
    assert found.mean == pytest.approx(np.cumsum(means), rel=1e-12, abs=1e-12)
    influence = np.cumsum(np.where(risk, (table - means) / risk.sum(axis=0), 0.0), axis=1)
    assert found.std_error == pytest.approx(np.sqrt((influence**2).sum(axis=0)), rel=1e-9, abs=1e-12)


def test_late_starters_are_not_counted_as_worthless():
    """The truth is 60 days at 0.1 x 10; half of the units were followed for less."""
    rng = np.random.default_rng(2)
    followed, unit, day, value = cohort(rng, 40_000)
    seen = day < followed[unit]
    found = cumulative_value(followed, unit[seen], day[seen], value[seen], days=60)
    assert abs(found.mean[-1] - 60.0) < 4 * found.std_error[-1]
    naive = np.bincount(unit[seen], weights=value[seen], minlength=40_000).mean()
    assert naive < 50


@pytest.mark.slow
def test_intervals_cover_with_censoring_and_units_that_differ():
    """600 experiments of 2 x 300 units, exact binomial bound at 99.9% around 95%."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(600):
        arms = [cumulative_value(*cohort(rng, 300, lift=lift), days=60) for lift in (1.0, 1.2)]
        found = compare_cumulative(*arms, day=60)
        covered += found.interval.low <= 12.0 <= found.interval.high
    assert 549 <= covered <= 588


def test_a_comparison_has_effect_lift_and_interval():
    rng = np.random.default_rng(4)
    own, other = (cumulative_value(*cohort(rng, 4000, lift=lift), days=30) for lift in (1.0, 1.3))
    found = compare_cumulative(own, other, day=30)
    assert found.effect == pytest.approx(other.mean[29] - own.mean[29])
    assert found.lift == pytest.approx(other.mean[29] / own.mean[29] - 1)
    assert found.std_error == pytest.approx(math.hypot(own.std_error[29], other.std_error[29]))
    assert (found.p_value < 0.05) == found.interval.excludes(0.0)
    assert compare_cumulative(own, own, day=3).p_value == 1.0


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"followed": np.array([3.5] * 20)}, UsageError, "whole numbers"),
        ({"day": np.array([-1])}, UsageError, "from 0"),
        ({"unit": np.array([20])}, UsageError, "place among"),
        ({"value": np.array([np.nan])}, DataError, "not finite"),
        ({"value": np.array([1.0, 2.0])}, UsageError, "Every event"),
        ({"days": 0}, UsageError, "1 or more"),
        ({"days": 11}, NotEnoughDataError, "followed for 11 days"),
    ],
)
def test_what_is_no_follow_up_is_refused(change, kind, said):
    fine = {"followed": np.full(20, 10), "unit": np.array([0]), "day": np.array([0]), "value": np.array([1.0]), "days": 5}
    with pytest.raises(kind, match=said):
        cumulative_value(**{**fine, **change})
    arm = cumulative_value(**fine)
    with pytest.raises(UsageError, match="between 1 and 5"):
        compare_cumulative(arm, arm, day=6)
    nothing = cumulative_value(np.full(20, 10), np.array([], int), np.array([], int), np.array([]), days=5)
    with pytest.raises(DataError, match="No value varies"):
        compare_cumulative(nothing, nothing, day=5)
