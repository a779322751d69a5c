"""Bandits over HTTP (XC-40, AD-17, AD-18)."""

from collections import Counter

import pytest
from bandit_scene import KEY, begun, decided, generator, rewarded, run_period, spec
from scipy import stats

from fairtrial.service.jobs.runner import JobRunner
from fairtrial.service.jobs.tasks import find_task
from fairtrial.storage.tables import Bandit


def test_a_bandit_from_its_first_decision_to_its_results(stored_service):
    """XC-40: created, decided, rewarded, updated, read."""
    service = stored_service
    made = begun(service, fixed_share=0.2)
    assert (made["status"], made["period"], made["explanation"]) == ("running", 1, [])
    rates = {"control": 0.1, "blue": 0.3, "green": 0.1}
    rng = generator()
    for number in range(1, 5):
        _, updated = run_period(service, rates, number, 600, rng=rng)
        assert updated["updated"], updated
    found = service.get(f"/api/v1/bandits/{KEY}").json()
    assert max(found["allocation"], key=found["allocation"].get) == "blue"
    results = service.get(f"/api/v1/bandits/{KEY}/results").json()
    assert (results["n"], results["decisions"]) == (2400, 2400)
    assert results["best_arm"]["arm"] == "blue"
    blue = results["contrasts"][0]
    for reading in ("adaptive", "over_time", "fixed"):
        assert blue[reading]["interval"]["low"] < 0.2 < blue[reading]["interval"]["high"]


def test_allocation_is_kept_within_its_limits_and_matches_what_was_drawn(service):
    """AD-17, AD-18, XC-40: thousands of decisions: the best arm found, floors and steps kept, frequencies as the propensities say."""
    begun(service, min_weight=0.05, max_step=0.2, min_trials=100, fixed_share=0.1)
    rng, drawn = generator(7), []
    for number in range(1, 9):
        before = service.get(f"/api/v1/bandits/{KEY}").json()["allocation"]
        made, updated = run_period(service, {"control": 0.1, "blue": 0.25, "green": 0.05}, number, 1000, rng=rng)
        drawn.append((before, Counter(one["arm"] for one in made)))
        assert {one["propensity"] for one in made} <= set(before.values())
        assert sum(updated["allocation"].values()) == pytest.approx(1.0, abs=1e-12)
        assert min(updated["allocation"].values()) >= 0.9 * 0.05 + 0.1 / 3 - 1e-12
        assert max(abs(updated["allocation"][arm] - before[arm]) for arm in before) <= 0.9 * 0.2 + 1e-12
    statistic = sum((seen[arm] - 1000 * share) ** 2 / (1000 * share) for before, seen in drawn for arm, share in before.items())
    assert stats.chi2.sf(statistic, 2 * len(drawn)) > 1e-3
    found = service.get(f"/api/v1/bandits/{KEY}").json()
    assert max(found["allocation"], key=found["allocation"].get) == "blue"
    acted = {one["constraint"] for period in found["history"] for one in period["explanation"]}
    assert {"max_step", "min_weight"} <= acted
    assert [sum(period["decisions"].values()) for period in found["history"]] == [1000] * 8 + [0]


def test_shares_wait_for_enough_rewards(service):
    """AD-17: the `min_trials` hold, and the explanation that names it."""
    begun(service, min_trials=5000)
    _, updated = run_period(service, {"control": 0.1, "blue": 0.9, "green": 0.1}, 1, 300, rng=generator())
    assert updated["allocation"] == pytest.approx({"control": 1 / 3, "blue": 1 / 3, "green": 1 / 3})
    assert [one["constraint"] for one in updated["explanation"]] == ["min_trials"]
    assert "5000 rewards" in updated["explanation"][0]["text"]


def test_a_unit_keeps_its_arm_within_a_period(stored_service):
    """XC-40: asked again, also in one batch or after the allocation has changed the decision is the stored one."""
    service = stored_service
    begun(service)
    units = ["ü€", "日本語", "a b", "🙂", "ü€"]
    first = decided(service, units)
    assert first[0] == first[4]
    assert decided(service, units) == first
    one = service.post(f"/api/v1/bandits/{KEY}/decide", {"unit": "日本語"}).json()
    assert one == first[1]
    rewarded(service, [{"decision_id": one["decision_id"], "reward": 1} for one in first[:4]])
    service.clock.move(hours=1)
    assert service.post(f"/api/v1/bandits/{KEY}/update").json()["updated"]
    again = decided(service, units)
    assert {one["period"] for one in again} == {2}
    assert not {one["decision_id"] for one in again} & {one["decision_id"] for one in first}


def test_rewards_are_kept_once(stored_service):
    """XC-40: duplicates, other values, unknown ids, what is no number, and what comes late."""
    service = stored_service
    begun(service)
    made = decided(service, ["a", "b", "c"])
    ids = [one["decision_id"] for one in made]
    body = [{"decision_id": ids[0], "reward": 1}, {"decision_id": ids[0], "reward": 1}, {"decision_id": "nobody", "reward": 1}]
    assert rewarded(service, body) == {"stored": 1, "duplicates": 1, "conflicting": [], "unknown": ["nobody"]}
    assert rewarded(service, [{"decision_id": ids[0], "reward": 0}])["conflicting"] == [ids[0]]
    for bad in ("NaN", "Infinity", "0.5", "-1", "1e999", '"1e3"', "null", "true1"):
        text = f'{{"rewards":[{{"decision_id":"{ids[1]}","reward":{bad}}}]}}'
        answer = service.call("POST", f"/api/v1/bandits/{KEY}/rewards", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (bad, answer.text)
    refused = service.post(
        f"/api/v1/bandits/{KEY}/rewards", {"rewards": [{"decision_id": i, "reward": r} for i, r in zip(ids[1:], (1, 7), strict=True)]}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_reward")
    service.clock.move(hours=1)
    service.post(f"/api/v1/bandits/{KEY}/update")
    assert rewarded(service, [{"decision_id": ids[1], "reward": 1}])["stored"] == 1
    history = service.get(f"/api/v1/bandits/{KEY}").json()["history"]
    assert [sum(period["rewards"].values()) for period in history] == [2, 0]


def test_an_update_is_made_once_a_period(service):
    begun(service)
    early = service.post(f"/api/v1/bandits/{KEY}/update").json()
    assert (early["updated"], early["period"]) == (False, 1)
    service.clock.move(hours=5)
    answers = [service.post(f"/api/v1/bandits/{KEY}/update").json() for _ in range(3)]
    assert [(one["updated"], one["period"]) for one in answers] == [(True, 2), (False, 2), (False, 2)]


def test_a_guardrail_takes_an_arm_down_at_once_and_says_so(service):
    """AD-17: an arm that earns most but is too slow; to the floor, or out for good."""
    begun(service, constraints=[{"metric": "latency", "max_value": 200, "then": "floor"}], max_step=0.05, min_trials=10_000)
    begun(service, key="out", constraints=[{"metric": "latency", "max_value": 200, "then": "out"}], fixed_share=0.3)
    rates, rng = {"control": 0.1, "blue": 0.6, "green": 0.12}, generator(3)
    for key, left in ((KEY, 0.05), ("out", 0.0)):
        _, updated = run_period(
            service, rates, 1, 600, rng=rng, key=key, metrics=lambda arm: {"latency": float(rng.normal(300 if arm == "blue" else 100, 20))}
        )
        assert updated["allocation"]["blue"] == pytest.approx(left)
        assert updated["explanation"][0]["constraint"] == "guardrail"
        assert "latency of blue is" in updated["explanation"][0]["text"]
    made = decided(service, [f"later{i}" for i in range(500)], "out")
    assert {one["arm"] for one in made} == {"control", "green"}
    rewarded(service, [{"decision_id": one["decision_id"], "reward": float(rng.random() < rates[one["arm"]])} for one in made], "out")
    results = service.get("/api/v1/bandits/out/results").json()
    assert results["best_arm"]["arm"] != "blue"
    blue, green = results["contrasts"]
    assert (blue["adaptive"]["n"], green["adaptive"]["n"]) == (600, 1100)
    assert blue["fixed"]["n"] < green["fixed"]["n"]
    assert results["arms"]["blue"]["pulls"] > 100


def test_the_stop_rule_ends_it_with_its_winner(service):
    begun(service, stop={"probability": 0.95, "min_periods": 2})
    rates, rng = {"control": 0.1, "blue": 0.4, "green": 0.1}, generator(4)
    _, first = run_period(service, rates, 1, 600, rng=rng)
    assert first["status"] == "running"
    _, second = run_period(service, rates, 2, 600, rng=rng)
    assert (second["status"], second["final_arm"], second["allocation"]["blue"]) == ("stopped", "blue", 1.0)
    assert "best with probability" in second["reason"]
    after = service.post(f"/api/v1/bandits/{KEY}/decide", {"unit": "x"}).json()
    assert (after["arm"], after["decision_id"], after["propensity"]) == ("blue", None, None)
    assert service.get(f"/api/v1/bandits/{KEY}/results").json()["best_arm"]["stop"] is True


def test_pause_resume_and_stop_by_a_person(stored_service):
    service = stored_service
    begun(service)
    paused = service.post(f"/api/v1/bandits/{KEY}/pause", {"reason": "sale"}).json()
    assert (paused["status"], paused["reason"]) == ("paused", "sale")
    service.clock.move(hours=2)
    assert service.post(f"/api/v1/bandits/{KEY}/update").json()["updated"] is False
    assert decided(service, ["a"])[0]["decision_id"] is not None
    again = service.post(f"/api/v1/bandits/{KEY}/pause", {"reason": "sale"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert service.post(f"/api/v1/bandits/{KEY}/resume", {"reason": "over"}).json()["status"] == "running"
    assert service.post(f"/api/v1/bandits/{KEY}/resume", {"reason": "x", "arm": "blue"}).status_code == 422
    assert service.post(f"/api/v1/bandits/{KEY}/stop", {"reason": "x", "arm": "red"}).status_code == 422
    stopped = service.post(f"/api/v1/bandits/{KEY}/stop", {"reason": "done"}).json()
    assert (stopped["status"], stopped["final_arm"]) == ("stopped", "control")
    actions = [one["action"] for one in service.get("/api/v1/audit", role="ADMIN").json()["items"]]
    for action in ("bandit.create", "bandit.paused", "bandit.running", "bandit.stopped"):
        assert action in actions


def test_another_policy_is_weighed_on_the_log_or_refused(service):
    """XC-40: the truth lies within the interval; where the weights leave too little, no number is given."""
    begun(service, fixed_share=0.3)
    rates, rng = {"control": 0.1, "blue": 0.3, "green": 0.2}, generator(5)
    assert service.post(f"/api/v1/bandits/{KEY}/off-policy", {"shares": {"green": 1}}, role="ANALYST").json()["code"] == "too_few_rows"
    for number in range(1, 5):
        run_period(service, rates, number, 1000, rng=rng)
    found = service.post(f"/api/v1/bandits/{KEY}/off-policy", {"shares": {"green": 0.5, "blue": 0.5}, "clip": 10}, role="ANALYST").json()
    for name in ("dr", "snips", "ips"):
        assert found["estimates"][name]["interval"]["low"] < 0.25 < found["estimates"][name]["interval"]["high"]
    assert found["against_control"]["interval"]["low"] < 0.15 < found["against_control"]["interval"]["high"]
    assert found["diagnostics"]["effective_sample_size"] > 100
    begun(service, key="thin", min_weight=0.001, max_step=1.0, min_trials=1)
    for number in range(1, 4):
        run_period(service, {"control": 0.02, "blue": 0.9, "green": 0.02}, number, 150, rng=rng, key="thin")
    refused = service.post("/api/v1/bandits/thin/off-policy", {"shares": {"control": 1}}, role="ANALYST")
    assert (refused.status_code, refused.json()["code"]) == (422, "few_effective_rows")
    for body in ({"shares": {"red": 1}}, {"shares": {"blue": 0.5}}, {"shares": {}}, {"shares": {"blue": 2}}):
        assert service.post(f"/api/v1/bandits/{KEY}/off-policy", body, role="ANALYST").status_code == 422


@pytest.mark.parametrize("policy", ["linucb", "linear_thompson"])
def test_a_contextual_policy_learns_who_wants_what(service, policy):
    """XC-40: blue is for the young, the control for the old; every propensity is logged and adds up."""
    begun(
        service,
        policy=policy,
        context={"age": {"low": 18, "high": 90}},
        arms=["control", "blue"],
        max_step=0.5,
        min_trials=50,
        min_weight=0.1,
    )
    rng = generator(6)
    for number in range(1, 5):
        ages = rng.uniform(18, 90, 700)
        asked = [{"unit": f"{number}-{i}", "context": {"age": float(age)}} for i, age in enumerate(ages)]
        made = service.post(f"/api/v1/bandits/{KEY}/decide-many", {"decisions": asked}).json()["decisions"]
        wanted = ["blue" if age < 50 else "control" for age in ages]
        rewards = [float(rng.random() < (0.6 if one["arm"] == best else 0.1)) for one, best in zip(made, wanted, strict=True)]
        rewarded(service, [{"decision_id": one["decision_id"], "reward": reward} for one, reward in zip(made, rewards, strict=True)])
        service.clock.move(hours=1)
        assert service.post(f"/api/v1/bandits/{KEY}/update").json()["updated"]
    right = sum(one["arm"] == best for one, best in zip(made, wanted, strict=True))
    assert right > 0.75 * len(made)
    assert min(one["propensity"] for one in made) >= 0.1 - 1e-12
    results = service.get(f"/api/v1/bandits/{KEY}/results").json()
    blue = results["arms"]["blue"]
    truth = 0.6 * (50 - 18) / 72 + 0.1 * (90 - 50) / 72
    assert blue["interval"]["low"] < truth < blue["interval"]["high"]
    for context in (None, {}, {"age": 17}, {"age": 30, "sex": 1}, {"age": "x"}):
        refused = service.post(f"/api/v1/bandits/{KEY}/decide", {"unit": "u", "context": context})
        assert refused.status_code == 422, context


@pytest.mark.parametrize(
    ("policy", "reward"),
    [
        ("top_two", {"kind": "proportion"}),
        ("ucb", {"kind": "proportion"}),
        ("epsilon_greedy", {"kind": "proportion"}),
        ("thompson", {"kind": "mean"}),
        ("thompson", {"kind": "mean", "direction": "decrease"}),
        ("ucb", {"kind": "mean", "low": -5, "high": 35}),
    ],
)
def test_every_policy_finds_the_best_arm(service, policy, reward):
    """XC-40: rewards of both kinds, in both directions."""
    begun(service, policy=policy, reward=reward, drift={"discount": 0.9})
    rng = generator(8)
    better = -1.0 if reward.get("direction") == "decrease" else 1.0
    for number in range(1, 4):
        made = decided(service, [f"{number}-{i}" for i in range(600)])
        if reward["kind"] == "mean":
            values = [float(rng.normal(10 + better * 8 * (one["arm"] == "blue"), 2)) for one in made]
        else:
            values = [float(rng.random() < (0.5 if one["arm"] == "blue" else 0.2)) for one in made]
        rewarded(service, [{"decision_id": one["decision_id"], "reward": value} for one, value in zip(made, values, strict=True)])
        service.clock.move(hours=1)
        updated = service.post(f"/api/v1/bandits/{KEY}/update").json()
    assert max(updated["allocation"], key=updated["allocation"].get) == "blue"
    assert service.get(f"/api/v1/bandits/{KEY}/results").json()["best_arm"]["arm"] == "blue"


def test_a_missing_reward_is_a_zero_only_when_its_time_is_over(stored_service):
    service = stored_service
    begun(service, reward={"kind": "proportion", "zero_after_hours": 3}, min_trials=1)
    made = decided(service, [f"u{i}" for i in range(300)])
    rewarded(service, [{"decision_id": one["decision_id"], "reward": 1} for one in made if one["arm"] == "blue"][:40])
    service.clock.move(hours=1)
    early = service.post(f"/api/v1/bandits/{KEY}/update").json()
    assert [one["constraint"] for one in early["explanation"]] == ["min_trials"]
    service.clock.move(hours=2)
    results = service.get(f"/api/v1/bandits/{KEY}/results").json()
    assert results["n"] == 300
    assert results["arms"]["blue"]["pulls"] == sum(one["arm"] == "blue" for one in made)
    ripe = service.post(f"/api/v1/bandits/{KEY}/update").json()
    assert ripe["allocation"]["blue"] > 0.7


def test_drift_by_a_window_forgets(service):
    begun(service, drift={"window": 1}, max_step=1.0)
    rng = generator(9)
    for number in range(1, 4):
        run_period(service, {"control": 0.1, "blue": 0.5, "green": 0.1}, number, 400, rng=rng)
    for number in range(4, 6):
        _, updated = run_period(service, {"control": 0.1, "blue": 0.1, "green": 0.6}, number, 900, rng=rng)
    assert max(updated["allocation"], key=updated["allocation"].get) == "green"


def test_the_job_updates_what_is_due_and_one_failure_stops_no_other(service):
    begun(service, key="a-broken")
    begun(service, key="b-fine")
    begun(service, key="c-later", period={"days": 2})
    with service.database.writing() as session:
        session.get(Bandit, "a-broken").spec_json = {"kind": "bandit", "key": "a-broken", "arms": ["one"]}
    service.clock.move(hours=1)
    runner = JobRunner(service.database, service.state.settings, service.clock)
    (outcome,) = runner.run_pending(find_task("bandits"), first_now=True)
    assert outcome.status == "done"
    assert outcome.detail["updated"] == ["b-fine"]
    assert list(outcome.detail["failed"]) == ["a-broken"]


def test_unknown_and_broken_is_refused(service):
    begun(service)
    assert (service.post("/api/v1/bandits", {"spec": spec()}).status_code) == 409
    for path in ("", "/results"):
        assert service.get(f"/api/v1/bandits/nobody{path}").status_code == 404
    for path, body in (("decide", {"unit": "a"}), ("update", None), ("rewards", {"rewards": [{"decision_id": "x", "reward": 1}]})):
        assert service.post(f"/api/v1/bandits/nobody/{path}", body).status_code == 404
    for broken in ({"arms": ["a"]}, {"arms": ["a", "a"]}, {"policy": "magic"}, {"min_weight": 0.5}, {"kind": "ab_test"}, {"period": {}}):
        answer = service.post("/api/v1/bandits", {"spec": spec(key="other", **broken)})
        assert (answer.status_code, answer.json()["code"]) == (422, "spec"), broken
    for body in ({"unit": ""}, {"unit": "a\x00"}, {"unit": 1}, {"unit": "a", "context": {"age": 3}}, {}):
        assert service.post(f"/api/v1/bandits/{KEY}/decide", body).status_code == 422
    assert service.post(f"/api/v1/bandits/{KEY}/decide", {"unit": "a"}, role="ANALYST").status_code == 403
