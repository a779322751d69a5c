"""Bandits in production: the split by period and why, arms corrected for adaptation, other policies by the log, the word of a person."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fairtrial.dashboard import charts
from fairtrial.dashboard.parts import act, badge, box, cards, done, empty, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.reports.pages.bandits import (
    STATUS,
    acted,
    allocation_rows,
    arm_rows,
    arm_table,
    bandit_cards,
    best_sentence,
    contrast_table,
    is_rate,
    value_table,
)

CHANGES = {"running": ("pause", "stop"), "paused": ("resume", "stop"), "stopped": ()}


def control(one: dict[str, Any]) -> None:
    """Update, pause, resume, stop; each with its reason."""
    key = one["key"]
    if one["status"] == "stopped":
        st.caption(plain(f"Everybody gets {one['final_arm']}. {one['reason']}"))
        return
    with st.container(border=True):
        reason = st.text_input("Reason", max_chars=1000, key=f"reason {key}", help="It is kept with the change.")
        final = st.selectbox("Arm for everybody, if it is stopped", list(one["allocation"]))
        for column, change in zip(st.columns(3), ("update", *CHANGES[one["status"]]), strict=False):
            with column:
                pressed = act("Update if due" if change == "update" else change.capitalize(), "DEVELOPER", key=f"{change} {key}")
            if pressed and change == "update":
                done(desk().send("POST", f"/bandits/{key}/update")["detail"])
            elif pressed and not reason.strip():
                st.error("A reason is needed: it is kept with the change.")
            elif pressed:
                body = {"reason": reason.strip()} | ({"arm": final} if change == "stop" else {})
                told = desk().send("POST", f"/bandits/{key}/{change}", body)
                done(f"{key} is {told['status']}.")


def other_policy(one: dict[str, Any], results: dict[str, Any]) -> None:
    """What another split would have earned, by the log."""
    arms = list(one["allocation"])
    given = {arm: st.slider(f"Share of {arm}, %", 0, 100, round(100 / len(arms)), key=f"other {arm}") for arm in arms}
    total = sum(given.values())
    if not total:
        st.error("One arm at least must have a share.")
        return
    st.caption(
        plain("Shares are scaled to add up to 100%: " + ", ".join(f"{arm} {100 * share / total:.0f}%" for arm, share in given.items()))
    )
    if act("What would it have earned?", "ANALYST", key="off policy"):
        with framed("Reading the log"):
            shares = {arm: share / total for arm, share in given.items()}
            found = desk().ask(f"/bandits/{one['key']}/off-policy", {"shares": shares})
            table(value_table(found, rate=is_rate(results)))
            st.caption(
                plain(", ".join(f"{name}: {value}" for name, value in found["diagnostics"].items() if not isinstance(value, dict | list)))
            )


title("Bandits", "Traffic follows what is learnt, within limits; every decision is kept with its probability.")
with framed("Reading the bandits"):
    found = desk().get("/bandits")["items"]
    if not found:
        empty("There is no bandit.", "POST /api/v1/bandits begins one.")
    else:
        keys = [one["key"] for one in found]
        asked = st.query_params.get("bandit", "")
        key = st.selectbox("Bandit", keys, index=keys.index(asked) if asked in keys else 0)
        one = desk().get(f"/bandits/{key}")
        badge(one["status"], STATUS[one["status"]])
        results = desk().get(f"/bandits/{key}/results")
        cards(bandit_cards(one, results))
        box("info", best_sentence(results))
        for text in acted(one):
            st.caption(plain(text))
        control(one)
        tabs = st.tabs(["Split", "Arms", "Another policy"])
        with tabs[0]:
            rows = allocation_rows(one["history"])
            chart = charts.curve(rows, x="period", y="share", x_title="period", y_title="Share of the traffic, %", group="arm")
            st.altair_chart(chart, width="stretch")
        with tabs[1]:
            points = arm_rows(results)
            if points:
                unit = "Mean reward, %" if is_rate(results) else "Mean reward"
                st.altair_chart(charts.forest(points, title=unit), width="stretch")
            table(arm_table(results))
            table(contrast_table(results))
            st.caption("Means and differences are corrected for the split having followed the rewards; the plain mean is not.")
        with tabs[2], framed("Reading the log"):
            other_policy(one, results)
