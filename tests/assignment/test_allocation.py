"""Decisions: pure, on integers, the same in SQL's text form, and stable when shares move."""

import hashlib
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.assignment import HASH_SPACE, Allocation, Segment, u, unit_hash
from fairtrial.errors import UnknownNameError, UsageError

UNITS = st.text(max_size=30)
PERCENTS = st.integers(0, 100)
USERS = [f"user_{i}" for i in range(3000)]


def hex16(unit, experiment, salt=""):
    """What an engine's own SHA-256 gives in SQL: the first 16 hex digits, as text."""
    return hashlib.sha256(f"{unit}:{experiment}:{salt}".encode()).hexdigest()[:16]


def arm_by_text(allocation, digits):
    return next(step.arm for step in allocation.thresholds_hex() if step.below is None or digits < step.below)


@pytest.mark.parametrize(("rate", "treated"), [(0.8, 5), (0.5, 3)])
def test_golden_assignments_of_holdouts(rate, treated):
    """G-9, II.b, II.c: experiment 1; user_001..003 at .8 are 3 treatment, 0 control."""
    allocation = Allocation.holdout("email", rate, hash_key="1")
    arms = allocation.assign([f"user_00{i}" for i in range(1, 6)])
    assert arms.count("treatment") == treated
    assert arms[:3] == ["treatment"] * 3


@settings(max_examples=100, deadline=None)
@given(UNITS, st.floats(0, 1), st.text(max_size=5))
def test_a_unit_is_treated_when_its_fraction_is_below_the_rate(unit, rate, salt):
    """II.b: the integer rule is the exact one, rates read as written."""
    treated = Allocation.holdout("exp", rate, salt=salt).decide(unit) == "treatment"
    assert treated == (Fraction(unit_hash(unit, "exp", salt), HASH_SPACE) < Fraction(str(rate)))


@settings(max_examples=100, deadline=None)
@given(UNITS)
def test_text_thresholds_decide_as_the_integers_do(unit):
    """DESIGN 5: in SQL the test compares the first 16 hex digits as text."""
    ramped = Allocation.from_shares("exp", {"a": 0.9, "b": 0.05, "c": 0.05}, traffic=0.4).extended({"a": 0.8, "b": 0.1, "c": 0.1})
    assert arm_by_text(ramped, hex16(unit, "exp")) == ramped.arm(unit)
    assert (hex16(unit, "exp", "/traffic") < ramped.traffic_threshold_hex()) == ramped.in_traffic(unit)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, HASH_SPACE - 1), min_size=1, max_size=20), st.integers(0, HASH_SPACE))
def test_text_thresholds_decide_every_hash_as_the_integers_do(values, border):
    halves = Allocation(
        hash_key="exp", arms=("a", "b"), segments=tuple(s for s in (Segment(0, border, "a"), Segment(border, HASH_SPACE, "b")) if s.width)
    )
    for value in {*values, 0, HASH_SPACE - 1, max(border - 1, 0), min(border, HASH_SPACE - 1)}:
        assert arm_by_text(halves, f"{value:016x}") == halves.arm_at(value) == ("a" if value < border else "b")


def test_the_last_range_has_no_upper_test():
    """DESIGN 5: u rounds to 1.0 near the top, and the unit still has an arm."""
    allocation = Allocation.from_shares("exp", {"a": 0.5, "b": 0.5})
    assert (HASH_SPACE - 1) / HASH_SPACE == 1.0
    assert allocation.arm_at(HASH_SPACE - 1) == "b"
    assert allocation.thresholds_hex()[-1].below is None
    assert allocation.thresholds_hex()[0].below == "8000000000000000"


@settings(max_examples=60, deadline=None)
@given(UNITS)
def test_decide_is_arm_and_traffic_and_reads_the_same_hash(unit):
    allocation = Allocation.from_shares("exp", {"a": 0.3, "b": 0.7}, salt="s", traffic=0.5)
    assert allocation.arm(unit) == allocation.arm_at(unit_hash(unit, "exp", "s"))
    inside = unit_hash(unit, "exp", "s/traffic") < HASH_SPACE // 2
    assert allocation.decide(unit) == (allocation.arm(unit) if inside else None)
    assert allocation.assign([unit, unit]) == [allocation.decide(unit)] * 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100), st.integers(0, 100))
def test_raising_the_treatments_share_moves_only_control_units(first, second):
    """II.b: raising the rate only moves control to treatment; and a holdout's ranges stay those of a fresh one."""
    low, high = sorted((first, second))
    before = Allocation.holdout("exp", low / 100)
    after = before.extended({"treatment": high / 100, "control": 1 - high / 100})
    moves = {(before.arm(unit), after.arm(unit)) for unit in USERS[:400]}
    assert moves <= {("treatment", "treatment"), ("control", "control"), ("control", "treatment")}
    fresh = Allocation.holdout("exp", high / 100)
    assert all(after.arm(unit) == fresh.arm(unit) for unit in USERS[:400])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(PERCENTS, PERCENTS), min_size=1, max_size=4))
def test_a_chain_of_ramps_moves_only_units_of_shrinking_arms(steps):
    allocation = Allocation.from_shares("exp", {"a": 1.0, "b": 0.0, "c": 0.0})
    for one, two in steps:
        low, high = sorted((one, two))
        shares = {"a": low / 100, "b": (high - low) / 100, "c": (100 - high) / 100}
        following = allocation.extended(shares)
        assert following.shares == pytest.approx(shares, abs=1e-15)
        for unit in USERS[:200]:
            was, now = allocation.arm(unit), following.arm(unit)
            assert was == now or (shares[was] < allocation.shares[was] and shares[now] > allocation.shares[now])
        allocation = following


def test_raising_challengers_takes_from_the_champion_only():
    """IV.c: .90/.05/.05 -> .80/.10/.10 keeps every challenger's users."""
    before = Allocation.from_shares("fraud", {"champion": 0.9, "a": 0.05, "b": 0.05})
    after = before.extended({"champion": 0.8, "a": 0.1, "b": 0.1})
    for unit in USERS:
        if before.arm(unit) != "champion":
            assert after.arm(unit) == before.arm(unit)
    back = after.extended({"champion": 0.9, "a": 0.05, "b": 0.05})
    assert all(back.arm(unit) == "champion" for unit in USERS if after.arm(unit) == "champion")


def test_an_arm_that_keeps_its_share_keeps_every_hash():
    third = Fraction(1, 3)
    before = Allocation.from_shares("exp", {"a": third, "b": third, "c": third})
    after = before.extended({"a": Fraction(1, 2), "b": third, "c": Fraction(1, 6)})
    laid_out = Allocation.from_shares("exp", {"a": Fraction(1, 2), "b": third, "c": Fraction(1, 6)})
    assert after.ranges("b") == before.ranges("b")
    assert [high - low for low, high in laid_out.ranges("b")] == [before.ranges("b")[0][1] - before.ranges("b")[0][0] + 1], (
        "though its width rounds otherwise"
    )
    assert before.extended({"a": third, "b": third, "c": third}) == before


def test_a_new_arm_takes_units_and_a_closed_one_gives_all_up():
    before = Allocation.from_shares("exp", {"control": 0.5, "a": 0.5})
    after = before.extended({"control": 0.5, "a": 0.0, "b": 0.5})
    assert (after.arms, after.ranges("a"), after.ranges("control")) == (("control", "a", "b"), (), before.ranges("control"))
    assert after.ranges("b") == before.ranges("a")
    assert after.shares == {"control": 0.5, "a": 0.0, "b": 0.5}


@settings(max_examples=25, deadline=None)
@given(PERCENTS, PERCENTS)
def test_a_traffic_ramp_only_moves_units_in(first, second):
    """DESIGN 5: traffic and arm use different salts."""
    low, high = sorted((first, second))
    before = Allocation.from_shares("exp", {"a": 0.5, "b": 0.5}, traffic=low / 100)
    after = before.with_traffic(high / 100)
    for unit in USERS[:300]:
        if before.decide(unit) is not None:
            assert after.decide(unit) == before.decide(unit)


def test_the_traffic_border_itself_is_outside():
    value = unit_hash("user_1", "exp", "/traffic")
    allocation = Allocation(hash_key="exp", arms=("a",), segments=(Segment(0, HASH_SPACE, "a"),), traffic=value)
    assert not allocation.in_traffic("user_1")
    assert Allocation(hash_key="exp", arms=("a",), segments=allocation.segments, traffic=value + 1).in_traffic("user_1")


def test_no_traffic_lets_nobody_in_and_full_traffic_everybody():
    allocation = Allocation.from_shares("exp", {"a": 1.0}, traffic=0.0)
    assert set(allocation.assign(USERS[:50])) == {None}
    assert allocation.traffic_threshold_hex() == "0" * 16
    full = allocation.with_traffic(1)
    assert set(full.assign(USERS[:50])) == {"a"}
    assert full.in_traffic("x")
    assert full.traffic_threshold_hex() is None


def test_an_arm_without_a_share_gets_no_unit():
    allocation = Allocation.from_shares("exp", {"a": 0.0, "b": 1.0, "c": 0.0})
    assert (allocation.ranges("a"), allocation.ranges("b"), allocation.ranges("c")) == ((), ((0, HASH_SPACE),), ())
    assert set(allocation.assign(USERS[:50])) == {"b"}


def test_an_allocation_is_a_value():
    one = Allocation.from_shares("exp", {"a": 0.5, "b": 0.5})
    assert one == Allocation.from_shares("exp", {"a": 0.5, "b": 0.5})
    assert hash(one) == hash(Allocation.from_shares("exp", {"a": 0.5, "b": 0.5}))
    stored = Allocation(hash_key=one.hash_key, salt=one.salt, arms=one.arms, segments=one.segments, traffic=one.traffic)
    assert stored.assign(USERS[:100]) == one.assign(USERS[:100])


@pytest.mark.parametrize(
    ("call", "error", "rule"),
    [
        (lambda: Allocation.from_shares("17", {"a": 1.0}), UsageError, "key must not be all digits, got '17'.*pass one as hash_key"),
        (lambda: Allocation.from_shares("\u0661\u0667", {"a": 1.0}), UsageError, "key must not be all digits"),
        (lambda: Allocation.from_shares("", {"a": 1.0}), UsageError, "hash_key must not be empty"),
        (lambda: Allocation.from_shares("exp", {}), UsageError, "at least one arm, got none"),
        (lambda: Allocation.from_shares("exp", {"a": 1.0}, traffic=1.5), UsageError, r"traffic must lie in \[0, 1\], got 1\.5\."),
        (lambda: Allocation.from_shares("exp", {"a": 1.0}, traffic=float("nan")), UsageError, r"traffic must lie in \[0, 1\], got nan\."),
        (lambda: Allocation.holdout("exp", 80), UsageError, r"treatment_rate must lie in \[0, 1\], got 80\."),
        (
            lambda: Allocation(hash_key="e", arms=("a", "a"), segments=(Segment(0, HASH_SPACE, "a"),)),
            UsageError,
            "Arm names must be unique",
        ),
        (lambda: Allocation(hash_key="e", arms=("a",), segments=(Segment(0, HASH_SPACE, "b"),)), UnknownNameError, "No arm named 'b'"),
        (
            lambda: Allocation(hash_key="e", arms=("a",), segments=(Segment(0, HASH_SPACE, "a"),), traffic=-1),
            UsageError,
            r"traffic must lie in 0\.\.2\^64",
        ),
        (lambda: Allocation(hash_key="e", arms=("a",), segments=(Segment(0, 5, "a"),)), UsageError, r"Ranges must end at 2\^64, got 5\."),
        (lambda: Allocation.from_shares("e", {"a": 1.0}).arm_at(HASH_SPACE), UsageError, r"A hash must lie in \[0, 2\^64\)"),
        (lambda: Allocation.from_shares("e", {"a": 1.0}).ranges("b"), UnknownNameError, "No arm named 'b'"),
        (
            lambda: Allocation.from_shares("e", {"a": 0.5, "b": 0.5}).extended({"a": 1.0}),
            UsageError,
            r"Every arm must have a share, got none for \['b'\]",
        ),
        (lambda: Allocation.from_shares("e", {"a": 1.0}).decide(7), UsageError, "must be Unicode text, got 7"),
        (lambda: Allocation.from_shares("e", {"a": 1.0}).in_traffic("\udfff"), UsageError, "must be Unicode text"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, rule):
    with pytest.raises(error, match=rule):
        call()


def test_the_stored_id_may_be_all_digits():
    """DESIGN 5: the decimal id is the hash key of experiments made by the service."""
    assert Allocation.from_shares("email", {"a": 1.0}, hash_key="17").hash_key == "17"
    assert u("user_001", "1") == pytest.approx(0.04083821030664424, rel=0, abs=0)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["user_{}", "{}", "00000000-0000-4000-8000-{:012d}", "\u7528\u6237{}"])
def test_a_million_units_fall_evenly(pattern):
    """ML-34: chi-square over 1,000 bins and of arms against traffic; the bound p > 1e-4 fails one honest hash in 10,000."""
    n, bins = 1_000_000, 1_000
    grid = Allocation.from_shares("exp", {str(i): Fraction(1, bins) for i in range(bins)}, traffic=0.5)
    counts, inside = [0] * bins, [0] * bins
    for i in range(n):
        unit = pattern.format(i)
        arm = int(grid.arm(unit))
        counts[arm] += 1
        inside[arm] += grid.in_traffic(unit)
    assert stats.chisquare(counts).pvalue > 1e-4
    assert stats.chisquare(inside).pvalue > 1e-4, "traffic is even in every bin: the two draws are independent"
