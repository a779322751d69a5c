"""The customer data platform over a small real server: what it lists, how it fails, and that its key stays secret (HO-26, HO-27)."""

from __future__ import annotations

import datetime as dt
import json
import random
import time

import httpx
import pytest
from running_service import real_service, service_on
from small_cdp import KEY, half_a_page, raw, silence, slow_body, slow_head, small_cdp, status
from sqlalchemy import select

from fairtrial.errors import ConflictError, ConnectorError, UsageError
from fairtrial.service.connectors import meiro_cdp
from fairtrial.service.connectors.client import Bounds, Client, Connection
from fairtrial.service.ingest.webhooks import sign
from fairtrial.storage import open_database
from fairtrial.storage.tables import AuditEntry, Base, ConnectorConfig, Conversion, Profile, Touchpoint

VIP = "/api/v1/segments/vip/profiles"
SECRET = "a-secret-of-16-or-more"
FEBRUARY = (dt.datetime(2026, 2, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 28, tzinfo=dt.UTC))


@pytest.fixture
def cdp():
    with small_cdp() as running:
        yield running


@pytest.fixture
def waits():
    return []


def client_for(cdp, waits=None, *, key=KEY, transport=None, **bounds):
    connection = Connection(base_url=cdp.address, api_key=meiro_cdp.SecretStr(key))
    sleep = [].append if waits is None else waits.append
    return Client(connection=connection, bounds=Bounds(**bounds), sleep=sleep, transport=transport)


def segment(cdp, waits=None, **options):
    return meiro_cdp.fetch_segment("vip", client=client_for(cdp, waits, **options))


class TestLists:
    def test_a_segment_comes_page_by_page_each_profile_once(self, cdp):
        """HO-26: `fetch_segment` gives dicts with an `id`."""
        cdp.lists[VIP] = [{"id": f"p{i}", "city": "Brno"} for i in range(25)] + ["bare", {"customer_id": 77}, {"id": "p3"}]
        found = segment(cdp, page_rows=10)
        assert [row["id"] for row in found] == [f"p{i}" for i in range(25)] + ["bare", "77"]
        assert found[0] == {"id": "p0", "city": "Brno"}
        assert cdp.count(VIP) == 3
        assert {headers["Authorization"] for *_, headers in cdp.seen} == {f"Bearer {KEY}"}

    def test_lists_of_attributes_events_and_segments(self, cdp):
        cdp.lists["/api/v1/attributes"] = [{"id": "age"}, {"id": "ltv"}]
        cdp.lists["/api/v1/events"] = [{"id": "purchase"}]
        client = client_for(cdp)
        assert meiro_cdp.list_attributes(client=client) == [{"id": "age"}, {"id": "ltv"}]
        assert meiro_cdp.list_events(client=client) == [{"id": "purchase"}]
        assert meiro_cdp.list_segments(client=client) == [{"id": "vip"}]
        cdp.first["/api/v1/segments"] = [raw(b'[{"id": "a"}]')]
        assert meiro_cdp.list_segments(client=client) == [{"id": "a"}]

    def test_an_empty_segment_is_empty(self, cdp):
        cdp.lists[VIP] = []
        assert segment(cdp) == []

    def test_ids_stay_within_their_part_of_the_path(self, cdp):
        cdp.lists["/api/v1/segments/a%2F..%2Fb%3Fx/profiles"] = ["u"]
        assert meiro_cdp.fetch_segment("a/../b?x", client=client_for(cdp)) == [{"id": "u"}]
        for bad in ("", ".", "..", "x" * 201, "\ud800"):
            with pytest.raises(UsageError):
                meiro_cdp.fetch_segment(bad, client=client_for(cdp))

    def test_a_transport_can_be_injected(self, cdp):
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=[request.url.path]))
        assert segment(cdp, transport=transport) == [{"id": VIP}]
        assert cdp.seen == []


class TestFailures:
    """Half an answer is an error, never a short answer; a failure that may pass is tried again."""

    def fails(self, cdp, code, retriable, waits=None, **bounds):
        with pytest.raises(ConnectorError) as caught:
            segment(cdp, waits, **bounds)
        assert (caught.value.code, caught.value.retriable) == (code, retriable)
        assert KEY not in repr(caught.value) + caught.value.message + caught.value.hint
        return caught.value

    def test_a_refused_key_is_not_tried_again(self, cdp):
        """401: and what the platform says back, key and all, is not repeated."""
        with pytest.raises(ConnectorError, match="refused our key") as caught:
            segment(cdp, key="wrong-key")
        assert (caught.value.code, cdp.count(VIP)) == ("connector_refused", 1)
        assert "wrong-key" not in str(caught.value)

    def test_429_waits_as_long_as_it_is_told(self, cdp, waits):
        cdp.lists[VIP] = ["u"]
        cdp.first[VIP] = [status(429, retry_after="7"), status(429)]
        assert segment(cdp, waits) == [{"id": "u"}]
        assert waits == [7.0, 2.0]

    def test_429_with_a_date_waits_until_then(self, cdp, waits):
        cdp.lists[VIP] = ["u"]
        date = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        cdp.first[VIP] = [status(429, retry_after=date), status(429, retry_after="soon")]
        assert segment(cdp, waits) == [{"id": "u"}]
        assert 15 < waits[0] <= 20

    def test_429_that_asks_for_an_hour_is_given_up_at_once(self, cdp, waits):
        cdp.first[VIP] = [status(429, retry_after="3600")]
        error = self.fails(cdp, "connector_busy", retriable=True, waits=waits)
        assert (waits, "3600 seconds" in error.hint) == ([], True)

    def test_429_without_end_is_given_up(self, cdp, waits):
        cdp.first[VIP] = [status(429)] * 9
        self.fails(cdp, "connector_busy", retriable=True, waits=waits)
        assert cdp.count(VIP) == 3

    def test_half_a_page_is_tried_again_and_then_an_error(self, cdp):
        cdp.lists[VIP] = [f"p{i}" for i in range(50)]
        cdp.first[VIP] = [half_a_page]
        assert len(segment(cdp)) == 50
        cdp.first[VIP] = [half_a_page] * 3
        self.fails(cdp, "connector", retriable=True)

    def test_fewer_rows_than_announced_are_an_error(self, cdp):
        cdp.first[VIP] = [raw(b'{"data": ["a", "b"], "total": 3}')]
        self.fails(cdp, "connector_incomplete", retriable=True)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b'{"data": [',
            b'{"rows": []}',
            b'"text"',
            b"7",
            b'{"data": {}}',
            b'{"data": [], "total": "many"}',
            b"\xff\xfe",
            b"NaN",
            b"[" * 100_000,
            b'[{"name": "no id"}]',
            b"[null]",
            b"[true]",
            b'[{"id": true}]',
            b'[{"id": null}]',
            b'[""]',
        ],
        ids=lambda body: body[:20].decode("latin-1"),
    )
    def test_what_is_no_list_of_profiles_is_an_error(self, cdp, body):
        cdp.first[VIP] = [raw(body)]
        self.fails(cdp, "connector_malformed", retriable=False)

    def test_pages_that_lead_in_a_circle_are_an_error(self, cdp):
        cdp.first[VIP] = [raw(b'{"data": ["a"], "next_cursor": "x"}')] * 9
        self.fails(cdp, "connector_malformed", retriable=False)
        cdp.first[VIP] = [raw(b'{"data": [], "next_cursor": "x"}')]
        self.fails(cdp, "connector_malformed", retriable=False)

    def test_server_errors_are_tried_again(self, cdp, waits):
        cdp.lists[VIP] = ["u"]
        cdp.first[VIP] = [status(500), status(503)]
        assert segment(cdp, waits) == [{"id": "u"}]
        assert waits == [1.0, 2.0]
        cdp.first[VIP] = [status(502)] * 3
        self.fails(cdp, "connector", retriable=True)

    def test_redirects_are_not_followed(self, cdp):
        with small_cdp() as other:
            cdp.first[VIP] = [status(302, location=f"{other.address}{VIP}")]
            self.fails(cdp, "connector", retriable=False)
            assert other.seen == []

    def test_unknown_segment(self, cdp):
        self.fails(cdp, "connector_not_found", retriable=False)

    def test_silence_ends(self, cdp):
        cdp.first[VIP] = [silence]
        began = time.monotonic()
        self.fails(cdp, "connector_timeout", retriable=True, read_seconds=0.2, tries=1)
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize("drip", [slow_body, slow_head])
    def test_a_slow_drip_ends(self, cdp, drip):
        """Each byte keeps the usual time-out away; the request as a whole is bounded."""
        cdp.first[VIP] = [drip]
        began = time.monotonic()
        self.fails(cdp, "connector_timeout", retriable=True, read_seconds=1, total_seconds=0.5, tries=1)
        assert time.monotonic() - began < 5

    def test_an_endless_answer_is_cut(self, cdp):
        cdp.first[VIP] = [raw(b"[" + b" " * 200_000 + b"]")]
        self.fails(cdp, "connector", retriable=False, body_bytes=100_000)
        cdp.lists[VIP] = [f"p{i}" for i in range(30)]
        self.fails(cdp, "connector", retriable=False, rows=20, page_rows=10)

    def test_nobody_there(self, cdp):
        cdp.address = "http://127.0.0.1:1"
        self.fails(cdp, "connector", retriable=True, tries=1)


class TestExports:
    """HO-27: POST /api/v1/exports, asked after every 5 s for at most 300 s."""

    def test_raw_events_are_asked_for_waited_for_and_fetched(self, cdp, waits):
        cdp.statuses = ["queued", "running"]
        cdp.lists["/api/v1/exports/e1/data"] = [{"id": 1}, {"id": 2}]
        client = client_for(cdp, waits, page_rows=1)
        found = meiro_cdp.fetch_raw_events(*FEBRUARY, event_types=["purchase"], attributes=["age"], segment_id="vip", client=client)
        assert found == [{"id": 1}, {"id": 2}]
        assert waits == [5.0, 5.0]
        assert cdp.bodies == [
            {
                "date_from": "2026-02-01T00:00:00Z",
                "date_to": "2026-02-28T00:00:00Z",
                "format": "json",
                "event_types": ["purchase"],
                "attributes": ["age"],
                "segment_id": "vip",
            }
        ]

    @pytest.mark.parametrize("end", ["failed", "error"])
    def test_a_failed_export_is_an_error(self, cdp, end):
        cdp.statuses = ["running", end]
        with pytest.raises(ConnectorError) as caught:
            meiro_cdp.poll_export("e1", client=client_for(cdp))
        assert caught.value.code == "export_failed"

    def test_an_export_is_waited_for_five_minutes(self, cdp, waits):
        cdp.statuses = ["running"] * 100
        with pytest.raises(ConnectorError) as caught:
            meiro_cdp.poll_export("e1", client=client_for(cdp, waits))
        assert (caught.value.code, caught.value.retriable) == ("export_running", True)
        assert waits == [5.0] * 60

    def test_an_export_is_made_once_even_if_the_answer_is_lost(self, cdp):
        """A POST is repeated only where the platform said that it did nothing."""
        cdp.first["/api/v1/exports"] = [half_a_page]
        with pytest.raises(ConnectorError):
            meiro_cdp.create_export(*FEBRUARY, client=client_for(cdp))
        assert len(cdp.bodies) == 1
        cdp.first["/api/v1/exports"] = [status(429, retry_after="1")]
        assert meiro_cdp.create_export(*FEBRUARY, client=client_for(cdp)) == {"id": "e1", "status": "queued"}

    def test_the_key_goes_nowhere_else(self, cdp):
        with small_cdp() as other:
            for address in (f"{other.address}/x", f"//{other.address[7:]}/x", f"{cdp.address}.evil.test/x", f"{cdp.address}@evil.test"):
                cdp.export = {"id": "e1", "download_url": address}
                with pytest.raises(ConnectorError, match="own address"):
                    meiro_cdp.fetch_raw_events(*FEBRUARY, client=client_for(cdp))
            assert other.seen == []
        cdp.export = {"id": "e1", "download_url": f"{cdp.address}/files/7"}
        cdp.lists["/files/7"] = [{"id": 1}]
        assert meiro_cdp.fetch_raw_events(*FEBRUARY, client=client_for(cdp)) == [{"id": 1}]

    def test_a_period_that_ends_before_it_begins_is_refused(self, cdp):
        with pytest.raises(UsageError):
            meiro_cdp.create_export(*reversed(FEBRUARY), client=client_for(cdp))


class TestJourneys:
    """HO-27: de-duplicated within five minutes; strict, balanced, aggressive."""

    @staticmethod
    def event(minute: float, channel="email", campaign="c1", kind="sent", profile="u", **more):
        at = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)
        return {
            "customer_id": profile,
            "event_type": kind,
            "timestamp": at.isoformat(),
            "channel": channel,
            "campaign_id": campaign,
            **more,
        }

    def touches(self, events, mode="balanced"):
        return sum(len(journey["touchpoints"]) for journey in meiro_cdp.build_journeys_from_events(events, mode))

    def test_the_modes_differ_in_what_is_the_same(self):
        events = [self.event(0), self.event(1, kind="opened"), self.event(2, campaign="c2"), self.event(3, channel="push")]
        assert [self.touches(events, mode) for mode in ("strict", "balanced", "aggressive")] == [4, 3, 2]

    def test_five_minutes_are_measured_from_the_one_that_was_kept(self):
        assert self.touches([self.event(0), self.event(5)]) == 1
        assert self.touches([self.event(0), self.event(5.001)]) == 2
        assert self.touches([self.event(minute) for minute in range(13)]) == 3

    def test_a_conversion_ends_a_journey(self):
        events = [
            self.event(0),
            self.event(20, channel="push"),
            self.event(30, kind="purchase", value=99.5),
            self.event(40),
            self.event(50, kind="purchase", value=10, profile="other"),
        ]
        other, first, second = meiro_cdp.build_journeys_from_events(events)
        assert ([touch["channel"] for touch in first["touchpoints"]], first["converted"]) == (["email", "push"], True)
        assert (first["conversion"]["kpi"], first["conversion"]["value"]) == ("purchase", 99.5)
        assert (len(second["touchpoints"]), second["conversion"], second["converted"]) == (1, None, False)
        assert (other["profile_id"], other["touchpoints"], other["converted"]) == ("other", [], True)

    def test_repeat_purchases_stay_and_repeated_ones_go(self):
        """II.c: one entry per profile loses repeat purchases."""
        bought = [
            self.event(0, kind="purchase", value=10),
            self.event(1, kind="purchase", value=20),
            self.event(2, kind="purchase", value=10),
        ]
        assert [j["conversion"]["value"] for j in meiro_cdp.build_journeys_from_events(bought)] == [10, 20]
        same = [self.event(0, kind="purchase", value=10, event_id="x"), self.event(60, kind="purchase", value=10, event_id="x")]
        assert len(meiro_cdp.build_journeys_from_events(same)) == 1

    @pytest.mark.parametrize("mode", ["strict", "balanced", "aggressive"])
    def test_the_order_of_events_does_not_matter(self, mode):
        draw = random.Random(7)
        events = [
            self.event(
                draw.uniform(0, 60),
                draw.choice(["email", "push"]),
                draw.choice(["c1", "c2"]),
                draw.choice(["sent", "purchase"]),
                f"ü{draw.randrange(5)}",
            )
            for _ in range(300)
        ]
        expected = meiro_cdp.build_journeys_from_events(events, mode)
        for _ in range(5):
            draw.shuffle(events)
            assert meiro_cdp.build_journeys_from_events(events, mode) == expected

    def test_bad_events_are_left_out_and_never_a_crash(self):
        """II.c: never a crash on an absent timestamp."""
        good = self.event(0)
        bad = [{**good, "timestamp": when} for when in (None, "", "yesterday", True, 1e300, "0001-01-01T00:00:00+23:00", {}, float("nan"))]
        bad += [{**good, "customer_id": who} for who in (None, "", "a\x00b", "\ud800", "x" * 201, {}, True)]
        bad += [{}, {"properties": []}, {**good, "channel": None}, {**good, "event_type": "purchase", "value": "much"}, None, [], "event"]
        assert self.touches([*bad, good]) == 1

    def test_fields_may_be_nested_and_times_may_be_numbers(self):
        at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        events = [
            {"user_id": 7, "name": "sent", "properties": {"time": at.timestamp(), "utm_medium": " Email "}},
            {"user_id": 7, "name": "sent", "payload": {"time": at.timestamp() * 1000 + 600_000, "utm_medium": "push"}},
        ]
        (journey,) = meiro_cdp.build_journeys_from_events(events)
        assert [(touch["channel"], touch["touched_at"]) for touch in journey["touchpoints"]] == [
            ("email", at),
            ("push", at + dt.timedelta(minutes=10)),
        ]


class TestConnection:
    def test_from_python_without_a_session_the_database_of_the_environment_is_used(self, cdp, tmp_path, monkeypatch):
        monkeypatch.setenv("FAIRTRIAL_DATABASE_URL", f"sqlite:///{tmp_path}/own.db")
        assert not meiro_cdp.is_connected()
        assert meiro_cdp.get_config() is None
        with pytest.raises(ConflictError):
            meiro_cdp.fetch_segment("vip")
        meiro_cdp.save_config(cdp.address, KEY)
        assert meiro_cdp.is_connected()
        cdp.lists[VIP] = ["u"]
        assert meiro_cdp.fetch_segment("vip") == [{"id": "u"}]
        assert meiro_cdp.test_connection() == {"ok": True, "error": None, "code": None}
        metadata = meiro_cdp.get_connection_metadata()
        assert (metadata["base_url"], metadata["connected_by"]) == (cdp.address, "library")
        assert KEY not in repr(metadata) + repr(meiro_cdp.get_config())
        assert meiro_cdp.disconnect()
        assert not meiro_cdp.disconnect()
        assert not meiro_cdp.is_connected()

    @pytest.mark.parametrize(
        ("url", "key", "header"),
        [
            ("http://cdp.example.com", KEY, "Authorization"),
            ("ftp://127.0.0.1", KEY, "Authorization"),
            ("https://user:pw@cdp.example.com", KEY, "Authorization"),
            ("https://cdp.example.com?x=1", KEY, "Authorization"),
            ("https://", KEY, "Authorization"),
            ("nonsense", KEY, "Authorization"),
            ("https://[", KEY, "Authorization"),
            ("https://cdp.example.com", "", "Authorization"),
            ("https://cdp.example.com", "two words", "Authorization"),
            ("https://cdp.example.com", "a\r\nHost: evil", "Authorization"),
            ("https://cdp.example.com", KEY, "Host"),
            ("https://cdp.example.com", KEY, "X-A\r\nB: c"),
        ],
    )
    def test_a_wrong_connection_is_refused_without_its_key(self, service, url, key, header):
        answer = service.call(
            "PUT", "/api/v1/connectors/meiro", role="ADMIN", json={"base_url": url, "api_key": key, "auth_header": header}
        )
        assert answer.status_code == 422
        assert not key or key not in answer.text
        assert service.get("/api/v1/connectors/meiro").json()["connected"] is False

    def test_a_key_in_a_header_of_its_own_goes_bare(self, cdp):
        connection = Connection(base_url=cdp.address, api_key=meiro_cdp.SecretStr(KEY), auth_header="X-Access-Token")
        assert connection.headers == {"X-Access-Token": KEY}
        assert KEY not in repr(connection)


@pytest.fixture
def connected(stored_service, cdp):
    answer = stored_service.call("PUT", "/api/v1/connectors/meiro", role="ADMIN", json={"base_url": cdp.address, "api_key": KEY})
    assert answer.status_code == 200
    stored_service.admin = f"key:{stored_service.tokens['ADMIN'].split('_')[1]}"
    return stored_service


class TestOverHttp:
    def test_connect_test_look_and_disconnect(self, connected, cdp):
        shown = connected.get("/api/v1/connectors/meiro").json()
        assert shown == {
            "connector": "meiro",
            "connected": True,
            "base_url": cdp.address,
            "auth_header": "Authorization",
            "connected_at": "2026-03-01T00:00:00Z",
            "connected_by": connected.admin,
        }
        assert connected.post("/api/v1/connectors/meiro/test").json()["ok"] is True
        assert connected.get("/api/v1/connectors/meiro/segments", role="DEVELOPER").json() == {"items": [{"id": "vip"}]}
        assert connected.get("/api/v1/connectors/meiro/nothing", role="DEVELOPER").status_code == 422
        cdp.key = "another"
        refused = connected.post("/api/v1/connectors/meiro/test").json()
        assert (refused["ok"], refused["code"]) == (False, "connector_refused")
        failed = connected.get("/api/v1/connectors/meiro/segments", role="DEVELOPER")
        assert (failed.status_code, failed.json()["code"]) == (502, "connector_refused")
        assert connected.call("DELETE", "/api/v1/connectors/meiro", role="ADMIN").json()["connected"] is False
        gone = connected.get("/api/v1/connectors/meiro/segments", role="DEVELOPER")
        assert (gone.status_code, gone.json()["code"]) == (409, "not_connected")

    def test_keys_are_for_admins(self, connected):
        """G-7."""
        body = {"base_url": "https://elsewhere.example", "api_key": "k"}
        assert connected.call("PUT", "/api/v1/connectors/meiro", role="DEVELOPER", json=body).status_code == 403
        assert connected.call("DELETE", "/api/v1/connectors/meiro", role="DEVELOPER").status_code == 403
        for path in ("test", "exports", "segments/vip/import"):
            assert connected.post(f"/api/v1/connectors/meiro/{path}", {}, role="ANALYST").status_code == 403

    def test_a_segment_is_stored_and_assigned(self, connected, cdp):
        cdp.lists[VIP] = [{"id": f"user_{i:03d}", "age": 30 + i, "city": "Brno"} for i in range(1, 6)] + [
            "žluť 🌱",
            "nul\x00",
            {"id": "x" * 300},
        ]
        cdp.lists[VIP] += [{"id": "deep", "age": "old", "nested": {"nul": "a\x00b"}}]
        connected.post("/api/experiments", {"name": "VIP", "channel": "email", "conversion_key": "purchase", "treatment_rate": 0.5})
        body = connected.post("/api/v1/connectors/meiro/segments/vip/import", {"experiment": 1}).json()
        assert body["skipped"] == 2
        assert (body["stored"], body["new"], body["updated"]) == (7, 7, 0)
        assert sum(body["assigned"].values()) == 7
        again = connected.post("/api/v1/connectors/meiro/segments/vip/import", {}).json()
        assert (again["new"], again["updated"], again["assigned"]) == (0, 7, None)
        with connected.database.reading() as session:
            stored = session.get(Profile, "user_001")
            assert (stored.age, stored.attributes_json) == (31.0, {"city": "Brno"})
            assert session.get(Profile, "deep").attributes_json is None
        unknown = connected.post("/api/v1/connectors/meiro/segments/vip/import", {"experiment": 9})
        assert unknown.status_code == 404

    def test_a_platform_that_fails_half_way_stores_nothing(self, connected, cdp):
        cdp.first[VIP] = [raw(b'{"data": ["a"], "next_cursor": "1"}'), raw(b"oops")]
        answer = connected.post("/api/v1/connectors/meiro/segments/vip/import", {})
        assert (answer.status_code, answer.json()["code"]) == (502, "connector_malformed")
        with connected.database.reading() as session:
            assert session.scalars(select(Profile)).all() == []

    def test_touchpoints_are_seeded_from_an_export(self, connected, cdp):
        event = TestJourneys.event
        cdp.lists["/api/v1/exports/e1/data"] = [event(0), event(1), event(60), event(90, kind="purchase", value=5), {"broken": True}]
        cdp.statuses = ["running"]
        made = connected.post("/api/v1/connectors/meiro/exports", {"date_from": "2026-03-01", "date_to": "2026-03-31"})
        assert (made.status_code, made.json()) == (202, {"export_id": "e1", "status": "queued"})
        assert cdp.bodies[0]["date_to"] == "2026-03-31T23:59:59.999999Z"
        early = connected.post("/api/v1/connectors/meiro/exports/e1/import", {})
        assert (early.status_code, early.json()["code"]) == (409, "export_running")
        body = connected.post("/api/v1/connectors/meiro/exports/e1/import", {}).json()
        assert body == {
            "events": 5,
            "journeys": 1,
            "duplicates": 1,
            "skipped": {"no_profile": 1},
            "touchpoints": {"stored": 2, "duplicates": 0},
            "conversions": {"stored": 1, "duplicates": 0},
        }
        again = connected.post("/api/v1/connectors/meiro/exports/e1/import", {}).json()
        assert (again["touchpoints"], again["conversions"]) == ({"stored": 0, "duplicates": 2}, {"stored": 0, "duplicates": 1})
        with connected.database.reading() as session:
            assert [touch.channel for touch in session.scalars(select(Touchpoint))] == ["email", "email"]
            assert [(found.kpi, found.value) for found in session.scalars(select(Conversion))] == [("purchase", 5.0)]

    def test_nothing_of_ours_is_held_while_the_platform_is_silent(self, connected, cdp):
        """A writer elsewhere gets its turn while an import waits."""
        held = []

        def write_meanwhile(handler):
            answer = connected.post("/api/v1/profiles", {"profiles": [{"id": "meanwhile"}]})
            held.append(answer.status_code)
            handler.send_json(["u"])

        cdp.first[VIP] = [write_meanwhile]
        assert connected.post("/api/v1/connectors/meiro/segments/vip/import", {}).json()["stored"] == 1
        assert held == [200]

    @pytest.mark.parametrize("body", [{"experiment": []}, {"treatment_rate": 2}, {"surprise": 1}, []], ids=str)
    def test_bad_requests_are_422(self, connected, body):
        assert connected.post("/api/v1/connectors/meiro/segments/vip/import", body).status_code == 422
        assert connected.post("/api/v1/connectors/meiro/exports", {"date_from": "2026-03-02", "date_to": "2026-03-01"}).status_code == 422


class TestInboundEvents:
    """HO-27: inbound events need a shared secret; G-7: an HMAC, no bearer."""

    @pytest.fixture
    def listening(self, store_url, clock):
        with service_on(store_url, clock=clock, webhook_secrets={"meiro": SECRET, "shop": SECRET + "2"}) as running:
            yield running

    def send(self, service, body, *, secret=SECRET, source="meiro", at=None):
        raw_body = body if isinstance(body, bytes) else json.dumps(body).encode()
        stamp = int(service.clock().timestamp()) if at is None else at
        headers = {"Fairtrial-Source": source, "Fairtrial-Timestamp": str(stamp), "Fairtrial-Signature": sign(secret, stamp, raw_body)}
        return service.client.post("/api/v1/connectors/meiro/events", content=raw_body, headers=headers)

    def test_signed_events_are_stored_once(self, listening):
        events = [TestJourneys.event(0), TestJourneys.event(9), TestJourneys.event(30, kind="purchase", value=2.5)]
        first, second = (self.send(listening, {"events": events}).json() for _ in range(2))
        assert (first["touchpoints"]["stored"], first["conversions"]["stored"]) == (2, 1)
        assert (second["touchpoints"], second["conversions"]) == ({"stored": 0, "duplicates": 2}, {"stored": 0, "duplicates": 1})

    def test_unsigned_wrongly_signed_late_and_foreign_ones_are_refused(self, listening):
        body = {"events": [TestJourneys.event(0)]}
        assert listening.post("/api/v1/connectors/meiro/events", body, role="ADMIN").status_code == 401
        assert self.send(listening, body, secret="another secret").status_code == 401
        assert self.send(listening, body, source="shop", secret=SECRET + "2").status_code == 401
        assert self.send(listening, body, at=int(listening.clock().timestamp()) - 3600).status_code == 401
        with listening.database.reading() as session:
            assert session.scalars(select(Touchpoint)).all() == []

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"{}", b'{"events": [1]}', b'{"events": [], "mode": "x"}', b"\xff", b"[" * 50_000], ids=repr
    )
    def test_signed_nonsense_is_a_422(self, listening, body):
        assert self.send(listening, body).status_code == 422
        assert self.send(listening, {"events": [{"customer_id": "a\x00b"}]}).status_code == 422


def test_the_key_is_in_no_answer_no_audit_entry_and_no_log(cdp, tmp_path):
    """HO-27: a real process, its log read afterwards; also when the platform repeats the key in its errors."""
    url = f"sqlite:///{tmp_path}/real.db"
    answers = []
    with (
        real_service(tmp_path, url, env={"FAIRTRIAL_LOG_LEVEL": "debug"}) as (address, token, _),
        httpx.Client(base_url=f"{address}/api/v1/connectors", headers={"Authorization": f"Bearer {token}"}) as http,
    ):
        answers.append(http.put("/meiro", json={"base_url": cdp.address, "api_key": KEY}))
        answers.append(http.put("/meiro", json={"base_url": cdp.address, "api_key": [KEY]}))
        answers.append(http.put("/meiro", json={"base_url": cdp.address, "api_key": KEY, "surprise": KEY}))
        answers.append(http.get("/meiro"))
        answers.append(http.post("/meiro/test"))
        cdp.key = "changed"
        answers.append(http.post("/meiro/test"))
        answers.append(http.get("/meiro/segments"))
        cdp.first["/api/v1/segments"] = [half_a_page] * 3
        answers.append(http.get("/meiro/segments", timeout=30))
        answers.append(http.delete("/meiro"))
    assert [answer.status_code for answer in answers] == [200, 422, 422, 200, 200, 200, 502, 502, 200]
    said = "".join(answer.text + str(answer.headers) for answer in answers)
    log = (tmp_path / "service.log").read_text()
    assert "connectors/meiro" in log
    assert KEY not in said + log
    database = open_database(url)
    with database.reading() as session:
        assert [table.name for table in Base.metadata.sorted_tables if KEY in str(session.execute(select(table)).all())] == []
    database.close()


def test_the_audit_log_tells_who_connected_and_not_the_key(connected):
    connected.call("DELETE", "/api/v1/connectors/meiro", role="ADMIN")
    with connected.database.reading() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.object_type == "connector").order_by(AuditEntry.id)).all()
        assert [(entry.action, entry.actor) for entry in entries] == [
            ("connector.connect", connected.admin),
            ("connector.disconnect", connected.admin),
        ]
        assert KEY not in str([(entry.before_json, entry.after_json) for entry in entries])
        assert session.scalars(select(ConnectorConfig)).all() == []
