"""Models in traffic: who answers how much, do they agree, are the guardrails kept, and the word of a person."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fairtrial.dashboard import charts
from fairtrial.dashboard.parts import act, badge, box, cards, done, empty, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.reports.pages import figures
from fairtrial.reports.pages.models import (
    STATES,
    guardrail_rows,
    history_rows,
    report_cards,
    report_sentence,
    shadow_cards,
    timeline_charts,
    timeline_note,
    traffic_rows,
    watch_sentence,
)

CHANGES = {
    "running": ("approve", "pause", "stop"),
    "paused": ("resume", "stop"),
    "stopped": ("restart",),
    "completed": ("stop", "restart"),
}


def control(one: dict[str, Any]) -> None:
    """Approve, pause, stop, resume or begin again; each with its reason."""
    name = one["experiment_name"]
    with st.container(border=True):
        st.markdown("**Ramp**")
        reason = st.text_input("Reason", key=f"reason {name}", max_chars=500, help="It is kept with the change.")
        for column, change in zip(st.columns(3), CHANGES[one["status"]], strict=False):
            with column:
                pressed = act(change.capitalize(), "DEVELOPER", key=f"{change} {name}", primary=change == "approve")
            if pressed and not reason.strip():
                st.error("A reason is needed: it is kept with the change.")
            elif pressed:
                told = desk().send("POST", f"/models/{name}/{change}", {"reason": reason.strip()})
                done(f"{name} is {told['status']}.")


title("Models", "Champion and challengers in traffic. Changes here reach every gateway within seconds.")
with framed("Reading the experiments of models"):
    found = desk().get("/models")["items"]
    if not found:
        empty("There is no experiment of models.", "`fairtrial gateway SPEC` begins one, or POST /api/v1/models.")
    else:
        by_name = {one["experiment_name"]: one for one in found}
        asked = st.query_params.get("model", "")
        order = list(by_name)
        one = by_name[st.selectbox("Experiment", order, index=order.index(asked) if asked in by_name else 0)]
        badge(one["status"], STATES[one["status"]])
        st.caption(plain(f"Stage {one['stage']} since {figures.minute(one['entered_at'])}. {one['reason']}"))
        st.altair_chart(charts.shares(traffic_rows(one), title="Share of the traffic, %"), width="stretch")
        control(one)
        name = one["experiment_name"]
        tabs = st.tabs(["Guardrails", "Shadow", "Report", "History"])
        with tabs[0], framed("Reading the guardrails"):
            minutes = st.slider("Minutes", 1, 60, 15, help="How far back the table looks; the watch looks at the whole run.")
            seen = desk().get(f"/models/{name}/guardrails", minutes=minutes)
            box("error" if seen["has_violations"] else "info", watch_sentence(seen))
            table(guardrail_rows(seen))
            hours = st.select_slider("Hours over time", options=[1, 6, 24, 72, 168], value=24)
            over_time = desk().get(f"/models/{name}/guardrails/timeline", hours=hours)
            st.caption(plain(timeline_note(over_time)))
            for chart in timeline_charts(over_time):
                if chart.points:
                    st.altair_chart(charts.limited(chart.points, chart.limits, title=chart.metric, top=chart.top), width="stretch")
                else:
                    st.caption(plain(f"{chart.metric}: no values in this time."))
        with tabs[1], framed("Reading the shadow"):
            shadow = desk().get(f"/models/{name}/shadow")
            if shadow["requests"]:
                cards(shadow_cards(shadow))
                st.caption("A mirrored request is answered by both; only the champion is heard.")
            else:
                empty("Nothing was mirrored yet.", "`serving.shadow.share` in the spec says how much is.")
        with tabs[2], framed("Reading the report"):
            report = desk().get(f"/models/{name}/report")
            cards(report_cards(report))
            box("info", report_sentence(report))
        with tabs[3]:
            table(history_rows(one))
