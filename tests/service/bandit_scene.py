"""A small bandit over HTTP, for tests."""

from __future__ import annotations

import numpy as np

KEY = "banner"


def spec(**fields):
    return {
        "kind": "bandit",
        "key": KEY,
        "arms": ["control", "blue", "green"],
        "policy": "thompson",
        "period": {"hours": 1},
        "min_weight": 0.05,
        "max_step": 0.5,
        "min_trials": 20,
        **fields,
    }


def begun(service, **fields):
    answer = service.post("/api/v1/bandits", {"spec": spec(**fields)})
    assert answer.status_code == 201, answer.text
    return answer.json()


def decided(service, units, key=KEY, **more):
    asked = [{"unit": unit, **more} for unit in units]
    answer = service.post(f"/api/v1/bandits/{key}/decide-many", {"decisions": asked})
    assert answer.status_code == 200, answer.text
    return answer.json()["decisions"]


def rewarded(service, rewards, key=KEY):
    answer = service.post(f"/api/v1/bandits/{key}/rewards", {"rewards": rewards})
    assert answer.status_code == 200, answer.text
    return answer.json()


def run_period(service, rates, number, n, *, rng, key=KEY, metrics=None):
    """Decisions of one period, their rewards, and the update at its end."""
    made = []
    for begin in range(0, n, 1000):
        units = [f"u{number}-{i}" for i in range(begin, min(n, begin + 1000))]
        found = decided(service, units, key)
        made += found
        rewards = [{"decision_id": one["decision_id"], "reward": float(rng.random() < rates[one["arm"]])} for one in found]
        if metrics is not None:
            for one, reward in zip(found, rewards, strict=True):
                reward["metrics"] = metrics(one["arm"])
        rewarded(service, rewards, key)
    service.clock.move(hours=1)
    updated = service.post(f"/api/v1/bandits/{key}/update").json()
    return made, updated


def generator(seed=1):
    return np.random.default_rng(seed)
