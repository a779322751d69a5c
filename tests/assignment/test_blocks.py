"""XC-30: stratified blocks and re-randomisation: balanced, as probable as planned, and the same again."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.assignment import Allocation, assign_in_blocks
from fairtrial.assignment.blocks import SMALL, block_size
from fairtrial.assignment.rerandomize import rerandomise
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.resampling.designs import Rerandomized, mahalanobis_distances
from fairtrial.stats.resampling.permutation import permutation_test

HALVES = {"control": 0.5, "treatment": 0.5}
SHARES = st.sampled_from(
    [HALVES, {"control": 0.9, "a": 0.05, "b": 0.05}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"control": 0.04, "treatment": 0.96}]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abcü"), min_size=1, max_size=300), SHARES, st.text(max_size=3))
def test_every_stratum_has_the_shares_to_less_than_a_block(strata, shares, salt):
    units = [f"u{i}" for i in range(len(strata))]
    found = assign_in_blocks(units, strata, shares, hash_key="test", salt=salt)
    assert len(found.arms) == len(units)
    for stratum, counts in found.counts.items():
        n = sum(counts.values())
        assert n == strata.count(stratum)
        for arm, share in shares.items():
            assert abs(counts[arm] - share * n) < found.block * share + 1e-9
            assert counts[arm] >= int(n // found.block) * round(share * found.block)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(60)))
def test_the_order_of_the_list_does_not_matter(order):
    units, strata = [f"u{i}" for i in range(60)], ["north" if i % 3 else "south" for i in range(60)]
    whole = dict(zip(units, assign_in_blocks(units, strata, HALVES, hash_key="test").arms, strict=True))
    shuffled = assign_in_blocks([units[i] for i in order], [strata[i] for i in order], HALVES, hash_key="test")
    assert {units[i]: arm for i, arm in zip(order, shuffled.arms, strict=True)} == whole


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80))
def test_a_longer_list_leaves_the_arms_given_before(first, more):
    units = [f"u{i}" for i in range(first + more)]
    before = dict(zip(units[:first], assign_in_blocks(units[:first], ["s"] * first, HALVES, hash_key="k").arms, strict=True))
    after = assign_in_blocks(units, ["s"] * len(units), HALVES, hash_key="k", given=before)
    assert list(after.arms[:first]) == list(before.values())
    assert abs(after.counts["s"]["control"] - after.counts["s"]["treatment"]) <= after.block


def test_each_unit_has_its_shares_over_experiments():
    """Exact binomial bound over 2,000 experiments: the arm of one unit, in a stratum of 7."""
    units, shares = [f"u{i}" for i in range(7)], {"control": 0.25, "treatment": 0.75}
    hits = [assign_in_blocks(units, ["s"] * 7, shares, hash_key=f"e{i}").arms for i in range(2000)]
    for place in range(7):
        n = sum(arms[place] == "control" for arms in hits)
        assert abs(n - 500) < 4.5 * (2000 * 0.25 * 0.75) ** 0.5
    pairs = Counter((arms[0], arms[1]) for arms in hits)
    assert len(pairs) == 4


def test_small_strata_are_pooled_and_said():
    strata = ["big"] * 40 + ["x"] * 3 + ["y"] * 3
    found = assign_in_blocks([f"u{i}" for i in range(46)], strata, HALVES, hash_key="k", least=5)
    assert found.pooled == ("x", "y")
    assert set(found.strata) == {"big", SMALL}
    assert sum(found.counts[SMALL].values()) == 6


@pytest.mark.parametrize(
    ("shares", "size"), [(HALVES, 4), ({"a": 1 / 3, "b": 2 / 3}, 6), ({"a": 0.04, "b": 0.96}, 25), ({"a": 0.1, "b": 0.2, "c": 0.7}, 10)]
)
def test_the_shortest_block(shares, size):
    assert block_size(shares) == size


@pytest.mark.parametrize(
    ("units", "strata", "shares", "said"),
    [
        (["a", "a"], ["s", "s"], HALVES, "comes once"),
        (["a"], ["s", "s"], HALVES, "one stratum"),
        (["a"], ["s"], {"c": 0.5, "t": 0.6}, "add up to 1"),
        (["a"], ["s"], {"c": 0.123456, "t": 0.876544}, "no such block"),
    ],
)
def test_what_cannot_be_assigned_is_refused(units, strata, shares, said):
    with pytest.raises(UsageError, match=said):
        assign_in_blocks(units, strata, shares, hash_key="k")
    with pytest.raises(UsageError, match="assigned before"):
        assign_in_blocks(["a"], ["s"], HALVES, hash_key="k", given={"a": "blue"})


def test_rerandomised_arms_are_as_alike_as_was_asked_for():
    rng = np.random.default_rng(6)
    units, covariates = [f"u{i}" for i in range(80)], rng.normal(size=(80, 3))
    found = rerandomise(units, covariates, Allocation.from_shares("shop", HALVES), control="control", accept=0.02)
    treated = np.array([arm == "treatment" for arm in found.arms])
    assert found.distance == pytest.approx(mahalanobis_distances(covariates, treated[None, :])[0])
    assert found.distance <= found.limit
    assert found.draws > 1
    again = Allocation.from_shares("shop", HALVES, salt=found.salt)
    assert [again.arm(unit) for unit in units] == list(found.arms)


def test_the_distance_is_the_papers():
    """Morgan & Rubin (2012), equation 1, by plain linear algebra."""
    rng = np.random.default_rng(7)
    x, z = rng.normal(size=(30, 2)) @ np.array([[2.0, 1.0], [0.0, 0.3]]) + 100, np.arange(30) % 3 == 0
    d = x[z].mean(axis=0) - x[~z].mean(axis=0)
    expected = z.sum() * (~z).sum() / 30 * d @ np.linalg.inv(np.cov(x, rowvar=False)) @ d
    assert mahalanobis_distances(x, z[None, :])[0] == pytest.approx(expected, rel=1e-10)


def test_a_randomisation_test_goes_through_the_assignments_that_were_possible():
    """Every balanced assignment of 8 units by hand."""
    rng = np.random.default_rng(8)
    x, limit = rng.normal(size=8), 0.4
    possible = [
        z
        for chosen in itertools.combinations(range(8), 4)
        if mahalanobis_distances(x, (z := np.isin(np.arange(8), chosen))[None, :])[0] <= limit
    ]
    observed = possible[3]
    y = 3 * x + rng.normal(size=8) + observed * 2
    found = permutation_test(y, observed, design=Rerandomized(covariates=x, limit=limit))
    effects = np.array([y[z].mean() - y[~z].mean() for z in possible])
    seen = y[observed].mean() - y[~observed].mean()
    upper, lower = (effects >= seen - 1e-9).mean(), (effects <= seen + 1e-9).mean()
    assert found.assignments == len(possible)
    assert found.p_value == pytest.approx(min(1.0, 2 * min(upper, lower)))


def test_drawn_assignments_are_all_balanced():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(60, 2))
    units = [f"u{i}" for i in range(60)]
    taken = rerandomise(units, x, Allocation.from_shares("shop", HALVES), control="control", accept=0.05)
    z = np.array([arm == "treatment" for arm in taken.arms])
    y = x @ np.array([2.0, 1.0]) + rng.normal(size=60) * 0.3
    found = permutation_test(y, z, design=Rerandomized(covariates=x, limit=taken.limit), resamples=999, rng=np.random.default_rng(1))
    plain = permutation_test(y, z, resamples=999, rng=np.random.default_rng(1))
    assert found.interval.high - found.interval.low < 0.6 * (plain.interval.high - plain.interval.low)
    assert not found.exact


def test_size_of_the_test_after_rerandomisation():
    """No effect, 200 experiments of 24 units: exact binomial bound at 99.9% around 5%."""
    rng = np.random.default_rng(10)
    rejected = 0
    for i in range(200):
        x = rng.normal(size=24)
        taken = rerandomise(
            [f"{i}-{j}" for j in range(24)], x[:, None], Allocation.from_shares("shop", HALVES), control="control", accept=0.1
        )
        z = np.array([arm == "treatment" for arm in taken.arms])
        y = 2 * x + rng.normal(size=24)
        found = permutation_test(y, z, design=Rerandomized(covariates=x, limit=taken.limit), resamples=199, rng=rng)
        rejected += found.p_value < 0.05
    assert rejected <= 22


@pytest.mark.parametrize(
    ("covariates", "accept", "kind", "said"),
    [
        (np.ones((8, 1)), 0.1, DataError, "must vary"),
        (np.repeat(np.arange(8.0)[:, None], 2, axis=1), 0.1, DataError, "combination"),
        (np.arange(7.0)[:, None], 0.1, UsageError, "a row a unit"),
        (np.arange(8.0)[:, None], 0.0, UsageError, "accept"),
        (np.full((8, 1), np.nan), 0.1, UsageError, "finite"),
    ],
)
def test_what_cannot_be_balanced_is_refused(covariates, accept, kind, said):
    with pytest.raises(kind, match=said):
        rerandomise([f"u{i}" for i in range(8)], covariates, Allocation.from_shares("shop", HALVES), control="control", accept=accept)
