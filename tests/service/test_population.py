"""The population: batches over HTTP and files by the command line, stored once whatever is sent how often."""

from __future__ import annotations

import json
import threading

import pytest
from running_service import service_on
from sqlalchemy import func, select

from fairtrial.cli import main
from fairtrial.storage.tables import AuditEntry, Conversion, Profile, Touchpoint

TOUCH = {"profile_id": "u", "channel": "email", "touched_at": "2026-03-01T10:00:00Z"}
CONVERSION = {"profile_id": "u", "kpi": "purchase", "converted_at": "2026-03-01T10:00:00Z", "value": 9.5}


def rows(service, table):
    with service.database.reading() as session:
        return session.scalars(select(table).order_by(table.id)).all()


def count(service, table):
    with service.database.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


class TestProfiles:
    def put(self, service, *profiles, method="PUT"):
        return service.call(method, "/api/v1/profiles", json={"profiles": list(profiles)})

    def test_profiles_are_new_once_and_updated_later(self, stored_service):
        profiles = [{"id": "a", "age": 34, "ltv": 120.5, "attributes": {"city": "Brno"}}, {"id": "žluť 🌱"}]
        assert self.put(stored_service, *profiles).json() == {"stored": 2, "new": 2, "updated": 0}
        assert self.put(stored_service, *profiles, method="POST").json() == {"stored": 2, "new": 0, "updated": 2}
        first = next(row for row in rows(stored_service, Profile) if row.id == "a")
        assert (first.age, first.ltv, first.attributes_json) == (34.0, 120.5, {"city": "Brno"})

    def test_a_field_left_out_stays_and_null_clears_it(self, stored_service):
        self.put(stored_service, {"id": "a", "age": 34, "ltv": 1.5, "attributes": {"x": 1}})
        self.put(stored_service, {"id": "a", "ltv": 2.5}, {"id": "b", "age": 20})
        self.put(stored_service, {"id": "a", "age": None})
        first, second = rows(stored_service, Profile)
        assert (first.age, first.ltv, first.attributes_json) == (None, 2.5, {"x": 1})
        assert (second.age, second.ltv) == (20.0, None)

    def test_repeats_within_a_batch_are_one_profile(self, stored_service):
        answer = self.put(stored_service, {"id": "a", "age": 1}, {"id": "b"}, {"id": "a", "ltv": 2}, {"id": "a", "age": 3})
        assert answer.json() == {"stored": 2, "new": 2, "updated": 0}
        first, _ = rows(stored_service, Profile)
        assert (first.age, first.ltv) == (3.0, 2.0)

    def test_two_at_once_with_the_same_profiles_both_end(self, stored_service):
        names = [f"p{i:04d}" for i in range(400)]
        answers = []

        def send(order):
            answers.append(self.put(stored_service, *({"id": name, "age": 1} for name in order)))

        threads = [threading.Thread(target=send, args=(order,)) for order in (names, names[::-1], names)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [answer.status_code for answer in answers] == [200] * 3
        assert sum(answer.json()["new"] for answer in answers) == 400
        assert count(stored_service, Profile) == 400


class TestTouchpointsAndConversions:
    def test_a_repeat_is_counted_and_not_stored_twice(self, stored_service):
        same = {"profile_id": "u", "channel": " EMAIL", "touched_at": "2026-03-01T11:00:00+01:00"}
        other = {**TOUCH, "campaign_id": "spring", "owned": True}
        first = stored_service.post("/api/v1/touchpoints", {"touchpoints": [TOUCH, other, same]}).json()
        assert first == {"stored": 2, "duplicates": 1}
        assert stored_service.post("/api/v1/touchpoints", {"touchpoints": [other, TOUCH]}).json() == {"stored": 0, "duplicates": 2}
        assert sorted((row.channel, row.campaign_id, row.owned) for row in rows(stored_service, Touchpoint)) == [
            ("email", "", None),
            ("email", "spring", True),
        ]

    def test_conversions(self, stored_service):
        later = {**CONVERSION, "converted_at": "2026-03-01T10:00:01Z"}
        first = stored_service.post("/api/v1/conversions", {"conversions": [CONVERSION, later, CONVERSION]}).json()
        assert first == {"stored": 2, "duplicates": 1}
        assert stored_service.post("/api/v1/conversions", {"conversions": [later]}).json() == {"stored": 0, "duplicates": 1}
        assert [row.value for row in rows(stored_service, Conversion)] == [9.5, 9.5]

    def test_nothing_is_nothing(self, stored_service):
        assert stored_service.post("/api/v1/touchpoints", {"touchpoints": []}).json() == {"stored": 0, "duplicates": 0}
        assert stored_service.call("PUT", "/api/v1/profiles", json={"profiles": []}).json() == {"stored": 0, "new": 0, "updated": 0}
        assert count(stored_service, AuditEntry) == 0

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("profiles", {"profiles": [{"id": ""}]}),
            ("profiles", {"profiles": [{"id": "x" * 201}]}),
            ("profiles", {"profiles": [{"id": "a\x00"}]}),
            ("profiles", {"profiles": [{"id": "a", "age": -1}]}),
            ("profiles", {"profiles": [{"id": "a", "ltv": 10**400}]}),
            ("profiles", {"profiles": [{"id": "a", "attributes": {"x": "\x00"}}]}),
            ("profiles", {"profiles": [{"id": "a", "surprise": 1}]}),
            ("profiles", {"profiles": [{"id": "a"}] * 10_001}),
            ("touchpoints", {"touchpoints": [{**TOUCH, "channel": "  "}]}),
            ("touchpoints", {"touchpoints": [{**TOUCH, "touched_at": "1066-10-14T00:00:00Z"}]}),
            ("touchpoints", {"touchpoints": [{**TOUCH, "campaign_id": None}]}),
            ("conversions", {"conversions": [{**CONVERSION, "value": "NaN"}]}),
            ("conversions", {"conversions": [{"profile_id": "u", "kpi": "p"}]}),
            ("conversions", {"conversions": {}}),
            ("conversions", []),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_a_bad_row_stores_nothing_of_its_batch(self, service, path, body):
        answer = service.post(f"/api/v1/{path}", body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert [count(service, table) for table in (Profile, Touchpoint, Conversion)] == [0, 0, 0]

    def test_a_good_row_before_a_bad_one_is_not_stored(self, service):
        assert service.post("/api/v1/conversions", {"conversions": [CONVERSION, {}]}).status_code == 422
        assert count(service, Conversion) == 0

    def test_writing_needs_a_developer_and_is_in_the_audit_log_without_ids(self, service):
        """G-7."""
        for path, body in (("profiles", {"profiles": []}), ("touchpoints", {"touchpoints": []}), ("conversions", {"conversions": []})):
            assert service.post(f"/api/v1/{path}", body, role="ANALYST").status_code == 403
            assert service.post(f"/api/v1/{path}", body, role=None).status_code == 401
        service.post("/api/v1/profiles", {"profiles": [{"id": "jana@example.com"}]})
        (entry,) = rows(service, AuditEntry)
        assert (entry.action, entry.role, entry.after_json) == ("profiles.load", "DEVELOPER", {"new": 1, "updated": 0})
        assert "jana" not in str([entry.object_id, entry.before_json, entry.after_json])


class TestFiles:
    """`fairtrial load`."""

    def load(self, capsys, url, what, path, code=0):
        with pytest.raises(SystemExit) as ended:
            main(["load", what, str(path), "--database", url, "--json"])
        assert ended.value.code == code
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.out + said.err

    def test_files_are_loaded_and_may_be_loaded_again(self, store_url, tmp_path, capsys):
        (tmp_path / "p.csv").write_text("id,age,ltv,city\na,34,120.5,Brno\nb,,,\n", encoding="utf-8-sig")
        (tmp_path / "t.ndjson").write_text("\n".join(json.dumps({**TOUCH, "profile_id": f"u{i}"}) for i in range(5001)) + "\n\n")
        (tmp_path / "c.jsonl").write_text(json.dumps(CONVERSION) + "\n" + json.dumps(CONVERSION))
        assert self.load(capsys, store_url, "profiles", tmp_path / "p.csv") == {"rows": 2, "stored": 2, "new": 2, "updated": 0}
        assert self.load(capsys, store_url, "touchpoints", tmp_path / "t.ndjson") == {"rows": 5001, "stored": 5001, "duplicates": 0}
        assert self.load(capsys, store_url, "touchpoints", tmp_path / "t.ndjson") == {"rows": 5001, "stored": 0, "duplicates": 5001}
        assert self.load(capsys, store_url, "conversions", tmp_path / "c.jsonl") == {"rows": 2, "stored": 1, "duplicates": 1}
        with service_on(store_url) as service:
            first, second = rows(service, Profile)
            assert (first.age, first.ltv, first.attributes_json) == (34.0, 120.5, {"city": "Brno"})
            assert (second.age, second.attributes_json) == (None, None)

    @pytest.mark.parametrize(
        ("name", "text", "why"),
        [
            ("t.ndjson", json.dumps(TOUCH) + "\n{", "Line 2"),
            ("t.ndjson", json.dumps(TOUCH) + "\n[]", "Line 2"),
            ("t.ndjson", json.dumps(TOUCH) + '\n{"profile_id": "u"}', "Line 2"),
            ("t.csv", "profile_id,channel,touched_at\nu,email\n", "Line 2"),
            ("t.csv", "profile_id,channel,touched_at\nu,email,2026-03-01\nu,,2026-03-01\n", "Line 3"),
            ("t.csv", "profile_id\nu\n", "Line 2"),
            ("t.txt", "u", "must end in"),
            ("missing.csv", None, "no file"),
        ],
    )
    def test_a_bad_line_is_named_and_stores_nothing(self, tmp_path, capsys, name, text, why):
        url = f"sqlite:///{tmp_path}/f.db"
        if text is not None:
            (tmp_path / name).write_text(text)
        assert why in self.load(capsys, url, "touchpoints", tmp_path / name, code=2)
        with service_on(url) as service:
            assert count(service, Touchpoint) == 0
