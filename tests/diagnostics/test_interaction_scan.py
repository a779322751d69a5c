"""Scans in arrays: exact shared counts, and the same answers as pair by pair (IN-02, IN-03, IN-10, IN-25..IN-28)."""

from __future__ import annotations

import itertools
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.diagnostics.interaction_scan import scan_members
from fairtrial.diagnostics.memberships import Members, joint_counts, shared_counts
from fairtrial.diagnostics.pair_analysis import scan_cells
from fairtrial.diagnostics.pair_cells import MeanOutcome, PairCells, RateOutcome, Side
from fairtrial.diagnostics.pair_tests import interaction_tests
from fairtrial.errors import UsageError

UNITS = 30_000


def members_of(key, rng, *, arms=("control", "treatment"), share=0.5, rate=True, base=0.2, control="control", **more):
    unit = np.sort(rng.choice(UNITS, size=int(UNITS * share), replace=False)).astype(np.uint32)
    arm = rng.integers(0, len(arms), unit.size).astype(np.uint8)
    drawn = rng.random(unit.size) < base + 0.02 * arm
    value = drawn.astype(np.int8) if rate else 1e3 + rng.normal(3.0, 2.0, unit.size)
    units = tuple(np.bincount(arm, minlength=len(arms)).tolist())
    given_more = {"value": value, "is_rate": rate, "metric": "m"} | more
    return Members(side=Side(key=key, arms=arms, units=units, control=control), unit=unit, arm=arm, **given_more)


def cells_of(a, b):
    """The pair's cells counted with Python's sets and lists, slowly."""
    shape = len(a.side.arms), len(b.side.arms)
    places = [dict(zip(one.unit.tolist(), zip(one.arm.tolist(), itertools.repeat(0)), strict=False)) for one in (a, b)]
    both = sorted(places[0].keys() & places[1].keys())
    groups = {}
    for unit in both:
        groups.setdefault((places[0][unit][0], places[1][unit][0]), []).append(unit)
    n = np.zeros(shape, dtype=np.int64)
    outcomes = []
    for key, members in groups.items():
        n[key] = len(members)
    for one in (a, b):
        if one.value is None:
            outcomes.append(one.untested or "no_metric")
            continue
        value = dict(zip(one.unit.tolist(), one.value.tolist(), strict=True))
        table = np.zeros((2, *shape))
        for key, members in groups.items():
            numbers = np.array([value[unit] for unit in members])
            table[(0, *key)] = numbers.mean()
            table[(1, *key)] = ((numbers - numbers.mean()) ** 2).sum()
        if one.is_rate:
            outcomes.append(RateOutcome(metric=one.metric, successes=np.rint(table[0] * n).astype(np.int64)))
        else:
            outcomes.append(MeanOutcome(metric=one.metric, mean=table[0], m2=table[1]))
    same = a.group is not None and a.group == b.group
    return PairCells(
        a=a.side,
        b=b.side,
        n=n,
        outcome_a=outcomes[0],
        outcome_b=outcomes[1],
        exclusion_group=a.group if same else None,
        concurrent=a.span[0] < b.span[1] and b.span[0] < a.span[1],
    )


@pytest.fixture(scope="module")
def several():
    rng = np.random.default_rng(8)
    three = ("control", "t1", "t2")
    return [
        members_of("plain", rng),
        members_of("big", rng, share=0.9),
        members_of("three", rng, arms=three, share=0.7),
        members_of("turned", rng, arms=("treatment", "control")),
        members_of("mean", rng, rate=False),
        members_of("mean3", rng, arms=three, rate=False, share=0.8),
        members_of("rare", rng, base=0.001),
        members_of("small", rng, share=0.004),
        members_of("nometric", rng, value=None, untested="no_metric"),
        members_of("ratio", rng, value=None, untested="unsupported_metric"),
        members_of("nocontrol", rng, control=None),
        members_of("grouped", rng, group=7),
        members_of("grouped2", rng, group=7),
        members_of("early", rng, span=(0.0, 10.0)),
        members_of("late", rng, span=(10.0, 20.0)),
        members_of("empty", rng, share=0.0),
        members_of("onearm", rng, arms=("control", "treatment", "closed"), share=0.6),
    ]


def test_the_scan_says_what_pair_by_pair_says(several):
    """Every field of every pair, and so every reason, kind of metric and number of arms."""
    shut = several[-1]
    several = [*several[:-1], Members(**{name: getattr(shut, name) for name in shut.__slots__} | {"arm": np.minimum(shut.arm, 1)})]
    found = scan_members(several)
    pairs = [cells_of(a, b) for a, b in itertools.combinations(several, 2)]
    wanted = scan_cells(pairs)
    assert len(found) == len(wanted) == 17 * 16 // 2
    assert (found.method, found.sampled) == ("exact", 1)
    reasons = set()
    for place, expected in enumerate(wanted):
        entry = asdict(found.entry(place))
        reasons.add(entry["unavailable_reason"])
        for name, value in asdict(expected).items():
            if isinstance(value, float):
                assert entry[name] == pytest.approx(value, rel=1e-5, abs=1e-9), (name, expected)
            else:
                assert entry[name] == value, (name, expected, entry)
        if found.interaction[place] >= 0:
            rows = [row for row in interaction_tests(pairs[place]) if row.p_value is not None]
            least = min(rows, key=lambda row: row.p_value)
            assert abs(found.effect[place]) == pytest.approx(abs(least.interaction), rel=1e-6, abs=1e-9)
    assert {"mutual_exclusion_group", "not_concurrent", "no_shared_users", "no_metric", "unsupported_metric"} <= reasons
    assert {"no_control_variant", "too_few_shared_users", "too_few_conversions", None} <= reasons
    assert found.rows_tested == sum(row.p_value is not None for cells in pairs for row in interaction_tests(cells))


def test_blocks_of_units_add_up(several, monkeypatch):
    whole = joint_counts(several)
    monkeypatch.setattr("fairtrial.diagnostics.memberships.MEMBERS_AT_ONCE", 20_000)
    parts = joint_counts(several)
    assert (parts.n == whole.n).all()
    assert parts.sums == pytest.approx(whole.sums)
    assert parts.squares == pytest.approx(whole.squares)


sets = st.lists(st.sets(st.integers(0, 400)), min_size=1, max_size=5)


@settings(deadline=None)
@given(sets)
def test_bits_count_what_sets_share_in_10(groups):
    arrays = [np.array(list(group), dtype=np.uint32) for group in groups]
    found = shared_counts(arrays, universe=401)
    assert found.tolist() == [[len(a & b) for b in groups] for a in groups]


def test_a_coordinated_sample_keeps_the_same_units_and_states_its_error():
    rng = np.random.default_rng(4)
    unit = np.arange(400_000, dtype=np.uint32)
    arm = rng.integers(0, 2, (2, unit.size)).astype(np.uint8)
    both = (arm[0] == 1) & (arm[1] == 1)
    value = (rng.random(unit.size) < 0.2 + 0.15 * both).astype(np.int8)
    pair = [
        Members(
            side=Side(key=key, arms=("control", "treatment"), units=tuple(np.bincount(arms).tolist()), control="control"),
            unit=unit, arm=arms, value=value, is_rate=True, metric="m",
        )
        for key, arms in zip("ab", arm, strict=True)
    ]  # fmt: skip
    found = scan_members(pair, method="sample")
    assert (found.method, found.sampled) == ("sample", 32)
    assert abs(found.shared[0] - 400_000) < 4 * found.shared_std_error[0]
    assert 0 < found.shared_std_error[0] < 0.01 * 400_000
    assert found.interaction[0] == 1, "a planted interaction of 15 points is seen in one unit of 32"
    assert found.effect[0] == pytest.approx(0.15, abs=0.05)
    assert [one.unit.size for one in found.members] == [found.members[0].unit.size] * 2
    assert (found.members[0].unit == found.members[1].unit).all()
    exact = scan_members(pair)
    assert (exact.method, exact.shared[0], exact.shared_std_error[0]) == ("exact", 400_000, 0.0)
    assert exact.riskiest(5) == [0]


def test_units_must_be_ascending_and_once():
    side = Side(key="a", arms=("control", "treatment"), units=(1, 1), control="control")
    for unit in ([1, 1], [2, 1]):
        with pytest.raises(UsageError, match="ascending"):
            Members(side=side, unit=np.array(unit, dtype=np.uint32), arm=np.zeros(2, np.uint8), value=None, is_rate=False, metric="m")
    with pytest.raises(UsageError, match="an arm and a value"):
        Members(side=side, unit=np.array([1], dtype=np.uint32), arm=np.zeros(2, np.uint8), value=None, is_rate=False, metric="m")
