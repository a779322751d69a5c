"""Who may ask for flags: client keys, origins, environments, limits (G-7)."""

from __future__ import annotations

import pytest
from flag_specs import CHECKOUT, create, evaluate, evaluate_all
from running_service import service_on

from fairtrial.service.access.keys import KeyRequest, create_key
from fairtrial.service.access.roles import Role

SHOP = "https://shop.example"


def client_key(service, *origins: str, environment: str = "production") -> str:
    asked = KeyRequest(role=Role.VIEWER, name="browser", kind="client", origins=origins, environment=environment)
    with service.database.writing() as session:
        return create_key(session, asked, now=service.clock(), by="test").token


def ask(service, token: str | None, *, path: str = "/checkout", origin: str | None = None, method: str = "POST"):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    headers |= {} if origin is None else {"Origin": origin}
    body = {"context": {"targetingKey": "u1"}}
    return service.client.request(method, f"/ofrep/v1/evaluate/flags{path}", headers=headers, json=body)


@pytest.fixture
def shop(service):
    create(service, CHECKOUT)
    return service


def test_without_a_token_nothing_is_said(shop):
    for token in (None, "", "nonsense", "ft_abc_def", "ft_é_x"):
        for path in ("/checkout", "", "/nobody"):
            answer = shop.client.post(
                f"/ofrep/v1/evaluate/flags{path}",
                headers=[] if token is None else [(b"authorization", f"Bearer {token}".encode())],
                json={"context": {"targetingKey": "u1"}},
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_every_role_may_ask(shop):
    for role in shop.tokens:
        assert evaluate(shop, "checkout", role=role).status_code == 200


def test_a_client_key_reads_flags_and_nothing_else(shop):
    token = client_key(shop, SHOP)
    assert ask(shop, token).status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/api/v1/experiments", "/api/v1/assign/checkout/u1", "/api/v1/experiments/checkout/forced"):
        assert shop.client.get(path, headers=headers).status_code == 403


def test_a_browser_may_call_from_the_keys_origins_alone(shop):
    token = client_key(shop, SHOP, "https://m.shop.example")
    allowed = ask(shop, token, origin=SHOP)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "etag" in allowed.headers["access-control-expose-headers"]
    assert allowed.headers["vary"] == "Origin"
    for origin in ("https://evil.example", "https://shop.example.evil.org", "null", "http://shop.example"):
        refused = ask(shop, token, origin=origin)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "access-control-allow-origin" not in refused.headers


def test_a_server_key_gets_no_cors_headers(shop):
    answer = ask(shop, shop.tokens["VIEWER"], origin=SHOP)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_is_answered_for_origins_that_some_key_names(shop):
    assert "access-control-allow-origin" not in ask(shop, None, origin=SHOP, method="OPTIONS").headers
    client_key(shop, SHOP)
    asked = ask(shop, None, origin=SHOP, method="OPTIONS")
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, SHOP)
    assert asked.headers["access-control-allow-headers"] == "authorization, content-type, if-none-match"
    assert "access-control-allow-origin" not in ask(shop, None, origin="https://evil.example", method="OPTIONS").headers
    client_key(shop)  # a key without origins may be used from any
    assert ask(shop, None, origin="https://any.example", method="OPTIONS").headers["access-control-allow-origin"] == "https://any.example"


def test_a_browser_can_read_why_it_was_refused(shop):
    client_key(shop, SHOP)
    refused = ask(shop, "ft_no_key", origin=SHOP)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SHOP)


def test_environments_keep_to_themselves(shop):
    create(shop, {**CHECKOUT, "key": "hidden"}, environment="staging")
    staging, production = client_key(shop, environment="staging"), client_key(shop)
    assert ask(shop, staging, path="/hidden").status_code == 200
    assert ask(shop, staging).status_code == 404
    assert ask(shop, production, path="/hidden").status_code == 404
    assert ask(shop, production, path="/hidden?environment=staging").status_code == 403
    assert evaluate(shop, "hidden").status_code == 404
    assert evaluate(shop, "hidden", query="?environment=staging").status_code == 200
    assert [flag["key"] for flag in evaluate_all(shop).json()["flags"]] == ["checkout"]
    assert ask(shop, shop.tokens["VIEWER"], path="?" + "&".join(["a=1"] * 50)).status_code == 422


def test_a_limit_is_a_429_that_says_how_long(tmp_path):
    with service_on(f"sqlite:///{tmp_path}/a.db", rate_limit="20/minute") as service:
        create(service, CHECKOUT)
        seen = [evaluate(service, "checkout") for _ in range(25)]
        assert [one.status_code for one in seen] == [200] * 20 + [429] * 5
        assert seen[-1].json()["code"] == "rate_limited"
        assert 1 <= int(seen[-1].headers["retry-after"]) <= 60
        assert evaluate(service, "checkout", role="ADMIN").status_code == 200


def test_guessing_keys_is_slowed_down(tmp_path):
    with service_on(f"sqlite:///{tmp_path}/a.db", failed_auth_limit="3/minute") as service:
        create(service, CHECKOUT)
        assert evaluate(service, "checkout").status_code == 200
        assert [ask(service, f"ft_abc_{i}").status_code for i in range(5)] == [401, 401, 401, 429, 429]
        assert evaluate(service, "checkout").status_code == 200


def test_without_authentication_everybody_on_this_machine_may_ask(tmp_path):
    with service_on(f"sqlite:///{tmp_path}/a.db", auth_mode="off") as service:
        create(service, CHECKOUT)
        for here in ({}, {"origin": "http://localhost:5173"}):
            answer = ask(service, None, **here)
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers
        answer = ask(service, None, origin=SHOP)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_page")
        assert "access-control-allow-origin" not in answer.headers
