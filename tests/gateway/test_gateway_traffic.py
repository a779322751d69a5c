"""Predictions through the gateway, against real model servers."""

import asyncio
import json
import os
import time

import pytest
from gateway_scene import CHALLENGER, CHAMPION, NAME, TO_CHALLENGER, TO_CHAMPION, V2, spec

from fairtrial.errors import ConflictError, SpecError
from fairtrial.serving import TrafficRouter, read_log
from fairtrial.spec.model_file import load_model_experiment, parse_model_experiment
from fairtrial.storage import open_database
from fairtrial.storage.predictions import read_comparisons, read_predictions


def stored(scene):
    database = open_database(scene.url)
    with database.reading() as session:
        found = read_predictions(session, NAME, None, None), read_comparisons(session, NAME)
    database.close()
    return found


def test_each_user_is_answered_by_the_model_of_the_hash(scene):
    """ML-05, ML-34: the body passes unchanged, headers say who answered, every prediction is logged and stored once."""

    async def play(gateway):
        return {f"user_{i}": await gateway.post(user=f"user_{i}") for i in range(200)}

    answers = scene.run(play)
    config = parse_model_experiment(spec(scene.addresses)).config
    router = TrafficRouter(config)
    assert {user: answer.model for user, answer in answers.items()} == {user: router.assign_variant(user).model_name for user in answers}
    assert {answer.json["outputs"][0]["data"][0] for answer in answers.values()} == {0.2, 0.25}
    rows = read_log(scene.folder).rows
    assert [row["prediction_id"] for row in rows] == [answer.headers["x-fairtrial-prediction-id"] for answer in answers.values()]
    kept, _ = stored(scene)
    assert {row["prediction_id"] for row in kept} == {row["prediction_id"] for row in rows}
    one = next(row for row in kept if row["user_id"] == TO_CHALLENGER)
    assert (one["variant"], one["model_name"], one["prediction"], one["propensity"], one["stage"]) == (
        "challenger",
        CHALLENGER,
        0.25,
        0.05,
        "canary",
    )
    assert one["assignment_id"] == f"{TO_CHALLENGER}_{NAME}"
    assert one["timestamp"].tzinfo is not None


def test_a_plain_json_model_is_served_too(scene):
    async def play(gateway):
        first = await gateway.post({"user_id": TO_CHALLENGER, "features": {"amount": 12.0}}, user=None, path="/predict")
        second = await gateway.post({"user_id": 7, "amount": 12.0}, user=None, path="/predict")
        return first, second

    first, second = scene.run(play, protocol="json", features={"allow": ["amount"]})
    assert (first.json, first.model) == ({"prediction": 0.25}, CHALLENGER)
    assert second.status == 200
    rows = read_log(scene.folder).rows
    assert [row["user_id"] for row in rows] == [TO_CHALLENGER, "7"]
    assert [row["features"] for row in rows] == [{"amount": 12.0}, {"amount": 12.0}]


def test_a_session_is_routed_by_its_hash(scene):
    """ML-06."""

    async def play(gateway):
        return [await gateway.post(user=None, headers=[(b"x-session-id", b"abc")]) for _ in range(3)]

    assert {answer.model for answer in scene.run(play)} == {CHAMPION}
    assert {row["assignment_id"] for row in read_log(scene.folder).rows} == {"session_abc"}


def test_the_champion_answers_for_a_challenger_that_fails(scene):
    async def play(gateway):
        answers = []
        for change in ({"fail": 1.0}, {"fail": 0.0, "html": True}, {"html": False, "bad_request": True}):
            for name, value in change.items():
                setattr(scene.challenger, name, value)
            answers.append(await gateway.post(user=TO_CHALLENGER))
        return answers

    answers = scene.run(play)
    assert [(answer.status, answer.model, answer.json["outputs"][0]["data"]) for answer in answers] == [(200, CHAMPION, [0.2])] * 3
    rows = read_log(scene.folder).rows
    assert [(row["model_name"], row["served_by"], row["error"], row["timeout"], row["fallback"], row["prediction"]) for row in rows] == [
        (CHALLENGER, CHAMPION, True, False, True, 0.2)
    ] * 3


def test_a_request_that_both_refuse_is_the_callers_mistake(scene):
    scene.champion.bad_request = scene.challenger.bad_request = True

    async def play(gateway):
        return await gateway.post(user=TO_CHALLENGER), await gateway.post()

    for answer in scene.run(play):
        assert (answer.status, answer.json) == (400, {"error": "wrong shape"})
    assert [row["error"] for row in read_log(scene.folder).rows] == [False, False]


def test_a_slow_challenger_is_not_waited_for(scene):
    scene.challenger.delay = 20.0

    async def play(gateway):
        started = time.perf_counter()
        answer = await gateway.post(user=TO_CHALLENGER)
        return answer, time.perf_counter() - started

    answer, seconds = scene.run(play, timeout_seconds=0.1)
    assert (answer.status, answer.model) == (200, CHAMPION)
    assert seconds < scene.challenger.delay
    (row,) = read_log(scene.folder).rows
    assert (row["error"], row["timeout"]) == (True, True)
    assert row["latency_ms"] >= 100


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [({"html": True}, 502, "model_unavailable"), ({"delay": 5.0}, 504, "model_timeout"), ({"fail": 1.0}, 500, None)],
)
def test_a_champions_failure_is_said(scene, trouble, status, code):
    for name, value in trouble.items():
        setattr(scene.champion, name, value)

    async def play(gateway):
        return await gateway.post()

    answer = scene.run(play, champion_timeout_seconds=0.2, shadow={"share": 0.0, "timeout_seconds": 0.1})
    assert answer.status == status
    assert answer.json.get("code") == code
    (row,) = read_log(scene.folder).rows
    assert (row["error"], row["prediction"], row["model_name"]) == (True, None, CHAMPION)


def test_a_kept_connection_that_the_server_ends_costs_no_answer(scene):
    """Neither the champion's users nor the challenger's guardrails see that a server closed an idle connection at the wrong moment."""
    scene.champion.hangs_up = scene.challenger.hangs_up = True

    async def play(gateway):
        answers = []
        for _ in range(3):
            answers += await asyncio.gather(*(gateway.post(user=user) for user in (TO_CHAMPION, TO_CHALLENGER) for _ in range(8)))
        return answers

    answers = scene.run(play)
    assert [(answer.status, answer.model) for answer in answers] == ([(200, CHAMPION)] * 8 + [(200, CHALLENGER)] * 8) * 3
    assert not any(row["error"] for row in read_log(scene.folder).rows)
    assert scene.champion.asked == 24, "one answer each"


def test_a_champion_that_is_not_there_is_a_502(scene, caplog):
    raw = spec({**scene.addresses, CHAMPION: "http://127.0.0.1:9"})

    async def play():
        async with scene.gateway(raw) as gateway:
            return await gateway.post(), await gateway.get("/v2/health/ready")

    answer, ready = asyncio.run(play())
    assert (answer.status, answer.json["code"]) == (502, "model_unavailable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (ready.status, ready.json["ready"]) == (503, False)
    assert f"the model {CHAMPION} is not ready" in caplog.text
    assert f"the model {CHALLENGER} is not ready" not in caplog.text


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "user", "status", "code"),
    [
        (b"", "u", 400, "malformed_body"),
        (b"{", "u", 400, "malformed_body"),
        (b"\xff\xfe", "u", 400, "malformed_body"),
        (DEEP, "u", 400, "malformed_body"),
        (b"[1]", "u", 422, "malformed_body"),
        (b"{}", "u", 422, "malformed_body"),
        (b'{"inputs": [7]}', "u", 422, "malformed_body"),
        (b'{"inputs": []}', "u", 422, "malformed_body"),
        (json.dumps(V2).encode(), None, 422, "no_identity"),
        (json.dumps({**V2, "user_id": {"a": 1}}).encode(), None, 422, "no_identity"),
        (json.dumps({**V2, "user_id": True}).encode(), None, 422, "no_identity"),
        (json.dumps({**V2, "user_id": ""}).encode(), None, 422, "no_identity"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_the_rule(scene, body, user, status, code):
    async def play(gateway):
        return await gateway.post(body, user=user)

    answer = scene.run(play)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert {"detail", "hint", "error"} <= answer.json.keys()
    assert scene.champion.asked == scene.challenger.asked == 0
    assert read_log(scene.folder).rows == []


def test_fifty_megabytes_are_refused_without_being_held(scene):
    async def play(gateway):
        declared = await gateway.call("POST", f"/v2/models/{NAME}/infer", [(b"content-length", b"52428800")], [b"x"])
        streamed = await gateway.post(chunks=[b"x" * 1_000_000] * 50)
        return declared, streamed

    for answer in scene.run(play):
        assert (answer.status, answer.json["code"]) == (413, "too_large")


def test_a_caller_that_hangs_up_half_way_leaves_nothing(scene):
    async def play(gateway):
        return await gateway.post(chunks=[b'{"inputs"', None])

    assert scene.run(play) is None
    assert read_log(scene.folder).rows == []


def test_binary_tensors_are_refused(scene):
    async def play(gateway):
        return await gateway.post(headers=[(b"inference-header-content-length", b"100")])

    answer = scene.run(play)
    assert (answer.status, answer.json["code"]) == (415, "binary_body")


def test_nobody_may_be_served_outside_the_experiment_where_the_spec_says_so(scene):
    async def play(gateway):
        answer = await gateway.post(user=None)
        return answer, gateway.traffic.counts.outside

    answer, outside = scene.run(play, identity={"missing": "champion"})
    assert (answer.status, answer.headers["x-fairtrial-variant"], outside) == (200, "none", 1)
    assert read_log(scene.folder).rows == []


def test_other_paths_and_methods_are_told_where_to_go(scene):
    async def play(gateway):
        return (
            await gateway.post(path="/v2/models/other/infer"),
            await gateway.get("/nothing"),
            await gateway.call("DELETE", "/v2", [], [b""]),
        )

    other, nothing, method = scene.run(play)
    assert (other.status, nothing.status, method.status) == (404, 404, 405)
    assert f"/v2/models/{NAME}/infer" in other.json["hint"]


def test_metadata_health_and_metrics_are_there(scene):
    async def play(gateway):
        await gateway.post()
        paths = (
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            f"/v2/models/{NAME}",
            f"/v2/models/{NAME}/ready",
            "/healthz",
            "/readyz",
            "/status",
            "/metrics",
        )
        return {path: await gateway.get(path) for path in paths}

    answers = scene.run(play)
    assert {answer.status for answer in answers.values()} == {200}
    told = answers[f"/v2/models/{NAME}"].json
    assert (told["name"], told["versions"], told["inputs"][0]["name"]) == (NAME, [CHAMPION, CHALLENGER], "x")
    assert answers["/status"].json["traffic_allocation"] == {CHAMPION: 0.95, CHALLENGER: 0.05}
    assert b"fairtrial_gateway_predictions_total" in answers["/metrics"].body


def test_headers_reach_the_model_but_those_of_the_connection(scene):
    async def play(gateway):
        return await gateway.post(
            headers=[(b"authorization", b"Bearer x"), (b"traceparent", b"00-a"), (b"connection", b"close"), (b"host", b"evil")]
        )

    scene.run(play)
    assert (scene.champion.headers["authorization"], scene.champion.headers["traceparent"]) == ("Bearer x", "00-a")
    assert "evil" not in scene.champion.headers.values()


def test_features_are_logged_as_the_spec_says(scene):
    """IV.b, ML-10: allow-listed, hashed with a secret, or not at all; segments are columns."""
    body = {
        **V2,
        "inputs": [*V2["inputs"], {"name": "email", "shape": [1], "datatype": "BYTES", "data": ["a@example.org"]}],
        "parameters": {"country": "de", "card": "visa-4111"},
    }

    async def play(gateway):
        return await gateway.post(body, user="żółw-💳")

    scene.run(play, features={"allow": ["x"], "hashed": ["email"], "segments": ["country"]})
    (row,) = read_log(scene.folder).rows
    assert (row["features"]["x"], row["country"], row["user_id"]) == (1.5, "de", "żółw-💳")
    assert set(row["features"]) == {"x", "email"}
    text = next(scene.folder.glob("*.ndjson")).read_text()
    assert "example.org" not in text
    assert "visa-4111" not in text
    ((kept, *_), _) = stored(scene)
    assert (kept["country"], kept["features"]["x"]) == ("de", 1.5)


def test_a_share_of_the_champions_requests_is_mirrored_and_compared(scene):
    """ML-09, ML-10: the challenger sees the same body; comparisons are complete."""
    scene.challenger.score = 0.6

    async def play(gateway):
        for i in range(60):
            await gateway.post(user=f"user_{i}")
        await gateway.traffic.mirror.drained()
        return gateway.traffic.mirror.tallies[CHALLENGER].summary()

    found = scene.run(play, shadow={"share": 1.0})
    rows, comparisons = stored(scene)
    champions = sum(row["variant"] == "champion" for row in rows)
    assert found["requests"] == found["compared"] == champions == len(comparisons)
    assert found["divergence_rate"] == found["label_flip_rate"] == 1.0
    assert scene.challenger.asked == 60
    assert {row["prediction_id"] for row in comparisons} <= {row["prediction_id"] for row in rows}
    assert comparisons[0]["prediction_difference"] == pytest.approx(0.4)


def test_a_dead_or_slow_challenger_in_the_shadow_delays_nobody(scene):
    scene.challenger.delay = 20.0

    async def play(gateway):
        started = time.perf_counter()
        for i in range(100):
            await gateway.post(user=f"user_{i * 1000}")
        seconds = time.perf_counter() - started
        return seconds, gateway.traffic.mirror.tallies[CHALLENGER].dropped

    stages = [{"name": "shadow", "kind": "shadow", "min_minutes": 100}]
    seconds, dropped = scene.run(play, shadow={"share": 1.0, "queue": 5, "workers": 1}, rollout={"stages": stages})
    assert seconds < scene.challenger.delay
    assert dropped >= 90


def full_disk(*_):
    raise OSError(28, "full")


def test_a_log_that_cannot_be_written_takes_the_traffic_from_challengers(scene, monkeypatch):
    """What is not written down cannot be judged; the user is answered all the same."""

    async def play(gateway):
        whole = os.write
        monkeypatch.setattr("fairtrial.serving.log.os.write", full_disk)
        first = await gateway.post(user=TO_CHALLENGER)
        second = await gateway.post(user=TO_CHALLENGER)
        await gateway.round()
        third = await gateway.post(user=TO_CHALLENGER)
        trouble = (await gateway.get("/status")).json["trouble"]
        monkeypatch.setattr("fairtrial.serving.log.os.write", whole)
        await gateway.round()
        return [first.model, second.model, third.model, (await gateway.post(user=TO_CHALLENGER)).model], trouble

    models, trouble = scene.run(play)
    assert models == [CHALLENGER, CHAMPION, CHAMPION, CHALLENGER]
    assert "No space left on device" in trouble


def test_the_spec_is_checked_before_anything_runs(scene, tmp_path):
    raw = spec(scene.addresses)
    broken = {
        "serving.models must give each": {**raw, "serving": {**raw["serving"], "models": {CHAMPION: raw["serving"]["models"][CHAMPION]}}},
        "must say how its models are served": {key: value for key, value in raw.items() if key != "serving"},
        "must sum to 1": {**raw, "traffic_allocation": {CHAMPION: 0.95, CHALLENGER: 0.04}},
        "keys that are unknown": {**raw, "champion": 1},
        "must have": {key: value for key, value in raw.items() if key != "min_sample_size"},
        "unknown": {**raw, "challenger_models": ["v9"], "traffic_allocation": {CHAMPION: 0.95, "v9": 0.05}},
        "an address such as": {**raw, "serving": {**raw["serving"], "models": {**raw["serving"]["models"], CHAMPION: {"url": "ftp://x"}}}},
        "one protocol": {
            **raw,
            "serving": {**raw["serving"], "models": {**raw["serving"]["models"], CHAMPION: {"url": "http://x", "protocol": "json"}}},
        },
    }
    for rule, case in broken.items():
        with pytest.raises(SpecError, match=rule):
            parse_model_experiment(case)
    file = tmp_path / "fraud.json"
    file.write_text(json.dumps(raw))
    assert load_model_experiment(file).config.name == NAME


def test_a_started_experiment_is_not_edited(scene):
    async def play(gateway):
        return await gateway.post()

    scene.run(play)
    with pytest.raises(ConflictError, match="runs with another spec"):
        scene.run(play, timeout_seconds=2.0)
