"""Post-stratified moments: what every comparison reads of them is the post-stratified estimate."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.arms import post_stratified_difference
from fairtrial.stats.contrast import expand, linear_contrast
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.strata import pooled_shares, post_stratified_moments

VECTORS = Path(__file__).parent.parent / "reference" / "b_tests.json"


def vectors() -> list[dict]:
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))
    cases = cases if isinstance(cases, list) else cases["cases"]
    return [case for case in cases if case["function"] == "post_stratified_difference"]


def test_shares_are_those_of_all_units_in_order_of_name():
    assert pooled_shares([{"b": 1, "a": 3}, {"c": 4}]) == {"a": 0.375, "b": 0.125, "c": 0.5}
    with pytest.raises(UsageError, match="need units"):
        pooled_shares([{}, {}])


@pytest.mark.parametrize("case", vectors(), ids=lambda case: case["id"])
def test_a_difference_of_such_moments_is_the_post_stratified_difference(case):
    """Reference vectors `post_stratified_difference`; tolerance theirs (the statistic is normal there, t here)."""
    rows, wanted, tolerance = case["inputs"]["strata"], case["expected"], case["tolerance"]
    sides = [
        [CoMoments.of(Moments.from_summary(n=row[f"n_{arm}"], mean=row[f"mean_{arm}"], sd=row[f"sd_{arm}"])) for row in rows]
        for arm in ("control", "treatment")
    ]
    shares = pooled_shares([{str(i): moments.n for i, moments in enumerate(side)} for side in sides])
    assert list(shares.values()) == pytest.approx(wanted["weights"])
    control, treatment = (post_stratified_moments(side, list(shares.values())) for side in sides)
    found = linear_contrast(expand([control]), expand([treatment]), quantile="normal")
    assert found.effect[0] == pytest.approx(wanted["difference"], rel=tolerance["rel"])
    assert found.std_error[0] == pytest.approx(wanted["se"], rel=tolerance["rel"])
    assert found.p_value()[0] == pytest.approx(wanted["p_two_sided"], rel=1e-5)


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_it_agrees_with_the_test_of_strata(seed, k):
    """Property: against `post_stratified_difference` for the outcome, and column by column for the others."""
    rng = np.random.default_rng(seed)
    sides = [[CoMoments.from_values(rng.normal(s, 1.0 + s, (int(rng.integers(3, 30)), 2))) for s in range(k)] for _ in range(2)]
    shares = pooled_shares([{str(i): moments.n for i, moments in enumerate(side)} for side in sides])
    control, treatment = (post_stratified_moments(side, list(shares.values())) for side in sides)
    for column in (0, 1):
        wanted = post_stratified_difference([(c.column(column), t.column(column)) for c, t in zip(*sides, strict=True)])
        found = linear_contrast(expand([CoMoments.of(control.column(column))]), expand([CoMoments.of(treatment.column(column))]))
        assert (found.effect[0], found.std_error[0]) == pytest.approx((wanted.effect, wanted.std_error), rel=1e-9)


def test_one_stratum_is_no_stratum():
    moments = CoMoments.from_values(np.random.default_rng(1).normal(size=(30, 3)))
    same = post_stratified_moments([moments], [1.0])
    assert same.mean == pytest.approx(moments.mean)
    assert same.cross == pytest.approx(moments.cross)


def test_bad_weights_and_thin_strata_are_refused():
    moments = CoMoments.from_values(np.arange(6.0))
    for strata, weights in (
        ([], []),
        ([moments], [0.5]),
        ([moments, moments], [1.5, -0.5]),
        ([moments], [np.nan]),
        ([moments], [0.5, 0.5]),
    ):
        with pytest.raises(UsageError, match="one share a stratum"):
            post_stratified_moments(strata, weights)
    with pytest.raises(UsageError, match="same columns"):
        post_stratified_moments([moments, CoMoments.from_values(np.ones((4, 2)))], [0.5, 0.5])
    with pytest.raises(NotEnoughDataError, match="at least 2") as error:
        post_stratified_moments([moments, CoMoments.from_values([1.0])], [0.5, 0.5])
    assert error.value.code == "thin_stratum"


@pytest.mark.slow
def test_its_size_is_what_it_promises_and_it_saves_variance():
    """Calibration: 5,000 experiments in three strata far apart; size within an exact 99.9% bound, variance as theory says."""
    runs, rng, shares = 5_000, np.random.default_rng(9), np.array([0.5, 0.3, 0.2])
    errors, plain, adjusted = 0, [], []
    for _ in range(runs):
        stratum, arm = rng.choice(3, 300, p=shares), rng.integers(0, 2, 300)
        y = 3.0 * stratum + rng.normal(size=300)
        cells = [[CoMoments.from_values(y[(arm == a) & (stratum == s)]) for s in range(3)] for a in (0, 1)]
        weights = list(pooled_shares([{str(s): cell.n for s, cell in enumerate(side)} for side in cells]).values())
        found = linear_contrast(*(expand([post_stratified_moments(side, weights)]) for side in cells))
        errors += bool(found.p_value()[0] < 0.05)
        adjusted.append(found.effect[0])
        plain.append(y[arm == 1].mean() - y[arm == 0].mean())
    assert stats.binom.ppf(0.0005, runs, 0.05) <= errors <= stats.binom.ppf(0.9995, runs, 0.055)
    within = 1.0 / (1.0 + 9.0 * (shares @ np.arange(3) ** 2 - (shares @ np.arange(3)) ** 2))
    assert np.var(adjusted) / np.var(plain) == pytest.approx(within, rel=0.12)
