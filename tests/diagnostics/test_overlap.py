"""Overlap of audiences (IN-10, IN-11)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.diagnostics.overlap import overlap_from_counts, overlap_of_units
from fairtrial.errors import UsageError


def test_the_example_of_the_scan():
    """Part I: 9,400 and 9,411 users, 8,000 of them in both."""
    found = overlap_from_counts(9400, 9411, 8000)
    assert (found.jaccard, found.share_of_a, found.share_of_b) == pytest.approx((0.739987, 0.851064, 0.850069), abs=5e-7)
    assert found.band == "high"
    assert (found.expected_intersection, found.lift, found.chi_square, found.p_value) == (None, None, None, None)


def test_nesting_shows_in_the_shares_and_not_in_jaccard():
    """I.c: 100 users inside 10,000."""
    found = overlap_from_counts(100, 10_000, 100)
    assert (found.jaccard, found.share_of_a, found.overlap_coefficient) == pytest.approx((0.01, 1.0, 1.0))


@pytest.mark.parametrize(
    ("shared", "band"), [(0, "negligible"), (9, "negligible"), (10, "low"), (29, "low"), (30, "moderate"), (59, "moderate"), (60, "high")]
)
def test_bands_are_half_open(shared, band):
    """IN-11; 100 units in either."""
    assert overlap_from_counts(100, shared, shared).band == band


def test_empty_sides_leave_what_has_no_denominator_open():
    """IN-10: 0 when one set is empty, null when both are."""
    one, both = overlap_of_units([], ["x"]), overlap_of_units([], [], universe=0)
    assert (one.jaccard, one.overlap_coefficient, one.share_of_a, one.share_of_b) == (0.0, None, None, 0.0)
    assert (both.jaccard, both.band, both.dice, both.expected_intersection) == (None, None, None, None)


def test_independence_is_pearsons_table():
    """Oracle: scipy.stats.chi2_contingency without correction, 1e-12."""
    found = overlap_from_counts(300, 700, 35, universe=10_000)
    table = [[35, 265], [665, 10_000 - 965]]
    test = stats.chi2_contingency(table, correction=False)
    assert (found.chi_square, found.p_value) == pytest.approx((test.statistic, test.pvalue), rel=1e-12)
    assert found.lift == pytest.approx(35 / 21)


def test_a_trillion_units_keep_their_digits():
    found = overlap_from_counts(10**12, 10**12, 10**6 + 1000, universe=10**18)
    assert found.chi_square == pytest.approx(1000**2 / 1e6, rel=1e-5)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
@settings(max_examples=80, deadline=None)
def test_overlap_is_symmetric_and_ordered(a, b):
    one, other = overlap_of_units([*a, *a], b, universe=31), overlap_of_units(b, a, universe=31)
    assert (one.jaccard, one.dice, one.chi_square, one.share_of_a) == (other.jaccard, other.dice, other.chi_square, other.share_of_b)
    if a and b:
        assert one.jaccard <= one.dice <= one.overlap_coefficient


@pytest.mark.parametrize("counts", [(-1, 2, 0, None), (1.5, 2, 0, None), (2, 2, 3, None), (5, 5, 0, 9), (5, 5, 0, -1)])
def test_what_breaks_a_rule_is_refused(counts):
    with pytest.raises(UsageError):
        overlap_from_counts(*counts[:3], universe=counts[3])
