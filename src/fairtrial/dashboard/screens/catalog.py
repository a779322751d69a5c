"""The catalog of experiments as code, and the log of what was decided."""

from __future__ import annotations

import json

import streamlit as st

from fairtrial.dashboard.parts import box, cards, empty, facts, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.reports.pages import figures
from fairtrial.reports.pages.catalog import feasibility_view


def catalog() -> None:
    """Configurations, and whether each is feasible."""
    found = desk().get("/configs")
    if not found["experiments"]:
        empty("The catalog holds no experiment.", "FAIRTRIAL_CATALOG names the file or folder that the service reads.")
        return
    st.caption(plain(f"Package version {found['package_version']}"))
    name = st.selectbox("Configuration", found["experiments"])
    config = desk().get(f"/configs/{name}")
    facts([("Version", config["config_version"]), ("Description", str(config["config"].get("description", "")))])
    if desk().may("ANALYST"):
        traffic = st.number_input(
            "Eligible users a day", 1, 1_000_000_000, 5_000, 500, help="In the place of what the configuration assumes."
        )
        if st.button("Is it feasible?"):
            with framed("Planning"):
                view = feasibility_view(desk().ask(f"/configs/{name}/power", {"daily_eligible_users": traffic}))
                box(view.tone, view.sentence)
                cards(view.cards)
                for change in view.changes:
                    st.markdown(f"- {plain(change)}")
    with st.expander("The configuration"):
        st.code(json.dumps(config["config"], indent=2, ensure_ascii=False, default=str), language="json")


def decisions() -> None:
    """What was decided, newest first."""
    found = desk().get("/decisions")["items"]
    if not found:
        empty("Nothing is decided yet.", "A decision is written down on the page of an experiment that is over.")
        return
    table(
        {
            "At": [figures.minute(one["decided_at"]) for one in found],
            "Experiment": [one["name"] for one in found],
            "Decision": [figures.words(one["decision"]).capitalize() for one in found],
            "The rule said": [figures.words(one["verdict"]) for one in found],
            "By": [one["by"] for one in found],
            "Why": [one["note"] for one in found],
        }
    )


title("Catalog and decisions")
tabs = st.tabs(["Decisions", "Catalog"])
with tabs[0], framed("Reading the decisions"):
    decisions()
with tabs[1], framed("Reading the catalog"):
    catalog()
