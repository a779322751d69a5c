"""Where the pages read: a service, as the person who is signed in, or a folder of scorecards.

Answers are kept for a few seconds and for one visitor only, so that a page which is drawn again after each touch of a
control does not ask again. Whatever is written throws them away.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import streamlit as st

from fairtrial.client import Client
from fairtrial.errors import DataError, FairtrialError
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.stored import read_scorecard

RANKS: Mapping[str, int] = {"VIEWER": 1, "ANALYST": 2, "DEVELOPER": 3, "ADMIN": 4}
KEPT_SECONDS = 10.0
Method = Literal["POST", "PUT", "PATCH", "DELETE"]


class Desk:
    """The service as one visitor sees it.

    Attributes:
        name: Who it is.
        role: What they may do.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self.address, self._token = address, token
        self._client = Client(address, token, timeout_seconds=120.0)
        weakref.finalize(self, self._client.close)  # a visitor leaves without a word
        self._kept: dict[str, tuple[float, Any]] = {}
        me = self._client.request("GET", "/me")
        self.name, self.role, self.auth_mode = str(me["name"]), str(me["role"]), str(me["auth_mode"])

    def may(self, role: str) -> bool:
        """Whether this visitor may do what needs `role`."""
        return RANKS[self.role] >= RANKS[role]

    def get(self, path: str, **query: Any) -> Any:
        """An answer of the service, of a few seconds ago at most.

        Raises:
            FairtrialError: It refused, or cannot be reached.
        """
        key = json.dumps([path, query], sort_keys=True, default=str)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        answer = self._client.request("GET", path, **query)
        self._kept[key] = time.monotonic(), answer
        return answer

    def send(self, method: Method, path: str, body: object = None, **query: Any) -> Any:
        """Change something; whatever was read before is read again.

        Raises:
            FairtrialError: It refused, or cannot be reached.
        """
        self._kept.clear()
        return self._client.request(method, path, body, **query)

    def ask(self, path: str, body: object) -> Any:
        """A question that is put as a POST and changes nothing; kept like an answer of `get`."""
        key = json.dumps([path, body], sort_keys=True, default=str)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        answer = self._client.request("POST", path, body)
        self._kept[key] = time.monotonic(), answer
        return answer

    def text(self, path: str) -> bytes:
        """A file that the service makes: CSV, HTML.

        Raises:
            DataError: It refused, or cannot be reached.
        """
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            answer = httpx.get(f"{self.address}/api/v1{path}", headers=headers, timeout=120.0)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise DataError(f"The file could not be read: {error}.") from error
        return answer.content

    def forget(self) -> None:
        """Read everything again."""
        self._kept.clear()


class Folder:
    """A folder of scorecards, as `fairtrial analyze` leaves them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def scorecards(self) -> list[tuple[str, Scorecard]]:
        """Every scorecard below the folder by its file; files that are something else are passed over."""
        found: list[tuple[str, Scorecard]] = []
        for file in sorted(self.path.rglob("*.json")):
            try:
                raw = json.loads(file.read_bytes())
                if isinstance(raw, dict) and "comparisons" in raw:
                    found.append((str(file.relative_to(self.path)), read_scorecard(cast("dict[str, Any]", raw))))
            except (OSError, ValueError, FairtrialError):
                continue
        return found


def desk() -> Desk:
    """The service of this visitor; pages are drawn once somebody is signed in."""
    return cast("Desk", st.session_state["desk"])


def folder() -> Folder | None:
    """The folder that is shown in the place of a service; None where a service is."""
    named = str(st.secrets["fairtrial"]["folder"])
    return Folder(Path(named)) if named else None
