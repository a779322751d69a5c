"""The stages of a rollout, and the watch (ML-11, ML-35)."""

import pytest
from pydantic import ValidationError

from fairtrial.spec.stages import LADDERS, Rollout, Stage, Watch


def ramp(*shares, **given):
    return tuple(Stage(name=f"s{place}", kind="ramp", share=share, **given) for place, share in enumerate(shares))


def test_the_canary_ladder():
    """ML-35: 5, 10, 25, 50, 100 %, five minutes each."""
    steps = Rollout(stages="canary").steps
    assert [step.share for step in steps] == [0.05, 0.1, 0.25, 0.5, 1.0]
    assert [step.name for step in steps] == ["5%", "10%", "25%", "50%", "100%"]
    assert all(step.min_minutes >= 5.0 for step in steps)


def test_the_default_ladder_begins_in_the_shadow():
    """IV.c: no instant 100 %: 5/25/50/100."""
    steps = Rollout().steps
    assert [(step.kind, step.share) for step in steps] == [
        ("shadow", 0.0),
        ("canary", 0.05),
        ("ramp", 0.25),
        ("ramp", 0.5),
        ("ramp", 1.0),
    ]
    assert [step.opens_by for step in steps] == ["shadow", "guardrails", "guardrails", "guardrails", "guardrails"]


@pytest.mark.parametrize("name", LADDERS)
def test_ladders_that_ship_are_valid(name):
    assert Rollout(stages=LADDERS[name]).steps == LADDERS[name]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((), "one stage or more"),
        ((*ramp(0.05), *ramp(0.1)), "differ in name"),
        (ramp(0.1, 0.05), "must not fall"),
        (ramp(0.05, 1.0), "only after a quarter"),
        (ramp(0.05, 0.99), "only after a quarter"),
        (ramp(0.5, 1.0), "first stage"),
        (ramp(1.0), "first stage"),
    ],
)
def test_ladders_that_jump_or_fall_are_refused(stages, message):
    with pytest.raises(ValidationError, match=message):
        Rollout(stages=stages)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "shadow", "share": 0.1}, "no traffic"),
        ({"kind": "offline", "share": 0.1}, "no traffic"),
        ({"kind": "canary"}, "some traffic"),
        ({"kind": "ramp", "share": 0.12345}, "multiple of 0.0001"),
        ({"kind": "holdback", "share": 1.0}, "holdback"),
        ({"kind": "ramp", "share": 0.1, "gate": "shadow"}, "belongs to the kind shadow"),
        ({"kind": "ramp", "share": 1.1}, "less than or equal to 1"),
        ({"kind": "ramp", "share": 0.1, "min_minutes": -1}, "greater than or equal to 0"),
        ({"kind": "ramp", "share": 0.1, "odd": 1}, "Extra inputs"),
        ({"kind": "sideways", "share": 0.1}, "Input should be"),
    ],
)
def test_stages_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        Stage(name="x", **given)


def test_a_test_and_a_holdback_between_canary_and_end():
    steps = Rollout(
        stages=(
            Stage(name="canary", kind="canary", share=0.05),
            Stage(name="test", kind="ab", share=0.05),
            Stage(name="quarter", kind="ramp", share=0.25),
            Stage(name="kept", kind="holdback", share=0.95),
        )
    ).steps
    assert [step.opens_by for step in steps] == ["guardrails", "verdict", "guardrails", "guardrails"]


@pytest.mark.parametrize(
    "given", [{"budget": 0.0}, {"budget": 0.5}, {"window_minutes": 0}, {"min_requests": 0}, {"margins": {"error_rate": -0.1}}]
)
def test_a_watch_keeps_its_ranges(given):
    with pytest.raises(ValidationError):
        Watch(**given)
    assert Watch().canary_limits == {"error_rate": 0.05, "p95_latency_ms": 1_000.0}
