"""What runs, what needs somebody, what was said lately."""

from __future__ import annotations

import streamlit as st

from fairtrial.dashboard.parts import badge, box, cards, empty, framed, plain, title
from fairtrial.reports.pages.home import StandingView, home_view


def standing(one: StandingView) -> None:
    """An experiment as a card."""
    with st.container(border=True):
        left, middle, right = st.columns([5, 4, 3], vertical_alignment="center")
        with left:
            st.markdown(f"**{plain(one.name)}**")
            st.caption(plain(f"{one.kind} · {one.status} · {one.days}"))
            if one.need:
                badge(one.need_word, one.need_tone)
                st.caption(plain(one.need))
        with middle:
            badge(one.verdict, one.tone)
            st.caption(plain(f"Uplift {one.uplift}"))
        with right:
            if one.progress is not None:
                st.progress(one.progress, text=plain(f"{one.units} units"))
            else:
                st.caption(plain(f"{one.units} units"))
            st.page_link("screens/experiment.py", label="Open", query_params={"experiment_id": str(one.id)})


desk = title("Home", "Results here are those of the latest report; the page of an experiment reads them anew.")
with framed("Reading what runs"):
    view = home_view(desk.get("/overview"), desk.get("/alerts", limit=8)["items"])
    cards(view.cards)
    st.subheader("Needs somebody", anchor=False)
    if view.needs:
        for one in view.needs:
            standing(one)
    else:
        empty("Nothing needs you now.", "Experiments that are over, or whose data or verdict ask for it, appear here.")
    st.subheader("Running", anchor=False)
    others = [one for one in view.running if not one.need]
    for one in others:
        standing(one)
    if not view.running:
        empty("No experiment is running.", "Plan one on the page Create and plan, and start it.")
    elif not others:
        st.caption("All that run stand above.")
    st.subheader("Alerts", anchor=False)
    for alert in view.alerts:
        box(alert.severity, f"{alert.at} · {alert.message}")
    if not view.alerts:
        empty("No alerts.", "The nightly report raises them; see the job on the page Admin.")
