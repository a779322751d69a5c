"""The hash is that of the vectors, on any text."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.assignment.hashing import HASH_SPACE, key_suffix, u, unit_hash
from fairtrial.errors import UsageError

TEXT = st.text()


@pytest.mark.parametrize(
    ("unit", "fraction"),
    [
        ("user_001", 0.04083821030664424),
        ("user_002", 0.029781699709749542),
        ("user_003", 0.020095983200447046),
        ("user_004", 0.7258753512655984),
        ("user_005", 0.7905793380462756),
    ],
)
def test_golden_fractions_with_an_empty_salt(unit, fraction):
    """G-9, II.b: experiment 1, the trailing colon kept; to the last digit."""
    assert u(unit, "1") == fraction


@settings(max_examples=200, deadline=None)
@given(TEXT, TEXT, TEXT)
def test_the_key_is_unit_experiment_salt_in_utf8(unit, experiment, salt):
    """G-9: no trimming, no normalisation."""
    digest = hashlib.sha256(f"{unit}:{experiment}:{salt}".encode()).digest()
    assert unit_hash(unit, experiment, salt) == int.from_bytes(digest[:8], "big")
    assert 0 <= unit_hash(unit, experiment, salt) < HASH_SPACE
    assert u(unit, experiment, salt) == unit_hash(unit, experiment, salt) / 2**64


@pytest.mark.parametrize(("one", "other"), [("a", " a"), ("a", "a "), ("\u00e9", "e\u0301"), ("A", "a"), ("", " ")])
def test_texts_that_look_alike_are_different_units(one, other):
    assert unit_hash(one, "exp") != unit_hash(other, "exp")


def test_the_salt_separates_draws():
    assert len({unit_hash("a", "exp", salt) for salt in ("", "s", "/traffic", "s/traffic")}) == 4


def test_what_follows_the_unit_keeps_both_colons():
    assert key_suffix("exp") == b":exp:"
    assert key_suffix("exp", "s") == b":exp:s"


@pytest.mark.parametrize("unit", [42, None, b"user", "\ud800"])
def test_what_is_no_unicode_text_is_refused(unit):
    with pytest.raises(UsageError, match=r"must be Unicode text, got .* Turn numbers into text first"):
        unit_hash(unit, "exp")
