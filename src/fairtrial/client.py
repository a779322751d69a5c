"""A client of the service: every operation as a method, errors as the errors of this library.

What can be sent twice without harm (reads, and the batches that the service
de-duplicates) is sent again when the service asks to wait or the line breaks; what
cannot is sent once.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypedDict, cast
from urllib.parse import quote

import httpx

from fairtrial.errors import AccessError, ConflictError, ConnectorError, FairtrialError, UnknownNameError, UsageError

Json = dict[str, Any]
Reference = int | str
"""An experiment by id or key (G-8)."""
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

TRIES = 4
LONGEST_WAIT_SECONDS = 30.0
MOST_IN_A_BATCH = 5_000
ERROR_OF: Mapping[int, type[FairtrialError]] = {401: AccessError, 403: AccessError, 404: UnknownNameError, 409: ConflictError}
AGAIN = {429, 502, 503, 504}


class Plan(TypedDict):
    """What a plan calls for."""

    total_sample_size: int
    treatment_size: int
    control_size: int
    alpha: float
    power: float
    mde: float
    treatment_rate: float


class Experiment(TypedDict):
    """An experiment as it is made or listed."""

    id: int
    key: str
    name: str
    channel: str | None
    status: str
    start_at: str | None
    end_at: str | None
    conversion_key: str | None
    plan: Plan | None


class ExperimentPage(TypedDict):
    """Experiments, newest first."""

    items: list[Experiment]
    total: int


class StatusAnswer(TypedDict):
    """What an experiment is now."""

    id: int
    status: str


class Assigned(TypedDict):
    """What became of a batch of profiles."""

    assigned: int
    treatment: int
    control: int
    new: int
    existing: int


class Recorded(TypedDict):
    """What became of a batch of exposures."""

    recorded: int
    duplicates: int
    lazy_assigned: int
    control_exposures: int


class Inserted(TypedDict):
    """What became of a batch of outcomes."""

    inserted: int
    duplicates: int
    unassigned: int


class Client:
    """The service at an address.

    Use it as a context manager, or close it.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """A client; nothing is sent yet.

        Args:
            address: Where the service is.
            token: An API key or a token of your identity provider; None where authentication is off.
            timeout_seconds: For one request.
            transport: What carries requests; tests bring their own.
            sleep: How to wait before trying again.
        """
        headers = {"User-Agent": "fairtrial-client"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_seconds, transport=transport)
        self._sleep = sleep

    def __enter__(self) -> Client:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Give back its connections."""
        self._http.close()

    # Experiments

    def create_experiment(self, name: str, **fields: Any) -> Experiment:
        """Create a holdout experiment as a draft; `fields` as POST /experiments takes them."""
        return self._call("POST", "/experiments", {"name": name, **fields})

    def create_from_spec(self, spec: Mapping[str, Any], **fields: Any) -> Experiment:
        """Create an experiment as a draft from its whole spec; `fields` as POST /experiments takes them beside it."""
        return self._call("POST", "/experiments", {"spec": dict(spec), **fields})

    def versions(self, experiment: Reference) -> list[Json]:
        """Every version of an experiment's spec, newest first."""
        return self._call("GET", f"/experiments/{_part(experiment)}/versions")["items"]

    def add_version(self, experiment: Reference, spec: Mapping[str, Any], reason: str) -> Json:
        """Change the spec: a draft's in place, a running one's as a new version; the same spec again changes nothing."""
        path = f"/experiments/{_part(experiment)}/versions"
        return self._call("POST", path, {"spec": dict(spec), "reason": reason}, again=True)

    def experiments(self, **filters: Any) -> ExperimentPage:
        """Experiments, newest first; `filters` as GET /experiments takes them."""
        return self._call("GET", "/experiments", query=filters)

    def experiment(self, experiment: Reference) -> Json:
        """One experiment with its set-up."""
        return self._call("GET", f"/experiments/{_part(experiment)}")

    def change_status(self, experiment: Reference, status: str) -> StatusAnswer:
        """Take the next step of the lifecycle."""
        return self._call("POST", f"/experiments/{_part(experiment)}/status", {"status": status})

    def start(self, experiment: Reference) -> StatusAnswer:
        """Open the traffic of a draft."""
        return self.change_status(experiment, "running")

    def assign(self, experiment: Reference, profiles: Iterable[str], **options: Any) -> Assigned:
        """Assign profiles, in batches; the stored group always wins.

        Returns:
            The sums over the batches.
        """
        path = f"/experiments/{_part(experiment)}/assign"
        return cast("Assigned", self._in_batches(path, "profile_ids", profiles, options))

    def assignment(self, experiment: Reference, profile: str) -> Json:
        """The group of one profile, assigned at this moment if it has none."""
        return self._call("GET", f"/experiments/{_part(experiment)}/assignments/{_part(profile)}")

    def record_exposures(self, experiment: Reference, exposures: Iterable[Mapping[str, Any]]) -> Recorded:
        """Record who saw it, in batches; sending them again changes nothing."""
        return cast("Recorded", self._in_batches(f"/experiments/{_part(experiment)}/exposures", "exposures", exposures))

    def record_outcomes(self, experiment: Reference, outcomes: Iterable[Mapping[str, Any]]) -> Inserted:
        """Record conversions, in batches; sending them again changes nothing."""
        return cast("Inserted", self._in_batches(f"/experiments/{_part(experiment)}/outcomes", "outcomes", outcomes))

    def results(self, experiment: Reference) -> Json:
        """Lift, interval, p-value and checks, now."""
        return self._call("GET", f"/experiments/{_part(experiment)}/results")

    def time_series(self, experiment: Reference, freq: str = "D") -> list[Json]:
        """Cumulative rates by the end of each period."""
        return self._call("GET", f"/experiments/{_part(experiment)}/time-series", query={"freq": freq})["data"]

    def scorecard(self, experiment: Reference) -> Json:
        """The whole scorecard."""
        return self._call("GET", f"/experiments/{_part(experiment)}/scorecard")

    def meta_analysis(self, experiments: Iterable[Reference], **options: Any) -> Json:
        """Several holdouts pooled: fixed and random effects, heterogeneity, prediction interval."""
        return self._call("POST", "/experiments/meta-analysis", {"experiment_ids": list(experiments), **options}, again=True)

    def power_analysis(self, baseline_rate: float, mde: float, **options: Any) -> Json:
        """The sample size of a plan."""
        return self._call("POST", "/experiments/power-analysis", {"baseline_rate": baseline_rate, "mde": mde, **options}, again=True)

    def nightly_report(self, as_of: dt.datetime | None = None) -> Json:
        """Run the nightly report now."""
        return self._call("POST", "/experiments/nightly-report", {} if as_of is None else {"as_of_date": as_of.isoformat()})

    def interaction_scan(self) -> Json:
        """Every pair of the running experiments: overlap, interaction and risk; for a DEVELOPER."""
        return self._call("GET", "/interactions/scan")

    def interaction(self, first: Reference, second: Reference) -> Json:
        """Two experiments in any status: do they disturb each other?"""
        return self._call("GET", f"/interactions/{_part(first)}/{_part(second)}")

    def novelty(self, first: Reference, second: Reference) -> Json:
        """Does the effect of either of two experiments fade: effects by day."""
        return self._call("GET", f"/interactions/{_part(first)}/{_part(second)}/novelty")

    # For an ADMIN: keys, audit log, privacy

    def create_key(self, name: str, role: str = "VIEWER", **fields: Any) -> Json:
        """Make an API key; its token is in the answer and nowhere else."""
        return self._call("POST", "/keys", {"name": name, "role": role, **fields})

    def keys(self) -> list[Json]:
        """API keys, without their secrets."""
        return self._call("GET", "/keys", query={"limit": 1000})["items"]

    def revoke_key(self, public_id: str) -> Json:
        """End a key for ever."""
        return self._call("DELETE", f"/keys/{_part(public_id)}")

    def audit(self, **filters: Any) -> Iterator[Json]:
        """Changes, newest first, page after page."""
        query = dict(filters)
        while True:
            page = self._call("GET", "/audit", query=query)
            yield from page["items"]
            if page["next_before_id"] is None:
                return
            query["before_id"] = page["next_before_id"]

    def export_unit(self, unit: str) -> Json:
        """All that is stored of a unit."""
        return self._call("POST", "/privacy/export", {"unit": unit}, again=True)

    def erase_unit(self, unit: str) -> Json:
        """Erase a unit everywhere."""
        return self._call("POST", "/privacy/erase", {"unit": unit}, again=True)

    # Any operation

    def request(self, method: Method, path: str, body: object = None, **query: Any) -> Any:
        """Any operation of the API, for what has no method here.

        Args:
            method: The method.
            path: Below /api/v1, such as `/experiments/1/health`.
            body: Sent as JSON; None sends none.
            query: Parameters of the address.

        Returns:
            The answer's JSON, or its text where it is none.

        Raises:
            AccessError: No valid token, or a role too low.
            UnknownNameError: What the path names does not exist.
            ConflictError: It is in the wrong state.
            UsageError: The request breaks a rule.
            ConnectorError: The service cannot be reached, or failed.
        """
        return self._call(method, path, body, query=query)

    def _call(self, method: Method, path: str, body: object = None, *, query: Mapping[str, Any] | None = None, again: bool = False) -> Any:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        tries = TRIES if again or method in {"GET", "PUT", "DELETE"} else 1
        for left in reversed(range(tries)):
            try:
                answer = self._http.request(method, f"/api/v1{path}", json=body, params=given)
            except httpx.TransportError as error:
                if not left:
                    raise ConnectorError(
                        f"The service at {self._http.base_url} must answer, it does not: {type(error).__name__}.",
                        hint="fairtrial serve",
                        code="unreachable",
                        retriable=True,
                    ) from error
                self._sleep(0.1 * 2 ** (tries - left))
                continue
            if answer.status_code in AGAIN and left:
                self._sleep(_wait(answer, tries - left))
                continue
            return _content(answer)
        raise AssertionError("unreachable: the last try returns or raises")

    def _in_batches(self, path: str, field: str, items: Iterable[Any], options: Mapping[str, Any] | None = None) -> Json:
        total: Json = {}
        sent = False
        for batch in _batches(items):
            answer: Json = self._call("POST", path, {field: batch, **(options or {})}, again=True)
            total = _added(total, answer)
            sent = True
        return total if sent else self._call("POST", path, {field: [], **(options or {})}, again=True)


def _batches(items: Iterable[Any]) -> Iterator[Sequence[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == MOST_IN_A_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _added(total: Json, answer: Json) -> Json:
    """Counts are added, what is no count is that of the last batch."""
    return {
        name: value + total.get(name, 0) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in answer.items()
    }


def _part(value: object) -> str:
    """One step of a path, whatever is in it."""
    return quote(str(value), safe="")


def _wait(answer: httpx.Response, tried: int) -> float:
    said = answer.headers.get("Retry-After", "")
    return min(float(said), LONGEST_WAIT_SECONDS) if said.isdigit() else 0.1 * 2**tried


def _content(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.text
    try:
        body: Json = answer.json()
    except ValueError:
        body = {}
    detail, hint, code = (
        str(body.get("detail") or f"HTTP {answer.status_code}"),
        str(body.get("hint") or ""),
        str(body.get("code") or "http"),
    )
    if answer.status_code in AGAIN or answer.status_code >= 500:
        raise ConnectorError(detail, hint=hint, code=code, retriable=answer.status_code in AGAIN)
    raise ERROR_OF.get(answer.status_code, UsageError)(detail, hint=hint, code=code)
