"""Experiments over HTTP: the documented answers, the lifecycle, the roles (HO-01..04, HO-34, G-6..8)."""

from __future__ import annotations

import pytest

HOLDOUT = {
    "name": "Email holdout Q1 2026",
    "channel": "email",
    "start_at": "2026-03-01T00:00:00Z",
    "end_at": "2026-03-31T23:59:59Z",
    "conversion_key": "purchase",
    "notes": "Test email incrementality for Q1 campaign",
    "treatment_rate": 0.8,
    "baseline_rate_estimate": 0.05,
    "mde_target": 0.01,
}


def test_the_documented_holdout_is_created_with_its_plan(stored_service):
    """HO-01, G-14: 20,799 + 5,200 = 25,999 at 80/20."""
    for prefix in ("/api", "/api/v1"):
        made = stored_service.post(f"{prefix}/experiments", HOLDOUT)
        assert made.status_code == 201
        body = made.json()
        assert len(body.pop("key")) == 36
        assert body.pop("id") == (1 if prefix == "/api" else 2)
        assert body == {
            "name": "Email holdout Q1 2026",
            "channel": "email",
            "status": "draft",
            "start_at": "2026-03-01T00:00:00Z",
            "end_at": "2026-03-31T23:59:59Z",
            "conversion_key": "purchase",
            "plan": {
                "total_sample_size": 25999,
                "treatment_size": 20799,
                "control_size": 5200,
                "alpha": 0.05,
                "power": 0.8,
                "mde": 0.01,
                "treatment_rate": 0.8,
            },
        }


def test_an_experiment_is_found_by_id_and_by_key_newest_first(service):
    """HO-03, G-8."""
    first = service.post("/api/experiments", {**HOLDOUT, "source_type": "campaign", "source_id": "q1"}).json()
    service.post("/api/experiments", {**HOLDOUT, "name": "Another", "key": "spring 🌱"})
    assert service.get(f"/api/experiments/{first['key']}").json() == service.get("/api/experiments/1").json()
    assert service.get("/api/experiments/spring 🌱").json()["id"] == 2
    listed = service.get("/api/experiments").json()
    assert [item["id"] for item in listed["items"]] == [2, 1]
    assert listed["total"] == 2
    found = service.get("/api/experiments", params={"source_type": "campaign", "source_id": "q1"}).json()
    assert [item["id"] for item in found["items"]] == [1]
    assert service.get("/api/experiments", params={"search": "ANOTH"}).json()["total"] == 1
    assert service.get("/api/experiments", params={"search": "%"}).json()["total"] == 0
    detail = service.get("/api/experiments/1").json()
    assert (detail["conversion_window_days"], detail["execution_capability"]) == (14.0, "planner_ready")
    assert detail["setup"]["treatment_rate"] == 0.8


def test_the_lifecycle_goes_one_way(service):
    """HO-04: draft, running, stopped or completed, decided, archived; II.c: completed to draft is illegal."""
    service.post("/api/experiments", HOLDOUT)

    def become(status: str, role: str = "DEVELOPER"):
        return service.post("/api/experiments/1/status", {"status": status}, role=role)

    assert become("completed").status_code == 409
    assert become("running").json() == {"id": 1, "status": "running"}
    assert become("running").status_code == 200
    assert become("completed").json()["status"] == "completed"
    refused = become("draft")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert become("decided").status_code == 200
    assert become("archived").status_code == 403
    assert become("archived", role="ADMIN").status_code == 200
    assert become("nonsense").status_code == 422


@pytest.mark.parametrize(
    ("change", "why"), [({"channel": "direct"}, "cannot be held out"), ({"conversion_key": None}, "no conversion_key")]
)
def test_a_start_is_refused_while_something_is_missing(service, change, why):
    """HO-34."""
    service.post("/api/experiments", {**HOLDOUT, **change})
    refused = service.post("/api/experiments/1/status", {"status": "running"})
    assert refused.status_code == 409
    assert why in refused.json()["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"treatment_rate": 0},
        {"treatment_rate": 1},
        {"mde_target": 0},
        {"mde_target": 0.96},
        {"alpha": 95},
        {"end_at": "2026-02-01T00:00:00Z"},
        {"key": "42"},
        {"name": ""},
        {"start_at": "yesterday"},
        {"surprise": 1},
    ],
)
def test_a_broken_rule_is_a_422_that_names_it(service, change):
    answer = service.post("/api/experiments", {**HOLDOUT, **change})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"code", "detail", "hint"}


def test_without_a_token_or_with_too_low_a_role_nothing_is_done(service):
    """G-7."""
    assert service.get("/api/experiments", role=None).status_code == 401
    assert service.client.get("/api/experiments", headers={"Authorization": "Bearer ft_x_y"}).status_code == 401
    refused = service.post("/api/experiments", HOLDOUT, role="ANALYST")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert service.get("/api/experiments").json()["total"] == 0


def test_an_unknown_experiment_is_a_404(service):
    """G-6."""
    for path in ("/api/experiments/7", "/api/v1/experiments/nobody", "/api/experiments/99999999999999999999"):
        answer = service.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_experiment")
