"""The logic of the pages before a real service: roles, forms, numbers, empty and broken states (HO-28, HO-36..HO-41, HO-44)."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from demo_service import ROLES, opened, sound, texts

pytestmark = pytest.mark.xdist_group("dashboard")
NAMES = ("home", "experiment", "interactions", "models", "plan", "incrementality", "rollouts", "bandits", "catalog", "admin")


def button(app, label):
    return next(one for one in app.button if one.label == label)


def field(app, kind, label):
    return next(one for one in getattr(app, kind) if one.label == label)


def test_nobody_is_let_in_without_a_token(demo):
    app = opened(demo.address).run()
    assert "Home" not in texts(app)
    button(app, "Sign in").click().run()
    assert [one.value for one in app.error] == ["A token is needed."]
    app.text_input[0].set_value("ft_nonsense")
    button(app, "Sign in").click().run()
    assert "not valid" in app.error[0].value
    app.text_input[0].set_value(demo.tokens["VIEWER"])
    button(app, "Sign in").click().run()
    assert "Home" in texts(sound(app))
    assert "VIEWER" in texts(app)


def test_a_service_that_is_down_is_said():
    app = sound(opened("http://127.0.0.1:9").run())
    assert "cannot be reached" in app.error[0].value
    assert button(app, "Try again")


@pytest.mark.parametrize("name", NAMES)
def test_every_page_of_an_empty_service_says_what_to_do(bare, name):
    app = sound(bare.page(name))
    assert not app.error
    if name not in {"plan", "rollouts", "admin", "catalog"}:
        assert any(word in texts(app) for word in ("There is no", "No experiment", "Fewer than two", "Nothing needs you"))


def test_home_names_what_needs_somebody_first(demo):
    app = sound(demo.page("home"))
    told = texts(app)
    found = demo.get("/overview")
    needs = [one["name"] for one in found["experiments"] if one["needs"]]
    assert needs[0] == "SMS reminder"
    assert told.index("SMS reminder") < told.index("One-page checkout")
    assert all(name in told for name in needs)
    assert "disturb each other" in told


def test_result_cards_are_the_numbers_of_the_api(demo):
    """HO-40: both rates, uplift in points and percent, interval, p; the sentence claims no more than the method allows."""
    number = demo.number_of("demo-back-in-stock")
    told = texts(sound(demo.page("incrementality", experiment_id=str(number))))
    found = demo.get(f"/experiments/{number}/results")
    for group in ("treatment", "control"):
        assert f"{found[group]['conversions']:,} of {found[group]['n']:,}" in told
    assert f"{100 * found['uplift_abs']:+.2f} pp" in told
    assert f"{100 * found['uplift_rel']:+.1f}% relative" in told
    assert f"{100 * found['ci_low']:+.2f} to {100 * found['ci_high']:+.2f} pp" in told
    assert "The campaign raised conversion" in told
    broken = texts(sound(demo.page("incrementality", experiment_id="demo-sms-reminder")))
    assert "SAMPLE RATIO MISMATCH" in broken
    assert "raised conversion" not in broken
    assert "Assignments are not stable" in broken


def test_the_list_is_searched_and_filtered(demo):
    """HO-36: running first, search, status filter, deep link."""
    app = sound(demo.page("incrementality"))
    shown = app.dataframe[0].value
    statuses = list(shown["Status"])
    assert statuses == sorted(statuses, key=["running", "draft", "stopped", "completed", "decided"].index)
    draft = shown[shown["Status"] == "draft"]
    assert list(draft["Readiness"]) == ["Look it over before launch"]
    field(app, "text_input", "Search").set_value("push").run()
    assert list(app.dataframe[0].value["Name"]) == ["Push: back in stock"]
    field(app, "text_input", "Search").set_value("nothing of that name").run()
    assert "No experiment fits" in texts(app)


@pytest.mark.parametrize("role", ROLES[:2])
def test_who_may_not_change_anything_sees_dead_buttons_with_the_reason(demo, role):
    app = sound(demo.page("incrementality", role=role, experiment_id="demo-winback-email"))
    for label in ("Stop", "Duplicate", "Assign", "Record exposures", "Record outcomes", "Assign from conversion paths"):
        one = button(app, label)
        assert one.disabled
        assert role in one.help
    app = sound(demo.page("models", role=role))
    assert button(app, "Approve").disabled
    assert "for the role ADMIN" in texts(sound(demo.page("admin", role=role)))


def test_the_calculator_says_what_the_api_says_and_the_form_takes_it(demo):
    """HO-37, HO-38: power calculator, use as plan, a draft with every field."""
    app = sound(demo.page("plan"))
    field(app, "number_input", "Baseline rate, %").set_value(4.0)
    field(app, "number_input", "Smallest effect, points").set_value(0.8).run()
    asked = {"baseline_rate": 0.04, "mde": 0.008, "alpha": 0.05, "power": 0.8, "treatment_rate": 0.8}
    plan = demo.call("POST", "/experiments/power-analysis", asked)
    assert f"{plan['total_sample_size']:,}" in texts(app)
    button(app, "Use as plan").click().run()
    assert "The plan of the calculator is used: +0.80 pp on 4.0%." in texts(sound(app))
    button(app, "Create the draft").click().run()
    assert "A name is needed." in texts(app)
    field(app, "text_input", "Name").set_value("Żółty e-mail 💛")
    field(app, "date_input", "Ends").set_value(field(app, "date_input", "Starts").value)
    button(app, "Create the draft").click().run()
    assert "It must end after it starts." in texts(app)
    assert "A name is needed." not in texts(app)
    field(app, "date_input", "Ends").set_value(field(app, "date_input", "Starts").value + dt.timedelta(days=30))
    button(app, "Create the draft").click().run()
    assert "is experiment" in texts(sound(app))
    (made,) = demo.get("/experiments", search="Żółty")["items"]
    assert made["status"] == "draft"
    assert made["plan"]["total_sample_size"] == plan["total_sample_size"]
    assert demo.get(f"/experiments/{made['id']}")["setup"]["treatment_rate"] == 0.8


def test_a_rule_is_simulated_before_anybody_is_in_it(demo):
    app = sound(demo.page("plan"))
    field(app, "select_slider", "Simulated experiments for each effect").set_value(500)
    button(app, "Simulate").click().run()
    told = [value for one in sound(app).table for value in one.value.to_numpy().ravel().tolist()]
    assert any("at most" in text and "where the treatment is no improvement" in text for text in told)


def test_lines_are_logged_by_hand_and_bad_ones_named(demo):
    """HO-39."""
    number = demo.number_of("demo-winback-email")
    before = demo.get(f"/experiments/{number}/results")
    app = sound(demo.page("incrementality", experiment_id=str(number)))
    boxes = {one.label: one for one in app.text_area}
    boxes["Assign profiles, one id a line"].set_value("hand-1\n hand-2 \n\nżółw-💳")
    button(app, "Assign").click().run()
    assert "3 profiles:" in texts(sound(app))
    for label, bad, complaint in (
        ("Outcomes: profile,value,time", "hand-1,much", "Line 1: the value must be a number"),
        ("Outcomes: profile,value,time", "hand-1,nan", "Line 1: the value must be finite"),
        ("Outcomes: profile,value,time", ",5", "Line 1 names no profile"),
        ("Exposures: profile,campaign,message,time", "hand-1,c,m,yesterday", "Line 1: the time must look like"),
        ("Exposures: profile,campaign,message,time", "", "There is no line"),
    ):
        next(one for one in app.text_area if one.label == label).set_value(bad)
        button(app, "Record outcomes" if label.startswith("Outcomes") else "Record exposures").click().run()
        assert complaint in texts(sound(app)), (label, bad)
    next(one for one in app.text_area if one.label.startswith("Outcomes")).set_value("hand-1,42.50\nhand-2,7,2026-01-01")
    button(app, "Record outcomes").click().run()
    assert "2 outcomes recorded" in texts(sound(app))
    after = demo.get(f"/experiments/{number}/results")
    assert after["plan"]["observed_total"] == before["plan"]["observed_total"] + 3


def test_a_draft_is_started_and_stopped(demo):
    made = demo.call("POST", "/experiments", {"name": "By hand", "channel": "email", "conversion_key": "purchase"})
    app = sound(demo.page("incrementality", experiment_id=str(made["id"])))
    button(app, "Start").click().run()
    assert demo.get(f"/experiments/{made['id']}")["status"] == "running"
    assert "Insufficient data" in texts(sound(app))
    assert "The time series is empty" in texts(app)
    button(app, "Stop").click().run()
    assert demo.get(f"/experiments/{made['id']}")["status"] == "stopped"
    app = sound(demo.page("experiment", experiment_id=str(made["id"])))
    field(app, "selectbox", "Decision").set_value("NO_LAUNCH")
    field(app, "text_area", "Why").set_value("It never ran.")
    button(app, "Write it down").click().run()
    assert "written down" in texts(sound(app))
    assert demo.get("/decisions")["items"][0]["note"] == "It never ran."
    assert "It never ran." in list(sound(demo.page("catalog")).dataframe[0].value["Why"])


def test_the_experiment_page_shows_the_scorecard_of_the_api(demo):
    number = demo.number_of("demo-one-page-checkout")
    card = demo.get(f"/experiments/{number}/scorecard")
    app = sound(demo.page("experiment", experiment_id=str(number)))
    told = texts(app)
    assert card["decision"]["verdict"].replace("_", " ") in told
    shown = app.dataframe[0].value
    assert list(shown["Metric"]) == ["converted"]
    estimate = next(row for row in card["comparisons"] if row["metric"] == "converted")["estimate"]
    assert f"{100 * abs(estimate['effect']):.1f}"[:3] in shown["Change"][0]
    assert "Whether the effect changes" in told or "with the days" in told


def test_a_pair_is_drilled_down(demo):
    app = sound(demo.page("interactions"))
    scan = demo.get("/interactions/scan")
    assert len(app.dataframe[0].value) == scan["pairs_analyzed"]
    worst = max(scan["results"], key=lambda one: {"low": 0, "medium": 1, "high": 2}[one["overall_risk"]])
    assert app.dataframe[0].value["Risk"][0] == worst["overall_risk"] == "high"
    assert "high risk" in texts(app)
    assert "harms in treatment" in texts(app)


def test_a_rollout_of_models_is_stopped_with_a_reason(demo):
    app = sound(demo.page("models"))
    button(app, "Stop").click().run()
    assert "A reason is needed" in texts(app)
    field(app, "text_input", "Reason").set_value("Too many complaints.")
    button(app, "Stop").click().run()
    (one,) = demo.get("/models")["items"]
    assert (one["status"], one["reason"]) == ("stopped", "Too many complaints.")
    assert "stopped" in texts(sound(app))
    field(app, "text_input", "Reason").set_value("Mended.")
    button(app, "Restart").click().run()
    assert demo.get("/models")["items"][0]["status"] == "running"


def test_a_key_is_made_shown_once_and_revoked(demo):
    app = sound(demo.page("admin"))
    button(app, "Make a key").click().run()
    assert "A name is needed" in texts(app)
    field(app, "text_input", "Name of the new key").set_value("reporting")
    field(app, "selectbox", "Role").set_value("ANALYST")
    button(app, "Make a key").click().run()
    (code,) = [one.value for one in sound(app).code]
    made = next(one for one in demo.get("/keys", limit=100)["items"] if one["name"] == "reporting")
    assert made["public_id"] in code
    assert made["role"] == "ANALYST"
    app.run()
    assert not app.code
    field(app, "selectbox", "Revoke").set_value(made["public_id"])
    field(app, "checkbox", "Revoke it for ever").check().run()
    button(app, "Revoke").click().run()
    assert next(one for one in demo.get("/keys", limit=100)["items"] if one["name"] == "reporting")["state"] == "revoked"


def test_the_lab_runs_again_with_every_control(demo):
    """AD-11: what is set is what is run; nothing of the service changes."""
    before = demo.get("/overview")["by_status"]
    app = demo.page("rollouts")
    field(app, "slider", "Users").set_value(2000)
    field(app, "slider", "Days of the plan").set_value(6)
    for level in ("low", "medium", "high"):
        field(app, "slider", f"Time, {level} engagement, %").set_value(-12.0)
    app.run()
    good = texts(sound(app))
    assert "2,000 users, 6 days, seed 7" in good
    field(app, "toggle", "Raise the share by the evidence").set_value(False)
    field(app, "slider", "Errors, points").set_value(5.0).run()
    bad = texts(sound(app))
    assert "a guardrail is in alarm" in bad
    assert "Take the traffic back" in bad
    assert "Take the traffic back" not in good
    assert demo.get("/overview")["by_status"] == before


def test_a_live_rollout_changes_by_an_explicit_word_alone(demo):
    """AD-11, AD-14: evaluate keeps the share; apply and stop change it."""
    app = sound(demo.page("rollouts"))
    one = demo.get("/rollouts/demo-fast-editor")
    assert f"{one['sessions']:,}" in texts(app)
    button(app, "Evaluate now").click().run()
    after = demo.get("/rollouts/demo-fast-editor")
    assert len(after["history"]) == len(one["history"]) + 1
    assert after["stage"] == one["stage"]
    assert after["history"][-1]["decision"] in texts(sound(app))
    button(app, "Stop: take all traffic back").click().run()
    assert "A reason is needed" in texts(app)
    field(app, "text_input", "Reason to stop").set_value("The demo is over.")
    button(app, "Stop: take all traffic back").click().run()
    assert demo.get("/rollouts/demo-fast-editor")["status"] == "stopped"
    for name, complaint in (("", "A name is needed"), ("123", "not all digits")):
        field(app, "text_input", "Name").set_value(name)
        button(app, "Begin at the first stage").click().run()
        assert complaint in texts(sound(app))
    field(app, "text_input", "Name").set_value("nová-funkce ✨")
    button(app, "Begin at the first stage").click().run()
    assert demo.get("/rollouts", status="running")["items"][0]["name"] == "nová-funkce ✨"


def test_a_bandit_is_read_and_stopped(demo):
    """XC-40: arms corrected for adaptation beside the plain mean; another policy by the log; a stop names the arm that stays."""
    app = sound(demo.page("bandits"))
    results = demo.get("/bandits/demo-hero-banner/results")
    best = results["best_arm"]["arm"]
    assert f"{best} is the best arm with a probability" in texts(app)
    arms = next(table.value for table in app.dataframe if "Chance to be best" in table.value)
    assert dict(zip(arms["Arm"], arms["Decisions"], strict=True)) == {arm: f"{one['pulls']:,}" for arm, one in results["arms"].items()}
    button(app, "What would it have earned?").click().run()
    values = next(table.value for table in sound(app).dataframe if "Estimator" in table.value)
    assert "DR" in list(values["Estimator"])
    button(app, "Stop").click().run()
    assert "A reason is needed" in texts(app)
    field(app, "text_input", "Reason").set_value("Enough is known.")
    field(app, "selectbox", "Arm for everybody, if it is stopped").set_value(best)
    button(app, "Stop").click().run()
    one = demo.get("/bandits/demo-hero-banner")
    assert (one["status"], one["final_arm"]) == ("stopped", best)
    assert f"Everybody gets {best}" in texts(sound(app))


def test_a_folder_of_scorecards_needs_no_service(demo, tmp_path):
    card = demo.get(f"/experiments/{demo.number_of('demo-loyalty-letter')}/scorecard")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "letter.json").write_text(json.dumps(card))
    (tmp_path / "other.json").write_text("{half")
    app = sound(opened(folder=tmp_path).run())
    assert "converted" in list(app.dataframe[0].value["Metric"])
    assert card["decision"]["verdict"].replace("_", " ") in texts(app)
    (tmp_path / "empty").mkdir()
    assert "holds no scorecard" in texts(sound(opened(folder=tmp_path / "empty").run()))
