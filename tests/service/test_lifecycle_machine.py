"""Any sequence of requests to one holdout: a model in a few dicts foretells every answer (HO-04..HO-08, HO-34, G-9)."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from running_service import MARCH, SetClock, service_on
from test_experiments import HOLDOUT

MAY_BECOME = {
    "draft": {"running", "archived"},
    "running": {"stopped", "completed"},
    "stopped": {"decided", "archived"},
    "completed": {"decided", "archived"},
    "decided": {"archived"},
    "archived": set(),
}
TAKES_DATA = {"draft", "running"}
END = dt.datetime(2026, 3, 31, 23, 59, 59, tzinfo=dt.UTC)
WINDOW = dt.timedelta(days=14)
UNITS = [f"user_{i:03d}" for i in range(1, 9)] + ["ünïcode 用户", "a:b", "'; --", "00"]
units = st.lists(st.sampled_from(UNITS), max_size=6)
moments = st.integers(0, 60 * 24).map(lambda hours: MARCH + dt.timedelta(hours=hours))


class Lifecycle(RuleBasedStateMachine):
    """One holdout of the service and what it must be by now."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.running = service_on(f"sqlite:///{self.folder.name}/service.db", clock=SetClock())
        self.service = self.running.__enter__()
        self.status, self.rate, self.hash, self.version = "draft", 0.8, "", 1
        self.groups: dict[str, str] = {}
        self.exposures: set[tuple[str, str]] = set()
        self.outcomes: dict[tuple[str, str], dt.datetime] = {}

    def teardown(self) -> None:
        self.running.__exit__(None, None, None)
        self.folder.cleanup()

    @initialize()
    def create(self) -> None:
        assert self.service.post("/api/v1/experiments", HOLDOUT).status_code == 201

    @rule(status=st.sampled_from([*MAY_BECOME, "paused"]))
    def change_status(self, status: str) -> None:
        answer = self.service.post("/api/v1/experiments/1/status", {"status": status}, role="ADMIN")
        if status not in MAY_BECOME:
            assert answer.status_code == 422
        elif status == self.status or status in MAY_BECOME[self.status]:
            assert answer.json() == {"id": 1, "status": status}
            self.status = status
        else:
            assert answer.status_code == 409

    @rule(profiles=units, rate=st.sampled_from([None, 0.8, 0.5]))
    def assign(self, profiles: list[str], rate: float | None) -> None:
        body = {"profile_ids": profiles} | ({} if rate is None else {"treatment_rate": rate})
        answer = self.service.post("/api/v1/experiments/1/assign", body)
        free = self.status == "draft" and self.hash == "" and not self.groups
        if self.status not in TAKES_DATA or (rate not in {None, self.rate} and not free):
            assert answer.status_code == 409
            return
        self.rate = rate or self.rate
        self.hash = "laid out"
        new = {unit: self.by_hash(unit) for unit in profiles if unit not in self.groups}
        self.groups |= new
        counted = [self.groups[unit] for unit in set(profiles)]
        assert answer.json() | {"groups": None, "excluded": None} == {
            "strata": None,
            "assigned": len(counted),
            "treatment": counted.count("treatment"),
            "control": counted.count("control"),
            "new": len(new),
            "existing": len(counted) - len(new),
            "moved": 0,
            "groups": None,
            "excluded": None,
        }

    def by_hash(self, unit: str) -> str:
        """G-9, written anew."""
        u = int.from_bytes(hashlib.sha256(f"{unit}:1:".encode()).digest()[:8], "big") / 2**64
        return "treatment" if u < self.rate else "control"

    @rule(profiles=units, message=st.sampled_from(["m1", "m2"]), at=moments)
    def expose(self, profiles: list[str], message: str, at: dt.datetime) -> None:
        rows = [{"profile_id": unit, "message_id": message, "exposure_ts": at.isoformat()} for unit in profiles]
        answer = self.service.post("/api/v1/experiments/1/exposures", {"exposures": rows})
        if self.status not in TAKES_DATA:
            assert answer.status_code == 409
            return
        new = {(unit, message) for unit in profiles} - self.exposures
        self.exposures |= new
        if profiles:
            self.hash = "laid out"
        assert (answer.json()["recorded"], answer.json()["duplicates"]) == (len(new), len(profiles) - len(new))
        for unit, _ in new:
            self.groups.setdefault(unit, self.by_hash(unit))

    @rule(profiles=units, order=st.sampled_from(["o1", "o2"]), at=moments)
    def convert(self, profiles: list[str], order: str, at: dt.datetime) -> None:
        rows = [{"profile_id": unit, "outcome_id": order, "conversion_ts": at.isoformat(), "value": 1.0} for unit in profiles]
        answer = self.service.post("/api/v1/experiments/1/outcomes", {"outcomes": rows})
        late = self.status == "completed" and (not profiles or at <= END + WINDOW)
        if self.status not in TAKES_DATA and not late:
            assert answer.status_code == 409
            return
        new = {(unit, order) for unit in profiles} - self.outcomes.keys()
        self.outcomes |= dict.fromkeys(new, at)
        assert (answer.json()["inserted"], answer.json()["duplicates"]) == (len(new), len(profiles) - len(new))

    @invariant()
    def stored_is_what_was_sent(self) -> None:
        if not self.service.get("/api/v1/experiments").json()["total"]:
            return
        stored = self.service.get("/api/v1/experiments/1/assignments?limit=100").json()["items"]
        assert {row["profile_id"]: row["group"] for row in stored} == self.groups
        assert len(self.service.get("/api/v1/experiments/1/exposures?limit=100").json()["items"]) == len(self.exposures)
        assert len(self.service.get("/api/v1/experiments/1/outcomes?limit=100").json()["items"]) == len(self.outcomes)
        assert self.service.get("/api/v1/experiments/1").json()["status"] == self.status


def test_any_sequence_of_requests_is_answered_as_the_model_foretells():
    run_state_machine_as_test(
        Lifecycle, settings=settings(max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    )
