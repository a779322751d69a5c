"""Keys and roles, jobs, the outbox."""

from __future__ import annotations

import datetime as dt
from typing import Any

import streamlit as st

from fairtrial.dashboard.forms import Form
from fairtrial.dashboard.parts import act, done, empty, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.reports.pages import figures

ROLES = ("VIEWER", "ANALYST", "DEVELOPER", "ADMIN")


def keys() -> None:
    """API keys: who may do what; a new one is shown once."""
    made = st.session_state.pop("new key", None)
    if made:
        st.success("The key is made. It is shown this once: copy it now.")
        st.code(made, language=None)
    found = desk().get("/keys", limit=200)["items"]
    table(
        {
            "Name": [one["name"] for one in found],
            "Role": [one["role"] for one in found],
            "State": [figures.words(one["state"]) for one in found],
            "Kind": [one["kind"] for one in found],
            "Made": [figures.minute(one["created_at"]) for one in found],
            "Expires": [figures.minute(one["expires_at"]) for one in found],
            "By": [one["created_by"] for one in found],
        }
    )
    form = Form("key")
    with st.form("key"):
        form.about_all()
        left, middle, right = st.columns(3)
        with left:
            form.field("name", lambda: st.text_input("Name of the new key", max_chars=200))
        with middle:
            form.field("role", lambda: st.selectbox("Role", ROLES))
        with right:
            form.field("days", lambda: st.number_input("Days until it expires", 0, 3650, 90, help="0: never."))
        sent = st.form_submit_button("Make a key")
    if sent:
        form.send(lambda values: {} if values["name"].strip() else {"name": "A name is needed: it says whose key it is."}, make_key)
    live = {one["public_id"]: one for one in found if one["state"] == "in_force"}
    if live:
        chosen = st.selectbox("Revoke", list(live), format_func=lambda one: f"{live[one]['name']} · {live[one]['role']}")
        sure = st.checkbox("Revoke it for ever")
        if st.button("Revoke", disabled=not sure):
            desk().send("DELETE", f"/keys/{chosen}")
            done("The key is revoked.")


def make_key(values: dict[str, Any]) -> None:
    """Make a key, to be shown on the next drawing."""
    body: dict[str, Any] = {"name": values["name"].strip(), "role": values["role"]}
    if values["days"]:
        body["expires_at"] = (dt.datetime.now(dt.UTC) + dt.timedelta(days=int(values["days"]))).isoformat()
    st.session_state["new key"] = desk().send("POST", "/keys", body)["token"]
    st.rerun()


def jobs() -> None:
    """What runs by itself, and how it went."""
    found = desk().get("/jobs", limit=50)
    table(
        {
            "Job": [one["name"] for one in found["tasks"]],
            "What": [one["summary"] for one in found["tasks"]],
            "When": [one["cron"] for one in found["tasks"]],
            "Next": [figures.minute(one["next_due"]) for one in found["tasks"]],
        }
    )
    if act("Make the nightly report now", "DEVELOPER", key="nightly"):
        with framed("Reporting"):
            told = desk().send("POST", "/experiments/nightly-report", {})
            done(f"Reported on {len(told['experiments'])} experiments.")
    if not found["runs"]:
        empty("No job has run yet.", "They run by the clock in this process, or from cron: fairtrial nightly-report.")
        return
    table(
        {
            "Job": [one["task"] for one in found["runs"]],
            "Status": [one["status"] for one in found["runs"]],
            "Due": [figures.minute(one["due_at"]) for one in found["runs"]],
            "Finished": [figures.minute(one["finished_at"]) for one in found["runs"]],
            "Attempts": [one["attempts"] for one in found["runs"]],
        }
    )


def outbox() -> None:
    """Messages on their way out."""
    found = desk().get("/outbox", limit=100)
    counts = found["counts"]
    st.caption(plain(" · ".join(f"{state}: {n}" for state, n in counts.items()) or "nothing was sent yet"))
    if not found["items"]:
        empty("The outbox is empty.", "FAIRTRIAL_ALERT_TARGETS names who is told of alerts.")
        return
    table(
        {
            "State": [one["state"] for one in found["items"]],
            "To": [one["target"] for one in found["items"]],
            "Title": [one["title"] for one in found["items"]],
            "Tries": [one["attempts"] for one in found["items"]],
            "Trouble": [one["last_error"] or "" for one in found["items"]],
        }
    )
    failed = {one["id"]: one for one in found["items"] if one["state"] == "failed"}
    if failed:
        chosen = st.selectbox("Failed message", list(failed), format_func=lambda number: failed[number]["title"])
        if act("Try again", "ADMIN", key="retry"):
            desk().send("POST", f"/outbox/{chosen}/retry")
            done("It is sent again.")


title("Admin")
names = ["Keys and roles", "Jobs", "Outbox"]
tabs = st.tabs(names)
with tabs[0], framed("Reading the keys"):
    if desk().may("ADMIN"):
        keys()
    else:
        empty("Keys are for the role ADMIN.", f"Your role is {desk().role}.")
with tabs[1], framed("Reading the jobs"):
    jobs()
with tabs[2], framed("Reading the outbox"):
    if desk().may("ADMIN"):
        outbox()
    else:
        empty("The outbox is for the role ADMIN.", f"Your role is {desk().role}.")
