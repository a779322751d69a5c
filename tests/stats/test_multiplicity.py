"""Corrections are those of statsmodels and the papers, and each local level tells the same story as its p-value."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.spec.plan import Correction
from fairtrial.stats.multiplicity import Method, adjust, adjust_fixed_sequence, adjust_weighted_bonferroni

STATSMODELS = {
    "bonferroni": "bonferroni",
    "sidak": "sidak",
    "holm-sidak": "holm-sidak",
    "hochberg": "simes-hochberg",
    "hommel": "hommel",
    "benjamini-hochberg": "fdr_bh",
    "benjamini-yekutieli": "fdr_by",
}
METHODS = get_args(Method)
FAMILY = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1.0]
"""Benjamini & Hochberg (1995), section 3.2; G of section V.b."""

p_values = st.one_of(st.floats(0.0, 1.0), st.floats(0.0, 0.05), st.sampled_from([0.0, 1e-300, 0.01, 0.025, 0.05, 1.0]))
families = st.lists(p_values, min_size=1, max_size=12)


def test_the_required_golden_values():
    """V.b: BH rejects 4, Bonferroni 3."""
    bh = adjust(FAMILY, "benjamini-hochberg")
    np.testing.assert_allclose(bh.p_adjusted[:4], [0.0015, 0.003, 0.0095, 0.035625], rtol=1e-12)
    assert (bh.p_adjusted < 0.05).sum() == 4
    assert (adjust(FAMILY, "bonferroni").p_adjusted < 0.05).sum() == 3


def test_every_declared_correction_is_offered():
    """Dunnett's and the weighted one need more than p-values: `many_to_one`, and `adjust_weighted_bonferroni`."""
    assert set(get_args(Correction)) - {"dunnett", "weighted-bonferroni"} <= set(METHODS)


@pytest.mark.parametrize("method", STATSMODELS)
@settings(max_examples=50, deadline=None)
@given(family=families)
def test_corrected_p_values_are_those_of_statsmodels(method, family):
    with np.errstate(divide="ignore"):
        theirs = multipletests(family, method=STATSMODELS[method])[1]
    np.testing.assert_allclose(adjust(family, method).p_adjusted, np.minimum(theirs, 1.0), rtol=1e-9, atol=1e-300)


def bonferroni(p):
    return min(1.0, len(p) * min(p))


def simes(p):
    return min(len(p) * value / rank for rank, value in enumerate(sorted(p), start=1))


@pytest.mark.parametrize(("method", "local_test"), [("holm", bonferroni), ("hommel", simes)])
@settings(max_examples=40, deadline=None)
@given(family=st.lists(p_values, min_size=1, max_size=6))
def test_holm_and_hommel_are_closed_tests(method, local_test, family):
    # Marcus, Peritz & Gabriel (1976), Biometrika 63, 655-660: reject what every intersection that holds it rejects.
    k = len(family)
    subsets = [[i for i in range(k) if mask >> i & 1] for mask in range(1, 2**k)]
    tested = [(subset, local_test([family[i] for i in subset])) for subset in subsets]
    closed = [max(p for subset, p in tested if i in subset) for i in range(k)]
    np.testing.assert_allclose(adjust(family, method).p_adjusted, closed, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(family=families, alpha=st.floats(0.001, 0.4))
def test_p_lies_below_its_local_level_exactly_when_it_is_rejected(method, family, alpha):
    """DESIGN section 5: intervals and corrected p-values agree."""
    adjusted = adjust(family, method, alpha=alpha)
    assert ((adjusted.local_alpha > 0.0) | (np.asarray(family) < 1e-290)).all()
    assert (adjusted.local_alpha <= alpha * (1 + 1e-12)).all()
    for p, p_adjusted, level in zip(family, adjusted.p_adjusted, adjusted.local_alpha, strict=True):
        if abs(p_adjusted - alpha) > 1e-12:
            assert (p < level) == (p_adjusted < alpha)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(family=families, seed=st.integers(0, 1000))
def test_order_does_not_matter_and_ties_stay_ties(method, family, seed):
    order = np.random.default_rng(seed).permutation(len(family))
    here, there = adjust(family, method), adjust(np.array(family)[order], method)
    np.testing.assert_array_equal(there.p_adjusted, here.p_adjusted[order])
    np.testing.assert_array_equal(there.local_alpha, here.local_alpha[order])
    tied = np.equal.outer(family, family)
    assert (here.p_adjusted[:, None] == here.p_adjusted)[tied].all()


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(family=families)
def test_corrected_p_values_never_fall_and_keep_the_order(method, family):
    p, adjusted = np.array(family), adjust(family, method).p_adjusted
    assert (adjusted >= p * (1 - 1e-12)).all()
    assert (adjusted <= 1.0).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-15).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_family_of_one_is_left_as_it_is(method):
    alone = adjust([0.03], method, alpha=0.04)
    assert alone.p_adjusted == pytest.approx([0.03])
    assert alone.local_alpha == pytest.approx([0.04])
    assert alone.simultaneous


@pytest.mark.parametrize("method", METHODS)
def test_families_along_the_last_axis_are_corrected_apart(method):
    rng = np.random.default_rng(5)
    p = rng.uniform(size=(3, 4, 6)) ** 3
    batch = adjust(p, method)
    for index in np.ndindex(3, 4):
        alone = adjust(p[index], method)
        np.testing.assert_array_equal(batch.p_adjusted[index], alone.p_adjusted)
        np.testing.assert_array_equal(batch.local_alpha[index], alone.local_alpha)


def test_levels_of_the_methods():
    assert adjust([0.01, 0.02, 0.9], "bonferroni").local_alpha == pytest.approx([0.05 / 3] * 3)
    assert adjust([0.01, 0.02, 0.9], "holm").local_alpha == pytest.approx([0.05 / 3, 0.05 / 2, 0.05])
    assert adjust([0.01, 0.02, 0.9], "benjamini-hochberg").local_alpha == pytest.approx([0.05 / 3, 0.05 * 2 / 3, 0.05])
    assert adjust([0.5, 0.6, 0.9], "holm").local_alpha == pytest.approx([0.05 / 3] * 3)
    assert adjust([0.0, 0.0, 0.9], "holm").local_alpha[:2] == pytest.approx([0.05 / 3] * 2)
    assert [m for m in METHODS if adjust([0.01, 0.02], m).simultaneous] == ["bonferroni", "sidak"]


def test_an_empty_family_is_an_empty_answer():
    assert adjust([], "holm").p_adjusted.shape == (0,)


def test_the_cap_of_benjamini_yekutieli_keeps_levels_below_p():
    # The factor of 20,000 hypotheses is 10.5: p = 0.096 / 20,000 is capped although it lies below alpha / k for alpha .1.
    p = np.ones(20_000)
    p[0] = 0.0961 / 20_000
    adjusted = adjust(p, "benjamini-yekutieli", alpha=0.1)
    assert adjusted.p_adjusted[0] == 1.0
    assert p[0] > adjusted.local_alpha[0]


def test_weights_share_the_error_rate_out():
    adjusted = adjust_weighted_bonferroni([0.004, 0.02, 0.03, 0.6], [7, 1, 1, 1])
    assert adjusted.p_adjusted == pytest.approx([0.004 / 0.7, 0.2, 0.3, 1.0])
    assert adjusted.local_alpha == pytest.approx([0.035, 0.005, 0.005, 0.005])
    assert adjusted.simultaneous


def test_a_sequence_stops_at_the_first_that_is_not_rejected():
    assert adjust_fixed_sequence([0.01, 0.2, 0.001]).tolist() == [0.01, 0.2, 0.2]


@pytest.mark.parametrize("family", [[0.1, float("nan")], [-0.1], [1.1], 0.05, [[0.1, None]]])
def test_p_values_that_are_none_are_refused(family):
    """G-5: what could not be tested is left out, not corrected."""
    with pytest.raises(UsageError, match="p-values"):
        adjust(family, "holm")
    with pytest.raises(UsageError, match="p-values"):
        adjust_fixed_sequence(family)


def test_bad_options_are_refused():
    with pytest.raises(UnknownNameError, match="benjamini-hochberg"):
        adjust([0.1], "benjamini_hochberg")
    with pytest.raises(UsageError, match="alpha"):
        adjust([0.1], "holm", alpha=5)
    for weights in ([1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]):
        with pytest.raises(UsageError, match="weight"):
            adjust_weighted_bonferroni([0.1, 0.2], weights)
