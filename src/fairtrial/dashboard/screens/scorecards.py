"""Scorecards of a folder, without a service."""

from __future__ import annotations

import streamlit as st

from fairtrial.dashboard.parts import empty, framed, plain
from fairtrial.dashboard.scorecard import draw_checks, draw_segments, draw_verdict
from fairtrial.dashboard.source import folder
from fairtrial.reports.views import view

st.title("Scorecards", anchor=False)
place = folder()
with framed("Reading the folder"):
    found = dict(place.scorecards()) if place is not None else {}
    if not found:
        empty("The folder holds no scorecard.", "fairtrial analyze SPEC --scorecard FILE writes one.")
    else:
        name = st.selectbox("Scorecard", list(found), format_func=lambda file: f"{view(found[file]).title} · {file}")
        card = found[name]
        st.caption(plain(view(card).summary))
        tabs = st.tabs(["Verdict", "Checks", "Segments"])
        with tabs[0]:
            draw_verdict(card)
        with tabs[1]:
            draw_checks(card)
        with tabs[2]:
            if not draw_segments(view(card)):
                empty("This spec asks for no segments.", "Declare `segments` in the spec: columns known before the experiment.")
