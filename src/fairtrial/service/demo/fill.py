"""Fill an empty database with simulated experiments, as if the service had run for two months."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
from sqlalchemy import func, select

from fairtrial.errors import ConflictError
from fairtrial.service.demo.bandits import add_bandit
from fairtrial.service.demo.holdouts import DAY, DEMO, HOLDOUTS, add_holdout, close, fill_population
from fairtrial.service.demo.models import add_models
from fairtrial.service.demo.products import add_products
from fairtrial.service.demo.rollouts import add_rollout
from fairtrial.service.incrementality import run_nightly_report
from fairtrial.service.interactions.scans import run_scan
from fairtrial.service.jobs.nightly import always
from fairtrial.service.notifications.alerts import NOBODY
from fairtrial.service.results.results import decide
from fairtrial.storage import Database
from fairtrial.storage.tables import Experiment

Say = Callable[[str], None]
NIGHTS = 6
PROFILES = 16_000


def fill_demo(database: Database, *, now: dt.datetime, seed: int = 7, say: Say = lambda _: None) -> None:
    """Fill a database.

    Args:
        database: With its tables, and no experiment.
        now: The moment up to which everything happened.
        seed: Of the simulation: the same gives the same experiments.
        say: Hears what is being made.

    Raises:
        ConflictError: There are experiments already.
    """
    with database.reading() as session:
        if session.scalar(select(func.count()).select_from(Experiment)):
            raise ConflictError("The demo fills an empty database, this one holds experiments.", hint="Take another --database.")
    rng = np.random.default_rng(seed)
    say(f"Simulating {PROFILES:,} customers")
    with database.writing() as session:
        ids = fill_population(session, rng, now=now, profiles=PROFILES)
    made: dict[str, int] = {}
    for one in HOLDOUTS:
        say(f"Simulating the holdout {one.name!r}")
        with database.writing() as session:
            made[one.key] = add_holdout(session, one, ids, rng, now=now)
    say("Simulating two product experiments on the same customers")
    with database.writing() as session:
        add_products(session, ids, rng, now=now)
    say("Simulating a fraud model and its challenger")
    with database.writing() as session:
        add_models(session, rng, now=now)
    say("Simulating a rollout of a feature")
    with database.writing() as session:
        add_rollout(session, rng, now=now)
    say("Simulating a bandit")
    add_bandit(database, rng, now=now)
    for night in range(NIGHTS, -1, -1):
        say(f"Nightly report {NIGHTS - night + 1} of {NIGHTS + 1}")
        at = (now - night * DAY).replace(hour=2, minute=0, second=0, microsecond=0)
        if at <= now:
            with database.writing() as session:
                run_nightly_report(session, at, now=at)
    with database.writing() as session:
        for one in HOLDOUTS:
            close(session, one, made[one.key], now=now)
            if one.end == "decided":
                note = "The low end of the interval pays for the letter."
                decide(session, str(made[one.key]), decision="LAUNCH", note=note, actor=DEMO, now=now - 30 * DAY)
    say("Looking for interactions")
    run_scan(database, as_of=now, now=now, audience=NOBODY, guard=always)
