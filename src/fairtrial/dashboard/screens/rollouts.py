"""Rollouts: a lab in which every control runs the simulation again, and the live ones of the service (AD-11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import streamlit as st

from fairtrial.analysis.rollout_days import GuardrailRule, RolloutRules
from fairtrial.analysis.rollout_run import RolloutRun, run_rollout
from fairtrial.dashboard import charts
from fairtrial.dashboard.forms import Form
from fairtrial.dashboard.parts import act, badge, cards, done, empty, facts, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.decisions.ramp_evidence import LADDER, RolloutPolicy, preset_policy
from fairtrial.reports.pages import figures
from fairtrial.reports.pages.live_rollouts import (
    RESULTS_NOTE,
    STATUS,
    decision_words,
    guardrail_table,
    history_table,
    level_table,
    live_cards,
    metric_table,
    share_steps,
)
from fairtrial.reports.pages.rollouts import boundary_rows, improvement_rows, level_rows, share_rows, unit_of
from fairtrial.reports.rollout_page import render_rollout_report
from fairtrial.reports.rollout_view import DAY_HEAD, GUARDRAIL_HEAD, LEVEL_HEAD, METRIC_HEAD, view_rollout
from fairtrial.simulation.rollout import RolloutConfig, RolloutEffects

PRESETS = ("none", "safe", "neutral", "explore")
KEPT = "rollout runs"
MOST_KEPT = 20


def inputs() -> dict[str, Any]:
    """Every control of the lab."""
    given: dict[str, Any] = {}
    first, second, third, fourth = st.columns(4)
    with first:
        given["users"] = st.slider("Users", 1000, 40_000, 8000, 1000)
        given["days"] = st.slider("Days of the plan", 4, 42, 14)
    with second:
        given["ramp"] = st.toggle("Raise the share by the evidence", value=True, help="Off: the share below holds on every day.")
        given["share"] = st.slider("Share treated, %", 5, 95, 50, 5, disabled=given["ramp"])
    with third:
        given["noise"] = st.slider("Noise", 0.0, 3.0, 1.0, 0.1, help="How unlike users and sessions are; 1 is usual.")
        given["seed"] = st.number_input("Seed", 0, 2**31 - 1, 7, help="Equal seeds give equal runs.")
    with fourth:
        given["preset"] = st.selectbox("How fast traffic may move", PRESETS)
        given["practical"] = st.slider("Worth a rollout, %", 0.0, 10.0, 2.0, 0.5, help="Smallest relative improvement.")
    st.markdown("**What is true**")
    low, medium, high, errors, latency = st.columns(5)
    for column, level in ((low, "low"), (medium, "medium"), (high, "high")):
        with column:
            given[level] = st.slider(f"Time, {level} engagement, %", -15.0, 15.0, -5.0, 0.5, help="Negative is faster.")
    with errors:
        given["errors"] = st.slider("Errors, points", -1.0, 5.0, 0.0, 0.1)
    with latency:
        given["latency"] = st.slider("Latency, %", -20.0, 50.0, 0.0, 1.0)
    st.markdown("**What is tolerated**")
    left, right = st.columns(2)
    with left:
        given["error_margin"] = st.slider("Error rate, points more", 0.0, 5.0, 0.5, 0.1)
    with right:
        given["latency_margin"] = st.slider("Latency, ms more", 0.0, 100.0, 10.0, 1.0)
    return given


def simulated(given: dict[str, Any]) -> RolloutRun:
    """The run of these controls; one that was made before in this session is shown again."""
    kept = cast("dict[tuple[Any, ...], RolloutRun]", st.session_state.setdefault(KEPT, {}))
    key = tuple(given.values())
    if key not in kept:
        while len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = _run(given)
    return kept[key]


def _run(given: dict[str, Any]) -> RolloutRun:
    levels = {level: given[level] / 100 for level in ("low", "medium", "high")}
    effects = RolloutEffects(task_completion_time=levels, error_rate=given["errors"] / 100, latency=given["latency"] / 100)
    config = RolloutConfig(
        users=given["users"], days=given["days"], seed=int(given["seed"]), noise=given["noise"], treatment_share=given["share"] / 100,
        effects=effects,
    )  # fmt: skip
    policy = RolloutPolicy(min_days=max(1, given["days"] // 2), max_days=given["days"], monitoring="continuous")
    rules = RolloutRules(
        name="rollout-lab",
        stages=LADDER,
        policy=policy if given["preset"] == "none" else preset_policy(given["preset"], policy),
        practical_threshold=given["practical"] / 100,
        guardrails=(
            GuardrailRule(metric="error_rate", margin=given["error_margin"] / 100),
            GuardrailRule(metric="latency", margin=given["latency_margin"]),
        ),
        seed=int(given["seed"]),
    )
    bar = st.progress(0.0, text="Simulating")
    steps = given["days"] + 3
    done = 0

    def tell(text: str) -> None:
        nonlocal done
        done += 1
        bar.progress(min(done / steps, 1.0), text=text)

    try:
        return run_rollout(config, rules, ramp=given["ramp"], tell=tell)
    finally:
        bar.empty()


def rows_of(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    """A table with these heads."""
    table([dict(zip(head, row, strict=True)) for row in rows])


def draw(run: RolloutRun) -> None:
    """Decision, the way there, guardrails, levels."""
    view = view_rollout(run)
    with st.container(border=True):
        badge(view.decision, view.tone)
        st.markdown(f"### {plain(view.headline)}")
        for reason in view.reasons:
            st.markdown(f"- {plain(reason)}")
    if view.facts:
        cards([fact for fact in view.facts if fact[0] in {"Stop", "Saved"}] or [view.facts[0]])
        facts(view.facts)
    tabs = st.tabs(["Over time", "Metrics", "Guardrails", "By engagement", "Days"])
    with tabs[0]:
        unit = unit_of(run)
        st.altair_chart(charts.band(improvement_rows(run), title=f"Improvement, {unit}", x="day:Q", x_title="day"), width="stretch")
        left, right = st.columns(2)
        with left:
            looks = boundary_rows(run)
            st.altair_chart(charts.curve(looks, x="day", y="value", x_title="day", y_title="z", group="group"), width="stretch")
        with right:
            shares = share_rows(run)
            st.altair_chart(charts.curve(shares, x="day", y="share", x_title="day", y_title="Share treated, %"), width="stretch")
    with tabs[1]:
        rows_of(METRIC_HEAD, view.metrics)
        table([{"metric": name, "what is true": true} for name, true in view.truth])
    with tabs[2]:
        rows_of(GUARDRAIL_HEAD, view.guardrails)
    with tabs[3]:
        levels = level_rows(run)
        if levels:
            st.altair_chart(charts.forest(levels, title=f"Improvement, {unit_of(run)}"), width="stretch")
        rows_of(LEVEL_HEAD, view.levels)
        for note in view.level_notes:
            st.markdown(plain(note))
    with tabs[4]:
        rows_of(DAY_HEAD, view.days)
    st.caption(plain(view.setting))
    with st.expander("How the figures were made"):
        for note in view.notes:
            st.markdown(f"- {plain(note)}")
    left, right = st.columns(2)
    for column, name, kind in ((left, "rollout.html", "text/html"), (right, "rollout.md", "text/markdown")):
        with column:
            st.download_button(name, lambda name=name: render_rollout_report(run, Path(name)), name, kind)


def live() -> None:
    """Rollouts of the service: evaluated, and changed by an explicit word alone."""
    found = desk().get("/rollouts", limit=500)["items"]
    begin()
    if not found:
        empty("No rollout is live.", "Begin one above, or with POST /api/v1/rollouts; applications then assign users and send sessions.")
        return
    names = {one["id"]: f"{one['name']} · {figures.words(one['status'])}" for one in found}
    one = desk().get(f"/rollouts/{st.selectbox('Rollout', list(names), format_func=names.__getitem__)}")
    badge(figures.words(one["status"]), STATUS[one["status"]])
    cards(live_cards(one))
    if one["status"] == "running":
        word(one)
    steps = share_steps(one)
    if len(steps) > 1:
        st.altair_chart(charts.lines(steps, y="share", title="Share treated, %", zero=True), width="stretch")
    read = desk().get(f"/rollouts/{one['id']}/results")
    if read["metrics"]:
        st.markdown("**Metrics so far**")
        table(metric_table(read))
        st.caption(plain(RESULTS_NOTE))
        if read["segments"] is None:
            st.caption(plain(read["segments_reason"]))
        else:
            st.markdown("**By engagement before the rollout**")
            table(level_table(read))
    if one["history"]:
        table(history_table(one))
    else:
        empty("It was not evaluated yet.", "A job evaluates it each night; the button above does so now.")


def word(one: dict[str, Any]) -> None:
    """Evaluate, apply, stop."""
    number = one["id"]
    if act("Evaluate now", "DEVELOPER", key="evaluate", help_="Reads what is stored; the share stays as it is."):
        st.session_state["evaluated"] = number, desk().send("POST", f"/rollouts/{number}/evaluate", {})
    made = st.session_state.get("evaluated")
    if made is not None and made[0] == number:
        tone, headline, reasons = decision_words(made[1])
        with st.container(border=True):
            badge(made[1]["decision"], tone)
            st.markdown(f"### {plain(headline)}")
            for reason in reasons:
                st.markdown(f"- {plain(reason)}")
            table(guardrail_table(made[1]))
    last = one["history"][-1] if one["history"] else None
    if made is not None and made[0] == number:
        last = made[1]
    if last is not None and last["decision"] in {"RAMP_UP", "ROLLOUT", "ROLLBACK"} and not last.get("applied"):
        label = f"Apply: {decision_words(last)[1].lower()}"
        if act(label, "DEVELOPER", key="apply", primary=True):
            told = desk().send("POST", f"/rollouts/{number}/apply", {"evaluation": last["evaluation"]})
            st.session_state.pop("evaluated", None)
            done(f"{told['name']} is {figures.words(told['status'])} at {figures.percent(told['stage'])}.")
    reason = st.text_input("Reason to stop", max_chars=1000)
    if act("Stop: take all traffic back", "DEVELOPER", key="stop rollout"):
        if not reason.strip():
            st.error("A reason is needed: it is kept with the change.")
        else:
            desk().send("POST", f"/rollouts/{number}/stop", {"reason": reason.strip()})
            done("All traffic is back with the control.")


def begin() -> None:
    """The form of a new rollout."""
    form = Form("rollout")
    allowed = desk().may("DEVELOPER")
    with st.expander("Begin a rollout"), st.form("rollout"):
        form.about_all()
        left, right = st.columns(2)
        with left:
            form.field("name", lambda: st.text_input("Name", max_chars=200))
            form.field("min_days", lambda: st.number_input("Days before a conclusion", 1, 366, 7))
            form.field("max_days", lambda: st.number_input("Days of the plan", 1, 366, 14))
        with right:
            form.field("preset", lambda: st.selectbox("How fast traffic may move", PRESETS))
            form.field("error_rate", lambda: st.number_input("Error rate, points more tolerated", 0.0, 100.0, 0.5, 0.1))
            form.field("latency", lambda: st.number_input("Latency, ms more tolerated", 0.0, 1e6, 10.0, 1.0))
        why = None if allowed else f"This needs the role DEVELOPER; yours is {desk().role}."
        sent = st.form_submit_button("Begin at the first stage", disabled=not allowed, help=why)
    if sent:
        form.send(rollout_complaints, begin_rollout)


def rollout_complaints(values: dict[str, Any]) -> dict[str, str]:
    """What is wrong with the form, by field."""
    found: dict[str, str] = {}
    if not values["name"].strip():
        found["name"] = "A name is needed."
    elif values["name"].strip().isdecimal():
        found["name"] = "A name is not all digits: those are ids."
    if values["max_days"] < values["min_days"]:
        found["max_days"] = "The plan must not end before a conclusion may be drawn."
    return found


def begin_rollout(values: dict[str, Any]) -> None:
    """Begin it."""
    guardrails = [{"metric": "error_rate", "margin": values["error_rate"] / 100}, {"metric": "latency", "margin": values["latency"]}]
    body: dict[str, Any] = {"name": values["name"].strip(), "guardrails": guardrails}
    body |= {name: int(values[name]) for name in ("min_days", "max_days")}
    if values["preset"] != "none":
        body["preset"] = values["preset"]
    made = desk().send("POST", "/rollouts", body)
    done(f"{made['name']} is live at {figures.percent(made['stage'])}.")


title("Rollouts", "The lab simulates and touches nothing live; a live rollout changes by an explicit word alone.")
lab, running = st.tabs(["Lab", "Live rollouts"])
with lab:
    chosen = inputs()
    with framed("Simulating"):
        draw(simulated(chosen))
with running, framed("Reading the rollouts"):
    live()
