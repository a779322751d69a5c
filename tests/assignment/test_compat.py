"""Units keep the arms that other platforms gave them."""

from __future__ import annotations

import hashlib
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.assignment import compat, model_traffic
from fairtrial.assignment.compat import (
    equal_weights,
    growthbook_bucket_ranges,
    growthbook_choose_variation,
    growthbook_hash,
    growthbook_in_namespace,
    growthbook_variation,
    md5_prefix_bucket,
    planout_bernoulli,
    planout_hash,
    planout_random_integer,
    planout_uniform,
    planout_uniform_choice,
    planout_weighted_choice,
)
from fairtrial.errors import UsageError

SALTS = {"experiment_salt": "exp", "parameter_salt": "color"}


@pytest.mark.parametrize(
    ("seed", "value", "version", "expected"),
    [
        ("", "b", 1, 0.077),
        ("ef", "d", 1, 0.652),
        ("seed", "b", 2, 0.2696),
        ("foo", "ab", 2, 0.2575),
        ("89123klj", "8952klfjas09ujkasdf", 2, 0.124),
    ],
)
def test_hashes_are_those_of_growthbooks_sdks(seed, value, version, expected):
    """Source: GrowthBook SDK cases.json, "hash"; exact."""
    assert growthbook_hash(value, seed=seed, version=version) == expected


def test_fnv_of_published_vectors():
    """Source: FNV test vectors (Noll): "" 0x811c9dc5, "a" 0xe40c292c, "foobar" 0xbf9cf968."""
    for text, value in (("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)):
        assert compat._fnv1a32(text, "utf-8") == compat._fnv1a32(text, "utf-16") == value


def test_text_beyond_ascii_is_hashed_as_the_sdk_at_hand_does():
    """U+00E9 is one UTF-16 unit (0xE9) and two bytes; an emoji two units and four bytes."""
    assert compat._fnv1a32("é", "utf-16") == (0x811C9DC5 ^ 0xE9) * 16777619 % 2**32
    assert compat._fnv1a32("é", "utf-8") == compat._fnv1a32("Ã©", "utf-16")
    high, low = 0xD83E, 0xDDC2
    assert compat._fnv1a32("🧂", "utf-16") == ((0x811C9DC5 ^ high) * 16777619 % 2**32 ^ low) * 16777619 % 2**32


def test_one_call_does_hash_ranges_and_choice():
    for unit in map(str, range(200)):
        hashed = growthbook_hash(unit, seed="checkout")
        ranges = growthbook_bucket_ranges(3, coverage=0.5, weights=[0.2, 0.3, 0.5])
        assert growthbook_variation(unit, seed="checkout", variations=3, coverage=0.5, weights=[0.2, 0.3, 0.5]) == (
            growthbook_choose_variation(hashed, ranges)
        )


@given(st.integers(1, 12), st.floats(-1, 2))
@settings(max_examples=60, deadline=None)
def test_ranges_hold_the_coverage_that_was_asked_for(variations, coverage):
    ranges = growthbook_bucket_ranges(variations, coverage=coverage)
    assert sum(high - low for low, high in ranges) == pytest.approx(min(max(coverage, 0.0), 1.0), abs=1e-12)
    assert all(high <= later + 1e-12 for (_, high), (later, _) in itertools.pairwise(ranges))


def test_weights_that_do_not_fit_are_replaced_as_the_sdks_do():
    assert growthbook_bucket_ranges(2, weights=[0.4, 0.1]) == growthbook_bucket_ranges(2)
    assert growthbook_bucket_ranges(2, weights=[0.4, 0.4, 0.2]) == growthbook_bucket_ranges(2)
    assert growthbook_bucket_ranges(2, weights=[0.4, 0.6]) == ((0.0, 0.4), (0.4, 1.0))


def test_a_namespace_is_a_range_of_its_own_hash():
    """Source: GrowthBook SDK cases.json, "inNamespace"."""
    assert [growthbook_in_namespace("3", "namespace2", low, high) for low, high in ((0.0, 0.4), (0.4, 1.0))] == [True, False]


def test_equal_weights_sum_to_one():
    assert equal_weights(0) == ()
    assert sum(equal_weights(7)) == pytest.approx(1.0)


def test_planout_choices_are_the_published_ones():
    """Source: PlanOut test_assignment.py; the weighted one from its Ruby port's tests."""
    assert planout_uniform_choice("4", ["a", "b"], experiment_salt="test_salt", parameter_salt="foo") == "b"
    assert planout_uniform_choice("4", list(range(8)), experiment_salt="test_salt", parameter_salt="foo") == 7
    assert planout_weighted_choice("42", ["c1", "c2", "c1"], [20, 40, 60], experiment_salt="mtsalt", parameter_salt="x") == "c2"


def test_several_ids_are_joined_by_dots():
    assert (
        planout_hash(["u1", "p2"], **SALTS) == planout_hash("u1.p2", **SALTS) == int(hashlib.sha1(b"exp.color.u1.p2").hexdigest()[:15], 16)
    )


def test_planout_draws_are_even():
    """5,000 units: each share within four standard errors."""
    units = [str(i) for i in range(5000)]
    assert sum(planout_uniform(u, **SALTS) for u in units) / 5000 == pytest.approx(0.5, abs=4 * 0.2887 / 5000**0.5)
    assert sum(planout_bernoulli(u, **SALTS, probability=0.3) for u in units) / 5000 == pytest.approx(0.3, abs=4 * 0.0065)
    assert sum(planout_weighted_choice(u, [0, 1], [1, 3], **SALTS) for u in units) / 5000 == pytest.approx(0.75, abs=4 * 0.0062)
    assert {planout_random_integer(u, **SALTS, low=-2, high=2) for u in units} == {-2, -1, 0, 1, 2}


def test_bounds_move_and_stretch_a_uniform_number():
    base = planout_uniform("u", **SALTS)
    assert planout_uniform("u", **SALTS, low=-1.0, high=3.0) == pytest.approx(-1.0 + 4.0 * base, rel=1e-14)


def test_the_md5_buckets_are_those_of_model_traffic():
    assert compat.md5_bucket is model_traffic.md5_bucket
    assert compat.user_bucket("user_2", "fraud_model_v2_test") == 583
    assert md5_prefix_bucket("user_1:exp-1:") == 2729


@pytest.mark.parametrize(
    "call",
    [
        lambda: growthbook_hash("u", seed="s", version=3),
        lambda: growthbook_hash("u", seed="s", text="latin-1"),
        lambda: growthbook_hash("\ud800", seed="s"),
        lambda: equal_weights(-1),
        lambda: growthbook_bucket_ranges(0),
        lambda: growthbook_bucket_ranges(2, coverage=math.nan),
        lambda: growthbook_bucket_ranges(2, weights=[-0.5, 1.5]),
        lambda: growthbook_choose_variation(math.nan, [(0, 1)]),
        lambda: growthbook_in_namespace("u", "n", 0.6, 0.4),
        lambda: planout_hash([], **SALTS),
        lambda: planout_uniform("u", **SALTS, high=math.inf),
        lambda: planout_random_integer("u", **SALTS, low=2, high=1),
        lambda: planout_bernoulli("u", **SALTS, probability=1.5),
        lambda: planout_uniform_choice("u", [], **SALTS),
        lambda: planout_weighted_choice("u", ["a"], [1, 2], **SALTS),
        lambda: planout_weighted_choice("u", ["a", "b"], [0, 0], **SALTS),
        lambda: planout_weighted_choice("u", ["a", "b"], [1, math.nan], **SALTS),
    ],
)
def test_what_breaks_a_rule_is_refused(call):
    with pytest.raises(UsageError):
        call()
