"""Who may do what: roles on every route, keys over HTTP, limits, headers, logs without secrets (G-6, G-7, IN-16)."""

from __future__ import annotations

import ast
import datetime as dt
import io
import json
import logging
import re
from pathlib import Path

import pytest
import structlog
from running_service import service_on
from sqlalchemy import event
from test_experiments import HOLDOUT

import fairtrial.service
from fairtrial.errors import UsageError
from fairtrial.service.access.keys import HASHER
from fairtrial.service.access.limiting import make_limits
from fairtrial.service.access.roles import Role
from fairtrial.service.access.route_roles import roles_of
from fairtrial.service.logs import hide_secrets, set_up_logs
from fairtrial.service.middleware import address_of
from fairtrial.service.settings import read_settings
from fairtrial.storage.tables import ApiKey

PUBLIC = {
    "/healthz": "whether the process lives is no secret",
    "/readyz": "nor whether it can serve",
    "/metrics": "counters without names of people or experiments",
    "/openapi.json": "the document is in the repository",
    "/docs": "the same as a page",
    "/docs/page.js": "the same",
    "/docs/page.css": "the same",
    "/webhooks/message-sent": "proven by an HMAC of the body (G-7)",
    "/webhooks/conversion": "proven by an HMAC of the body (G-7)",
    "/api/v1/webhooks/message-sent": "the same under the versioned prefix",
    "/api/v1/webhooks/conversion": "the same under the versioned prefix",
    "/api/v1/connectors/meiro/events": "proven by an HMAC of the body (G-7)",
}
"""Routes that ask for no role, each with its reason."""

DOORS = {"/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/{key}"}
"""Answered in front of the router; their own tests hold them to a token."""


def routes(service):
    return [route for route in roles_of(service.client.app.routes) if route.path not in PUBLIC and not route.mounted]


def filled(path: str) -> str:
    return re.sub(r"{[^}]+}", "1", path)


def test_every_route_asks_for_a_role_or_is_on_the_public_list(service):
    """G-7: endpoints without a role are a defect (II.c); those of mounted applications too."""
    found = routes(service)
    assert len(found) > 30
    assert [(route.path, route.methods) for route in found if route.role is None] == []


def test_every_operation_of_the_document_was_walked(service):
    """So that nothing that is answered slips past the test above."""
    document = service.get("/openapi.json").json()
    walked = {re.sub(r":\w+}", "}", route.path) for route in roles_of(service.client.app.routes)}
    assert set(document["paths"]) - walked - DOORS == set()
    without = {path for path, operations in document["paths"].items() for one in operations.values() if "x-role" not in one}
    assert without <= set(PUBLIC)


def test_a_caller_below_the_role_gets_403_and_nobody_401(tmp_path):
    """G-6, G-7: on every route and method, with the one error body."""
    with service_on(f"sqlite:///{tmp_path}/s.db", failed_auth_limit="") as running:
        walk_the_ladder(running)


def walk_the_ladder(service):
    ladder = [role.name for role in Role]
    for route in routes(service):
        for method in route.methods:
            nobody = service.call(method, filled(route.path), role=None, json={})
            assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated"), (method, route.path)
            assert nobody.headers["WWW-Authenticate"] == "Bearer"
            wrong = service.call(method, filled(route.path), role=None, json={}, headers={"Authorization": "Bearer ft_0_x"})
            assert wrong.status_code == 401, (method, route.path)
            if route.role > Role.VIEWER:
                below = ladder[ladder.index(route.role.name) - 1]
                answer = service.call(method, filled(route.path), role=below, json={})
                refusal = "role_too_low" if route.path.startswith("/api/v1/interactions") else "forbidden"  # IN-15 has words of its own
                assert (answer.status_code, answer.json()["code"]) == (403, refusal), (method, route.path)


def test_reads_are_for_viewers_and_nothing_that_writes_is(service):
    """G-7's defaults: writes DEVELOPER; calculators ANALYST."""
    for route in routes(service):
        if set(route.methods) & {"PUT", "PATCH", "DELETE"}:
            assert route.role >= Role.DEVELOPER, route
        if "POST" in route.methods and "/assign/{experiment}" not in route.path:  # a decision with its context in the body, as in OFREP
            assert route.role >= Role.ANALYST, route


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        "Bearer ft_",
        "Bearer ft__",
        "Bearer ft_%00_x",
        "Bearer \xff",
        "bearer x y z",
        "Bearer " + "x" * 8000,
    ],
)
def test_what_is_no_token_is_401(service, header):
    answer = service.call("GET", "/api/v1/experiments", role=None, headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401


def test_a_key_is_made_shown_once_used_and_revoked_at_once(stored_service):
    """API keys over HTTP: ADMIN alone; shown once; revocation takes effect with the answer."""
    made = stored_service.post("/api/v1/keys", {"name": "CI 用户", "role": "ANALYST"}, role="ADMIN")
    assert made.status_code == 201
    key = made.json()
    shown = stored_service.get("/api/v1/keys", role="ADMIN")
    assert key["token"] not in shown.text
    assert key["token"].split("_", 2)[2] not in shown.text
    (listed,) = [row for row in shown.json()["items"] if row["public_id"] == key["public_id"]]
    assert listed == {name: value for name, value in key.items() if name != "token"}
    assert use(stored_service, key["token"]).status_code == 200
    assert use(stored_service, key["token"], "POST").status_code == 403
    first = stored_service.call("DELETE", f"/api/v1/keys/{key['public_id']}", role="ADMIN").json()
    assert first["state"] == "revoked"
    assert use(stored_service, key["token"]).status_code == 401
    stored_service.clock.move(hours=1)
    again = stored_service.call("DELETE", f"/api/v1/keys/{key['public_id']}", role="ADMIN").json()
    assert again["revoked_at"] == first["revoked_at"], "revoking twice changes nothing"
    actions = [row["action"] for row in audit(stored_service, object_id=key["public_id"])]
    assert actions == ["key.revoke", "key.create"]
    changed = stored_service.call("PATCH", f"/api/v1/keys/{key['public_id']}", role="ADMIN", json={"role": "ADMIN"})
    assert changed.status_code == 409


def test_a_key_ends_when_it_says_so(service):
    """To the microsecond, remembered or not."""
    ends = service.clock() + dt.timedelta(seconds=30)
    token = service.post("/api/v1/keys", {"name": "short", "expires_at": ends.isoformat()}, role="ADMIN").json()["token"]
    assert use(service, token).status_code == 200
    service.clock.move(seconds=29, microseconds=999_999)
    assert use(service, token).status_code == 200
    service.clock.move(microseconds=1)
    assert use(service, token).status_code == 401
    past = service.post("/api/v1/keys", {"name": "late", "expires_at": "2026-02-28T23:59:59Z"}, role="ADMIN")
    assert past.status_code == 422


def test_a_key_loses_its_role_with_the_answer(service):
    """Role changes are for an ADMIN (G-7)."""
    key = service.post("/api/v1/keys", {"name": "x", "role": "DEVELOPER"}, role="ADMIN").json()
    assert use(service, key["token"], "POST").status_code == 201
    assert service.call("PATCH", f"/api/v1/keys/{key['public_id']}", role="DEVELOPER", json={"role": "ADMIN"}).status_code == 403
    service.call("PATCH", f"/api/v1/keys/{key['public_id']}", role="ADMIN", json={"role": "VIEWER", "name": "y"})
    assert use(service, key["token"], "POST").status_code == 403
    (entry,) = audit(service, object_id=key["public_id"], action="key.change")
    assert (entry["before"]["role"], entry["after"]["role"], entry["after"]["name"]) == ("DEVELOPER", "VIEWER", "y")
    ended = service.call("PATCH", f"/api/v1/keys/{key['public_id']}", role="ADMIN", json={"expires_at": "2026-02-01T00:00:00Z"})
    assert ended.json()["state"] == "expired"
    assert use(service, key["token"]).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x", "role": "ROOT"},
        {"name": "x", "role": "ADMIN", "kind": "client"},
        {"name": "x", "kind": "client", "origins": ["https://a.example/path"]},
        {"name": "x", "kind": "client", "origins": ["*"]},
        {"name": "x", "token": "mine"},
        {"name": "a\x00b"},
        {"name": "\ud800"},
    ],
)
def test_a_key_that_breaks_a_rule_is_refused(service, body):
    raw = json.dumps(body).encode()
    answer = service.call("POST", "/api/v1/keys", role="ADMIN", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_unknown_keys_are_404(service):
    for method in ("GET", "PATCH", "DELETE"):
        assert service.call(method, "/api/v1/keys/nobody", role="ADMIN", json={"name": "x"}).status_code == 404


def test_a_key_revoked_while_it_is_being_proven_is_not_remembered(service):
    """Proving reads the row, then hashes for tens of milliseconds; a revocation may fall in between."""
    key = service.post("/api/v1/keys", {"name": "x"}, role="ADMIN").json()
    ring, engine = service.state.keys, service.database.engine

    def revoked_now(*_: object) -> None:
        ring.forget()

    event.listen(engine, "after_cursor_execute", revoked_now)
    assert ring.actor(key["token"], service.clock()) is not None
    event.remove(engine, "after_cursor_execute", revoked_now)
    assert ring.remembered(key["token"], service.clock()) is None
    ring.actor(key["token"], service.clock())
    assert ring.remembered(key["token"], service.clock()) is not None


def test_the_audit_log_says_who_what_before_and_after_to_an_admin(stored_service):
    """An audit log of every change; ADMIN reads it; filters; pages."""
    for name in ("a", "b", "c"):
        stored_service.post("/api/experiments", {**HOLDOUT, "name": name}, headers={"X-Request-Id": f"r-{name}"})
    stored_service.clock.move(hours=1)
    stored_service.post("/api/experiments/2/status", {"status": "running"})
    assert stored_service.get("/api/v1/audit", role="DEVELOPER").status_code == 403
    (started,) = audit(stored_service, action="experiment.running")
    assert (started["object_id"], started["before"]["status"], started["after"]["status"]) == ("2", "draft", "running")
    assert started["actor"].startswith("key:")
    assert started["role"] == "DEVELOPER"
    assert [row["after"]["name"] for row in audit(stored_service, action="experiment.", object_id="1")] == ["a"]
    assert len(audit(stored_service, since="2026-03-01T00:30:00Z")) == 1
    assert len(audit(stored_service, until="2026-03-01T00:30:00Z", object_type="experiment")) == 3
    assert [row["object_id"] for row in audit(stored_service, request_id="r-b")] == ["2"]
    assert audit(stored_service, by="key:nobody") == []
    page = stored_service.get("/api/v1/audit?limit=2&object_type=experiment", role="ADMIN").json()
    rest = stored_service.get(f"/api/v1/audit?limit=2&object_type=experiment&before_id={page['next_before_id']}", role="ADMIN").json()
    assert [row["object_id"] for row in page["items"] + rest["items"]] == ["2", "3", "2", "1"]
    assert rest["next_before_id"] is None


def test_too_many_requests_wait_and_others_do_not(tmp_path):
    """G-6's 429 with Retry-After; counted by token, so one caller does not slow another."""
    with service_on(f"sqlite:///{tmp_path}/s.db", rate_limit="5/hour") as running:
        answers = [running.get("/api/v1/experiments") for _ in range(12)]
        assert answers[-1].status_code == 429
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3600
        assert answers[-1].json()["code"] == "rate_limited"
        assert answers[-1].headers["Content-Type"] == "application/problem+json"
        assert [answer.status_code for answer in answers].count(200) in {5, 6}, "its first, unproven, counts for the address"
        assert running.get("/healthz", role=None).status_code == 200
        assert running.get("/api/v1/experiments", role="ADMIN").status_code in {200, 429}
        running.get("/api/v1/experiments", role="ANALYST")


def test_guessing_tokens_is_slowed_and_proven_callers_go_on(tmp_path):
    with service_on(f"sqlite:///{tmp_path}/s.db", failed_auth_limit="10/hour") as running:
        assert running.get("/api/v1/experiments").status_code == 200
        guesses = [
            running.call("GET", "/api/v1/experiments", role=None, headers={"Authorization": f"Bearer ft_{i}_x"}).status_code
            for i in range(15)
        ]
        assert guesses == [401] * 10 + [429] * 5
        assert running.get("/api/v1/experiments").status_code == 200, "proven before"
        assert running.get("/api/v1/experiments", role="ADMIN").status_code == 429, "not proven yet: it waits too"
        assert running.get("/api/v1/experiments", role=None).status_code == 401, "no token is no guess"


def test_limits_are_off_where_they_are_empty():
    limits = make_limits("", "")
    assert {limits.wait_for_request("x") for _ in range(1000)} == {0}
    with pytest.raises(UsageError):
        make_limits("10", "")


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 1), "::ffff:c000:207"),
        (("testclient", 1), "testclient"),
        (None, "unknown"),
    ],
)
def test_a_subscriber_of_ipv6_is_his_network(client, expected):
    assert address_of({"client": client}) in {expected, "::ffff:192.0.2.7" if "ffff" in expected else expected}


def test_a_body_past_its_bound_is_413_whether_or_not_its_length_is_said(tmp_path):
    """G-6."""
    with service_on(f"sqlite:///{tmp_path}/s.db", max_body_bytes=2048, max_upload_bytes=4096) as running:
        long = b'{"name": "' + b"x" * 3000 + b'"}'
        said = running.call("POST", "/api/experiments", content=long, headers={"Content-Type": "application/json"})
        unsaid = running.call(
            "POST", "/api/experiments", content=iter([long[:1000], long[1000:]]), headers={"Content-Type": "application/json"}
        )
        upload = running.call("POST", "/api/experiments/1/assign/upload", content=b"x" * 5000, headers={"Content-Type": "text/csv"})
        for answer in (said, unsaid, upload):
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        bent = running.call("POST", "/api/experiments", content=b"{}", headers={"Content-Length": "-1"})
        assert bent.status_code == 400


def test_answers_carry_safe_headers_and_none_for_other_origins(service):
    """CORS off by default."""
    answer = service.get("/api/v1/experiments", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-Id"])
    preflight = service.call(
        "OPTIONS", "/api/v1/experiments", role=None, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 405
    echoed = service.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["X-Request-Id"]
    assert echoed == "mine-1"
    assert service.get("/healthz", headers={"X-Request-Id": "a b\t" + "x" * 99}).headers["X-Request-Id"] != "a b\t"


def test_origins_that_are_named_may_call(tmp_path):
    with service_on(f"sqlite:///{tmp_path}/s.db", cors_origins="https://app.example, http://localhost:3000") as running:
        allowed = running.get("/api/v1/experiments", headers={"Origin": "https://app.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in allowed.headers
        other = running.get("/api/v1/experiments", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_without_authentication_only_this_machine_is_served(host):
    """G-7: auth_mode off binds to loopback only."""
    with pytest.raises(UsageError, match="loopback"):
        read_settings(auth_mode="off", host=host)
    for local in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert read_settings(auth_mode="off", host=local).auth_mode == "off"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:8000"}, {"Host": "["}])
def test_without_authentication_no_page_of_another_site_is_served(tmp_path, headers):
    """G-7: a browser reaches loopback for any page; by a name that points there the page would read the answers as well."""
    with service_on(f"sqlite:///{tmp_path}/s.db", auth_mode="off", cors_origins="https://mine.example") as running:
        asked = ("GET", "/api/v1/experiments"), ("POST", "/api/v1/experiments/1/outcomes"), ("GET", "/healthz")
        for method, path in (*asked, ("POST", "/ofrep/v1/evaluate/flags"), ("POST", "/ofrep/v1/evaluate/flags/x")):
            refused = running.call(method, path, role=None, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "foreign_page"), (method, path)
        for mine in ({}, {"Origin": "http://localhost:3000"}, {"Origin": "https://mine.example"}, {"Host": "[::1]:8000"}):
            assert running.get("/api/v1/experiments", role=None, headers=mine).status_code == 200, mine


def test_no_secret_is_in_any_log(tmp_path, capsys):
    """Every kind of secret goes through once; none of them is on stderr, in a record, in an error or in the settings' text."""
    url = f"sqlite:///{tmp_path}/s.db"
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    set_up_logs("debug", "json")
    structlog.configure(cache_logger_on_first_use=False)
    try:
        with service_on(url) as running:
            secrets = [token.split("_", 2)[2] for token in running.tokens.values()]
            made = running.post("/api/v1/keys", {"name": "x"}, role="ADMIN").json()["token"]
            guess = "ft_abc_verysecretguess"
            running.call("GET", f"/api/v1/experiments?token={guess}", role=None, headers={"Authorization": f"Bearer {guess}"})
            running.call("GET", "/api/v1/experiments/user%40mail.example", role="VIEWER")
            running.call("POST", "/api/v1/privacy/export", json={"unit": "person@mail.example"}, role="ADMIN")
            running.call("POST", "/api/experiments", content=b'{"password": "hunter2hunter2"', headers={"Content-Type": "application/json"})
            secrets += [made.split("_", 2)[2], "verysecretguess", "hunter2hunter2", "person@mail.example", "user@mail.example"]
            with running.database.reading() as session:
                secrets += [row.secret_hash for row in session.query(ApiKey)]
            written = capsys.readouterr().err
            assert '"event": "request"' in written
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()
        logging.getLogger().handlers = []
    everything = written + stream.getvalue()
    assert [secret for secret in secrets if secret in everything] == []
    assert repr(read_settings(database_url="postgresql://u:p4ssw0rd@h/d")).count("p4ssw0rd") == 0


def test_a_secret_inside_a_sentence_is_hidden():
    text = "GET ft_0a1b2c_S3cret-x Bearer S3cret, postgresql://u:S3cret@h/d eyJhbGciOi.S3cret.S3cret ft_ok"
    hidden = hide_secrets(None, "info", {"event": text, "exception": f"Traceback\n{text}"})
    assert "S3cret" not in str(hidden)
    assert "ft_ok" in hidden["event"]


def test_a_field_that_speaks_of_a_secret_is_hidden_at_any_depth():
    event = {"api_key": "s3cret", "detail": {"Authorization": "Bearer s3cret", "n": [{"password": "s3cret"}]}, "ok": 1}
    hidden = hide_secrets(None, "info", event)
    assert "s3cret" not in json.dumps(hidden)
    assert hidden["ok"] == 1


def test_secrets_are_compared_in_constant_time():
    """No `==` beside a name that holds a secret; argon2 and compare_digest do that work."""
    suspicious = re.compile(r"token|secret|signature|digest|hmac|password", re.IGNORECASE)
    found = []
    for path in Path(fairtrial.service.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
                sides = [node.left, *node.comparators]
                names = [ast.unparse(side) for side in sides if isinstance(side, ast.Name | ast.Attribute)]
                names += [
                    ast.unparse(side.func) for side in sides if isinstance(side, ast.Call) and not ast.unparse(side).endswith(".count('.')")
                ]
                found += [f"{path.name}:{node.lineno} {name}" for name in names if suspicious.search(name)]
    assert found == []


def test_a_hash_costs_what_is_recommended():
    assert (HASHER.type.name, HASHER.memory_cost, HASHER.time_cost) == ("ID", 19_456, 2)


def use(service, token: str, method: str = "GET"):
    body = {"json": HOLDOUT} if method == "POST" else {}
    return service.call(method, "/api/v1/experiments", role=None, headers={"Authorization": f"Bearer {token}"}, **body)


def audit(service, **query) -> list[dict]:
    return service.get("/api/v1/audit", role="ADMIN", params=query).json()["items"]
