"""Experiments that the tests of flags serve."""

from __future__ import annotations

from fairtrial.assignment import Allocation

CHECKOUT = {
    "key": "checkout",
    "arms": [{"key": "control", "allocation": 0.5, "value": False}, {"key": "treatment", "allocation": 0.5, "value": True}],
    "metrics": [{"key": "ordered", "kind": "proportion"}],
    "plan": {"baseline": 0.05, "mde": 0.1},
}

COLOURS = {
    "key": "colours 🎨",
    "arms": [
        {"key": "control", "allocation": 0.2, "value": "grey"},
        {"key": "red", "allocation": 0.3, "value": "#f00"},
        {"key": "blue", "allocation": 0.5, "value": "#00f"},
    ],
    "metrics": [{"key": "clicked", "kind": "proportion"}],
    "plan": {"baseline": 0.1, "mde": 0.1},
}

ITALIANS = {"include": [{"attribute": "country", "operator": "in", "value": ["IT", "SM"]}]}

UNITS = [f"unit-{i}" for i in range(995)] + ["Zoë", "用户", "a b/c", "🙂", "x" * 200]
"""A thousand units, some that are hard to write."""


def arms_of(spec, *, hash_key: str | None = None) -> dict[str, str]:
    """What the library alone says of each unit."""
    shares = {arm["key"]: arm["allocation"] for arm in spec["arms"]}
    allocation = Allocation.from_shares(spec["key"], shares, hash_key=hash_key)
    return {unit: allocation.arm(unit) for unit in UNITS}


def values_of(spec) -> dict[str, object]:
    return {arm["key"]: arm["value"] for arm in spec["arms"]}


def create(service, spec, *, start: bool = True, **besides) -> int:
    made = service.post("/api/v1/experiments", {"spec": spec, **besides})
    assert made.status_code == 201, made.text
    number = made.json()["id"]
    if start:
        assert service.post(f"/api/v1/experiments/{number}/status", {"status": "running"}).status_code == 200
    return number


def evaluate(service, key: str, unit: object = "u1", *, role: str = "VIEWER", query: str = "", headers=None, **attributes):
    context = {"targetingKey": unit, **attributes}
    return service.post(f"/ofrep/v1/evaluate/flags/{key}{query}", {"context": context}, role=role, headers=headers or {})


def evaluate_all(service, unit: object = "u1", *, role: str = "VIEWER", headers=None, **attributes):
    context = {"targetingKey": unit, **attributes}
    return service.post("/ofrep/v1/evaluate/flags", {"context": context}, role=role, headers=headers or {})
