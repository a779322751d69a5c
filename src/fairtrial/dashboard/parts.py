"""What every page is built from: a title, a frame that shows errors as sentences, cards, badges, empty states."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import streamlit as st

from fairtrial.dashboard.source import Desk, desk
from fairtrial.errors import FairtrialError

TONES = {
    "good": "green", "better": "green", "caution": "orange", "wait": "blue", "neutral": "gray", "inconclusive": "gray", "bad": "red",
    "worse": "red", "invalid": "violet", "unavailable": "gray",
}  # fmt: skip
BOXES: dict[str, Callable[[str], Any]] = {
    "error": st.error, "critical": st.error, "warning": st.warning, "info": st.info, "success": st.success, "good": st.success,
    "better": st.success, "worse": st.error, "bad": st.error, "inconclusive": st.info, "unavailable": st.warning, "caution": st.warning,
    "wait": st.info, "neutral": st.info, "invalid": st.error,
}  # fmt: skip


@contextmanager
def framed(doing: str = "Reading") -> Generator[None]:
    """Says that work goes on, and what went wrong, with what to do about it."""
    try:
        with st.spinner(f"{doing} …"):
            yield
    except FairtrialError as error:
        st.error(f"**{plain(error.message)}**" + (f"  \n{plain(error.hint)}" if error.hint else ""))


def plain(text: str) -> str:
    """Text of people and data for Markdown: nothing in it is markup, a link, an image or a formula."""
    return "".join(f"\\{ch}" if ch in "\\`*_{}[]<>()#+-.!|$~:&" else ch for ch in text)


def box(tone: str, text: str) -> None:
    """A sentence on a ground that says how it is to be taken."""
    BOXES[tone](plain(text))


def badge(text: str, tone: str) -> None:
    """A word or two in colour."""
    st.badge(text.replace("[", "(").replace("]", ")"), color=TONES.get(tone, tone))  # pyright: ignore[reportArgumentType]


def cards(items: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
    """Figures side by side, each with its name above and what explains it below."""
    for column, item in zip(st.columns(len(items)), items, strict=True):
        with column, st.container(border=True, height="stretch"):
            st.caption(plain(item[0]))
            st.markdown(f"#### {plain(item[1])}")
            if len(item) == 3 and item[2]:
                st.caption(plain(item[2]))


def table(rows: Mapping[str, Sequence[object]] | Sequence[Mapping[str, object]]) -> None:
    """Rows or columns of text as a table."""
    cast("Any", st).dataframe(rows, hide_index=True, width="stretch")


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values, one below the other."""
    cast("Any", st).table({"": [f"**{plain(name)}**" for name, _ in rows], " ": [plain(value) for _, value in rows]}, border="horizontal")


def empty(text: str, todo: str) -> None:
    """Nothing is there yet: says so, and what brings something."""
    with st.container(border=True):
        st.markdown(f"**{plain(text)}**")
        st.caption(plain(todo))


def choose_experiment(label: str = "Experiment", *, kinds: Sequence[str] = (), key: str = "experiment") -> dict[str, Any] | None:
    """One of the experiments of the service, the one of the address first (`?experiment_id=`); None where there is none."""
    found: list[dict[str, Any]] = desk().get("/experiments", limit=1000)["items"]
    if not found:
        empty("There is no experiment yet.", "Make one on the page Create and plan, or with POST /api/v1/experiments.")
        return None
    by_id = {one["id"]: one for one in found}
    asked = st.query_params.get("experiment_id", "")
    known = {str(one["id"]): one["id"] for one in found} | {one["key"]: one["id"] for one in found}
    if asked and asked not in known:
        st.warning(f"There is no experiment {plain(asked[:60])}; the newest is shown.")
    order = list(by_id)
    place = order.index(known[asked]) if asked in known else 0
    chosen = st.selectbox(label, order, index=place, format_func=lambda one: f"{by_id[one]['name']} · {by_id[one]['status']}", key=key)
    if str(chosen) != asked:
        st.query_params["experiment_id"] = str(chosen)
    del kinds
    return by_id[chosen]


def act(text: str, role: str, *, key: str, help_: str = "", primary: bool = False) -> bool:
    """A button for what needs a role: shown to everybody, dead for those who may not, with the reason."""
    allowed = desk().may(role)
    why = help_ if allowed else f"This needs the role {role}; yours is {desk().role}."
    return st.button(text, key=key, disabled=not allowed, help=why or None, type="primary" if primary else "secondary")


def done(text: str) -> None:
    """Tell on the next drawing that something was done, and draw again."""
    st.session_state["told"] = text
    st.rerun()


def told() -> None:
    """What was done on the drawing before."""
    text = st.session_state.pop("told", None)
    if text:
        st.toast(plain(text))
        st.success(plain(text))


def title(text: str, below: str = "") -> Desk:
    """The head of a page."""
    st.title(text, anchor=False)
    if below:
        st.caption(below)
    told()
    return desk()
