"""Several p-values as one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.combine import combine_families, combined_p_value

P = [0.04, 0.05, 0.06, 0.5]
METHODS = ("fisher", "stouffer", "tippett", "simes", "bonferroni", "cauchy", "harmonic")


@pytest.mark.parametrize("method", ["fisher", "stouffer", "tippett"])
def test_as_scipy_combines_them(method):
    """scipy.stats.combine_pvalues, relative 1e-10."""
    theirs = stats.combine_pvalues(P, method=method)
    found = combined_p_value(P, method=method)
    assert (found.statistic, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-10)
    assert (found.k, found.method) == (4, method)


def test_weights_of_stouffer_and_cauchy():
    """scipy.stats.combine_pvalues; Liu & Xie (2020), equation 1, through scipy.stats.cauchy."""
    theirs = stats.combine_pvalues(P, method="stouffer", weights=[3, 1, 1, 2])
    assert combined_p_value(P, method="stouffer", weights=[3, 1, 1, 2]).p_value == pytest.approx(theirs.pvalue, rel=1e-10)
    mixed = np.average(stats.cauchy.isf(P), weights=[3, 1, 1, 2])
    assert combined_p_value(P, method="cauchy", weights=[3, 1, 1, 2]).p_value == pytest.approx(stats.cauchy.sf(mixed), rel=1e-10)


def test_by_hand():
    """Simes (1986), section 1: min of 4 x .04 / 1, 4 x .05 / 2, 4 x .06 / 3, 4 x .5 / 4; Vovk & Wang (2020), table 1: e ln 4."""
    assert combined_p_value(P, method="simes").p_value == pytest.approx(0.08)
    assert combined_p_value(P, method="bonferroni").p_value == pytest.approx(0.16)
    assert combined_p_value(P, method="harmonic").p_value == pytest.approx(math.e * math.log(4) * stats.hmean(P))
    assert combined_p_value(P[:2], method="harmonic").p_value == pytest.approx(2 * stats.hmean(P[:2]))


@pytest.mark.parametrize("method", METHODS)
def test_one_p_value_is_itself(method):
    assert combined_p_value([0.03], method=method).p_value == pytest.approx(0.03, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_many_families_are_each_family(method):
    families = np.random.default_rng(0).uniform(size=(3, 2, 5))
    found = combine_families(families, method=method)
    assert found.p_value.shape == (3, 2)
    assert found.p_value[2, 1] == pytest.approx(combined_p_value(families[2, 1], method=method).p_value, rel=1e-12)


@given(p=st.lists(st.floats(1e-12, 0.999), min_size=1, max_size=8), method=st.sampled_from(METHODS), factor=st.floats(0.1, 1))
@settings(max_examples=150, deadline=None)
def test_smaller_p_values_never_give_a_larger_one(p, method, factor):
    assert combined_p_value([x * factor for x in p], method=method).p_value <= combined_p_value(p, method=method).p_value * (1 + 1e-9)
    assert 0 <= combined_p_value(p, method=method).p_value <= 1


@pytest.mark.parametrize("method", METHODS)
def test_tiny_p_values_stay_numbers(method):
    found = combined_p_value([1e-305, 0.5], method=method)
    assert math.isfinite(found.statistic)
    assert 0.0 < found.p_value < 1e-140


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: combined_p_value(P, method="pearson"), UnknownNameError, "fisher"),
        (lambda: combined_p_value([]), UsageError, "at least one"),
        (lambda: combined_p_value([0.0, 0.5]), UsageError, "lost its digits"),
        (lambda: combined_p_value([1.2]), UsageError, r"\(0, 1\]"),
        (lambda: combined_p_value([math.nan]), UsageError, r"\(0, 1\]"),
        (lambda: combined_p_value([P]), UsageError, "combine_families"),
        (lambda: combined_p_value(P, weights=[1, 1, 1, 1]), UsageError, "not by 'fisher'"),
        (lambda: combined_p_value(P, method="stouffer", weights=[1, 1]), UsageError, "weight > 0"),
        (lambda: combined_p_value(P, method="stouffer", weights=[1, 1, 0, 1]), UsageError, "weight > 0"),
        (lambda: combined_p_value([1.0, 0.5], method="stouffer"), UsageError, "minus infinity"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.slow
def test_the_size_under_dependence_is_what_the_table_says():
    """200,000 families of ten one-sided p-values, equicorrelated .5: Fisher errs too often, the others hold, Cauchy to a third."""
    rng, families = np.random.default_rng(2), 200_000
    z = math.sqrt(0.5) * rng.normal(size=(families, 1)) + math.sqrt(0.5) * rng.normal(size=(families, 10))
    p = stats.norm.sf(z)
    wrong = {method: int((combine_families(p, method=method).p_value < 0.05).sum()) for method in METHODS}
    assert wrong["fisher"] > 0.08 * families
    for method, bound in (("simes", 0.05), ("bonferroni", 0.05), ("harmonic", 0.05), ("cauchy", 0.066)):
        assert stats.binomtest(wrong[method], families, bound, alternative="greater").pvalue > 1e-4
    independent = rng.uniform(size=(families, 10))
    for method in ("fisher", "stouffer", "tippett", "simes"):
        assert stats.binomtest(int((combine_families(independent, method=method).p_value < 0.05).sum()), families, 0.05).pvalue > 1e-4
