"""Webhooks: the documented messages, signed; forged, altered, late and repeated ones (HO-25)."""

from __future__ import annotations

import json
import logging

import pytest
from running_service import service_on
from test_experiments import HOLDOUT
from test_ingest import rows_of

from fairtrial.errors import UsageError
from fairtrial.service.ingest.webhooks import sign
from fairtrial.service.settings import read_settings
from fairtrial.storage.tables import ExperimentAssignment, ExperimentExposure, ExperimentOutcome

SECRETS = {"shop": "a secret of the shop", "Mail": "a secret of the mailer"}
SENT = {
    "experiment_id": 1,
    "profile_id": "user_003",
    "sent_at": "2026-03-06T08:00:00Z",
    "campaign_id": "email_q1_2026",
    "message_id": "msg_12400",
}
CONVERTED = {"experiment_id": 1, "profile_id": "user_003", "converted_at": "2026-03-08T11:00:00Z", "value": 35.0}


@pytest.fixture
def hooked(store_url, clock):
    with service_on(store_url, clock=clock, webhook_secrets=SECRETS) as running:
        running.post("/api/experiments", HOLDOUT)
        running.post("/api/experiments/1/status", {"status": "running"})
        yield running


def deliver(service, kind: str, message: object, *, source="shop", secret="a secret of the shop", age=0, prefix="", **headers):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    stamp = int(service.clock().timestamp()) - age
    signed = {"Fairtrial-Source": source, "Fairtrial-Timestamp": str(stamp), "Fairtrial-Signature": sign(secret, stamp, body)}
    signed |= {name.replace("_", "-"): value for name, value in headers.items()}
    return service.call("POST", f"{prefix}/webhooks/{kind}", role=None, content=body, headers=signed)


def test_the_documented_messages(hooked):
    """HO-25: a message sent is an exposure, a conversion an outcome; an unassigned profile gets its hashed group."""
    for turn in range(2):
        assert deliver(hooked, "message-sent", SENT, prefix="" if turn else "/api/v1").json() == {"status": "ok"}
        assert deliver(hooked, "conversion", CONVERTED, source="MAIL", secret="a secret of the mailer").json() == {"status": "ok"}
    (exposure,), (outcome,), (group,) = (rows_of(hooked, table) for table in (ExperimentExposure, ExperimentOutcome, ExperimentAssignment))
    assert (exposure.message_id, exposure.campaign_id, exposure.exposure_ts.isoformat()) == (
        "msg_12400",
        "email_q1_2026",
        "2026-03-06T08:00:00+00:00",
    )
    assert (outcome.value, outcome.conversion_ts.isoformat()) == (35.0, "2026-03-08T11:00:00+00:00")
    assert (group.profile_id, group.group, group.source) == ("user_003", "treatment", "exposure")


def test_a_message_without_a_time_sent_again_is_stored_once(hooked):
    """A replay within the window is harmless: the signed time is the message's."""
    message = {"experiment_id": 1, "profile_id": "user_003"}
    body = json.dumps(message).encode()
    stamp = int(hooked.clock().timestamp())
    headers = {"Fairtrial-Source": "shop", "Fairtrial-Timestamp": str(stamp), "Fairtrial-Signature": sign(SECRETS["shop"], stamp, body)}
    for seconds in (0, 200):
        hooked.clock.move(seconds=seconds)
        assert hooked.call("POST", "/webhooks/message-sent", role=None, content=body, headers=headers).status_code == 200
    assert len(rows_of(hooked, ExperimentExposure)) == 1
    hooked.clock.move(seconds=101)
    assert hooked.call("POST", "/webhooks/message-sent", role=None, content=body, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "another secret than that"},
        {"source": "stranger"},
        {"source": "stranger", "secret": "no source has this secret"},
        {"source": ""},
        {"age": 301},
        {"age": -301},
        {"Fairtrial_Signature": ""},
        {"Fairtrial_Signature": "v1="},
        {"Fairtrial_Signature": "v0=" + "0" * 64},
        {"Fairtrial_Timestamp": "1772323200"},
        {"Fairtrial_Timestamp": "not a number"},
        {"Fairtrial_Timestamp": "9" * 400},
        {"Fairtrial_Timestamp": "-1"},
    ],
)
def test_what_is_not_signed_is_refused(service_with_hooks, change):
    service_with_hooks.clock.move(seconds=7)
    refused = deliver(service_with_hooks, "conversion", CONVERTED, **change)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert rows_of(service_with_hooks, ExperimentOutcome) == []


@pytest.fixture(scope="module")
def service_with_hooks(tmp_path_factory):
    with service_on(f"sqlite:///{tmp_path_factory.mktemp('hooks')}/h.db", webhook_secrets=SECRETS) as running:
        running.post("/api/experiments", HOLDOUT)
        yield running


def test_an_altered_body_and_a_token_instead_of_a_signature_are_refused(service_with_hooks):
    """The raw body is signed, to the byte; an ADMIN's token opens nothing here."""
    service = service_with_hooks
    stamp = int(service.clock().timestamp())
    body = json.dumps(CONVERTED).encode()
    headers = {"Fairtrial-Source": "shop", "Fairtrial-Timestamp": str(stamp), "Fairtrial-Signature": sign(SECRETS["shop"], stamp, body)}
    altered = service.call("POST", "/webhooks/conversion", role=None, content=body + b" ", headers=headers)
    assert altered.status_code == 401
    assert service.post("/webhooks/conversion", CONVERTED, role="ADMIN").status_code == 401
    assert service.call("POST", "/webhooks/conversion", role=None, content=body, headers=headers).status_code == 200


def test_signed_nonsense_is_named(service_with_hooks):
    bad = [b"", b"[]", {**CONVERTED, "value": "1"}, {**CONVERTED, "experiment_id": True}, {**CONVERTED, "experiment_id": 0}]
    bad += [{**CONVERTED, "experiment_id": 10**30}, {**CONVERTED, "profile_id": "a\x00"}, {**CONVERTED, "converted_at": "soon"}]
    for message in bad:
        assert deliver(service_with_hooks, "conversion", message).status_code == 422, message
    assert deliver(service_with_hooks, "conversion", {**CONVERTED, "experiment_id": 2**62}).status_code == 404
    assert deliver(service_with_hooks, "message-sent", {**SENT, "experiment_id": "no such key"}).status_code == 404


def test_secrets_are_never_shown(service_with_hooks, caplog):
    """Neither in an answer nor in a log nor in the settings' own text."""
    with caplog.at_level(logging.DEBUG):
        refused = deliver(service_with_hooks, "conversion", CONVERTED, secret="another secret than that")
    shown = refused.text + caplog.text + repr(service_with_hooks.state.settings)
    assert not any(secret in shown for secret in (*SECRETS.values(), "another secret than that"))
    with pytest.raises(UsageError, match="16 characters") as error:
        read_settings(webhook_secrets={"shop": "too short"})
    assert "too short" not in str(error.value)


def test_secrets_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("FAIRTRIAL_WEBHOOK_SECRETS__SHOP", "a secret of the shop")
    assert read_settings().webhook_secrets["shop"].get_secret_value() == "a secret of the shop"
    monkeypatch.delenv("FAIRTRIAL_WEBHOOK_SECRETS__SHOP")
    monkeypatch.setenv("FAIRTRIAL_WEBHOOK_SECRETS", json.dumps({"Mail": "a secret of the mailer"}))
    assert set(read_settings().webhook_secrets) == {"mail"}
