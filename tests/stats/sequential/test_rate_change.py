"""A rate watched against a limit for a whole run, whenever it changes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.bernoulli import bernoulli_log_e_value, prior_strength
from fairtrial.stats.sequential.change import log_e_values_since, quantile_lower_bound, quantile_upper_bound, rate_change_log_e_value


def mixture(x, n, limit, n_opt):
    """E by numerical integration: the likelihood ratio mixed over a Beta cut off at the limit."""
    strength = prior_strength(n_opt, alternative="greater").item()
    prior = stats.beta(strength * limit, strength * (1.0 - limit))

    def weighed(p):
        return math.exp(x * math.log(p / limit) + (n - x) * math.log1p(-(p - limit) / (1.0 - limit))) * prior.pdf(p)

    return quad(weighed, limit, 1.0, limit=500, points=[min(0.999, max(limit + 1e-9, x / n if n else limit))])[0] / prior.sf(limit)


def test_the_mean_over_change_points_of_mixtures_by_numerical_integration():
    """M = sum of E_k / K, the windows to come counting 1 each."""
    counts, trials, limit, planned = [1, 0, 4, 9], [100, 120, 90, 110], 0.02, 10
    parts = [mixture(sum(counts[k:]), sum(trials[k:]), limit, 500) for k in range(4)]
    expected = (sum(parts) + 6.0) / planned
    found = rate_change_log_e_value(counts, trials, limit=limit, planned_windows=planned, n_opt=500)
    assert found == pytest.approx(math.log(expected), rel=1e-6)
    assert log_e_values_since(counts, trials, limit=limit, n_opt=500) == pytest.approx(np.log(parts), rel=1e-6)


@pytest.mark.parametrize("limit", [0.05, 0.3])
def test_its_mean_is_at_most_one_at_and_below_the_limit(limit):
    """By enumeration of every outcome of two windows: an e-value, also beyond the plan's end."""
    for planned in (1, 2, 5):
        for rate in (limit, 0.6 * limit):
            mean = 0.0
            for first in range(9):
                for second in range(13):
                    chance = stats.binom.pmf(first, 8, rate) * stats.binom.pmf(second, 12, rate)
                    mean += chance * math.exp(
                        rate_change_log_e_value([first, second], [8, 12], limit=limit, planned_windows=planned, n_opt=20)
                    )
            assert mean <= 1.0 + 1e-9
            if rate == limit:
                assert mean == pytest.approx(1.0, abs=1e-9)  # at the limit itself nothing is given away


@settings(deadline=None)
@given(
    counts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 400)), min_size=0, max_size=20),
    limit=st.floats(0.001, 0.9),
    planned=st.integers(1, 40),
)
def test_it_is_finite_and_no_less_than_its_parts(counts, limit, planned):
    events = [min(x, n) for x, n in counts]
    trials = [n for _, n in counts]
    found = rate_change_log_e_value(events, trials, limit=limit, planned_windows=planned)
    assert math.isfinite(found)
    parts = log_e_values_since(events, trials, limit=limit)[:planned]
    if len(parts):
        assert found >= parts.max() - math.log(planned) - 1e-9
        assert found <= max(parts.max(), 0.0) + 1e-9


@settings(deadline=None)
@given(data=st.data(), limit=st.floats(0.005, 0.5), windows=st.integers(1, 12))
def test_failures_are_no_more_evidence_for_less(data, limit, windows):
    """`less` is `greater` of the failures against 1 - limit."""
    trials = data.draw(st.lists(st.integers(0, 300), min_size=windows, max_size=windows))
    events = [data.draw(st.integers(0, n)) for n in trials]
    less = rate_change_log_e_value(events, trials, limit=limit, planned_windows=20, alternative="less")
    greater = rate_change_log_e_value([n - x for x, n in zip(events, trials, strict=True)], trials, limit=1.0 - limit, planned_windows=20)
    assert less == pytest.approx(greater, rel=1e-6, abs=1e-6)


def test_windows_without_requests_change_nothing_but_the_number_of_starts():
    base = rate_change_log_e_value([3, 0], [100, 50], limit=0.02, planned_windows=6)
    assert rate_change_log_e_value([3, 0, 0], [100, 50, 0], limit=0.02, planned_windows=6) == pytest.approx(base)
    assert rate_change_log_e_value([], [], limit=0.02, planned_windows=6) == 0.0


def test_beyond_the_plan_no_process_begins_and_those_under_way_go_on():
    counts, trials = [0] * 4 + [30], [1_000] * 4 + [500]
    logs = log_e_values_since(counts, trials, limit=0.01)
    found = rate_change_log_e_value(counts, trials, limit=0.01, planned_windows=4)
    assert found == pytest.approx(np.log(np.mean(np.exp(logs[:4]))))


def test_a_sudden_change_after_a_week_is_found_where_one_process_from_the_start_is_blind():
    """672 healthy windows of 500 at 0.5 %, then three at 5 %."""
    rng = np.random.default_rng(7)
    counts = np.r_[rng.binomial(500, 0.005, 672), rng.binomial(500, 0.05, 3)]
    trials = np.full(675, 500)
    level = math.log(1 / 0.005)
    assert rate_change_log_e_value(counts[:672], trials[:672], limit=0.01, planned_windows=1_344) < 1.0
    assert rate_change_log_e_value(counts, trials, limit=0.01, planned_windows=1_344) > level
    assert bernoulli_log_e_value(counts.sum(), trials.sum(), null=0.01, n_opt=1_000, alternative="greater") < 0.0
    assert int(np.argmax(log_e_values_since(counts, trials, limit=0.01))) == 672


@pytest.mark.parametrize(
    ("counts", "trials", "options"),
    [
        ([1], [1, 2], {}),
        ([3], [2], {}),
        ([[1]], [[2]], {}),
        ([1], [2], {"planned_windows": 0}),
        ([1], [2], {"limit": 0.0}),
        ([1], [2], {"limit": 1.0}),
    ],
)
def test_wrong_input_is_refused(counts, trials, options):
    with pytest.raises(UsageError):
        rate_change_log_e_value(counts, trials, **{"limit": 0.1, "planned_windows": 3, **options})


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 3_000), q=st.sampled_from([0.5, 0.95, 0.99]))
def test_quantile_bounds_enclose_the_sample_quantile_and_are_values_of_the_test(seed, n, q):
    x = np.sort(np.random.default_rng(seed).gamma(2.0, 50.0, n))
    edges = np.unique(x)
    at_or_below = np.searchsorted(x, edges, side="right")
    low = quantile_lower_bound(edges, at_or_below, n, q=q, alpha=0.01)
    high = quantile_upper_bound(edges, at_or_below, n, q=q, alpha=0.01)
    assert low <= np.quantile(x, q) <= high
    if np.isfinite(low):
        assert bernoulli_log_e_value((x > low).sum(), n, null=1.0 - q, n_opt=1_000, alternative="greater") >= math.log(100)
    if np.isfinite(high):
        assert bernoulli_log_e_value((x <= high).sum(), n, null=q, n_opt=1_000, alternative="greater") >= math.log(100)
