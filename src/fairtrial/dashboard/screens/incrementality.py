"""Holdouts: the list, results as a marketer reads them, logging by hand, CSV (HO-28, HO-36..HO-41)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import streamlit as st

from fairtrial.dashboard import charts
from fairtrial.dashboard.forms import Form, utc
from fairtrial.dashboard.parts import act, badge, box, cards, done, empty, facts, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.reports.pages import figures
from fairtrial.reports.pages.holdout import STATES, list_rows, result_view, series_view
from fairtrial.reports.pages.logging import typed_exposures, typed_ids, typed_outcomes
from fairtrial.reports.pages.readiness import readiness_view

STEPS = {"draft": ("Start", "running"), "running": ("Stop", "stopped")}


def pick() -> dict[str, Any] | None:
    """The list, searched and filtered; the one that was chosen, or that the address names."""
    left, right = st.columns([3, 2])
    with left:
        search = st.text_input("Search", help="Name, channel, metric or source.", max_chars=100)
    with right:
        status = st.segmented_control("Status", ["all", "draft", "running", "stopped"], default="all") or "all"
    query = ({"search": search.strip()} if search.strip() else {}) | ({} if status == "all" else {"status": status})
    found = desk().get("/experiments", limit=200, **query)["items"]
    if not found:
        empty("No experiment fits.", "Search for something else, or make one on the page Create and plan.")
        return None
    rows = list_rows(found)
    for row in rows:
        row["Readiness"] = readiness(row["id"]) if row["Status"] == "draft" else ""
    asked = st.query_params.get("experiment_id", "")
    table([{name: value for name, value in row.items() if name != "id"} for row in rows])
    ids = [row["id"] for row in rows]
    names = {row["id"]: f"{row['Name']} · {row['Status']}" for row in rows}
    keys = {str(one["id"]): one["id"] for one in found} | {one["key"]: one["id"] for one in found}
    place = ids.index(keys[asked]) if asked in keys else 0
    chosen = st.selectbox("Experiment", ids, index=place, format_func=names.__getitem__)
    if str(chosen) != asked:
        st.query_params["experiment_id"] = str(chosen)
    detail: dict[str, Any] = desk().get(f"/experiments/{chosen}")
    return detail


def readiness(number: int) -> str:
    """Whether a draft may start, in words."""
    return readiness_view(desk().get(f"/experiments/{number}/health")).launch[1]


def steps(one: dict[str, Any]) -> None:
    """Start, stop, copy, take a look."""
    number = one["id"]
    first, second, third, fourth = st.columns(4)
    with first:
        if one["status"] in STEPS:
            label, into = STEPS[one["status"]]
            if act(label, "DEVELOPER", key="step", primary=one["status"] == "draft"):
                desk().send("POST", f"/experiments/{number}/status", {"status": into})
                done(f"{one['name']} is {into}.")
    with second:
        if act("Duplicate", "DEVELOPER", key="duplicate", help_="A new draft with the same set-up."):
            made = desk().send("POST", f"/experiments/{number}/duplicate", {})
            st.query_params["experiment_id"] = str(made["id"])
            done(f"The copy is experiment {made['id']}.")
    with third:
        if one["status"] == "running" and act(
            "Take a look", "DEVELOPER", key="look", help_="Keep the results of now as a look of the plan."
        ):
            desk().send("POST", f"/experiments/{number}/looks")
            done("The look is kept.")
    with fourth:
        name = f"experiment-{number}.csv"
        st.download_button("CSV", lambda: desk().text(f"/experiments/{number}/export.csv"), name, "text/csv", help="23 columns.")


def results(one: dict[str, Any]) -> None:
    """Cards, sentence, guardrail line, the way there."""
    number = one["id"]
    shown = result_view(desk().get(f"/experiments/{number}/results"))
    cards(shown.cards)
    box(shown.tone, shown.sentence)
    box("success" if shown.guardrail_ok else "warning", shown.guardrail)
    for name, remedy in shown.states:
        box("warning", f"{name}. {remedy}")
    freq = st.segmented_control("By", ["Day", "Week"], default="Day") or "Day"
    code = "W" if freq == "Week" else "D"
    series = desk().get(f"/experiments/{number}/time-series", freq=code)["data"]
    if not series:
        empty(*STATES["empty_series"])
    else:
        way = series_view(series, desk().get(f"/experiments/{number}/trajectory", freq=code)["data"])
        st.markdown("**Rates and sample sizes, cumulative**")
        st.altair_chart(charts.two_axes(way.rates, way.sizes), width="stretch")
        if way.note:
            st.caption(plain(way.note))
        st.markdown("**Uplift, with an interval that holds at every look**")
        st.altair_chart(charts.band(way.uplift, title="Uplift, percentage points"), width="stretch")
    with st.expander("All figures"):
        facts(shown.details)
    with st.expander("Were the groups alike before?"):
        balance = desk().get(f"/experiments/{number}/balance")
        table(
            {
                "Covariate": [row["name"] for row in balance["covariates"]],
                "Treatment": [figures.number(row["treatment_mean"]) for row in balance["covariates"]],
                "Control": [figures.number(row["control_mean"]) for row in balance["covariates"]],
                "Standardised difference": [figures.number(row["smd"], 3) for row in balance["covariates"]],
                "": [row["reason"] or ("look at it" if row["flag"] else "") for row in balance["covariates"]],
            }
        )


def health(number: int) -> None:
    """May it start, may it be read, what is in the way."""
    shown = readiness_view(desk().get(f"/experiments/{number}/health"))
    badge(shown.launch[1], shown.launch[0])
    badge(shown.read[1], shown.read[0])
    for tone, text in shown.notes:
        box(tone, text)
    facts(shown.facts)


def log_by_hand(one: dict[str, Any]) -> None:
    """Boxes for assignments, exposures and outcomes, and assignment from conversion paths."""
    number, allowed = one["id"], desk().may("DEVELOPER")
    why = None if allowed else f"This needs the role DEVELOPER; yours is {desk().role}."

    def boxed(name: str, label: str, hint: str, button: str, act_on: Any) -> None:
        form = Form(name)
        with st.form(name):
            form.about_all()
            form.field("lines", lambda: st.text_area(label, placeholder=hint, height=120))
            sent = st.form_submit_button(button, disabled=not allowed, help=why)
        if sent:
            form.send(lambda _: {}, lambda values: act_on(values["lines"]))

    def assign(text: str) -> None:
        told = desk().send("POST", f"/experiments/{number}/assign", {"profile_ids": typed_ids(text)})
        done(f"{told['assigned']} profiles: {told['treatment']} treated, {told['control']} held out; {told['new']} are new.")

    def expose(text: str) -> None:
        told = desk().send("POST", f"/experiments/{number}/exposures", {"exposures": typed_exposures(text)})
        done(f"{told['recorded']} exposures recorded, {told['duplicates']} were there already.")

    def outcome(text: str) -> None:
        told = desk().send("POST", f"/experiments/{number}/outcomes", {"outcomes": typed_outcomes(text)})
        outside = f"{told['unassigned']} of profiles without a group"
        done(f"{told['inserted']} outcomes recorded, {told['duplicates']} were there already, {outside}.")

    boxed("assignments", "Assign profiles, one id a line", "customer-000001", "Assign", assign)
    boxed(
        "exposures",
        "Exposures: profile,campaign,message,time",
        "customer-000001,spring,m-1,2026-03-01T09:00:00Z",
        "Record exposures",
        expose,
    )
    boxed("outcomes", "Outcomes: profile,value,time", "customer-000001,42.50,2026-03-02T10:00:00Z", "Record outcomes", outcome)
    form = Form("auto")
    with st.form("auto"):
        form.about_all()
        st.caption("Assign everybody whom the channel touched in a period. Groups drawn afterwards are an A/A check, not an effect.")
        today = dt.datetime.now(dt.UTC).date()
        left, right = st.columns(2)
        with left:
            form.field("start_date", lambda: st.date_input("From", today - dt.timedelta(days=30)))
        with right:
            form.field("end_date", lambda: st.date_input("Until", today))
        sent = st.form_submit_button("Assign from conversion paths", disabled=not allowed, help=why)
    if sent:
        form.send(period_complaints, lambda values: auto_assign(one, values))


def period_complaints(values: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a period."""
    if values["start_date"] is None or values["end_date"] is None:
        return {"start_date": "Both days are needed."}
    return {"end_date": "It must not end before it begins."} if values["end_date"] < values["start_date"] else {}


def auto_assign(one: dict[str, Any], values: dict[str, Any]) -> None:
    """Assign whom the channel touched."""
    body = {"channel": one["channel"] or "", "start_date": utc(values["start_date"]), "end_date": values["end_date"].isoformat()}
    told = desk().send("POST", f"/experiments/{one['id']}/auto-assign", body)
    done(f"{told['total']} profiles, {told['new']} of them new. {told['note']}")


title("Incrementality", "What would have happened anyway, and what the campaign added.")
with framed("Reading the experiments"):
    one = pick()
    if one is not None:
        st.subheader(one["name"], anchor=False)
        badge(one["status"], {"running": "green", "draft": "gray"}.get(one["status"], "blue"))
        dates = f"{figures.day(one['start_at'])} to {figures.day(one['end_at'])}"
        st.caption(plain(" · ".join(text for text in (one["channel"], one["conversion_key"], dates, one["notes"]) if text)))
        if one["plan"] is not None:
            seen = desk().get(f"/experiments/{one['id']}/health")["plan"]
            text = f"{figures.percent(seen['progress'])} of {figures.whole(seen['planned_total'])} profiles"
            st.progress(min(seen["progress"] or 0.0, 1.0), text=plain(text))
        with framed("Changing it"):
            steps(one)
        tabs = st.tabs(["Results", "Health", "Log by hand"])
        with tabs[0], framed("Reading the results"):
            results(one)
        with tabs[1], framed("Reading its health"):
            health(one["id"])
        with tabs[2], framed("Logging"):
            log_by_hand(one)
