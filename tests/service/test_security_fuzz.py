"""Thousands of bad requests, each answered with 4xx and a problem body, none with 5xx (issue 4, Faults).

Every request is spoilt in at least one place by something that no route may take:
an id that is none, a body of the wrong shape, NUL, half a surrogate pair, numbers
beyond 64 bits, nesting without end, SQL. `FAIRTRIAL_BAD_REQUESTS=10000` sends as many.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter

import pytest
from test_experiments import HOLDOUT

from fairtrial.service.access.route_roles import roles_of

REQUESTS = int(os.environ.get("FAIRTRIAL_BAD_REQUESTS", "1500"))
PUBLIC = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")

BAD_IDS = [
    "%00",
    "1%00",
    "%ED%A0%80",
    "%FF%FE",
    "99999999999999999999",
    "-1",
    "0",
    "1e3",
    "0x1",
    "1.0",
    "%201",
    "１",  # noqa: RUF001 - a digit, but not one of ASCII
    "1' OR '1'='1",
    "1; DROP TABLE experiments; --",
    "%27%20UNION%20SELECT%20secret_hash%20FROM%20api_keys--",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%25%32%65",
    "💥" * 50,
    "x" * 5000,
    "null",
    "undefined",
    "NaN",
    "%0d%0aSet-Cookie:%20a=b",
]

BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"te\\u0000xt"',
    b"true",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{",
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"[" * 50_000,
    b"[" * 50_000 + b"]" * 50_000,
    b"1" * 6000,
    b'{"limit": ' + b"9" * 6000 + b"}",
    b"NaN",
    b'{"value": NaN, "profile_ids": NaN, "name": NaN, "unit": NaN, "days": NaN, "status": NaN}',
    b'{"x": Infinity}',
    b'{"a": 1,}',
    b"<xml/>",
    b"a=1&b=2",
    b'{"\\ud800": 1, "name": "\\ud800", "unit": "\\ud800", "status": "\\ud800", "days": "\\ud800", "profile_ids": ["\\ud800"]}',
    b"\x00" * 100,
]

UNITS = {"user_id"}
"""Parts of a path that take a unit, whose id may be nearly any text."""

BAD_VALUES: list[object] = ["\x00", "a\x00b", 10**400, -(2**63) - 1, {"\x00": {}}, [[[[[[[[[]]]]]]]]], "'; DROP TABLE api_keys; --\x00"]


@pytest.fixture
def operations(stored_service):
    """Every operation with the fields of its body."""
    stored_service.post("/api/experiments", HOLDOUT)
    document = stored_service.get("/openapi.json").json()
    found = []
    for route in roles_of(stored_service.client.app.routes):
        shown = document["paths"].get(re.sub(r":\w+}", "}", route.path), {})
        for method in route.methods:
            operation = shown.get(method.lower())
            if operation is not None and not route.path.startswith(PUBLIC):
                found.append((method, route.path, fields_of(document, operation), bodies_of(operation)))
    return found


def bodies_of(operation: dict) -> list[bytes]:
    """Bodies that the operation may not take; where one may be left out, none and null are as good."""
    needed = operation.get("requestBody", {}).get("required", False)
    return [body for body in BAD_BODIES if needed or body not in (b"", b"null")]


def fields_of(document: dict, operation: dict) -> list[str] | None:
    """Names of the fields that a body takes; None where it takes none."""
    content = operation.get("requestBody", {}).get("content")
    if content is None:
        return None
    schema = content.get("application/json", {}).get("schema", {})
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return sorted(schema.get("properties", {})) or ["x"]


def spoil(rng: random.Random, method: str, path: str, fields: list[str] | None, bodies: list[bytes]) -> tuple[str, str, bytes]:
    """One bad request."""
    in_path = bool(set(re.findall(r"{(\w+)", path)) - UNITS) and rng.random() < 0.5
    address = re.sub(r"{[^}]+}", lambda _: rng.choice(BAD_IDS) if in_path else "1", path)
    body = b"{}"
    if fields is not None and rng.random() < 0.5:
        body = rng.choice(bodies)
    elif fields is not None:
        body = json.dumps({name: rng.choice(BAD_VALUES) for name in fields}).encode()
    elif not in_path:
        address += "?limit=" + rng.choice(["%00", "1%00", "%00%ED%A0%80"])
    return method, address, body


def test_bad_requests_are_refused_each_with_a_problem_and_never_5xx(stored_service, operations):
    rng = random.Random(20260301)
    seen: Counter[int] = Counter()
    broken = []
    for number in range(REQUESTS):
        method, address, body = spoil(rng, *operations[number % len(operations)])
        kind = rng.choice(["application/json"] * 8 + ["text/csv", "application/x-ndjson", "multipart/form-data; boundary=x"])
        answer = stored_service.call(method, address, role="ADMIN", content=body, headers={"Content-Type": kind})
        seen[answer.status_code] += 1
        if not 400 <= answer.status_code < 500 or not is_problem(answer):
            broken.append((answer.status_code, method, address[:100], kind, body[:120], answer.text[:200]))
    assert broken == [], f"{len(broken)} of {REQUESTS}, {dict(seen)}"
    assert len(seen) >= 3, "the requests are refused for several reasons"
    assert seen[429] == 0
    assert stored_service.get("/api/v1/experiments", role="ADMIN").json()["total"] == 1


def is_problem(answer) -> bool:
    body = answer.json()
    return answer.headers["Content-Type"] == "application/problem+json" and {"code", "detail", "hint"} <= set(body) and bool(body["detail"])


@pytest.mark.parametrize("name", ["limit", "skip", "since", "before_id", "status", "search", "by"])
@pytest.mark.parametrize("value", ["%00", "-1", "9" * 400, "%ED%A0%80", "NaN", "1e400", "' OR 1=1 --", "x" * 3000, "💥"])
def test_bad_parameters_never_break_a_list(stored_service, name, value):
    for path in ("/api/v1/experiments", "/api/v1/audit", "/api/v1/keys"):
        answer = stored_service.get(f"{path}?{name}={value}", role="ADMIN")
        assert answer.status_code < 500, (path, answer.text)
        assert answer.status_code == 200 or is_problem(answer)


def test_a_body_that_is_wrong_is_not_sent_back(service):
    """What came may be a secret: an error names the field, not all that was in it."""
    answer = service.post("/api/v1/keys", {"name": "x", "role": {"password": "hunter2hunter2"}}, role="ADMIN")
    assert answer.status_code == 422
    assert "hunter2hunter2" not in answer.text
