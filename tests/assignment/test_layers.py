"""Layers and the global holdout: uniform slots, nobody in two experiments, the same in SQL's text form (DESIGN 5, IN-17..20)."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.assignment import Gate, GlobalHoldout, LayerPlace, SlotRange, u, unit_hash
from fairtrial.assignment.hashing import HASH_SPACE
from fairtrial.assignment.layers import SLOTS, take_slots
from fairtrial.errors import ConflictError, UsageError

UNITS = st.text(max_size=30)
USERS = [f"user_{number}" for number in range(20_000)]
SHARES = st.integers(1, 4000).map(lambda slots: slots / SLOTS)


def place(*slots, layer="meg-7", salt=""):
    return LayerPlace(layer=layer, salt=salt, slots=tuple(SlotRange(low, high) for low, high in slots))


def by_text(found: LayerPlace, unit: str) -> bool:
    """What an engine says that has SHA-256 and compares text."""
    digits = hashlib.sha256(f"{unit}:{found.layer}:{found.salt}".encode()).hexdigest()[:16]
    return any(low <= digits and (high is None or digits < high) for low, high in found.hex_ranges)


def slots_of(ranges) -> set[int]:
    return {slot for found in ranges for slot in range(found.low, found.high)}


def test_the_golden_slots_of_group_7():
    """I.b: user_001 lies at .043041, user_002 at .912605."""
    seven = place((0, SLOTS))
    assert (round(u("user_001", "meg-7"), 6), round(u("user_002", "meg-7"), 6)) == (0.043041, 0.912605)
    assert (seven.slot("user_001"), seven.slot("user_002")) == (430, 9126)
    assert place((430, 431)).holds("user_001")
    assert not place((0, 430), (431, SLOTS)).holds("user_001")


def test_the_golden_units_of_the_global_holdout():
    """I.b: .227262, .056750 and .758870 at the salt global-2026; a tenth holds user_002 alone."""
    places = [u(f"user_00{number}", "holdout", "global-2026") for number in (1, 2, 3)]
    assert [round(places[0], 6), round(places[1], 6), round(places[2], 5)] == [0.227262, 0.05675, 0.75887]
    tenth = GlobalHoldout(name="holdout", salt="global-2026", share=0.1)
    assert [tenth.holds(f"user_00{number}") for number in (1, 2, 3)] == [False, True, False]


@pytest.mark.parametrize(("low", "high"), [(0, 1000), (2500, 5000), (9900, SLOTS)])
def test_slots_are_uniform_over_units(low, high):
    """DESIGN 5: units in a run of slots are a binomial draw of its share."""
    inside = sum(place((low, high), salt="uniform").holds(user) for user in USERS)
    assert stats.binomtest(inside, len(USERS), (high - low) / SLOTS).pvalue > 1e-4


def test_every_tenth_of_a_layer_is_as_full_as_the_others():
    counts = [0] * 10
    whole = place((0, SLOTS), salt="tenths")
    for user in USERS:
        counts[whole.slot(user) // 1000] += 1
    assert stats.chisquare(counts).pvalue > 1e-4


def test_layers_draw_independently_of_each_other():
    one, other = place((0, 5000), layer="meg-1"), place((0, 5000), layer="meg-2")
    both = sum(one.holds(user) and other.holds(user) for user in USERS)
    assert stats.binomtest(both, len(USERS), 0.25).pvalue > 1e-4


@settings(max_examples=100, deadline=None)
@given(UNITS, UNITS, st.text(max_size=5))
def test_a_slot_is_the_floor_of_the_fraction(unit, layer, salt):
    assert place((0, 1), layer=layer, salt=salt).slot(unit) == math.floor(Fraction(unit_hash(unit, layer, salt), HASH_SPACE) * SLOTS)


@settings(max_examples=100, deadline=None)
@given(UNITS, st.integers(0, SLOTS - 1), st.integers(1, SLOTS))
def test_text_ranges_hold_whom_the_integers_hold(unit, low, width):
    """DESIGN 5: in SQL the test compares the first 16 hex digits as text; the borders that matter are at the unit's own slot."""
    slot = place((0, 1)).slot(unit)
    for found in (
        place((low, min(low + width, SLOTS))),
        place((slot, slot + 1)),
        place((0, max(slot, 1)), (min(slot + 1, SLOTS - 1), SLOTS)),
    ):
        assert by_text(found, unit) == found.holds(unit)


@pytest.mark.parametrize("slot", [0, 1, 4999, 5000, 9998, 9999])
def test_text_borders_are_the_first_hash_of_a_slot(slot):
    (low, high), *_ = place((slot, slot + 1)).hex_ranges
    assert int(low, 16) * SLOTS // HASH_SPACE == slot
    assert slot == 0 or (int(low, 16) - 1) * SLOTS // HASH_SPACE == slot - 1
    if high is None:
        assert slot == SLOTS - 1
    else:
        assert (len(low), len(high), int(high, 16) * SLOTS // HASH_SPACE) == (16, 16, slot + 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(SHARES, min_size=2, max_size=6), st.lists(UNITS, max_size=20))
def test_two_experiments_of_a_layer_never_share_a_unit(shares, units):
    """IN-17: whatever shares come one after the other, no slot has two owners and no unit two experiments."""
    taken: list[SlotRange] = []
    places: list[LayerPlace] = []
    for share in shares:
        if sum(found.high - found.low for found in taken) + round(Fraction(str(share)) * SLOTS) > SLOTS:
            with pytest.raises(ConflictError):
                take_slots(taken, share)
            continue
        found = take_slots(taken, share)
        assert not slots_of(found) & slots_of(taken)
        assert len(slots_of(found)) == round(Fraction(str(share)) * SLOTS)
        taken.extend(found)
        places.append(LayerPlace(layer="meg-7", salt="", slots=found))
    for unit in units:
        assert sum(found.holds(unit) for found in places) <= 1


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 19), max_size=19), st.integers(1, 20), st.integers(1, 20), st.randoms())
def test_slots_are_taken_from_what_is_free_below_the_capacity(owned, wanted, room, random):
    """IN-18: slots lie in [0, traffic_allocation), freed gaps are filled from the left, whatever order the others come in."""
    step = SLOTS // 20
    taken = [SlotRange(part * step, (part + 1) * step) for part in owned]
    random.shuffle(taken)
    free = [part for part in range(room) if part not in owned]
    if wanted > len(free):
        with pytest.raises(ConflictError, match="is free"):
            take_slots(taken, wanted / 20, capacity=room / 20)
        return
    expected = {slot for part in free[:wanted] for slot in range(part * step, (part + 1) * step)}
    assert slots_of(take_slots(taken, wanted / 20, capacity=room / 20)) == expected


def test_slots_fill_gaps_and_say_what_is_free():
    taken = [SlotRange(7000, 9000), SlotRange(0, 3000)]
    assert take_slots(taken, 0.45) == (SlotRange(3000, 7000), SlotRange(9000, 9500))
    with pytest.raises(ConflictError, match=r"0\.51 of the layer is asked for, 0\.5 is free"):
        take_slots(taken, 0.51)
    with pytest.raises(ConflictError, match=r"0\.2 is free"):
        take_slots(taken, 0.3, capacity=0.5)
    assert take_slots([], 0.29) == (SlotRange(0, 2900),)  # 0.29 * 10000 is 2899.9999999999995 in doubles
    assert take_slots([], 1 / 3) == (SlotRange(0, 3333),)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, 0.00004, float("nan"), float("inf")])
def test_a_share_is_refused_outside_of_its_range(share):
    with pytest.raises(UsageError, match="share of a layer must"):
        take_slots([], share)


@pytest.mark.parametrize(("low", "high"), [(-1, 5), (5, 5), (6, 5), (0, SLOTS + 1)])
def test_a_range_of_slots_lies_in_the_layer(low, high):
    with pytest.raises(UsageError, match="range of slots"):
        SlotRange(low, high)


def test_the_holdout_is_a_share_of_units():
    """IN-20: an exact binomial draw; nobody at 0, everybody at 1."""
    tenth = sum(GlobalHoldout(name="holdout", salt="a", share=0.1).holds(user) for user in USERS)
    assert stats.binomtest(tenth, len(USERS), 0.1).pvalue > 1e-4
    assert not any(GlobalHoldout(name="holdout", salt="a", share=0).holds(user) for user in USERS)
    assert all(GlobalHoldout(name="holdout", salt="a", share=1).holds(user) for user in USERS)


@settings(max_examples=100, deadline=None)
@given(UNITS, st.floats(0, 1), st.floats(0, 1))
def test_raising_the_holdout_only_adds_units(unit, one, other):
    """DESIGN 5: whoever is held out at a small share is held out at a larger one, by the exact fraction."""
    low, high = sorted((one, other))
    smaller, larger = (GlobalHoldout(name="holdout", salt="s", share=share).holds(unit) for share in (low, high))
    assert larger or not smaller
    assert smaller == (Fraction(unit_hash(unit, "holdout", "s"), HASH_SPACE) < Fraction(str(low)))


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_the_share_of_a_holdout_is_a_share(share):
    with pytest.raises(UsageError, match="share of a holdout"):
        GlobalHoldout(name="holdout", salt="", share=share)


@settings(max_examples=100, deadline=None)
@given(UNITS)
def test_the_gate_asks_the_holdout_first_and_then_each_layer(unit):
    held = GlobalHoldout(name="holdout", salt="g", share=0.5)
    first, second = place((0, 5000)), place((0, 5000), layer="meg-8")
    found = Gate(holdout=held, places=(first, second)).outside(unit)
    if held.holds(unit):
        assert found == "holdout"
    else:
        assert found == (None if first.holds(unit) and second.holds(unit) else "exclusion_group")
    assert Gate().outside(unit) is None


@pytest.mark.parametrize("unit", ["\ud800", 7, None])
def test_what_is_no_text_has_no_place(unit):
    for asked in (place((0, SLOTS)).holds, GlobalHoldout(name="holdout", salt="", share=0.5).holds):
        with pytest.raises(UsageError, match="Unicode text"):
            asked(unit)
