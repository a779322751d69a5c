"""Fields of forms that say beside themselves what is wrong with what was put in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import streamlit as st

from fairtrial.dashboard.parts import plain
from fairtrial.errors import FairtrialError


class Form:
    """The complaints of one form, each shown below the field that it is about.

    Args:
        name: Of the form; its complaints are kept under it until it is sent again.
    """

    def __init__(self, name: str) -> None:
        self._key = f"complaints of {name}"
        self.values: dict[str, Any] = {}

    @property
    def complaints(self) -> dict[str, str]:
        """By field; what is about no field stands under an empty name."""
        found: dict[str, str] = st.session_state.setdefault(self._key, {})
        return found

    def field(self, name: str, draw: Callable[[], Any]) -> Any:
        """Draw a field, and below it what is wrong with it; its value."""
        self.values[name] = draw()
        text = self.complaints.get(name)
        if text:
            st.markdown(f":red[{plain(text)}]")
        return self.values[name]

    def about_all(self) -> None:
        """What is wrong with the form as a whole."""
        text = self.complaints.get("")
        if text:
            st.error(plain(text))

    def send(self, check: Callable[[dict[str, Any]], dict[str, str]], act: Callable[[dict[str, Any]], None]) -> None:
        """Check the fields, then act; complaints are shown on the next drawing.

        Args:
            check: Complaints by field; empty when all is well.
            act: What the form is for; what the service refuses becomes a complaint too.
        """
        found = check(self.values)
        if not found:
            st.session_state[self._key] = {}
            try:
                act(self.values)
            except FairtrialError as error:
                found = {self._named(error.message): f"{error.message} {error.hint or ''}".strip()}
            else:
                return
        st.session_state[self._key] = found
        st.rerun()

    def _named(self, message: str) -> str:
        """The field that a refusal of the service is about."""
        return next((name for name in self.values if name and message.startswith((f"{name}:", f"{name} ", f"body.{name}"))), "")


def utc(day: dt.date | None) -> str | None:
    """The first moment of a day, in UTC, as the service takes it."""
    return None if day is None else dt.datetime.combine(day, dt.time(), dt.UTC).isoformat()
