"""The rollout as a state machine: nothing but evidence raises the share, and a breach takes it for good (ML-11, ML-35)."""

import datetime as dt
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import ConflictError, UsageError
from fairtrial.serving.live_guardrails import LiveMonitor
from fairtrial.serving.rollout import (
    LONGEST_HISTORY,
    Evidence,
    RolloutState,
    advance,
    allocation_at,
    analysis_phase,
    approve,
    begin,
    pause,
    restart,
    resume,
    stop,
    waiting_for,
)
from fairtrial.spec.examples import FRAUD_DETECTION_EXPERIMENT
from fairtrial.spec.stages import LADDERS, Rollout, Stage, Watch

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CANARY = LADDERS["canary"]
LADDER = LADDERS["ladder"]
FULL = Rollout(
    stages=(
        Stage(name="offline", kind="offline"),
        Stage(name="shadow", kind="shadow", min_requests=500),
        Stage(name="canary", kind="canary", share=0.05, min_minutes=60, min_requests=300),
        Stage(name="test", kind="ab", share=0.25, min_minutes=60),
        Stage(name="half", kind="ramp", share=0.5, min_minutes=60),
        Stage(name="kept", kind="holdback", share=0.95, min_minutes=60),
    )
).steps


def after(minutes):
    return NOW + dt.timedelta(minutes=minutes)


def fine(requests, **given):
    return Evidence(requests=requests, guardrails="ok", **given)


def canary():
    return begin(CANARY, now=NOW, by="ann")


def test_the_canary_ladder_climbs_in_five_steps_of_five_minutes():
    """ML-35: 5, 10, 25, 50, 100 %, at least 5 minutes each; ML-11."""
    state, shares, minutes = canary(), [], 0
    while state.status == "running":
        shares.append(state.share)
        early = advance(state, CANARY, fine(10**6), now=after(minutes + 4.99))
        assert early is state
        minutes += 5
        state = advance(state, CANARY, fine(200 * len(shares)), now=after(minutes))
    assert shares == [0.05, 0.1, 0.25, 0.5, 1.0]
    assert (state.status, state.share, minutes) == ("completed", 1.0, 25)


@pytest.mark.parametrize("guardrails", ["insufficient", "no_data"])
def test_unknown_is_never_open(guardrails):
    """IV.b: null is no pass; no data does not ramp."""
    state = canary()
    assert advance(state, CANARY, Evidence(requests=10**6, guardrails=guardrails), now=after(10**5)) is state
    assert advance(state, CANARY, Evidence(), now=after(10**5)) is state


def test_too_few_requests_do_not_ramp():
    state = canary()
    assert advance(state, CANARY, fine(199), now=after(60)) is state
    assert waiting_for(state, CANARY, fine(199), now=after(60)) == ["199 of 200 challenger requests were seen"]
    second = advance(state, CANARY, fine(200), now=after(60))
    assert advance(second, CANARY, fine(399), now=after(120)) is second  # those of the first stage do not count again
    assert advance(second, CANARY, fine(400), now=after(120)).stage == 2


def test_an_unhealthy_canary_gets_nothing():
    """ML-35: error rate > 5 %, tested -> 0 %."""
    monitor = LiveMonitor(replace(FRAUD_DETECTION_EXPERIMENT, guardrail_metrics={}, metric_types={}), Watch(), NOW)
    for i in range(300):
        monitor.observe("fraud_detector_v2.0", NOW.timestamp() + i, 100.0, error=i % 4 == 0, timeout=False)
    reading = monitor.check(after(5), {"fraud_detector_v1.3": 0.95, "fraud_detector_v2.0": 0.05})
    state = advance(canary(), CANARY, Evidence(requests=300, guardrails=reading.status, guardrail_reason=reading.reason), now=after(5))
    assert (state.status, state.share) == ("stopped", 0.0)
    assert "above its limit 0.05" in state.reason
    assert allocation_at("a", {"a": 0.9, "b": 0.1}, state.share) == {"a": 1.0, "b": 0.0}


def test_each_stage_has_its_gate():
    """offline: a person; shadow: agreement; canary: guardrails; ab: a verdict; holdback keeps some traffic with the champion."""
    state = begin(FULL, now=NOW, by="ann")
    assert (state.share, advance(state, FULL, fine(0), now=after(10**4))) == (0.0, state)
    state = approve(state, FULL, Evidence(), "offline metrics hold", now=NOW, by="ann")
    for shadow in (None, "diverging", "inconclusive"):
        assert advance(state, FULL, fine(0, compared=10**4, shadow=shadow), now=after(100)) is state
    assert advance(state, FULL, fine(0, compared=499, shadow="ok"), now=after(100)) is state
    state = advance(state, FULL, fine(0, compared=500, shadow="ok"), now=after(100))
    assert (state.stage, state.share) == (2, 0.05)
    state = advance(state, FULL, fine(300), now=after(200))
    for verdict in (None, "EXTEND_TEST", "CONSIDER_LAUNCH"):
        assert advance(state, FULL, fine(10**4, verdict=verdict), now=after(300)) is state
    refused = advance(state, FULL, fine(10**4, verdict="NO_LAUNCH"), now=after(300))
    assert (refused.status, refused.share) == ("stopped", 0.0)
    state = advance(state, FULL, fine(10**4, verdict="LAUNCH"), now=after(300))
    state = advance(state, FULL, fine(10**5), now=after(400))
    state = advance(state, FULL, fine(10**6), now=after(500))
    assert (state.status, state.share) == ("completed", 0.95)


@pytest.mark.parametrize("stage", range(1, len(FULL)))
def test_harm_stops_in_any_stage(stage):
    """V.b: ROLLBACK while traffic is live, also after the test itself."""
    state = replace(begin(FULL, now=NOW, by="ann"), stage=stage, share=FULL[stage].share)
    assert advance(state, FULL, fine(10**6, verdict="ROLLBACK"), now=after(1)).status == "stopped"


@pytest.mark.parametrize("status", ["running", "paused", "completed"])
def test_a_breach_stops_whatever_is_not_stopped(status):
    state = replace(canary(), status=status)
    stopped = advance(state, CANARY, Evidence(guardrails="breach", guardrail_reason="errors"), now=after(1))
    assert (stopped.status, stopped.share, stopped.reason) == ("stopped", 0.0, "errors")


def test_a_breach_in_the_shadow_does_not_open_the_canary():
    state = begin(LADDER, now=NOW, by="ann")
    given_evidence = Evidence(compared=10**6, shadow="ok", guardrails="breach")
    assert advance(state, LADDER, given_evidence, now=after(10**5)).share == 0.0
    with pytest.raises(ConflictError, match="guardrails"):
        approve(state, LADDER, given_evidence, "looks good", now=after(1), by="ann")


def test_evidence_of_an_earlier_start_does_not_count():
    stopped = stop(canary(), CANARY, "errors", now=after(1), by="ann")
    again = restart(stopped, CANARY, "fixed", now=after(2), by="ann")
    assert advance(again, CANARY, fine(10**6, epoch=1), now=after(60)) is again
    assert advance(again, CANARY, Evidence(guardrails="breach", epoch=1), now=after(60)) is again
    assert advance(again, CANARY, fine(200, epoch=2), now=after(60)).stage == 1


def test_only_a_person_with_a_reason_restarts():
    stopped = stop(canary(), CANARY, "errors", now=after(1), by="ann")
    assert stop(stopped, CANARY, "again", now=after(2), by="bob") is stopped
    for act in (
        lambda: resume(stopped, CANARY, Evidence(), "go", now=NOW, by="ann"),
        lambda: approve(stopped, CANARY, fine(10**6), "go", now=NOW, by="ann"),
        lambda: pause(stopped, CANARY, "wait", now=NOW, by="ann"),
        lambda: restart(canary(), CANARY, "again", now=NOW, by="ann"),
    ):
        with pytest.raises(ConflictError):
            act()
    with pytest.raises(UsageError, match="reason"):
        restart(stopped, CANARY, "  ", now=NOW, by="ann")
    again = restart(stopped, CANARY, "fixed in v2.1", now=after(3), by="ann")
    assert (again.status, again.share, again.stage, again.epoch) == ("running", 0.05, 0, 2)
    assert [event.what for event in again.history] == ["started", "stopped", "started"]


def test_a_pause_freezes_and_begins_the_stay_anew():
    paused = pause(canary(), CANARY, "incident elsewhere", now=after(4), by="ann")
    assert advance(paused, CANARY, fine(10**6), now=after(10**4)) is paused
    going = resume(paused, CANARY, fine(500), "over", now=after(100), by="ann")
    assert advance(going, CANARY, fine(10**6), now=after(104)) is going
    assert advance(going, CANARY, fine(699), now=after(105)) is going
    assert advance(going, CANARY, fine(700), now=after(105)).stage == 1


def test_a_persons_word_moves_one_stage_and_does_not_overrule_guardrails():
    moved = approve(canary(), CANARY, Evidence(guardrails="insufficient"), "low traffic tonight", now=after(1), by="ann")
    assert (moved.stage, moved.history[-1].by) == (1, "ann")
    for guardrails in ("breach", "no_data"):
        with pytest.raises(ConflictError):
            approve(canary(), CANARY, Evidence(guardrails=guardrails), "go", now=after(1), by="ann")


def test_a_clock_that_goes_back_opens_nothing():
    assert advance(canary(), CANARY, fine(10**6), now=after(-10_000)).stage == 0


def test_a_deployment_tool_is_told_pass_fail_or_inconclusive():
    state = canary()
    answers = {status: analysis_phase(state, status) for status in ("ok", "breach", "insufficient", "no_data")}
    assert answers == {"ok": "pass", "breach": "fail", "insufficient": "inconclusive", "no_data": "inconclusive"}
    assert analysis_phase(stop(state, CANARY, "errors", now=NOW, by="ann"), "ok") == "fail"


def test_a_long_history_keeps_the_latest_events_and_the_start():
    state = stop(canary(), CANARY, "errors", now=after(1), by="ann")
    state = restart(state, CANARY, "fixed", now=after(2), by="ann")
    for i in range(150):
        state = pause(state, CANARY, f"p{i}", now=after(3), by="ann")
        state = resume(state, CANARY, Evidence(), f"r{i}", now=after(3), by="ann")
    assert len(state.history) == LONGEST_HISTORY
    assert state.history[-1].reason == "r149"
    assert [event.at for event in state.history if event.what == "started"] == ["2026-01-01T00:02:00Z"]


@settings(deadline=None)
@given(
    weights=st.lists(st.integers(0, 5_000), min_size=1, max_size=4),
    share=st.integers(0, 10_000).map(lambda parts: parts / 10_000),
)
def test_shares_are_whole_parts_that_sum_to_one(weights, share):
    """ML-04: multiples of .0001; challengers in proportion to what was declared."""
    total = sum(weights)
    declared = {f"b{i}": weight / 20_000 for i, weight in enumerate(weights)} | {"a": 1.0 - total / 20_000}
    found = allocation_at("a", declared, share)
    parts = {model: round(part * 10_000) for model, part in found.items()}
    assert sum(parts.values()) == 10_000
    assert all(part == parts[model] / 10_000 for model, part in found.items())
    assert parts["a"] == 10_000 - round(share * 10_000)
    if total:
        assert all(abs(parts[f"b{i}"] - weight / total * share * 10_000) < 1.0 + 1e-6 for i, weight in enumerate(weights))


evidences = st.builds(
    Evidence,
    requests=st.integers(0, 5_000),
    compared=st.integers(0, 5_000),
    guardrails=st.sampled_from(["ok", "ok", "ok", "ok", "insufficient", "no_data", "breach"]),
    shadow=st.sampled_from([None, "ok", "ok", "diverging", "inconclusive"]),
    verdict=st.sampled_from([None, "LAUNCH", "STRONG_LAUNCH", "LAUNCH", "NO_LAUNCH", "ROLLBACK", "EXTEND_TEST"]),
    epoch=st.sampled_from([None, None, 1]),
)
acts = st.lists(
    st.tuples(st.sampled_from(["check"] * 6 + ["pause", "resume", "approve", "stop"]), evidences, st.floats(0.0, 3_000.0)), max_size=40
)


@settings(deadline=None, max_examples=300)
@given(stages=st.sampled_from([CANARY, LADDER, FULL]), steps=acts)
def test_no_sequence_of_evidence_and_acts_gets_round_a_breach(stages, steps):
    """A breach is never followed by a positive share without a restart; one stage a step; a pause freezes; JSON loses nothing."""
    state, minutes, broken = begin(stages, now=NOW, by="ann"), 0.0, False
    for act, evidence, passed in steps:
        minutes += passed
        before = state
        try:
            if act == "check":
                state = advance(state, stages, evidence, now=after(minutes))
                broken = broken or evidence.guardrails == "breach"
            elif act == "pause":
                state = pause(state, stages, "wait", now=after(minutes), by="ann")
            elif act == "resume":
                state = resume(state, stages, evidence, "go", now=after(minutes), by="ann")
            elif act == "approve":
                state = approve(state, stages, evidence, "go", now=after(minutes), by="ann")
            else:
                state = stop(state, stages, "enough", now=after(minutes), by="ann")
        except ConflictError:
            assert state is before
        assert RolloutState.from_json(json.loads(json.dumps(state.as_json()))) == state
        if broken or state.status == "stopped":
            assert (state.status, state.share) == ("stopped", 0.0)
        else:
            assert state.share == stages[state.stage].share
        assert state.stage - before.stage in {0, 1}
        if act == "check" and state.share > before.share:
            assert evidence.guardrails != "breach"
            assert before.status == "running"
            assert before.share == 0.0 or evidence.guardrails == "ok"
        if act == "check" and before.status == "paused":
            assert state is before or state.status == "stopped"
