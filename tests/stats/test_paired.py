"""Pairs: McNemar's test with Tango's interval, signed ranks with Walsh's averages; each test and its interval are one fact."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.paired import MOST_PAIRS, PairCounts, mcnemar_test, signed_rank_test

SIDES = ("two-sided", "greater", "less")
DEPRESSION = (
    [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30],
    [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29],
)
"""Hollander & Wolfe (1973), table 3.1: depression scale before and after a tranquilizer, the example of R's `wilcox.test`."""


def counts(both=20, control_only=6, treatment_only=15, neither=40) -> PairCounts:
    return PairCounts(both=both, control_only=control_only, treatment_only=treatment_only, neither=neither)


def test_mcnemars_statistic_and_p_value():
    """statsmodels 0.15 `mcnemar(exact=False, correction=False)`."""
    found = mcnemar_test(counts())
    theirs = mcnemar([[20, 6], [15, 40]], exact=False, correction=False)
    assert (found.statistic**2, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-12)
    assert found.effect == pytest.approx(9 / 81)
    assert (found.n_control, found.n_treatment, found.method, found.interval_method) == (81, 81, "mcnemar", "tango")


@pytest.mark.parametrize("margin", [0.05, -0.1, 0.3])
def test_the_standard_error_is_that_of_the_largest_likelihood_under_a_margin(margin):
    """Tango (1998): the likelihood of the four cells maximised by SciPy under p_t - p_c = margin, to 1e-5."""
    pairs = counts()

    def loss(only_control: float) -> float:
        same = 1.0 - 2.0 * only_control - margin
        return -(pairs.control_only * math.log(only_control) + pairs.treatment_only * math.log(only_control + margin) + 60 * math.log(same))

    low, high = max(0.0, -margin) + 1e-9, (1.0 - margin) / 2.0 - 1e-9
    best = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    variance = (2 * best + margin - margin**2) / pairs.n
    assert mcnemar_test(pairs, margin=margin).std_error == pytest.approx(math.sqrt(variance), rel=1e-5)


def test_the_lift_knows_of_the_pairs():
    """Rates of the same pairs move together: the lift's interval is narrower than that of two independent arms."""
    alike, unlike = (
        mcnemar_test(counts(both=30, control_only=5, treatment_only=9)),
        mcnemar_test(counts(both=5, control_only=30, treatment_only=34)),
    )
    assert alike.effect == pytest.approx(4 / 84)
    width = [found.lift_interval.high - found.lift_interval.low for found in (alike, unlike)]
    assert width[0] < 0.6 * width[1]
    nothing = mcnemar_test(counts(both=0, control_only=0))
    assert (nothing.lift, nothing.lift_interval, nothing.notes) == (None, None, ("zero_rate",))


@settings(deadline=None, max_examples=120)
@given(
    cells=st.tuples(*(st.integers(0, most) for most in (30, 9, 9, 40))),
    alpha=st.floats(0.002, 0.9),
    side=st.sampled_from(SIDES),
    margin=st.sampled_from([0.0, 0.0, 0.1, -0.05]),
)
def test_mcnemars_p_value_and_tangos_interval_agree(cells, alpha, side, margin):
    both, control_only, treatment_only, neither = cells
    if control_only + treatment_only == 0:
        return
    found = mcnemar_test(counts(both, control_only, treatment_only, neither), alpha=alpha, alternative=side, margin=margin)
    assert (found.p_value < alpha) == found.interval.excludes(margin)
    mirrored = mcnemar_test(counts(both, treatment_only, control_only, neither), alpha=alpha, margin=-margin)
    if side == "two-sided":
        assert (mirrored.interval.low, mirrored.interval.high) == pytest.approx((-found.interval.high, -found.interval.low), abs=1e-9)


def test_pairs_are_counted_from_their_outcomes():
    assert PairCounts.from_values([1, 1, 0, 0, 0], [1, 0, 1, 1, 0]) == PairCounts(both=1, control_only=1, treatment_only=2, neither=1)


def test_signed_ranks_of_the_classical_example():
    """R's documented V = 40 and p = 0.01953 for `wilcox.test(x, y, paired = TRUE, alternative = "greater")`."""
    before, after = DEPRESSION
    found = signed_rank_test(after, before, alternative="greater")
    assert (found.statistic, round(found.p_value, 5)) == (40.0, 0.01953)
    assert found.interval.high == math.inf
    assert found.interval.low > 0.0


@pytest.mark.parametrize("n", [6, 25, 50, 51, 90])
@pytest.mark.parametrize("side", SIDES)
def test_without_ties_it_is_scipys(n, side):
    """SciPy 1.17 `wilcoxon`: exact up to 50 pairs, then normal with continuity correction; 1e-10."""
    rng = np.random.default_rng(n)
    control = rng.normal(10.0, 3.0, n)
    treatment = control + rng.normal(0.4, 1.0, n)
    theirs = stats.wilcoxon(treatment - control, alternative=side, method="exact" if n <= 50 else "approx", correction=True)
    found = signed_rank_test(control, treatment, alternative=side)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-10)
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(treatment - control, 2)]
    assert found.effect == pytest.approx(np.median(walsh), rel=1e-12)


@settings(deadline=None, max_examples=150)
@given(
    values=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=70),
    alpha=st.floats(0.005, 0.9),
    side=st.sampled_from(SIDES),
    margin=st.sampled_from([0.0, 0.0, 1.0, -0.5]),
    halves=st.booleans(),
)
def test_signed_ranks_and_their_interval_agree_however_many_ties(values, alpha, side, margin, halves):
    """Small whole numbers: most differences are 0 or equal, and still p < alpha if and only if the interval leaves the margin out."""
    control, treatment = (np.array(column, dtype=float) / (2 if halves else 1) for column in zip(*values, strict=True))
    try:
        found = signed_rank_test(control, treatment, alpha=alpha, alternative=side, margin=margin)
    except DataError:
        return  # constant, or too few for the level
    assert (found.p_value < alpha) == found.interval.excludes(margin)
    assert found.interval.low <= found.interval.high


def test_an_interval_that_ends_at_the_null_says_so():
    """Twenty zeros and twelve gains: the test rejects, the interval begins just above 0."""
    control = np.zeros(32)
    treatment = np.concatenate([np.zeros(20), np.arange(1.0, 13.0)])
    found = signed_rank_test(control, treatment)
    assert found.p_value < 0.05
    assert 0.0 < found.interval.low < 1e-300
    assert found.notes == ("tied_pairs",)


def test_the_interval_holds_what_is_not_rejected():
    """Every margin on a fine grid, judged by the test itself."""
    rng = np.random.default_rng(5)
    control = rng.normal(size=14)
    treatment = control + rng.normal(0.5, 1.0, 14)
    ends = signed_rank_test(control, treatment, alpha=0.1).interval
    for margin in np.linspace(-2.0, 3.0, 251):
        held = signed_rank_test(control, treatment, alpha=0.1, margin=float(margin)).p_value >= 0.1
        assert held == (ends.low <= margin <= ends.high)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: counts(both=-1), UsageError),
        (lambda: counts(both=0.5), UsageError),
        (lambda: PairCounts.from_values([0, 2], [1, 1]), UsageError),
        (lambda: PairCounts.from_values([0, 1], [1]), UsageError),
        (lambda: mcnemar_test(counts(control_only=0, treatment_only=0)), DataError),
        (lambda: mcnemar_test(counts(), margin=-1.0), UsageError),
        (lambda: mcnemar_test(counts(), alpha=0.0), UsageError),
        (lambda: mcnemar_test(counts(), alternative="up"), UsageError),
        (lambda: signed_rank_test([1.0, 2.0], [2.0]), UsageError),
        (lambda: signed_rank_test([1.0, 2.0], [2.0, 3.0]), DataError),
        (lambda: signed_rank_test([1.0, 2.0], [2.0, math.inf]), DataError),
        (lambda: signed_rank_test([1.0, 2.0, 3.0], [2.0, 3.5, 1.0]), NotEnoughDataError),
        (lambda: signed_rank_test([1.0, 2.0], [2.0, 5.0], margin=math.nan), UsageError),
        (lambda: signed_rank_test(np.zeros(MOST_PAIRS + 1), np.arange(MOST_PAIRS + 1.0)), UsageError),
    ],
)
def test_bad_input_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("law", ["normal", "laplace", "counts"])
def test_sizes_of_the_paired_tests_hold(law):
    """4,000 experiments of 40 pairs without an effect: at most alpha (exact binomial bound at 1e-4), not far below without ties."""
    rng = np.random.default_rng(31)
    runs, n = 4_000, 40
    base = rng.poisson(1.0, (runs, n)) if law == "counts" else rng.normal(size=(runs, n))
    other = (
        rng.poisson(1.0, (runs, n))
        if law == "counts"
        else base + (rng.laplace(size=(runs, n)) if law == "laplace" else rng.normal(size=(runs, n)))
    )
    rejected = sum(signed_rank_test(a, b).p_value < 0.05 for a, b in zip(base.astype(float), other.astype(float), strict=True))
    assert stats.binom.sf(rejected - 1, runs, 0.05) > 1e-4
    assert rejected > (0.01 if law == "counts" else 0.04) * runs


@pytest.mark.slow
def test_mcnemars_interval_covers():
    """4,000 experiments of 120 pairs: coverage of the difference within an exact binomial bound of 95%, 1 point of slack."""
    rng = np.random.default_rng(8)
    runs, truth = 4_000, np.array([0.30, 0.08, 0.17, 0.45])
    held = 0
    for both, control_only, treatment_only, neither in rng.multinomial(120, truth, runs).tolist():
        interval = mcnemar_test(counts(both, control_only, treatment_only, neither)).interval
        held += interval.low <= 0.09 <= interval.high
    assert stats.binom.cdf(held, runs, 0.94) > 1e-4
    assert stats.binom.sf(held - 1, runs, 0.96) > 1e-4
