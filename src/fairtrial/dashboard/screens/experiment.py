"""One experiment: verdict and reasons, the way there, checks, segments, spec, audit."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from fairtrial.dashboard import charts
from fairtrial.dashboard.parts import act, badge, choose_experiment, done, empty, facts, framed, plain, table, title
from fairtrial.dashboard.scorecard import draw_checks, draw_segments, draw_verdict
from fairtrial.dashboard.source import desk
from fairtrial.errors import FairtrialError
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.pages import figures
from fairtrial.reports.pages.holdout import STATES, series_view
from fairtrial.reports.pages.novelty import novelty_rows, novelty_sentence
from fairtrial.reports.stored import read_scorecard
from fairtrial.reports.views import view

STEPS = {"draft": ("Start", "running"), "running": ("Stop", "stopped"), "decided": ("Archive", "archived")}
VERDICTS = ("STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "EXTEND_TEST", "NO_LAUNCH", "ROLLBACK")


def read_card(number: int) -> Scorecard | None:
    """The scorecard of this moment; None while there is too little."""
    try:
        return read_scorecard(desk().get(f"/experiments/{number}/scorecard"))
    except FairtrialError as error:
        if error.code not in {"not_enough_data", "invalid"}:
            raise
        empty("There is nothing to judge yet.", f"{error.message} {error.hint or ''}")
        return None


def over_time(number: int) -> None:
    """How the effect came about, and whether it fades."""
    series = desk().get(f"/experiments/{number}/time-series")["data"]
    if not series:
        empty(*STATES["empty_series"])
        return
    shown = series_view(series, desk().get(f"/experiments/{number}/trajectory")["data"])
    st.markdown("**Cumulative uplift, with an interval that holds at every look**")
    st.altair_chart(charts.band(shown.uplift, title="Uplift, percentage points"), width="stretch")
    if shown.note:
        st.caption(plain(shown.note))
    st.markdown("**Effect by day since assignment**")
    found = desk().get(f"/experiments/{number}/novelty")
    rows = novelty_rows(found)
    if rows:
        st.altair_chart(charts.band(rows, title="Effect of that day alone", x="day:Q", x_title="days since assignment"), width="stretch")
    st.caption(plain(novelty_sentence(found)))


def change(one: dict[str, Any]) -> None:
    """The next step of the lifecycle, by whoever may take it."""
    number, status = one["id"], one["status"]
    if status in STEPS:
        label, into = STEPS[status]
        if act(label, "ADMIN" if into == "archived" else "DEVELOPER", key="step", primary=status == "draft"):
            desk().send("POST", f"/experiments/{number}/status", {"status": into})
            done(f"{one['name']} is {into}.")
    if status in {"stopped", "completed"}:
        with st.form("decide"):
            decision = st.selectbox("Decision", VERDICTS, format_func=lambda code: figures.words(code).capitalize())
            note = st.text_area("Why", max_chars=10_000)
            allowed = desk().may("DEVELOPER")
            if st.form_submit_button("Write it down", disabled=not allowed, help=None if allowed else "This needs the role DEVELOPER."):
                desk().send("POST", f"/experiments/{number}/decision", {"decision": decision, "note": note})
                done("The decision is written down.")


def spec_and_versions(number: int) -> None:
    """What was declared, and every change of it."""
    for version in desk().get(f"/experiments/{number}/versions")["items"]:
        frozen = f", frozen {figures.minute(version['frozen_at'])}" if version["frozen_at"] else ""
        told = f"Version {version['version']} by {version['created_by']}, {figures.minute(version['created_at'])}{frozen}"
        with st.expander(plain(told), expanded=False):
            if version["reason"]:
                st.caption(plain(version["reason"]))
            st.code(json.dumps(version["spec"], indent=2, ensure_ascii=False), language="json")


def audit(number: int) -> None:
    """Who changed what."""
    if not desk().may("ADMIN"):
        empty("The audit log is for the role ADMIN.", f"Your role is {desk().role}.")
        return
    rows = desk().get("/audit", object_type="experiment", object_id=str(number), limit=100)["items"]
    table(
        {
            "At": [figures.minute(row["at"]) for row in rows],
            "Who": [row["actor"] for row in rows],
            "What": [row["action"] for row in rows],
            "After": [json.dumps(row["after"], ensure_ascii=False) for row in rows],
        }
    )


title("Experiment")
with framed("Reading the experiment"):
    chosen = choose_experiment()
    if chosen is not None:
        one = desk().get(f"/experiments/{chosen['id']}")
        badge(one["status"], {"running": "green", "draft": "gray"}.get(one["status"], "blue"))
        st.caption(
            plain(f"{one['key']} · started {figures.day(one['started_at'])} · ends {figures.day(one['end_at'])} · version {one['version']}")
        )
        tabs = st.tabs(["Verdict", "Over time", "Checks", "Segments", "Spec", "Audit"])
        card = None
        with tabs[0], framed():
            card = read_card(one["id"])
            if card is not None:
                draw_verdict(card)
            change(one)
        with tabs[1], framed():
            over_time(one["id"])
        with tabs[2], framed():
            if card is not None:
                draw_checks(card)
        with tabs[3], framed():
            if card is None or not draw_segments(view(card)):
                empty("This spec asks for no segments.", "Declare `segments` in the spec: columns known before the experiment.")
        with tabs[4], framed():
            facts(
                [("Key", one["key"]), ("Hash of the spec", one["spec_hash"]), ("Environment", one["environment"]), ("Notes", one["notes"])]
            )
            spec_and_versions(one["id"])
        with tabs[5], framed():
            audit(one["id"])
