"""Bearer tokens of an identity provider: what proves somebody, and what must not (G-7)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from running_service import MARCH, SetClock, make_tokens, service_on
from starlette.testclient import TestClient

from fairtrial.errors import ConnectorError, UsageError
from fairtrial.service import Settings, create_app
from fairtrial.service.access.roles import Role
from fairtrial.service.access.tokens import KeySource, TokenProver, TokenRules, keys_from_url, public_keys, role_in
from fairtrial.service.settings import read_settings
from fairtrial.storage import open_database

ISSUER, AUDIENCE = "https://id.example/", "fairtrial"
RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE, role_claim="role")
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1", "use": "sig"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa-1"})


def key_set(*keys) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def sign(key=RSA, *, alg: str | None = None, kid: str | None = "", leave_out: str = "", **claims) -> str:
    header = {"alg": alg or ("ES256" if isinstance(key, ECKey) else "RS256")}
    if kid is not None:
        header["kid"] = kid or key.kid
    now = MARCH.timestamp()
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "zoë", "exp": now + 600, "iat": now, "role": "ANALYST", **claims}
    return jwt.encode(header, {name: value for name, value in said.items() if name != leave_out}, key)


def part(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def with_head(header: dict) -> str:
    """A good token under another header, signed by the right key by what the header says."""
    text = f"{part(header)}.{sign().split('.')[1]}"
    digest = hashes.SHA512() if header["alg"] == "RS512" else hashes.SHA256()
    signature = RSA.private_key.sign(text.encode(), padding.PKCS1v15(), digest)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


class Provider:
    """An identity provider that counts how often it is asked."""

    def __init__(self, *keys) -> None:
        self.keys, self.asked, self.gone = keys, 0, False

    def read(self) -> bytes:
        self.asked += 1
        if self.gone:
            raise httpx.ConnectError("gone")
        return key_set(*self.keys)


@pytest.fixture
def provider():
    return Provider(RSA, EC)


@pytest.fixture
def prover(provider):
    return TokenProver(source=KeySource(read=provider.read), rules=RULES)


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
def test_a_token_of_the_provider_proves_who_it_is(prover, key):
    actor = prover.actor(sign(key), MARCH)
    assert (actor.name, actor.role) == ("user:zoë", Role.ANALYST)
    assert prover.actor(sign(key, aud=["other", AUDIENCE]), MARCH) is not None
    assert prover.actor(sign(key, nbf=MARCH.timestamp() + 20, exp=MARCH.timestamp() - 20), MARCH) is not None, "30 s of leeway"


REFUSED = {
    "another issuer": sign(iss="https://evil.example/"),
    "an issuer that differs by a slash": sign(iss=ISSUER.rstrip("/")),
    "no issuer": sign(leave_out="iss"),
    "another audience": sign(aud="billing"),
    "no audience": sign(leave_out="aud"),
    "expired": sign(exp=MARCH.timestamp() - 31),
    "no end": sign(leave_out="exp"),
    "an end that is a text": sign(exp="later"),
    "an end of true": sign(exp=True),
    "not yet valid": sign(nbf=MARCH.timestamp() + 31),
    "made in the future": sign(iat=MARCH.timestamp() + 31),
    "nobody": sign(leave_out="sub"),
    "a subject that is a number": sign(sub=7),
    "a subject with a line break": sign(sub="a\nb"),
    "a subject with NUL": sign(sub="a\x00"),
    "no role": sign(leave_out="role"),
    "a role of another house": sign(role="ROOT"),
    "another key under the same id": sign(STRANGER),
    "an unknown key": sign(STRANGER, kid="rsa-9"),
    "a changed signature": sign()[:-6] + "AAAAAA",
    "a changed claim": ".".join([sign().split(".")[0], part({"sub": "x", "role": "ADMIN"}), sign().split(".")[2]]),
    "the algorithm none": f"{part({'alg': 'none', 'kid': 'rsa-1'})}.{sign().split('.')[1]}.",
    "the algorithm nOnE": f"{part({'alg': 'nOnE'})}.{sign().split('.')[1]}.",
    "an algorithm of the other kind": with_head({"alg": "ES256", "kid": "rsa-1"}),
    "RS512": with_head({"alg": "RS512", "kid": "rsa-1"}),
    "an unknown critical header": with_head({"alg": "RS256", "kid": "rsa-1", "crit": ["x"], "x": 1}),
    "a key of its own": jwt.encode({"alg": "RS256", "jwk": STRANGER.as_dict(private=False)}, {"sub": "x", "role": "ADMIN"}, STRANGER),
    "empty parts": "..",
    "no JSON": "a.b.c",
    "too long": sign(pad="x" * 9000),
    "not ASCII": sign() + "é",
    "a list for claims": f"{part({'alg': 'RS256', 'kid': 'rsa-1'})}.{part([1])}.{sign().split('.')[2]}",
    "a key id that is a list": with_head({"alg": "RS256", "kid": ["rsa-1"]}),
}


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED.keys())
def test_what_proves_nothing_is_refused(prover, token):
    assert prover.actor(token, MARCH) is None


def test_the_tokens_with_changed_headers_fail_by_their_headers(prover):
    assert prover.actor(with_head({"alg": "RS256", "kid": "rsa-1"}), MARCH) is not None


def test_the_public_key_is_no_secret_for_hmac(prover):
    """Algorithm confusion: HS256 with the published key as the secret (RFC 8725, 2.1)."""
    said = sign().split(".")[1]
    for secret in (key_set(RSA), RSA.as_pem(private=False), RSA.as_pem(private=False).strip(), b""):
        head = f"{part({'alg': 'HS256', 'kid': 'rsa-1'})}.{said}"
        mark = base64.urlsafe_b64encode(hmac.new(secret, head.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
        assert prover.actor(f"{head}.{mark}", MARCH) is None


def test_keys_that_may_not_sign_are_passed_over():
    symmetric = {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}
    for_encryption = {**RSA.as_dict(private=False), "use": "enc", "kid": "e"}
    weak = {"kty": "RSA", "n": base64.urlsafe_b64encode(b"\xc5" + bytes(126) + b"\x01").rstrip(b"=").decode(), "e": "AQAB", "kid": "w"}
    other_curve = ECKey.generate_key("P-384", {"kid": "p"}).as_dict(private=False)
    broken = {"kty": "RSA", "n": "!", "kid": "b"}
    listed = [symmetric, for_encryption, weak, other_curve, broken, {"kty": "new"}, EC.as_dict(private=False)]
    assert [key.kid for key in public_keys(json.dumps({"keys": listed}).encode())] == ["ec-1"]


@pytest.mark.parametrize("text", [b"", b"[]", b'{"keys": 1}', b"{}", b"[" * 100_000, b"\xff"])
def test_a_set_that_is_none_is_an_error_of_the_provider(text):
    with pytest.raises(ConnectorError, match="must be a JSON object"):
        public_keys(text)


def test_without_a_key_id_a_token_is_proven_where_one_key_alone_fits(prover, provider):
    assert prover.actor(sign(kid=None), MARCH) is not None
    provider.keys = (RSA, STRANGER)
    assert TokenProver(source=KeySource(read=provider.read), rules=RULES).actor(sign(kid=None), MARCH) is None


def test_a_new_key_is_fetched_when_it_is_first_used_and_an_invented_one_is_not_asked_for_again(prover, provider):
    """Rotation by refetch; a flood of made-up key ids is not passed on to the provider."""
    assert prover.actor(sign(), MARCH) is not None
    assert provider.asked == 1
    new = RSAKey.generate_key(2048, {"kid": "rsa-2"})
    provider.keys = (new,)
    later = MARCH + dt.timedelta(seconds=31)
    assert prover.actor(sign(new), later) is not None
    assert provider.asked == 2
    for invented in range(50):
        assert prover.actor(sign(STRANGER, kid=f"x{invented}"), later + dt.timedelta(seconds=1)) is None
    assert provider.asked == 2
    assert prover.actor(sign(RSA, sub="somebody else"), later + dt.timedelta(seconds=1)) is None, "the old key is gone"


def test_keys_are_kept_and_read_anew_after_ten_minutes(prover, provider):
    for second in range(0, 590, 59):
        assert prover.actor(sign(sub=f"u{second}"), MARCH + dt.timedelta(seconds=second)) is not None
    assert provider.asked == 1
    assert prover.actor(sign(sub="later", exp=MARCH.timestamp() + 9000), MARCH + dt.timedelta(seconds=601)) is not None
    assert provider.asked == 2


def test_while_the_provider_is_gone_known_keys_serve_for_a_day(prover, provider):
    far = MARCH.timestamp() + 10 * 86_400
    assert prover.actor(sign(exp=far), MARCH) is not None
    provider.gone = True
    assert prover.actor(sign(exp=far, sub="b"), MARCH + dt.timedelta(hours=23)) is not None
    with pytest.raises(ConnectorError, match="must give its keys"):
        prover.actor(sign(exp=far, sub="c"), MARCH + dt.timedelta(hours=25))


def test_a_provider_that_never_answered_is_said_so(prover, provider):
    provider.gone = True
    with pytest.raises(ConnectorError):
        prover.actor(sign(), MARCH)


def test_a_token_ends_when_it_says_so_also_after_it_was_proven(prover):
    token = sign(exp=MARCH.timestamp() + 60)
    assert prover.actor(token, MARCH) is not None
    assert prover.actor(token, MARCH + dt.timedelta(seconds=91)) is None


def test_the_highest_of_several_roles_counts_wherever_they_stand():
    assert role_in({"realm": {"roles": ["offline", "viewer", "Developer"]}}, "realm.roles") == Role.DEVELOPER
    assert role_in({"realm": "x"}, "realm.roles") is None
    assert role_in({"role": {"ADMIN": 1}}, "role") is None
    assert role_in({"role": None}, "role") is None


def test_a_set_is_fetched_without_following_redirects_and_not_without_end():
    moved = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "https://evil.example/keys"}))
    endless = httpx.MockTransport(lambda _: httpx.Response(200, content=b"x" * 1_100_000))
    with pytest.raises(httpx.HTTPStatusError):
        keys_from_url("https://id.example/keys", moved)()
    with pytest.raises(ConnectorError, match="must not exceed"):
        keys_from_url("https://id.example/keys", endless)()


@pytest.mark.parametrize(
    "given",
    [
        {"jwks_url": "http://id.example/keys", "jwt_issuer": "i", "jwt_audience": "a"},
        {"jwks_url": "https://id.example/keys", "jwt_issuer": "i"},
        {"jwks_url": "https://id.example/keys", "jwt_audience": "a"},
        {"jwks_url": "https://id.example/keys", "jwks_file": "keys.json", "jwt_issuer": "i", "jwt_audience": "a"},
        {"jwks_file": "keys.json"},
        {"rate_limit": "lots"},
        {"cors_origins": "*"},
        {"cors_origins": "https://app.example/"},
    ],
)
def test_settings_that_would_let_others_in_are_refused(given):
    with pytest.raises(UsageError):
        read_settings(**given)


def test_a_token_works_on_the_routes_beside_the_keys(tmp_path):
    """G-7: 401 for what proves nothing, 403 for a role too low; the audit log names the person."""
    (tmp_path / "keys.json").write_bytes(key_set(RSA))
    url = f"sqlite:///{tmp_path}/service.db"
    with service_on(url, jwks_file=tmp_path / "keys.json", jwt_issuer=ISSUER, jwt_audience=AUDIENCE) as running:

        def call(token: str, method: str = "GET", path: str = "/api/v1/experiments", **kwargs):
            return running.call(method, path, role=None, headers={"Authorization": f"Bearer {token}"}, **kwargs)

        assert call(sign(role="VIEWER")).status_code == 200
        assert call(REFUSED["the algorithm none"]).status_code == 401
        assert call(sign(role="VIEWER"), "POST", json={"name": "x"}).status_code == 403
        made = call(sign(role="DEVELOPER"), "POST", json={"name": "x", "conversion_key": "k"})
        assert made.status_code == 201
        entries = running.get("/api/v1/audit?action=experiment.create", role="ADMIN").json()["items"]
        assert entries[0]["actor"] == "user:zoë"
        assert running.get("/api/v1/experiments").status_code == 200, "API keys go on working"


def test_a_provider_that_is_gone_is_502_and_not_an_open_door(tmp_path):
    url = f"sqlite:///{tmp_path}/service.db"
    with service_on(url, jwks_file=tmp_path / "missing.json", jwt_issuer=ISSUER, jwt_audience=AUDIENCE) as running:
        answer = running.call("GET", "/api/v1/experiments", role=None, headers={"Authorization": f"Bearer {sign()}"})
        assert (answer.status_code, answer.json()["code"]) == (502, "jwks_unreadable")
        assert running.get("/api/v1/experiments").status_code == 200


def test_without_a_provider_a_jwt_is_nothing(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/service.db")
    app = create_app(Settings(database_url="sqlite://"), clock=SetClock(), database=database)
    with TestClient(app) as client:
        make_tokens(database, MARCH)
        assert client.get("/api/v1/experiments", headers={"Authorization": f"Bearer {sign()}"}).status_code == 401
    database.close()
