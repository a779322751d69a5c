"""A running service with simulated experiments, a key for each role, and pages driven in this process."""

from __future__ import annotations

from pathlib import Path

import httpx
from streamlit.testing.v1 import AppTest

from fairtrial.dashboard import SCRIPT

ROLES = ("VIEWER", "ANALYST", "DEVELOPER", "ADMIN")


class Demo:
    """A running service with simulated experiments."""

    def __init__(self, address: str, admin: str) -> None:
        self.address = address
        self.tokens = {"ADMIN": admin}
        for role in ROLES[:3]:
            self.tokens[role] = self.call("POST", "/keys", {"name": f"test {role}", "role": role})["token"]

    def call(self, method: str, path: str, body: object = None, *, role: str = "ADMIN", **query: object):
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        answer = httpx.request(method, f"{self.address}/api/v1{path}", json=body, params=query, headers=headers, timeout=60)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def get(self, path: str, **query: object):
        return self.call("GET", path, **query)

    def number_of(self, key: str) -> int:
        return self.get(f"/experiments/{key}")["id"]

    def page(self, name: str, *, role: str = "ADMIN", **query: str) -> AppTest:
        """A page as somebody sees it who has signed in."""
        app = opened(self.address)
        app.run()
        app.text_input[0].set_value(self.tokens[role])
        app.button[0].click().run()
        for key, value in query.items():
            app.query_params[key] = value
        return app if name == "home" else app.switch_page(f"screens/{name}.py").run()


def opened(address: str = "", folder: Path | None = None) -> AppTest:
    """The script, not yet run."""
    app = AppTest.from_file(str(SCRIPT), default_timeout=60)
    app.secrets["fairtrial"] = {"address": address, "folder": "" if folder is None else str(folder)}
    return app


def texts(app: AppTest) -> str:
    """Everything that a page says, its escapes taken away."""
    parts = [*app.title, *app.header, *app.subheader, *app.markdown, *app.caption, *app.error, *app.warning, *app.info, *app.success]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


def sound(app: AppTest) -> AppTest:
    """The page, once it is sure that nothing broke."""
    assert not app.exception, [found.value for found in app.exception]
    return app
