"""Plan a holdout: how many profiles, how long, how the rule behaves, and the form that makes the draft (HO-37, HO-38)."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import streamlit as st

from fairtrial.dashboard import charts
from fairtrial.dashboard.forms import Form, utc
from fairtrial.dashboard.parts import box, cards, done, empty, facts, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.reports.pages import figures
from fairtrial.reports.pages.planning import design_view, plan_cards, rule_of, rule_rows, rule_words, share_curve, size_curve

METHODS = {
    "fixed_horizon": "once, at the planned end",
    "always_valid": "at any time (always valid)",
    "group_sequential": "at planned looks (group sequential)",
    "hybrid": "harm at any time, benefit at planned looks",
    "bayesian": "by belief (Bayesian)",
}
SPEC_METHOD = {"fixed_horizon": "fixed"}


def power_inputs() -> dict[str, float]:
    """The controls of the calculator."""
    first, second, third, fourth, fifth = st.columns(5)
    with first:
        baseline = st.number_input("Baseline rate, %", 0.01, 99.0, 5.0, 0.5, help="Share of the held out who convert.", key="baseline")
    with second:
        mde = st.number_input("Smallest effect, points", 0.01, 50.0, 1.0, 0.1, help="In percentage points of the rate.", key="mde")
    with third:
        alpha = st.number_input("Alpha, %", 0.1, 49.0, 5.0, 0.5, help="Two-sided error rate.", key="alpha")
    with fourth:
        power = st.number_input("Power, %", 50.0, 99.9, 80.0, 5.0, key="power")
    with fifth:
        share = st.slider("Treated, %", 50, 99, 80, key="share")
    return {"baseline_rate": baseline / 100, "mde": mde / 100, "alpha": alpha / 100, "power": power / 100, "treatment_rate": share / 100}


def calculator() -> None:
    """How many profiles."""
    asked = power_inputs()
    with framed("Planning"):
        plan = desk().ask("/experiments/power-analysis", asked)
        cards(plan_cards(plan))
        given = {name: asked[name] for name in ("alpha", "power")}
        left, right = st.columns(2)
        with left:
            rows = size_curve(asked["baseline_rate"], asked["mde"], treatment_rate=asked["treatment_rate"], **given)
            st.altair_chart(charts.curve(rows, x="mde", y="profiles", x_title="Effect, points", y_title="Profiles"), width="stretch")
        with right:
            rows = share_curve(asked["baseline_rate"], asked["mde"], **given)
            st.altair_chart(charts.curve(rows, x="share", y="profiles", x_title="Treated, %", y_title="Profiles"), width="stretch")
        daily = st.number_input("Profiles a day", 1.0, 1e9, 1000.0, 100.0, help="How many new ones come into the experiment.", key="daily")
        st.caption(plain(f"That takes {figures.whole(-(-plan['total_sample_size'] // daily))} days."))
        if st.button("Use as plan", help="Take these numbers into the form."):
            st.session_state["plan"] = asked
            st.toast("Taken into the form.")


def create() -> None:
    """The form of a new holdout."""
    context = desk().get("/experiments/setup-context")
    plan = cast("dict[str, float]", st.session_state.get("plan", {}))
    channels = {one["channel"]: one for one in context["channels"]}
    kpis: list[str] = context["kpis"] or ["purchase"]
    known = [name for name, one in channels.items() if one["eligible"]] or ["email", "push", "sms"]
    if plan:
        box("info", f"The plan of the calculator is used: {figures.points(plan['mde'])} on {figures.percent(plan['baseline_rate'])}.")
    for warning in context["warnings"]:
        st.caption(plain(warning))
    form = Form("create")
    allowed = desk().may("DEVELOPER")
    with st.form("create"):
        form.about_all()
        form.field("name", lambda: st.text_input("Name", max_chars=200))
        left, right = st.columns(2)
        with left:
            form.field("channel", lambda: st.selectbox("Channel", known))
            form.field("conversion_key", lambda: cast("str | None", cast("Any", st).selectbox("KPI", kpis, accept_new_options=True)))
            form.field("start_at", lambda: st.date_input("Starts", dt.datetime.now(dt.UTC).date()))
            form.field("end_at", lambda: st.date_input("Ends", dt.datetime.now(dt.UTC).date() + dt.timedelta(days=28)))
        with right:
            least = int(context["defaults"]["min_runtime_days"])
            share = round(100 * float(plan.get("treatment_rate") or context["defaults"]["treatment_rate"]))
            form.field("treatment_rate", lambda: st.slider("Share treated, %", 50, 99, share))
            form.field("min_runtime_days", lambda: st.number_input("Least days", 1, 365, least))
            form.field("exclusion_window_days", lambda: st.number_input("Days that a profile stays out of others afterwards", 0, 365, 0))
            form.field("stop_rule", lambda: st.selectbox("It is read", list(METHODS), format_func=METHODS.__getitem__))
        form.field("segment", lambda: st.text_input("Segment", help="A name for who is in it; empty for everybody.", max_chars=200))
        form.field("notes", lambda: st.text_area("Notes", max_chars=10_000))
        why = None if allowed else f"This needs the role DEVELOPER; yours is {desk().role}."
        sent = st.form_submit_button("Create the draft", type="primary", disabled=not allowed, help=why)
    if sent:
        form.send(complaints, lambda values: make(values, plan))


def complaints(values: dict[str, Any]) -> dict[str, str]:
    """What is wrong with the form, by field."""
    found: dict[str, str] = {}
    if not values["name"].strip():
        found["name"] = "A name is needed."
    if not values["conversion_key"]:
        found["conversion_key"] = "A KPI is needed: what counts as a conversion."
    if values["start_at"] is None:
        found["start_at"] = "A first day is needed."
    elif values["end_at"] is None:
        found["end_at"] = "A last day is needed."
    elif values["end_at"] <= values["start_at"]:
        found["end_at"] = "It must end after it starts."
    elif (values["end_at"] - values["start_at"]).days < values["min_runtime_days"]:
        found["min_runtime_days"] = "It ends before its least days are over."
    return found


def make(values: dict[str, Any], plan: dict[str, float]) -> None:
    """Create the draft."""
    body: dict[str, Any] = {
        "name": values["name"].strip(), "channel": values["channel"], "conversion_key": values["conversion_key"], "notes": values["notes"],
        "start_at": utc(values["start_at"]), "end_at": utc(values["end_at"]), "treatment_rate": values["treatment_rate"] / 100,
        "min_runtime_days": values["min_runtime_days"], "exclusion_window_days": values["exclusion_window_days"],
        "stop_rule": values["stop_rule"], "setup_source": "dashboard",
    }  # fmt: skip
    if values["segment"].strip():
        body["segment"] = {"name": values["segment"].strip()}
    if plan:
        body |= {"baseline_rate_estimate": plan["baseline_rate"], "mde_target": plan["mde"], "alpha": plan["alpha"], "power": plan["power"]}
    made = desk().send("POST", "/experiments", body)
    st.session_state.pop("plan", None)
    done(f"The draft {made['name']} is experiment {made['id']}. Start it on the page Incrementality.")


def recommend() -> None:
    """A design from what the channel has shown."""
    context = desk().get("/experiments/setup-context")
    channels = [one["channel"] for one in context["channels"] if one["eligible"]]
    if not channels:
        empty("There is no channel to plan on.", "Load touchpoints: `fairtrial load touchpoints FILE`, or POST /api/v1/touchpoints.")
        return
    table(
        {
            "Channel": [one["channel"] for one in context["channels"]],
            "Profiles": [figures.whole(one["profiles"]) for one in context["channels"]],
            "Journeys": [figures.whole(one["journeys"]) for one in context["channels"]],
            "Baseline": [figures.percent(one["baseline_rate"]) for one in context["channels"]],
            "Can be held out": ["yes" if one["eligible"] else one["reason"] or "no" for one in context["channels"]],
        }
    )
    left, right = st.columns(2)
    with left:
        channel = st.selectbox("Channel", channels, key="recommend channel")
    with right:
        mde = st.number_input("Effect to detect, points", 0.01, 50.0, 1.0, 0.1, key="recommend mde")
    tone, sentence, rows = design_view(desk().get("/experiments/recommend-design", channel=channel, mde=mde / 100))
    box(tone, sentence)
    if rows:
        table(rows)


def simulate() -> None:
    """How often the rule launches what it should not, and misses what it should."""
    asked = {
        name: st.session_state.get(name, value) / 100 for name, value in (("baseline", 5.0), ("mde", 1.0), ("alpha", 5.0), ("power", 80.0))
    }
    plan = {"baseline_rate": asked["baseline"], "mde": asked["mde"], "alpha": asked["alpha"], "power": asked["power"]}
    plan["treatment_rate"] = st.session_state.get("share", 80) / 100
    st.caption(plain(f"The plan of the calculator: {figures.points(plan['mde'])} on {figures.percent(plan['baseline_rate'])}."))
    method = st.selectbox("It is read", list(METHODS), format_func=METHODS.__getitem__, key="simulated method")
    runs = st.select_slider("Simulated experiments for each effect", [500, 1000, 2000, 5000, 10_000], 2000)
    if st.button("Simulate", type="primary"):
        with framed("Simulating"):
            found = rule_of(plan, SPEC_METHOD.get(method, method), runs=runs, seed=1)
            chart = charts.curve(rule_rows(found), x="effect", y="launch", x_title="True effect, points", y_title="Launched, %")
            st.altair_chart(chart, width="stretch")
            facts([*rule_words(found), ("simulated", f"{figures.whole(runs)} experiments for each effect, seed 1")])


title("Create and plan", "Nothing here changes a running experiment.")
tabs = st.tabs(["Power calculator", "Recommended design", "Simulate the rule", "Create a holdout"])
with tabs[0], framed("Planning"):
    calculator()
with tabs[1], framed("Reading what the channels have shown"):
    recommend()
with tabs[2], framed("Simulating"):
    simulate()
with tabs[3], framed("Reading what there is to choose from"):
    create()
