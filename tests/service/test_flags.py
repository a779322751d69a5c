"""OFREP: variants, values, reasons, errors, ETags, eligibility, forced variants (G-7, G-9, HO-24)."""

from __future__ import annotations

import json

import pytest
from flag_specs import CHECKOUT, COLOURS, ITALIANS, UNITS, arms_of, create, evaluate, evaluate_all, values_of

from fairtrial.storage.tables import Holdout


def test_a_thousand_units_get_the_variant_and_value_of_the_library(stored_service):
    """G-9: the same in Python and over OFREP, for any script; DESIGN 5."""
    create(stored_service, COLOURS)
    arms, values = arms_of(COLOURS), values_of(COLOURS)
    said = {unit: evaluate(stored_service, COLOURS["key"], unit).json() for unit in UNITS}
    assert {unit: (one["variant"], one["value"]) for unit, one in said.items()} == {unit: (arm, values[arm]) for unit, arm in arms.items()}
    assert {one["reason"] for one in said.values()} == {"SPLIT"}
    assert set(arms.values()) == {"control", "red", "blue"}


def test_an_answer_has_ofreps_fields(service):
    number = create(service, CHECKOUT)
    answer = evaluate(service, "checkout")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "key": "checkout",
        "reason": "SPLIT",
        "variant": "treatment",
        "value": True,
        "metadata": {"experimentId": number, "version": 1},
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"{", "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b'{"context": ' + b'{"a":' * 40_000, "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "\\ud800"}}', "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b'{"context": 7}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": {"a": 1}}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "a\\u0000b"}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "' + b"x" * 201 + b'"}}', "INVALID_CONTEXT"),
        (b"{}", "TARGETING_KEY_MISSING"),
        (b'{"context": null}', "TARGETING_KEY_MISSING"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
    ],
)
def test_what_cannot_be_read_is_a_400_with_ofreps_code(service, body, code):
    create(service, CHECKOUT)
    for path, key in (("/ofrep/v1/evaluate/flags/checkout", "checkout"), ("/ofrep/v1/evaluate/flags", None)):
        answer = service.call("POST", path, role="VIEWER", content=body)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code), answer.text
        assert answer.json().get("key") == key
        assert answer.json()["errorDetails"]


def test_an_unknown_flag_is_a_404_with_its_key(service):
    for key in ("nobody", "a b/c", "🙂", "7"):
        answer = evaluate(service, key)
        assert (answer.status_code, answer.json()["errorCode"], answer.json()["key"]) == (404, "FLAG_NOT_FOUND", key)


def test_a_hostile_context_is_never_a_5xx(service):
    create(service, {**CHECKOUT, "eligibility": {"include": [{"attribute": "age", "operator": "at_least", "value": 18}]}})
    for value in ("1" * 100_000, [[[]]], {"$ne": 1}, True, None, "18", 17, -(10**400)):
        answer = evaluate(service, "checkout", age=value)
        assert (answer.status_code, answer.json()["reason"]) == (200, "DEFAULT"), value
    for value in (18, 1e308, 10**400):
        assert evaluate(service, "checkout", age=value).json()["reason"] == "SPLIT"
    long = service.call("POST", "/ofrep/v1/evaluate/flags/checkout", role="VIEWER", content=b"x" * 300_000)
    assert (long.status_code, long.json()["code"]) == (413, "too_large")
    assert service.call("GET", "/ofrep/v1/evaluate/flags/checkout").status_code == 405
    assert service.call("POST", "/ofrep/v1/evaluate/flagsX").status_code == 404


def test_bulk_has_every_flag_of_the_environment_and_an_etag(service):
    create(service, CHECKOUT)
    create(service, COLOURS)
    create(service, {**CHECKOUT, "key": "hidden"}, environment="staging")
    answer = evaluate_all(service, "Zoë")
    found = {flag["key"]: flag for flag in answer.json()["flags"]}
    assert list(found) == ["checkout", COLOURS["key"]]
    assert found == {key: evaluate(service, key, "Zoë").json() for key in found}
    etag = answer.headers["etag"]
    for mark in (etag, f"W/{etag}", f'"other", {etag}'):
        again = evaluate_all(service, "Zoë", headers={"If-None-Match": mark})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert evaluate_all(service, "Zoë", headers={"If-None-Match": '"other"'}).status_code == 200
    service.call("PUT", "/api/v1/experiments/checkout/forced/Zoë", json={"arm": "control" if found["checkout"]["value"] else "treatment"})
    changed = evaluate_all(service, "Zoë", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.headers["etag"] == etag) == (200, False)
    assert evaluate_all(service, "").json()["errorCode"] == "TARGETING_KEY_MISSING"


def test_what_does_not_run_is_disabled_and_serves_the_control(service):
    """HO-04: only a running experiment treats anybody."""
    number = create(service, CHECKOUT, start=False)
    seen = [evaluate(service, "checkout").json()]
    for status, role in (("running", "DEVELOPER"), ("stopped", "DEVELOPER"), ("archived", "ADMIN")):
        service.post(f"/api/v1/experiments/{number}/status", {"status": status}, role=role)
        seen.append(evaluate(service, "checkout").json())
    assert [one.get("reason", one.get("errorCode")) for one in seen] == ["DISABLED", "SPLIT", "DISABLED", "FLAG_NOT_FOUND"]
    for one in (seen[0], seen[2]):
        assert (one["variant"], one["value"]) == ("", False)


def test_eligibility_reads_the_context(service):
    create(service, {**CHECKOUT, "eligibility": ITALIANS})
    arms = arms_of(CHECKOUT)
    treated = next(unit for unit, arm in arms.items() if arm == "treatment")
    assert evaluate(service, "checkout", treated, country="IT").json()["variant"] == "treatment"
    for attributes in ({"country": "FR"}, {}, {"country": None}, {"country": ["IT"]}):
        answer = evaluate(service, "checkout", treated, **attributes).json()
        assert (answer["reason"], answer["variant"], answer["value"]) == ("DEFAULT", "", False)
        assert answer["metadata"]["outside"] == "not_eligible"
    decided = service.post(f"/api/v1/assign/checkout/{treated}", {"attributes": {"country": "SM"}}, role="VIEWER").json()
    assert (decided["variant"], decided["outside"]) == ("treatment", None)
    assert service.get(f"/api/v1/assign/checkout/{treated}").json()["outside"] == "not_eligible"


def test_the_global_holdout_is_outside_and_its_units_have_no_variant(service):
    with service.database.writing() as session:
        session.add(Holdout(name="all", share=0.3, salt="global-2026", active=True, created_at=service.clock()))
    create(service, CHECKOUT)
    said = [evaluate(service, "checkout", unit).json() for unit in UNITS[:400]]
    outside = [one for one in said if one["metadata"].get("outside") == "holdout"]
    assert 80 < len(outside) < 160
    assert {(one["variant"], one["value"], one["reason"]) for one in outside} == {("", False, "DEFAULT")}


def test_forced_variants_win_and_stay_out_of_analysis(stored_service):
    """QA: set and unset by a DEVELOPER, audited, left out of the counts."""
    service = stored_service
    number = create(service, {**CHECKOUT, "eligibility": ITALIANS})
    unit = "qa/ölga"
    path = f"/api/v1/experiments/{number}/forced/{unit}"
    assert service.call("PUT", path, role="ANALYST", json={"arm": "treatment"}).status_code == 403
    assert service.call("PUT", path, json={"arm": "blue"}).status_code == 422
    assert service.call("PUT", "/api/v1/experiments/nobody/forced/x", json={"arm": "treatment"}).status_code == 404
    for arm in ("control", "treatment", "treatment"):
        made = service.call("PUT", path, json={"arm": arm})
        assert (made.status_code, made.json()["unit"], made.json()["arm"]) == (200, unit, arm)
    answer = evaluate(service, "checkout", unit).json()
    assert (answer["reason"], answer["variant"], answer["value"]) == ("TARGETING_MATCH", "treatment", True)
    assert answer["metadata"]["forced"] is True
    assert [one["unit"] for one in service.get(f"/api/v1/experiments/{number}/forced").json()["items"]] == [unit]
    service.state.assignments.flush()
    assert service.get(f"/api/v1/experiments/{number}/assignments").json()["items"] == []
    assert service.call("DELETE", path).status_code == 204
    assert service.call("DELETE", path).status_code == 404
    assert evaluate(service, "checkout", unit).json()["metadata"]["outside"] == "not_eligible"


def test_a_unit_once_forced_is_not_counted_even_when_lifted(stored_service):
    """It saw what was chosen for it; the results count 20 others."""
    service = stored_service
    holdout = {"name": "h", "channel": "email", "conversion_key": "buy", "key": "mail"}
    service.post("/api/v1/experiments", holdout)
    service.post("/api/v1/experiments/mail/status", {"status": "running"})
    service.post("/api/v1/experiments/mail/assign", {"profile_ids": [f"p{i}" for i in range(21)]})
    service.call("PUT", "/api/v1/experiments/mail/forced/p3", json={"arm": "control"})
    service.call("DELETE", "/api/v1/experiments/mail/forced/p3")
    results = service.get("/api/v1/experiments/mail/results").json()
    assert results["treatment"]["n"] + results["control"]["n"] == 20


def test_arms_without_values_serve_their_names(service):
    """The form of Part II makes a flag too, hashed by its id: user_001..003 are treated, user_004 is not (II.b)."""
    service.post("/api/v1/experiments", {"name": "h", "channel": "email", "conversion_key": "buy", "key": "mail"})
    service.post("/api/v1/experiments/mail/status", {"status": "running"})
    found = [evaluate(service, "mail", f"user_00{i}").json() for i in range(1, 6)]
    assert [one["variant"] for one in found] == ["treatment"] * 3 + ["control"] * 2
    assert [one["value"] for one in found] == [one["variant"] for one in found]


def test_all_units_in_one_arm_is_static(service):
    arms = [{"key": "control", "allocation": 0, "value": 1}, {"key": "new", "allocation": 1, "value": 2.5}]
    create(service, {**CHECKOUT, "arms": arms})
    answer = evaluate(service, "checkout").json()
    assert (answer["reason"], answer["variant"], answer["value"]) == ("STATIC", "new", 2.5)


def test_values_of_several_types_are_refused(service):
    arms = [{"key": "control", "value": False}, {"key": "new", "value": "yes"}]
    answer = service.post("/api/v1/experiments", {"spec": {**CHECKOUT, "arms": arms}})
    assert answer.status_code == 422
    assert "one type" in answer.json()["detail"]


def test_the_decision_route_says_the_same_and_stores_nothing(service):
    number = create(service, COLOURS)
    arms = arms_of(COLOURS)
    for reference in (number, COLOURS["key"]):
        for unit in ("Zoë", "a b/c", "unit-1"):
            decided = service.get(f"/api/v1/assign/{reference}/{unit}").json()
            assert (decided["variant"], decided["unit"], decided["experiment_id"]) == (arms[unit], unit, number)
    service.state.assignments.flush()
    assert service.get(f"/api/v1/experiments/{number}/assignments").json()["items"] == []
    assert service.get("/api/v1/assign/nobody/u").status_code == 404
    assert service.get("/api/v1/assign/99999999999999999999/u").status_code == 404
    assert service.get(f"/api/v1/assign/{number}/{'x' * 201}").status_code == 422
    assert service.get(f"/api/v1/assign/{number}/u", role=None).status_code == 401


def test_the_document_of_the_api_has_ofrep(service):
    document = json.loads(service.client.get("/openapi.json").text)
    one = document["paths"]["/ofrep/v1/evaluate/flags/{key}"]["post"]
    assert set(one["responses"]) >= {"200", "400", "401", "403", "404", "429"}
    for shape in ("Evaluation", "Evaluations", "EvaluationFailure", "EvaluationRequest"):
        assert shape in document["components"]["schemas"]
