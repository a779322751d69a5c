"""The test of two proportions: published and required values, one fact in two readings, and honest refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.proportions import ProportionContrast, fisher_exact_p, name_of_test, two_proportion_test

METHODS = ["score", "miettinen-nurminen", "newcombe", "agresti-caffo", "wald"]
ALTERNATIVES = ["two-sided", "greater", "less"]
SIX_DECIMALS = 5e-7
"""REQUIREMENTS.md prints floats with six decimals (G-3)."""


def contrast_of(x_c, n_c, x_t, n_t, ci_method="score"):
    arrays = [np.asarray(v, dtype=np.float64) for v in (x_c, n_c, x_t, n_t)]
    return ProportionContrast(
        successes_control=arrays[0], n_control=arrays[1], successes_treatment=arrays[2], n_treatment=arrays[3], ci_method=ci_method
    )


def ends(interval):
    return interval.low, interval.high


def near(low, high):
    return pytest.approx((low, high), abs=SIX_DECIMALS)


class TestGoldenValues:
    """Values that REQUIREMENTS.md states: II.b (45/800 against 8/200), IV.b (5/500 against 28/9500)."""

    def test_the_results_golden_is_not_significant(self):
        """G-12, II.b."""
        result = two_proportion_test(8, 200, 45, 800)
        assert result.method == "two_proportion_z_pooled"
        assert result.effect == pytest.approx(0.01625, rel=1e-12)
        assert result.statistic == pytest.approx(0.917488, abs=SIX_DECIMALS)
        assert result.p_value == pytest.approx(0.358887, abs=SIX_DECIMALS)
        assert ends(result.interval) == near(-0.022924, 0.043565)
        assert result.lift == pytest.approx(0.40625, rel=1e-12)
        assert ends(result.lift_interval) == near(-0.326298, 1.935330)
        assert result.lift_method == "log"
        assert result.notes == ()
        assert result.statistic * result.std_error == pytest.approx(result.effect, rel=1e-12)

    @pytest.mark.parametrize(
        ("method", "low", "high"),
        [("newcombe", -0.023228, 0.042985), ("miettinen-nurminen", -0.022948, 0.043577), ("wald", -0.015253, 0.047753)],
    )
    def test_intervals_by_choice(self, method, low, high):
        """G-12, II.b."""
        assert ends(two_proportion_test(8, 200, 45, 800, ci_method=method).interval) == near(low, high)

    def test_miettinen_and_nurminens_own_p_value(self):
        """G-12, II.b: four significant digits."""
        assert two_proportion_test(8, 200, 45, 800, ci_method="miettinen-nurminen").p_value == pytest.approx(0.3591, abs=5e-5)

    def test_a_small_expected_cell_gives_fishers_p_value(self):
        """G-12, IV.b."""
        result = two_proportion_test(28, 9500, 5, 500)
        assert contrast_of(28, 9500, 5, 500).statistic.item() == pytest.approx(2.680148, abs=SIX_DECIMALS)
        assert (result.method, result.notes, result.statistic) == ("fisher_exact", ("small_counts",), None)
        assert result.p_value == pytest.approx(0.022814751960249, rel=1e-10)  # scipy.stats.fisher_exact 1.17
        assert ends(result.interval) == near(0.001179, 0.020273)
        assert ends(two_proportion_test(28, 9500, 5, 500, ci_method="newcombe").interval) == near(0.001184, 0.020277)

    def test_the_exact_p_value_of_the_results_golden(self):
        """II.b."""
        assert fisher_exact_p(contrast_of(8, 200, 45, 800)).item() == pytest.approx(0.4798, abs=5e-5)


counts = st.integers(5, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None)
@given(control=counts, treatment=counts, alpha=st.floats(0.0005, 0.6), margin=st.sampled_from([0.0, -0.3, -0.02, 0.001, 0.05, 0.9]))
def test_the_interval_leaves_the_margin_out_exactly_when_p_is_below_alpha(method, alternative, control, treatment, alpha, margin):
    """G-12: `significant` is one fact in two readings."""
    contrast = contrast_of(*control, *treatment, ci_method=method)
    if contrast.undefined.item():
        return
    p = contrast.p_value(alternative=alternative, margin=margin).item()
    low, high = (end.item() for end in contrast.interval(alpha=alpha, alternative=alternative))
    excluded = margin < low or margin > high
    if abs(p - alpha) > 1e-9:
        assert excluded == (p < alpha)


@settings(max_examples=60, deadline=None)
@given(control=counts, treatment=counts)
def test_swapping_the_arms_negates_the_effect_and_keeps_the_p_value(control, treatment):
    """G-12."""
    here, there = contrast_of(*control, *treatment), contrast_of(*treatment, *control)
    assert there.undefined.item() == here.undefined.item()
    np.testing.assert_allclose(there.effect, -here.effect, atol=1e-15)
    np.testing.assert_allclose(there.statistic, -here.statistic, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(there.p_value(alternative="less"), here.p_value(alternative="greater"), rtol=1e-9)
    np.testing.assert_allclose(there.interval(alpha=0.1)[0], -here.interval(alpha=0.1)[1], rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(control=counts, treatment=counts, alpha=st.floats(0.01, 0.4))
def test_a_one_sided_interval_is_half_of_a_two_sided_one_at_twice_alpha(control, treatment, alpha):
    contrast = contrast_of(*control, *treatment)
    low, high = contrast.interval(alpha=2 * alpha)
    np.testing.assert_array_equal(contrast.interval(alpha=alpha, alternative="greater")[0], low)
    np.testing.assert_array_equal(contrast.interval(alpha=alpha, alternative="less")[1], high)


@pytest.mark.parametrize("table", [(120, 2400, 156, 2400), (500, 10_000, 600, 10_000), (14, 28, 16, 30), (0, 40, 6, 45), (30, 30, 25, 30)])
def test_values_are_those_of_statsmodels(table):
    x_c, n_c, x_t, n_t = table
    z, p = proportions_ztest([x_t, x_c], [n_t, n_c])
    contrast = contrast_of(*table)
    assert contrast.statistic.item() == pytest.approx(z, rel=1e-12)
    assert contrast.p_value().item() == pytest.approx(p, rel=1e-10)
    for ours, theirs in (("newcombe", "newcomb"), ("agresti-caffo", "agresti-caffo"), ("wald", "wald")):
        low, high = contrast_of(*table, ci_method=ours).interval(alpha=0.1)
        assert (low.item(), high.item()) == pytest.approx(
            confint_proportions_2indep(x_t, n_t, x_c, n_c, method=theirs, alpha=0.1), rel=1e-9
        )


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_any_shape_equals_its_entries(method):
    rng = np.random.default_rng(3)
    n_c, n_t = rng.integers(2, 5000, (2, 3, 4))
    x_c, x_t = rng.binomial(n_c, 0.3), rng.binomial(n_t, 0.35)
    batch = contrast_of(x_c, n_c, x_t, n_t, ci_method=method)
    alphas, margins = rng.uniform(0.001, 0.2, (3, 4)), rng.uniform(-0.3, 0.3, (3, 4))
    p, (low, high) = batch.p_value(margin=margins), batch.interval(alpha=alphas)
    for i in np.ndindex(3, 4):
        alone = contrast_of(x_c[i], n_c[i], x_t[i], n_t[i], ci_method=method)
        assert alone.p_value(margin=margins[i]).item() == pytest.approx(p[i], rel=1e-9)
        assert [end.item() for end in alone.interval(alpha=alphas[i])] == pytest.approx([low[i], high[i]], rel=1e-10)


def test_arms_broadcast_against_each_other():
    contrast = contrast_of(10, 100, [12, 15, 20], [100, 110, 120])
    assert contrast.effect.shape == contrast.p_value().shape == contrast.interval(alpha=0.05)[0].shape == (3,)
    assert contrast.control.tolist() == [0.1, 0.1, 0.1]


def test_a_batch_says_what_lifts_and_reports_need_to_know():
    contrast = contrast_of([10, 20], [100, 100], [12, 15], [100, 110])
    assert contrast.df.tolist() == [np.inf, np.inf]
    assert contrast.covariance.tolist() == [0.0, 0.0]
    assert contrast.control_variance.tolist() == pytest.approx([0.1 * 0.9 / 100, 0.2 * 0.8 / 100])
    assert contrast.treatment_variance.tolist() == pytest.approx([0.12 * 0.88 / 100, 15 * 95 / 110**3])


def test_tails_keep_their_digits():
    """G-12: 2 sf(9) = 2.257e-19, not 0."""
    n = 1_000_000
    contrast = contrast_of(100_000, n, 103_850, n)
    z = contrast.statistic.item()
    assert z > 8.9
    assert 0.0 < contrast.p_value().item() < 1e-18


class TestUndefined:
    """G-5, G-12: zero variance or an empty arm has no inference and says so."""

    @pytest.mark.parametrize(
        ("table", "code"),
        [((0, 0, 3, 9), "empty_arm"), ((3, 9, 0, 0), "empty_arm"), ((0, 5, 0, 9), "no_variance"), ((5, 5, 9, 9), "no_variance")],
    )
    def test_is_refused_for_one_comparison(self, table, code):
        with pytest.raises(DataError) as refused:
            two_proportion_test(*table)
        assert refused.value.code == code

    def test_walds_zero_width_interval_is_refused(self):
        assert contrast_of(0, 10, 10, 10).unavailable() is None
        unavailable = contrast_of(0, 10, 10, 10, "wald").unavailable()
        assert unavailable is not None
        assert "Wald" in unavailable.reason

    @pytest.mark.parametrize("method", METHODS)
    def test_leaves_the_other_entries_of_a_batch_alone(self, method):
        batch = contrast_of([0, 8, 0, 5], [0, 200, 7, 5], [3, 45, 0, 9], [9, 800, 8, 9], method)
        assert batch.undefined.tolist() == [True, False, True, True]
        assert [u and u.code for u in (batch.unavailable(i) for i in range(4))] == ["empty_arm", None, "no_variance", "no_variance"]
        alone = contrast_of(8, 200, 45, 800, method)
        for ours, theirs in (
            (batch.p_value(), alone.p_value()),
            (batch.std_error, alone.std_error),
            (batch.statistic, alone.statistic),
            *zip(batch.interval(alpha=0.05), alone.interval(alpha=0.05), strict=True),
        ):
            assert np.isnan(ours).tolist() == [True, False, True, True]
            assert ours[1] == pytest.approx(theirs.item(), rel=1e-12)
        assert batch.small_counts.tolist() == [False, False, False, False]


class TestSmallCounts:
    @pytest.mark.parametrize("method", METHODS)
    def test_any_expected_cell_below_five_is_small(self, method):
        """G-12: the expected count, not the observed one, decides."""
        # Pooled rate 10/100: expected successes 4.9 of 49 and 5.1 of 51; then 5 of 50 exactly.
        assert contrast_of(0, 49, 10, 51, method).small_counts.item()
        assert not contrast_of(0, 50, 10, 50, method).small_counts.item()
        assert contrast_of(49, 49, 41, 51, method).small_counts.item()

    def test_a_margin_keeps_the_score_test(self):
        result = two_proportion_test(28, 9500, 5, 500, margin=-0.001, alternative="greater")
        assert (result.method, result.notes) == ("two_proportion_score", ("small_counts",))
        assert result.p_value == pytest.approx(contrast_of(28, 9500, 5, 500).p_value(alternative="greater", margin=-0.001).item())

    @pytest.mark.parametrize("alternative", ALTERNATIVES)
    def test_the_exact_test_is_as_sided_as_asked(self, alternative):
        result = two_proportion_test(1, 20, 6, 20, alternative=alternative)
        assert result.p_value == fisher_exact_p(contrast_of(1, 20, 6, 20), alternative=alternative).item()

    def test_only_the_chosen_entries_are_exact(self):
        batch = contrast_of([28, 8], [9500, 200], [5, 45], [500, 800])
        p = fisher_exact_p(batch, where=batch.small_counts)
        assert np.isnan(p).tolist() == [False, True]


class TestLift:
    def test_a_control_without_conversions_has_no_lift(self):
        """G-5."""
        result = two_proportion_test(0, 400, 40, 400)
        assert (result.lift, result.lift_interval, result.lift_method, result.notes) == (None, None, None, ("zero_rate",))

    def test_a_treatment_without_conversions_has_a_lift_without_interval(self):
        result = two_proportion_test(40, 400, 0, 400)
        assert (result.lift, result.lift_interval, result.notes) == (-1.0, None, ("zero_rate",))

    @pytest.mark.parametrize(("alternative", "infinite"), [("greater", (False, True)), ("less", (True, False))])
    def test_is_one_sided_with_the_test(self, alternative, infinite):
        result = two_proportion_test(80, 2000, 120, 2000, alternative=alternative)
        both = two_proportion_test(80, 2000, 120, 2000, alpha=0.1)
        assert (np.isinf(result.lift_interval.low), np.isinf(result.lift_interval.high)) == infinite
        side = "low" if alternative == "greater" else "high"
        assert getattr(result.lift_interval, side) == pytest.approx(getattr(both.lift_interval, side))


class TestBadInput:
    @pytest.mark.parametrize(
        "table", [(9, 8, 1, 5), (-1, 8, 1, 5), (1, 8, 0.5, 5), (1, float("nan"), 1, 5), (float("nan"), 8, 1, 5), (1, 8, 1, float("inf"))]
    )
    def test_counts_that_are_none_are_refused(self, table):
        with pytest.raises(UsageError, match="whole numbers"):
            two_proportion_test(*table)

    @pytest.mark.parametrize(
        "options", [{"alpha": 95}, {"alpha": 0.0}, {"margin": 1.0}, {"margin": -5}, {"alternative": "larger"}, {"ci_method": "mee"}]
    )
    def test_options_outside_their_range_are_refused(self, options):
        with pytest.raises(UsageError):
            two_proportion_test(8, 200, 45, 800, **options)

    def test_one_margin_outside_the_range_is_enough(self):
        with pytest.raises(UsageError, match=r"\(-1, 1\)"):
            contrast_of([1, 2], [9, 9], [3, 4], [9, 9]).p_value(margin=[0.1, np.nan])


@pytest.mark.parametrize(
    ("method", "margin", "name"),
    [
        ("score", 0.0, "two_proportion_z_pooled"),
        ("score", -0.01, "two_proportion_score"),
        ("wald", 0.0, "two_proportion_z_unpooled"),
        ("miettinen-nurminen", 0.0, "two_proportion_miettinen_nurminen"),
    ],
)
def test_a_test_is_named_after_what_it_computes(method, margin, name):
    assert name_of_test(method, margin) == name
    assert two_proportion_test(80, 2000, 120, 2000, ci_method=method, margin=margin).method == name
