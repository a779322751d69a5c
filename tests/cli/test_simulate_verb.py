"""`fairtrial simulate` as a command (AD-12, AD-13): figures, reports, exit codes, options, bad input."""

from __future__ import annotations

import json

import pytest

from fairtrial.simulation import RolloutConfig, RolloutEffects, simulate_rollout

SMALL = ("--users", "1500", "--days", "6", "--seed", "7")


def figures(run, *more):
    code, told, talk = run("simulate", *SMALL, *more, "--json")
    assert talk == ""
    return code, json.loads(told)


def test_a_helpful_feature_is_rolled_out_early_and_saves_user_days(run):
    """AD-13: (planned days - stop day) x daily users."""
    code, found = figures(run, "--effect", "task_completion_time=-0.2", "--guardrail", "none")
    assert (code, found["decision"], found["planned_days"]) == (0, "ROLLOUT", 6)
    assert found["stop_day"] < 6
    config = RolloutConfig(users=1500, days=6, seed=7, effects=RolloutEffects(task_completion_time=-0.2))
    seen = simulate_rollout(config).frame().query("day <= @found['stop_day']").groupby("day")["user_id"].nunique()
    assert found["saved_user_days"] == pytest.approx((6 - found["stop_day"]) * seen.mean())
    assert found["data_source"] == "simulated"
    assert -0.2 < found["truth"]["task_completion_time"]["all"]["lift"] < -0.1, "tasks that were not accepted stay at 90 seconds"


def test_equal_seeds_give_equal_words_and_another_seed_others(run):
    first, second, other = (run("simulate", "--users", "800", "--days", "4", "--seed", seed, "--json")[1] for seed in (1, 1, 2))
    assert first == second != other


def test_a_broken_guardrail_ends_in_a_rollback_and_exit_1(run):
    """AD-08: however good the primary metric is."""
    code, found = figures(run, "--effect", "error_rate=0.08", "--effect", "task_completion_time=-0.2")
    assert (code, found["decision"]) == (1, "ROLLBACK")
    assert any("guardrail" in reason for reason in found["reasons"])
    code, found = figures(run, "--effect", "error_rate=0.08", "--effect", "task_completion_time=-0.2", "--guardrail", "none")
    assert (code, found["decision"]) == (0, "ROLLOUT")


def test_a_ramp_begins_at_its_first_stage_and_share_and_noise_are_taken(run):
    """AD-14."""
    _, found = figures(run, "--ramp", "--stages", "0.1,0.5,1", "--min-days", "1", "--preset", "explore")
    assert found["days"][0]["share"] == 0.1
    assert {day["share"] for day in found["days"]} <= {0.1, 0.5, 1.0}
    _, found = figures(run, "--share", "0.3", "--noise", "0.5")
    assert {day["share"] for day in found["days"]} == {0.3}
    assert found["config"]["noise"] == 0.5


def test_one_level_can_be_hurt(run):
    _, found = figures(run, "--effect", "task_completion_time=-0.1", "--effect", "task_completion_time:low=0.2")
    truth = found["truth"]["task_completion_time"]
    assert truth["low"]["lift"] > 0.1
    assert truth["high"]["lift"] < -0.05


@pytest.mark.parametrize("name", ["rollout.html", "Zpráva é.md"])
def test_a_report_says_what_the_terminal_says(run, tmp_path, name):
    """AD-12: decision, saved user-days and every metric, in HTML and Markdown; the page asks for nothing outside."""
    code, told, _ = run("simulate", *SMALL, "--effect", "task_completion_time=-0.2", "--report", tmp_path / name)
    assert code == 0
    text = (tmp_path / name).read_text(encoding="utf-8")
    for words in ("ROLLOUT", "Task completion time", "Acceptance rate", "Error rate", "Saved"):
        assert words in text, words
        assert words in told, words
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text
    if name.endswith("html"):
        assert text.count("<svg") >= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--users", "1"), "users"),
        (("--days", "0"), "--days must be >= 1"),
        (("--noise", "-1"), "noise"),
        (("--share", "1.5"), "share"),
        (("--share", "nan"), "share"),
        (("--ramp", "--share", "0.5"), "--ramp moves the share"),
        (("--stages", "0.5,0.1"), "0.1"),
        (("--stages", "a,b"), "--stages takes a number, got 'a'"),
        (("--guardrail", "error_rate"), "--guardrail takes a number"),
        (("--guardrail", "colour=1"), "colour"),
        (("--effect", "colour=1"), "--effect names one of"),
        (("--effect", "error_rate:never=1"), "never"),
        (("--effect", "error_rate=much"), "--effect takes a number, got 'much'"),
        (("--preset", "wild"), "wild"),
        (("--min-days", "99"), "99"),
        (("--report", "rollout.pdf"), ".html or .md"),
        (("--report", "no/such/folder/r.html"), "no/such/folder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(run, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, told, talk = run("simulate", "--users", "200", "--days", "3", *options)
    assert (code, told) == (2, ""), talk
    assert said in talk
    assert "Traceback" not in talk
    assert list(tmp_path.iterdir()) == []
