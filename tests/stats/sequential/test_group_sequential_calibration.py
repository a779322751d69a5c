"""How often group-sequential designs err, win and cover, over trials drawn with a known effect.

Five looks at unequal times. Each count is judged by the exact binomial law of the
probability promised, with a chance of one in a million to fail.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries, boundaries
from fairtrial.stats.sequential.futility import futility_boundaries
from fairtrial.stats.sequential.group_power import design_for_power
from fairtrial.stats.sequential.repeated import repeated_interval, repeated_p_values
from fairtrial.stats.sequential.stagewise import stagewise_inference

pytestmark = pytest.mark.slow

TRIALS = 200_000
SURPRISE = 1e-6
TIMES = (0.15, 0.3, 0.5, 0.85, 1.0)
OFF_PLAN = (0.1, 0.42, 0.55, 0.71, 1.13)
FAMILIES = [
    ("obrien-fleming", {}),
    ("pocock", {}),
    ("wang-tsiatis", {"delta": 0.25}),
    ("lan-demets-obrien-fleming", {}),
    ("lan-demets-pocock", {}),
    ("hwang-shih-decani", {"gamma": -4.0}),
    ("kim-demets", {"rho": 2.0}),
]


def design_of(family, *, sides=2):
    spending, options = family
    return GroupSequentialDesign(alpha=0.05, sides=sides, spending=spending, information_fractions=TIMES, **options)


def paths(times, drift=0.0, *, seed=20260301, trials=TRIALS):
    """Z at each look of many trials, shape (trials, looks)."""
    rng = np.random.default_rng(seed)
    gaps = np.diff(times, prepend=0.0)
    steps = rng.normal(drift * gaps, np.sqrt(gaps), (trials, len(times)))
    return steps.cumsum(axis=1) / np.sqrt(times)


def assert_share(count, share, trials=TRIALS):
    assert stats.binom.ppf(SURPRISE, trials, share) <= count <= stats.binom.isf(SURPRISE, trials, share)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_true_null_is_rejected_as_often_as_alpha_says(family, sides):
    """XC-32: size 0.05 over five looks, as planned and at other times with an over-run."""
    for times in (TIMES, OFF_PLAN):
        z = paths(times)
        critical = actual_boundaries(design_of(family, sides=sides), times, final=True).critical
        size = np.abs(z) if sides == 2 else z
        assert_share((size > critical).any(axis=1).sum(), 0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_effect_of_the_planned_size_is_found_as_often_as_the_power_says(family):
    """Power 0.8, look by look, and the information used on the way."""
    design = design_of(family)
    plan = design_for_power(design, power=0.8)
    z = paths(TIMES, plan.drift)
    out = np.abs(z) > boundaries(design).critical
    stopped, when = out.any(axis=1), out.argmax(axis=1)
    for look, share in enumerate(plan.stagewise_power):
        assert_share((stopped & (when == look) & (z[:, look] > 0.0)).sum(), share)
    used = np.array(TIMES)[np.where(stopped, when, len(TIMES) - 1)]
    assert used.mean() == pytest.approx(plan.expected_fraction, abs=5.0 * used.std() / math.sqrt(TRIALS))


@pytest.mark.parametrize("family", FAMILIES)
def test_repeated_intervals_hold_the_truth_at_all_looks_together(family):
    """Whether or not anybody stops: 95% of trials, here with a drift of 2 and unplanned times."""
    z = paths(OFF_PLAN, 2.0)
    unit = 1.0 / np.sqrt(OFF_PLAN)
    critical = actual_boundaries(design_of(family), OFF_PLAN, final=True).critical
    interval = repeated_interval(z * unit, np.broadcast_to(unit, z.shape), critical)
    assert_share(((interval.low > 2.0) | (interval.high < 2.0)).any(axis=1).sum(), 0.05)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_repeated_p_value_is_uniform_under_the_null(family, sides):
    """At any level, not only at the design's."""
    z = paths(OFF_PLAN)
    p = repeated_p_values(z, OFF_PLAN, design_of(family, sides=sides), final=True).running[:, -1]
    for level in (0.001, 0.01, 0.05, 0.2, 0.5):
        assert_share((p <= level).sum(), level)


@pytest.mark.parametrize("drift", [0.0, 2.8])
@pytest.mark.parametrize(("family", "sides"), [(FAMILIES[1], 2), (FAMILIES[3], 2), (FAMILIES[4], 1)])
def test_after_a_stop_the_interval_covers_and_the_median_is_unbiased(family, sides, drift):
    """90% coverage on both sides of the truth, while the plain interval misses."""
    trials = 6_000
    z = paths(TIMES, drift, trials=trials)
    critical = boundaries(design_of(family, sides=sides)).critical
    out = (np.abs(z) if sides == 2 else z) > critical
    when = np.where(out.any(axis=1), out.argmax(axis=1), len(TIMES) - 1)
    low, middle, high, p = (np.empty(trials) for _ in range(4))
    for look in range(len(TIMES)):
        rows = when == look
        if rows.any():
            found = stagewise_inference(z[rows, look], fractions=TIMES[: look + 1], critical=critical, sides=sides, alpha=0.1)
            low[rows], middle[rows], high[rows], p[rows] = found.low, found.median_unbiased, found.high, found.p_above
    assert_share((low > drift).sum(), 0.05, trials)
    assert_share((high < drift).sum(), 0.05, trials)
    assert_share((middle > drift).sum(), 0.5, trials)
    if drift == 0.0:
        assert_share((p <= 0.1).sum(), 0.1, trials)
    else:
        naive = z[np.arange(trials), when] / np.sqrt(np.array(TIMES)[when])
        assert (naive > drift).mean() > 0.5
        assert naive.mean() - drift > 5.0 * naive.std() / math.sqrt(trials)


@pytest.mark.parametrize("binding", [False, True])
def test_futility_that_is_obeyed_costs_the_power_it_says_and_no_alpha(binding):
    design = design_of(FAMILIES[3], sides=1)
    plan = futility_boundaries(design, beta=0.2, binding=binding)
    for drift, share in ((0.0, 0.05), (plan.drift, 0.8)):
        z = paths(TIMES, drift)
        up, down = z > plan.efficacy, z < plan.futility
        over = up | down
        won = up[np.arange(TRIALS), over.argmax(axis=1)]
        if binding or drift:
            assert_share(won.sum(), share)
        else:
            assert won.sum() <= stats.binom.isf(SURPRISE, TRIALS, share)
