"""A simulated bandit on the service: three banners, one better than the others, and a week of periods."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from fairtrial.service.bandits import control, deciding, updating
from fairtrial.service.bandits.schemas import BanditIn, DecideIn, RewardIn, RewardsIn
from fairtrial.service.demo.holdouts import DAY, DEMO
from fairtrial.storage import Database

KEY = "demo-hero-banner"
RATES = {"summer": 0.062, "winter": 0.055, "family": 0.089}
"""What is true."""
DAYS = 7
A_DAY = 900
SPEC: dict[str, Any] = {
    "kind": "bandit",
    "key": KEY,
    "arms": [*RATES],
    "reward": {"kind": "proportion"},
    "policy": "thompson",
    "period": {"hours": 24},
    "fixed_share": 0.1,
    "seed": 7,
}


def add_bandit(database: Database, rng: np.random.Generator, *, now: dt.datetime) -> None:
    """Begin a bandit a week ago; each day units are decided for, rewarded, and the split is updated."""
    start = now - DAYS * DAY - dt.timedelta(hours=1)
    with database.writing() as session:
        control.create(session, BanditIn(spec=SPEC), actor=DEMO, now=start)
    for day in range(DAYS):
        at = start + day * DAY + dt.timedelta(minutes=30)
        units = [DecideIn(unit=f"visitor-{day}-{number}") for number in range(A_DAY)]
        decided = deciding.decide(database, KEY, units, now=at)
        rewards = [
            RewardIn(decision_id=one.decision_id, reward=float(rng.random() < RATES[one.arm]))
            for one in decided
            if one.decision_id is not None
        ]
        with database.writing() as session:
            deciding.keep_rewards(session, KEY, RewardsIn(rewards=rewards), now=at + dt.timedelta(hours=8))
        updating.update(database, KEY, actor=DEMO, now=start + (day + 1) * DAY + dt.timedelta(minutes=5))
