"""The gateway obeys the rollout: it ramps, stops, stays stopped, and shares what it knows."""

import asyncio
import json
from itertools import pairwise

import pytest
from gateway_scene import CHALLENGER, CHAMPION, NAME, PATIENT, spec

from fairtrial.errors import StorageError
from fairtrial.serving import read_log
from fairtrial.serving.desk import change_rollout
from fairtrial.serving.rollout import RolloutState, restart, stop
from fairtrial.spec.model_file import parse_model_experiment
from fairtrial.storage import open_database
from fairtrial.storage.deployments import get_deployment
from fairtrial.storage.tables import Alert, AuditEntry, OutboxMessage

WATCH = {"check_seconds": 600, "min_requests": 20}  # a check is made when a test calls for a round, not by the clock
LADDER = [
    {"name": "shadow", "kind": "shadow", "min_minutes": 0, "min_requests": 100},
    {"name": "canary", "kind": "canary", "share": 0.05, "min_minutes": 0, "min_requests": 30},
    {"name": "half", "kind": "ramp", "share": 0.5, "min_minutes": 0, "min_requests": 30},
    {"name": "all", "kind": "ramp", "share": 1.0, "min_minutes": 0, "min_requests": 30},
]
HALF = [{"name": "canary", "kind": "canary", "share": 0.25, "min_minutes": 1000}]


def rollout(stages=HALF, **watch):
    return {"stages": stages, "watch": {**WATCH, **watch}}


async def drive(gateway, users, first=0):
    return [await gateway.post(user=f"user_{i}") for i in range(first, first + users)]


async def drive_at_once(gateway, users, first=0):
    found = []
    for begin in range(first, first + users, 60):
        found += await asyncio.gather(*(gateway.post(user=f"user_{i}") for i in range(begin, begin + 60)))
    return found


def stored(scene):
    database = open_database(scene.url)
    with database.reading() as session:
        row = get_deployment(session, NAME)
        found = (
            RolloutState.from_json(row.state_json),
            [
                [alert.message for alert in session.query(Alert)],
                [entry.action for entry in session.query(AuditEntry)],
                [message.target for message in session.query(OutboxMessage)],
            ],
        )
    database.close()
    return found


def test_a_good_challenger_climbs_to_all_traffic_and_moves_nobody_twice(scene):
    """ML-11, ML-35: shadow, 5, 50, 100 %, each step by its gate; a user moves from the champion to the challenger only."""

    async def play(gateway):
        seen = []
        for _ in range(40):
            answers = {f"user_{i}": (await gateway.post(user=f"user_{i}")).model for i in range(150)}
            await gateway.traffic.mirror.drained()
            seen.append((gateway.traffic.stage, answers))
            await gateway.round()
            if gateway.keeper.state.status == "completed":
                break
        return seen, gateway.keeper.status()

    seen, status = scene.run(play, shadow={"share": 1.0}, rollout=rollout(LADDER))
    assert [event["what"] for event in status["history"]] == ["started", "advanced", "advanced", "advanced", "completed"]
    assert list(dict.fromkeys(stage for stage, _ in seen)) == ["shadow", "canary", "half", "all"]
    assert set(seen[0][1].values()) == {CHAMPION}
    assert set(seen[-1][1].values()) == {CHALLENGER}
    for (_, before), (_, after) in pairwise(seen):
        assert not [user for user in before if before[user] == CHALLENGER and after[user] == CHAMPION]
    assert sum(model == CHALLENGER for stage, answers in seen if stage == "canary" for model in answers.values()) > 0


def test_a_broken_challenger_is_stopped_within_one_check_and_stays_stopped(scene):
    """A breach routes all traffic to the champion, raises an alert, and a restarted gateway stays stopped."""

    async def play(gateway):
        await drive(gateway, 60)
        scene.challenger.fail = 1.0
        failing = await drive(gateway, 60, 60)
        await gateway.round()
        after = await drive(gateway, 60, 120)
        return failing, after, gateway.keeper.status()

    failing, after, status = scene.run(play, rollout=rollout())
    assert {answer.status for answer in failing} == {200}
    assert {answer.model for answer in after} == {CHAMPION}
    assert (status["status"], status["share"]) == ("stopped", 0.0)
    assert "error_rate" in status["reason"]
    state, (alerts, actions, _) = stored(scene)
    assert state.status == "stopped"
    assert any("stopped at stage canary" in text for text in alerts)
    assert actions == ["model.started", "model.stopped"]

    async def again(gateway):
        scene.challenger.fail = 0.0
        return [answer.model for answer in await drive(gateway, 60)], gateway.keeper.state.status

    models, status = scene.run(again, rollout=rollout())
    assert (set(models), status) == ({CHAMPION}, "stopped")


def test_a_slow_challenger_breaks_the_latency_guardrail(scene):
    async def play(gateway):
        scene.challenger.delay = 0.25
        await drive(gateway, 160)
        await gateway.round()
        return gateway.keeper.status()

    status = scene.run(play, rollout=rollout(canary_limits={}), p95_limit=200)
    assert status["status"] == "stopped"
    assert "p95_latency_ms" in status["reason"]


def test_a_stop_survives_a_database_that_is_gone(scene, monkeypatch):
    """The stop is in force and noted beside the log before it is written; the next gateway writes it."""

    def gone(*_, **__):
        raise StorageError("gone")

    async def play(gateway):
        await drive(gateway, 30)
        scene.challenger.fail = 1.0
        await drive(gateway, 60, 30)
        with monkeypatch.context() as patch:
            patch.setattr(gateway.keeper.desk, "change", gone)
            await gateway.round()
            models = {answer.model for answer in await drive(gateway, 30)}
            trouble = gateway.keeper.status()["trouble"]
            await gateway.keeper.close()
            gateway.keeper.close = nothing
        return models, trouble

    async def nothing():
        pass

    models, trouble = scene.run(play, rollout=rollout())
    assert models == {CHAMPION}
    assert "gone" in trouble
    assert stored(scene)[0].status == "running"

    async def again(gateway):
        return {answer.model for answer in await drive(gateway, 30)}

    scene.challenger.fail = 0.0
    assert scene.run(again, rollout=rollout()) == {CHAMPION}
    assert stored(scene)[0].status == "stopped"


def test_a_note_that_cannot_be_read_is_no_permission(scene):
    scene.folder.mkdir()
    (scene.folder / f"{NAME}.stopped.json").write_text("{half")

    async def play(gateway):
        return {answer.model for answer in await drive(gateway, 30)}

    assert scene.run(play, rollout=rollout()) == {CHAMPION}


def test_two_gateways_share_evidence_and_state(scene):
    """Neither alone has seen enough; together they stop, and the one that did not find out obeys."""
    raw = spec(scene.addresses, rollout=rollout(min_requests=50), timeout_seconds=10) | {
        "guardrail_metrics": {"p95_latency_ms": [0, 1_000]}
    }

    async def play():
        async with scene.gateway(raw) as first, scene.gateway(raw) as second:
            scene.challenger.delay = 1.1  # beyond the limit, and far from twice that
            await drive_at_once(first, 120)
            await first.round()
            alone = first.keeper.state.status
            await drive_at_once(second, 120, 120)
            await second.round()
            await first.round()
            return alone, first.keeper.state.status, second.keeper.state.status, {a.model for a in await drive(first, 50)}

    alone, first, second, models = asyncio.run(play())
    assert alone == "running"
    assert (first, second, models) == ("stopped", "stopped", {CHAMPION})
    assert len(read_log(scene.folder).rows) == 290


def test_the_word_of_a_person_is_obeyed_within_a_round(scene):
    raw = spec(scene.addresses, rollout=rollout(), p95_limit=PATIENT)
    served = parse_model_experiment(raw)

    async def play():
        async with scene.gateway(raw) as gateway:
            stages = served.serving.rollout.steps

            def say(step):
                database = open_database(scene.url)
                with database.writing() as session:
                    change_rollout(session, served, step, by="ann", role="DEVELOPER", now=gateway.traffic.clock(), targets=("ops",))
                database.close()

            said = {"now": gateway.traffic.clock(), "by": "ann"}
            say(lambda state: stop(state, stages, "complaints", **said))
            await gateway.round()
            stopped = {answer.model for answer in await drive(gateway, 50)}
            say(lambda state: restart(state, stages, "fixed in build 7", **said))
            await gateway.round()
            return stopped, {answer.model for answer in await drive(gateway, 50)}, gateway.keeper.status()

    stopped, after, status = asyncio.run(play())
    assert stopped == {CHAMPION}
    assert after == {CHAMPION, CHALLENGER}
    assert [(event["what"], event["reason"], event["by"]) for event in status["history"][1:]] == [
        ("stopped", "complaints", "ann"),
        ("started", "fixed in build 7", "ann"),
    ]
    assert stored(scene)[1][2] == ["ops"]


def test_the_same_user_has_the_same_model_after_a_restart_and_at_every_gateway(scene):
    raw = spec(scene.addresses, rollout=rollout(), p95_limit=PATIENT)

    async def play():
        found = []
        async with scene.gateway(raw) as first, scene.gateway(raw) as second:
            found += [[a.model for a in await drive(gateway, 80)] for gateway in (first, second)]
        async with scene.gateway(raw) as third:
            found.append([a.model for a in await drive(third, 80)])
        return found

    first, second, third = asyncio.run(play())
    assert first == second == third
    assert set(first) == {CHAMPION, CHALLENGER}


def test_status_says_what_the_rollout_waits_for(scene):
    async def play(gateway):
        await drive(gateway, 10)
        await gateway.round()
        return (await gateway.get("/status")).json

    status = scene.run(play, rollout=rollout())
    assert status["experiment"] == NAME
    assert any("minutes are left" in text for text in status["waiting_for"])
    assert any("guardrails say insufficient" in text for text in status["waiting_for"])
    assert json.dumps(status)
    assert status["guardrails"]["status"] == "insufficient"


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_the_split_is_as_declared(scene, share):
    """ML-24, ML-34: by chi-square over the first requests."""
    stages = [{"name": "canary", "kind": "canary", "share": share, "gate": "approval"}]

    async def play(gateway):
        return await drive(gateway, 1000)

    answers = scene.run(play, rollout=rollout(stages))
    seen = sum(answer.model == CHALLENGER for answer in answers)
    assert (seen - 1000 * share) ** 2 / (1000 * share * (1 - share)) < 10.83
