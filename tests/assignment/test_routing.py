"""The whole way of a unit into an arm: gate, traffic, arm, and what is stored of it (DESIGN 5, G-9, IN-17, IN-20)."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.assignment import Allocation, Gate, GlobalHoldout, LayerPlace, Routing, SlotRange
from fairtrial.assignment.layers import SLOTS, take_slots
from fairtrial.assignment.routing import OPEN, pack, unpack
from fairtrial.errors import UsageError

UNITS = st.text(max_size=30)
USERS = [f"user_{number}" for number in range(2000)]
ARMS = ("control", "treatment", "third")


@st.composite
def shares(draw):
    """Shares of three arms in whole percents."""
    first = draw(st.integers(0, 100))
    second = draw(st.integers(0, 100 - first))
    return dict(zip(ARMS, (Fraction(part, 100) for part in (first, second, 100 - first - second)), strict=True))


@st.composite
def gates(draw):
    """A holdout or none, and up to two places of one or two runs of slots."""
    held = draw(st.none() | st.floats(0, 1))
    holdout = None if held is None else GlobalHoldout(name="holdout", salt=draw(st.text(max_size=5)), share=held)
    borders = draw(st.lists(st.lists(st.integers(0, SLOTS), min_size=4, max_size=4, unique=True).map(sorted), max_size=2))
    places = tuple(
        LayerPlace(layer=f"meg-{number}", salt="", slots=(SlotRange(low, middle), SlotRange(next_low, high)))
        for number, (low, middle, next_low, high) in enumerate(borders)
    )
    return Gate(holdout=holdout, places=places)


@st.composite
def routings(draw):
    """Any routing, its ranges moved once."""
    allocation = Allocation.from_shares("exp", draw(shares()), salt=draw(st.text(max_size=5)), traffic=draw(st.floats(0, 1)))
    return Routing(allocation=allocation.extended(draw(shares())), gate=draw(gates()))


def test_the_golden_groups_pass_an_open_gate():
    """II.b: experiment 1 at .8 treats all five, at .5 three of them."""
    for rate, treated in ((0.8, 5), (0.5, 3)):
        routing = Routing(allocation=Allocation.holdout("email", rate, hash_key="1"))
        found = [routing.decide(f"user_00{number}") for number in range(1, 6)]
        assert [decision.arm for decision in found].count("treatment") == treated
        assert {decision.reason for decision in found} == {None}


@settings(max_examples=200, deadline=None)
@given(routings(), UNITS)
def test_a_unit_has_an_arm_or_a_reason_and_never_both(routing, unit):
    """DESIGN 5: holdout before layers, layers before traffic, traffic before the arm."""
    found = routing.decide(unit)
    assert (found.arm is None) != (found.reason is None)
    outside = routing.gate.outside(unit)
    if outside is not None:
        assert found.reason == outside
    elif routing.allocation.in_traffic(unit):
        assert found.arm == routing.allocation.arm(unit)
    else:
        assert found.reason == "traffic"


@settings(max_examples=200, deadline=None)
@given(routings(), st.lists(UNITS, max_size=10))
def test_what_is_stored_decides_as_what_was_made(routing, units):
    """G-9: pack and unpack through JSON, hashes beyond 2^53 and salts of any script included."""
    stored = unpack(json.loads(json.dumps(pack(routing), allow_nan=False)))
    assert stored == routing
    assert [stored.decide(unit) for unit in units] == [routing.decide(unit) for unit in units]


def test_what_is_stored_must_cover_the_hash_space():
    packed = pack(Routing(allocation=Allocation.from_shares("exp", {"a": 0.5, "b": 0.5})))
    assert (packed["holdout"], packed["places"]) == (None, [])
    for segments in (packed["segments"][:1], packed["segments"][1:], [*packed["segments"], packed["segments"][0]], []):
        with pytest.raises(UsageError):
            unpack({**packed, "segments": segments})
    with pytest.raises(UsageError, match="range of slots"):
        unpack({**packed, "places": [{"layer": "meg-1", "salt": "", "slots": [[5, 5]]}]})


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.lists(UNITS, min_size=1, max_size=20))
def test_a_ramp_of_traffic_only_moves_units_in(one, other, units):
    """DESIGN 5: never between arms, never out."""
    low, high = sorted((one, other))
    small = Allocation.from_shares("exp", {"a": 0.3, "b": 0.7}, traffic=low)
    before, after = Routing(allocation=small), Routing(allocation=small.with_traffic(high))
    for unit in units:
        assert before.decide(unit).arm in {None, after.decide(unit).arm}


@settings(max_examples=100, deadline=None)
@given(shares(), shares(), gates())
def test_an_extended_share_keeps_all_units_of_arms_that_grow(before, after, gate):
    """DESIGN 5: a unit leaves only an arm that shrinks, and goes only to one that grows."""
    routing = Routing(allocation=Allocation.from_shares("exp", before), gate=gate)
    extended = routing.extended(after)
    assert extended.gate == gate
    for user in USERS[:200]:
        old, new = routing.decide(user), extended.decide(user)
        assert old.reason == new.reason
        if old.arm != new.arm:
            assert after[old.arm] < before[old.arm]
            assert after[new.arm] > before[new.arm]


def test_a_holdout_rate_that_rises_moves_control_to_treatment_alone():
    """II.b."""
    routing = Routing(allocation=Allocation.holdout("email", 0.5, hash_key="1"))
    risen = routing.extended({"treatment": Fraction(9, 10), "control": Fraction(1, 10)})
    moved = {(routing.decide(user).arm, risen.decide(user).arm) for user in USERS}
    assert moved == {("treatment", "treatment"), ("control", "treatment"), ("control", "control")}
    with pytest.raises(UsageError, match="Every arm must have a share"):
        routing.extended({"treatment": 1.0})


def test_neighbours_in_a_layer_share_nobody_and_leave_nobody_out():
    """IN-17: the units of a layer that is all taken are divided among its experiments."""
    first = take_slots([], 0.3)
    second = take_slots(first, 0.7)
    routings = [
        Routing(
            allocation=Allocation.from_shares(key, {"a": 0.5, "b": 0.5}),
            gate=Gate(places=(LayerPlace(layer="meg-1", salt="", slots=slots),)),
        )
        for key, slots in (("one", first), ("two", second))
    ]
    for user in USERS:
        found = [routing.decide(user) for routing in routings]
        assert sorted(decision.reason or "in" for decision in found) == ["exclusion_group", "in"]


def test_what_happens_to_others_moves_nobody():
    """DESIGN 5: an experiment's stored gate stands whatever later becomes of layer and holdout."""
    slots = take_slots([], 0.4)
    routing = Routing(
        allocation=Allocation.from_shares("exp", {"a": 1.0}), gate=Gate(places=(LayerPlace(layer="meg-1", salt="", slots=slots),))
    )
    stored = pack(routing)
    held = replace(routing, gate=replace(routing.gate, holdout=GlobalHoldout(name="holdout", salt="g", share=0.2)))
    assert [unpack(stored).decide(user) for user in USERS] == [routing.decide(user) for user in USERS]
    lost = {user for user in USERS if routing.decide(user).arm and not held.decide(user).arm}
    assert lost
    assert {held.decide(user).reason for user in lost} == {"holdout"}


def test_text_that_cannot_be_written_is_refused():
    assert OPEN.outside("用户") is None
    with pytest.raises(UsageError, match="Unicode text"):
        Routing(allocation=Allocation.from_shares("exp", {"a": 1.0})).decide("\ud800")
