"""Mann-Whitney with its shift: the interval inverts the test, and differences are found without being written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats import shift
from fairtrial.stats.ranks import hodges_lehmann_shift, mann_whitney_test
from fairtrial.stats.shift import difference_quantiles, hodges_lehmann_test


def drawn(seed: int, n: int, m: int, *, move: float = 0.0, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    control, treatment = rng.lognormal(size=n), rng.lognormal(size=m) + move
    return (control, treatment) if decimals is None else (np.round(control, decimals), np.round(treatment, decimals))


def test_the_shift_of_students_sleep_data():
    """R 4.2.2, wilcox.test(x, y, conf.int = TRUE, exact = FALSE, correct = TRUE): 1.35 with p 0.06933 (Student 1908)."""
    control = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    treatment = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = hodges_lehmann_test(control, treatment)
    assert found.effect == pytest.approx(1.35, abs=1e-9)
    assert found.p_value == pytest.approx(0.06933, abs=5e-6)
    assert found.interval.low <= 0.0 <= found.interval.high
    assert (found.control, found.treatment) == (pytest.approx(0.35), pytest.approx(1.75))


@given(st.integers(0, 10_000), st.integers(5, 40), st.integers(5, 40), st.sampled_from(["two-sided", "greater", "less"]))
@settings(max_examples=60, deadline=None)
def test_p_value_and_interval_agree_without_ties_between_the_arms(seed, n, m, alternative):
    """Property: below alpha exactly when the interval leaves the margin out; the effect lies inside."""
    control, treatment = drawn(seed, n, m, move=0.4)
    for margin in (0.0, 0.3):
        found = hodges_lehmann_test(control, treatment, alternative=alternative, margin=margin, alpha=0.1)
        assert (found.p_value < 0.1) == found.interval.excludes(margin)
        assert found.notes == ()
        assert found.interval.low <= found.effect <= found.interval.high
        own = mann_whitney_test(control, treatment - margin, alternative=alternative)
        assert found.p_value == own.p_value


@given(st.integers(0, 10_000), st.sampled_from([None, 0, 1]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_places_among_the_differences_are_exact(seed, decimals, few):
    """Property: against all differences written out, also when bisection must narrow them down first."""
    control, treatment = (np.sort(values) for values in drawn(seed, 23, 17, decimals=decimals))
    every = np.sort(np.subtract.outer(treatment, control).ravel())
    ranks = [1, 2, 100, 195, 196, 390, 391]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shift, "MOST_SORTED", 5 if few else 2_000_000)
        found = difference_quantiles(control, treatment, ranks)
    assert [found[rank] for rank in ranks] == pytest.approx([every[rank - 1] for rank in ranks], abs=1e-12)


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.1, 20))
@settings(max_examples=30, deadline=None)
def test_shifting_and_scaling_move_the_estimate_as_they_should(seed, by, factor):
    control, treatment = drawn(seed, 20, 25)
    plain = hodges_lehmann_test(control, treatment)
    moved = hodges_lehmann_test(control * factor + by, treatment * factor + by)
    assert moved.effect == pytest.approx(plain.effect * factor, rel=1e-9, abs=1e-9)
    assert moved.interval.low == pytest.approx(plain.interval.low * factor, rel=1e-9, abs=1e-9)


def test_swapping_the_arms_turns_the_shift_round():
    control, treatment = drawn(3, 20, 31)
    there, back = hodges_lehmann_test(control, treatment), hodges_lehmann_test(treatment, control)
    assert back.effect == pytest.approx(-there.effect)
    assert (back.interval.low, back.interval.high) == pytest.approx((-there.interval.high, -there.interval.low))
    assert back.p_value == pytest.approx(there.p_value)
    assert back.statistic == pytest.approx(-there.statistic)


def test_the_shift_is_the_median_of_all_differences():
    control, treatment = drawn(7, 30, 41, decimals=1)
    assert hodges_lehmann_test(control, treatment).effect == pytest.approx(hodges_lehmann_shift(control, treatment), abs=1e-12)


def test_ties_between_the_arms_are_said_where_no_shift_describes_them(monkeypatch):
    """A zero that most units share: significant by ranks, and a shift of exactly 0."""
    monkeypatch.setattr(shift, "MOST_SORTED", 1_000)
    control, treatment = np.repeat([0.0, 1.0], [900, 100]), np.repeat([0.0, 1.0], [800, 200])
    found = hodges_lehmann_test(control, treatment)
    assert found.p_value < 1e-8
    assert (found.effect, found.interval.low, found.interval.high) == (0.0, 0.0, 0.0)
    assert found.notes == ("tied_ranks",)


def test_large_arms_take_no_more_memory_than_their_values():
    """A million differences a unit would be 4e10: the shift of 200,000 + 200,000 units, against its known value."""
    rng = np.random.default_rng(11)
    found = hodges_lehmann_test(rng.normal(size=200_000), rng.normal(0.02, 1.0, 200_000))
    assert abs(found.effect - 0.02) < 4.0 * np.sqrt(np.pi / 3 * 2 / 200_000)
    assert found.interval.high - found.interval.low == pytest.approx(2 * 1.96 * np.sqrt(np.pi / 3 * 2 / 200_000), rel=0.05)


def test_bad_input_is_refused():
    fine = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    with pytest.raises(UsageError, match="alpha"):
        hodges_lehmann_test(fine, fine, alpha=5)
    with pytest.raises(UsageError, match="alternative"):
        hodges_lehmann_test(fine, fine, alternative="more")
    with pytest.raises(UsageError, match="margin"):
        hodges_lehmann_test(fine, fine, margin=float("nan"))
    with pytest.raises(NotEnoughDataError, match="two units"):
        hodges_lehmann_test([1.0], fine)
    with pytest.raises(NotEnoughDataError, match="too small to bound"):
        hodges_lehmann_test([1.0, 2.0], [3.0, 4.0], alpha=0.01)
    with pytest.raises(DataError, match="finite"):
        hodges_lehmann_test(fine, [1.0, np.inf])
    with pytest.raises(DataError, match="all are equal"):
        hodges_lehmann_test([1.0, 1.0], [1.0, 1.0])
    with pytest.raises(DataError, match="differ"):
        hodges_lehmann_test([1.0] * 5, [2.0] * 5, margin=1.0)
    with pytest.raises(UsageError, match=r"lie in 1\.\.36"):
        difference_quantiles(np.array(fine), np.array(fine), [37])


def test_arms_that_vary_only_from_each_other_have_no_interval():
    with pytest.raises(DataError) as error:
        shift._std_dev(2, 2, np.ones(4))
    assert error.value.code == "no_variance"


@pytest.mark.slow
def test_its_interval_covers_the_shift():
    """Calibration: 4,000 experiments of 25 + 40 skewed units; coverage and size within exact 99.9% binomial bounds."""
    runs, rng = 4_000, np.random.default_rng(77)
    missed = 0
    for _ in range(runs):
        found = hodges_lehmann_test(rng.lognormal(size=25), rng.lognormal(size=40) + 0.5)
        missed += found.interval.excludes(0.5)
    assert missed <= stats.binom.ppf(0.9995, runs, 0.05)
    assert missed >= stats.binom.ppf(0.0005, runs, 0.035)
