"""The comparison of reference values accepts what its rule says and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from comparison import mismatches

EXACT = {"rel": 0.0, "abs": 0.0}
LOOSE = {"rel": 1e-3, "abs": 1e-6}


@pytest.mark.parametrize(
    ("got", "expected", "tolerance"),
    [
        (1.0005, 1.0, LOOSE),
        (1e-7, 0.0, LOOSE),
        (3, 3.0, EXACT),
        (np.float64(2.0), 2, EXACT),
        (np.array([1.0, 2.0]), [1, 2], EXACT),
        (math.inf, "Infinity", EXACT),
        (-math.inf, "-Infinity", EXACT),
        (True, True, EXACT),
        (np.bool_(False), False, EXACT),
        (None, None, EXACT),
        ("18446744073709551615", "18446744073709551615", EXACT),
        ([(0, 1)], [[0, 1]], EXACT),
        ({"a": {"b": 1.0005}, "more": 2}, {"a": {"b": 1.0}}, LOOSE),
        ({"a": 1.3}, {"a": 1.0}, {**EXACT, "per_key": {"x": {"rel": 0.5, "abs": 0}}}),
    ],
)
def test_what_the_rule_accepts_passes(got, expected, tolerance):
    assert mismatches({"x": got}, {"x": expected}, tolerance) == []


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1.01, 1.0),
        (math.nan, 1.0),
        (math.inf, 1.0),
        (1.0, "Infinity"),
        (math.inf, "-Infinity"),
        (math.nan, "Infinity"),
        (True, 1),
        (1, True),
        (None, 0.0),
        (0.0, None),
        ("1", 1),
        (18446744073709551615, "18446744073709551615"),
        ([1.0], [1.0, 2.0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0]),
        ([1.0, 2.1], [1.0, 2.0]),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}),
        (1.0, [1.0]),
        (1.0, {"a": 1.0}),
    ],
)
def test_what_the_rule_refuses_fails(got, expected):
    assert len(mismatches({"x": got}, {"x": expected}, LOOSE)) == 1


def test_rounded_up_sizes_are_exact_whatever_the_tolerance():
    assert mismatches({"n_ceil": 5201}, {"n_ceil": 5200}, LOOSE)
    assert not mismatches({"n_ceil": 5200}, {"n_ceil": 5200}, LOOSE)


def test_a_call_that_offers_no_expected_output_fails():
    assert "none of the expected outputs" in mismatches({"y": 1}, {"x": 1}, EXACT)[0]


def test_only_outputs_that_are_offered_are_compared():
    assert mismatches({"x": 1, "ours": 3}, {"x": 1, "theirs": 2}, EXACT) == []


def test_a_tolerance_of_a_key_replaces_the_common_one():
    tight = {**LOOSE, "per_key": {"x": {"rel": 0.0, "abs": 0.0}}}
    assert mismatches({"x": 1.0005}, {"x": 1.0}, tight)
    assert mismatches({"x": [1.0005]}, {"x": [1.0]}, tight)
