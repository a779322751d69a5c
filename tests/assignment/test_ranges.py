"""Ranges cover the hash space, and borders move no unit that need not move."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.assignment.hashing import HASH_SPACE
from fairtrial.assignment.ranges import Segment, check_partition, exact_shares, lay_out, move_borders, widths
from fairtrial.errors import UsageError

HALF = HASH_SPACE // 2


@st.composite
def shares(draw):
    """Exact shares by arm, some of them zero."""
    weights = draw(st.lists(st.integers(0, 1000), min_size=2, max_size=6).filter(any))
    return {f"arm{i}": Fraction(weight, sum(weights)) for i, weight in enumerate(weights)}


@st.composite
def partitions(draw):
    """A partition among three arms in any order, and other widths for them."""
    borders = sorted(draw(st.sets(st.integers(1, HASH_SPACE - 1), min_size=0, max_size=7)))
    owners = draw(st.lists(st.sampled_from("abc"), min_size=len(borders) + 1, max_size=len(borders) + 1))
    edges = [0, *borders, HASH_SPACE]
    line = [Segment(low, high, arm) for low, high, arm in zip(edges, edges[1:], owners, strict=False)]
    first, second = sorted(draw(st.tuples(st.integers(0, HASH_SPACE), st.integers(0, HASH_SPACE))))
    return line, {"a": first, "b": second - first, "c": HASH_SPACE - second}


def covered(line, arm):
    return [(segment.low, segment.high) for segment in line if segment.arm == arm]


def overlap(one, other):
    return sum(max(0, min(a_high, b_high) - max(a_low, b_low)) for a_low, a_high in one for b_low, b_high in other)


@settings(max_examples=100, deadline=None)
@given(shares())
def test_ranges_partition_the_hash_space_in_declared_order(plan):
    line = lay_out(plan)
    check_partition(line)
    assert [segment.arm for segment in line] == [arm for arm, share in plan.items() if share]
    for arm, width in widths(plan).items():
        assert abs(width - plan[arm] * HASH_SPACE) < 1
        assert sum(high - low for low, high in covered(line, arm)) == width


def test_a_border_is_the_first_hash_that_is_not_below_the_share():
    """2^64 / 3 is 6148914691236517205 and one third: hash 6148914691236517205 is still below."""
    third = Fraction(1, 3)
    assert widths({"a": third, "b": 1 - third})["a"] == 6148914691236517206


@settings(max_examples=150, deadline=None)
@given(partitions())
def test_only_arms_that_shrink_give_up_hashes(case):
    """IV.b: raising a share takes from those that shrink; the others keep theirs."""
    line, wanted = case
    after = move_borders(line, wanted)
    check_partition(after)
    for arm, width in wanted.items():
        before, now = covered(line, arm), covered(after, arm)
        owned = sum(high - low for low, high in before)
        assert sum(high - low for low, high in now) == width
        assert overlap(before, now) == min(owned, width), "a growing arm keeps all, a shrinking one gains none"


def test_a_border_between_neighbours_moves_in_place():
    line = [Segment(0, HALF, "treatment"), Segment(HALF, HASH_SPACE, "control")]
    more = HALF + 1000
    assert move_borders(line, {"treatment": more, "control": HASH_SPACE - more}) == (
        Segment(0, more, "treatment"),
        Segment(more, HASH_SPACE, "control"),
    )
    less = HALF - 1000
    assert move_borders(line, {"treatment": less, "control": HASH_SPACE - less}) == (
        Segment(0, less, "treatment"),
        Segment(less, HASH_SPACE, "control"),
    )


def test_an_arm_that_grows_from_nothing_lands_where_it_was_declared():
    """II.b: a holdout ramped from 0% is the holdout laid out at its rate."""
    nobody = lay_out({"treatment": Fraction(0), "control": Fraction(1)})
    plan = {"treatment": Fraction(1, 100), "control": Fraction(99, 100)}
    assert move_borders(nobody, widths(plan)) == lay_out(plan)
    nobody = lay_out({"control": Fraction(1), "treatment": Fraction(0)})
    plan = {"control": Fraction(99, 100), "treatment": Fraction(1, 100)}
    assert move_borders(nobody, widths(plan)) == lay_out(plan)


def test_shares_are_read_as_they_are_written():
    """0.1 is one tenth, not the double next to it; three thirds are whole."""
    assert exact_shares({"a": 0.1, "b": 0.9}) == {"a": Fraction(1, 10), "b": Fraction(9, 10)}
    third = 1 / 3
    assert exact_shares({"a": third, "b": third, "c": third}) == dict.fromkeys("abc", Fraction(1, 3))


@pytest.mark.parametrize(
    ("plan", "rule"),
    [
        ({"a": 0.5, "b": 0.4}, r"Shares must sum to 1, got 0\.9\."),
        ({"a": 1.5, "b": -0.5}, r"The share of arm 'a' must lie in \[0, 1\], got 1\.5\."),
        ({"a": float("nan"), "b": 1.0}, r"The share of arm 'a' must lie in \[0, 1\], got nan\."),
        ({"a": float("inf"), "b": 1.0}, r"The share of arm 'a' must lie in \[0, 1\], got inf\."),
    ],
)
def test_shares_that_are_none_are_refused(plan, rule):
    with pytest.raises(UsageError, match=rule):
        exact_shares(plan)


@pytest.mark.parametrize(
    "line",
    [
        [Segment(0, HALF, "a")],
        [Segment(1, HASH_SPACE, "a")],
        [Segment(0, HALF, "a"), Segment(HALF + 1, HASH_SPACE, "b")],
        [Segment(0, HALF, "a"), Segment(HALF - 1, HASH_SPACE, "b")],
        [Segment(0, 0, "a"), Segment(0, HASH_SPACE, "b")],
        [Segment(0, HASH_SPACE + 1, "a")],
        [],
    ],
)
def test_a_gap_or_an_overlap_is_refused(line):
    with pytest.raises(UsageError, match="Ranges must"):
        check_partition(line)
