"""What the dashboard's pages say: no claim beyond the method, no number without its unit, no failure on a gap."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import SAMPLES

from fairtrial.errors import DataError, UsageError
from fairtrial.reports.pages import figures
from fairtrial.reports.pages.holdout import jump_note, list_rows, result_view, series_view
from fairtrial.reports.pages.home import home_view
from fairtrial.reports.pages.logging import MOST, typed_exposures, typed_ids, typed_outcomes
from fairtrial.reports.pages.novelty import novelty_rows, novelty_sentence
from fairtrial.reports.pages.planning import rule_of, rule_rows, share_curve, size_curve
from fairtrial.reports.pages.scorecard import forest_rows, not_drawn
from fairtrial.reports.stored import read_scorecard
from fairtrial.stats.power_proportions import estimate_sample_size

GROUP = {"n": 4000, "conversions": 240, "conversion_rate": 0.06, "total_value": 100.0, "value_per_profile": 0.025}
RESULTS = {
    "status": "running",
    "alpha": 0.05,
    "treatment": GROUP,
    "control": {**GROUP, "conversions": 200, "conversion_rate": 0.05},
    "uplift_abs": 0.01,
    "uplift_rel": 0.2,
    "ci_low": 0.0001,
    "ci_high": 0.0199,
    "p_value": 0.048,
    "significant": True,
    "causal": True,
    "causal_reason": None,
    "insufficient_data": False,
    "reason": None,
    "test": "two_proportion_z_pooled",
    "ci_method": "newcombe",
    "srm": {"chi_square": 0.0, "p_value": 1.0, "status": "ok"},
    "plan": {"planned_total": 20_000, "observed_total": 8000, "complete": False},
    "verdict": "EXTEND_TEST",
    "verdict_state": "valid",
    "contamination_rate": 0.0,
    "exposure_rate": {"treatment": 0.9, "control": 0.0},
    "always_valid_p": 0.2,
    "always_valid_interval": [-0.004, None],
    "value_uplift": {"difference": None, "ci_low": None, "ci_high": None, "p_value": None, "reason": "x"},
    "cace": None,
    "cace_reason": "no exposures are recorded",
    "belief": None,
    "data_source": "storage",
}


def shown(**changes):
    return result_view(RESULTS | changes)


def test_an_effect_before_the_end_of_a_fixed_plan_is_told_with_its_caution():
    """HO-40: the sentence claims what the plan allows at this moment."""
    early = shown()
    assert early.tone == "better"
    assert "The plan is not complete: this holds at its end" in early.sentence
    done = shown(plan={**RESULTS["plan"], "complete": True}, verdict="LAUNCH")
    assert done.sentence == "The campaign raised conversion by 1.00 points (interval +0.01 to +1.99 pp)."


@pytest.mark.parametrize(
    ("changes", "tone", "told", "not_told"),
    [
        ({"causal": False, "causal_reason": "groups were drawn after the end"}, "unavailable", "Not an effect", "raised"),
        ({"uplift_abs": None, "reason": "nobody converted yet"}, "unavailable", "nobody converted yet", "raised"),
        ({"verdict_state": "invalid", "verdict": None}, "unavailable", "failed a check", "raised"),
        ({"significant": False, "ci_low": -0.002}, "inconclusive", "does not rule out no change", "raised"),
        ({"significant": None, "ci_low": None}, "inconclusive", "below to +1.99 pp", "raised"),
        ({"uplift_abs": -0.01, "ci_low": -0.019, "ci_high": -0.001}, "worse", "lowered conversion by 1.00 points", "raised"),
    ],
)
def test_what_is_not_shown_is_not_claimed(changes, tone, told, not_told):
    seen = shown(**changes)
    assert seen.tone == tone
    assert told in seen.sentence
    assert not_told not in seen.sentence


def test_the_guardrail_line_and_the_named_states():
    """HO-44: causes and remedies; a mismatch is never a pass, nor is a check that was not made."""
    broken = shown(srm={"chi_square": 99.0, "p_value": 1e-20, "status": "mismatch"}, contamination_rate=0.031)
    assert not broken.guardrail_ok
    assert "SAMPLE RATIO MISMATCH" in broken.guardrail
    assert "3.1% of the controls" in broken.guardrail
    assert [name for name, _ in broken.states] == ["Assignments are not stable"]
    assert not shown(srm=None).guardrail_ok
    assert not shown(srm={"chi_square": None, "p_value": None, "status": "skipped"}).guardrail_ok
    assert [name for name, _ in shown(insufficient_data=True, exposure_rate=None).states] == ["Insufficient data", "No exposures recorded"]


def test_cards_have_units_and_counts():
    assert shown().cards[0] == ("Treatment converts", "6.0%", "240 of 4,000")
    assert shown().cards[2] == ("Uplift", "+1.00 pp", "+20.0% relative")
    assert shown(p_value=None).cards[4][1] == "—"


@pytest.mark.parametrize(
    ("uplifts", "told"),
    [
        ([0.01, 0.0301], "+2.01 pp on day 1"),
        ([0.01, 0.03], "+2.00 pp"),
        ([0.01, 0.0299], ""),
        ([None, 0.5], ""),
        ([0.05, None, 0.01], "-4.00 pp on day 2"),
        ([], ""),
    ],
)
def test_the_largest_jump_of_two_points_is_noted(uplifts, told):
    """HO-41."""
    note = jump_note([{"date": f"day {i}", "uplift_abs": value} for i, value in enumerate(uplifts)])
    assert (told in note) if told else not note


def test_a_series_keeps_gaps_as_gaps():
    period = {"date": "2026-01-01", "treatment_n": 0, "treatment_rate": None, "control_n": 5, "control_rate": 0.2, "uplift_abs": None}
    seen = series_view([period], [{"date": "2026-01-01", "n": 5, "uplift_abs": None, "ci_low": None, "ci_high": None}])
    assert [row["rate"] for row in seen.rates] == [None, 20.0]
    assert seen.uplift == []


def test_running_experiments_come_first():
    """HO-36."""
    base = {"name": "n", "channel": None, "conversion_key": None, "start_at": None, "end_at": None, "plan": None}
    rows = list_rows(
        [{**base, "id": i, "status": status} for i, status in enumerate(["decided", "draft", "running", "stopped", "running"])]
    )
    assert [row["id"] for row in rows] == [4, 2, 1, 3, 0]


def test_home_puts_a_broken_experiment_before_a_winning_one():
    base = {
        "kind": "holdout", "status": "running", "days": 3, "units": 10, "planned": 100, "computed_at": None, "uplift_abs": None,
        "ci_low": None, "ci_high": None, "srm_status": None,
    }  # fmt: skip
    found = home_view(
        {
            "by_status": {"running": 2},
            "model_experiments": {"running": 1},
            "experiments": [
                {**base, "id": 1, "name": "a", "verdict": None, "state": "invalid", "needs": "stop"},
                {**base, "id": 2, "name": "b", "verdict": "LAUNCH", "state": "valid", "needs": None, "planned": None},
            ],
        },
        [],
    )
    assert found.cards[0] == ("Running", "3")
    assert [one.name for one in found.needs] == ["a"]
    assert (found.needs[0].tone, found.needs[0].verdict, found.needs[0].progress) == ("invalid", "Invalid", 0.1)
    assert found.running[1].progress is None


@given(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)))
def test_no_figure_fails_on_a_gap_or_a_number(value):
    for write in (figures.whole, figures.points, figures.lift, figures.number):
        assert write(value)
    assert figures.span(value, None)
    assert figures.span(None, value)


def test_lines_are_read_as_they_are_typed():
    """HO-39: one id a line; profile,campaign,message,ts; profile,value,ts; quoted fields and Unicode."""
    assert typed_ids(" a \n\nżółw-💳\n") == ["a", "żółw-💳"]
    assert typed_exposures('"a,1",spring,m-1,2026-03-01T09:00:00\nb') == [
        {"profile_id": "a,1", "campaign_id": "spring", "message_id": "m-1", "exposure_ts": "2026-03-01T09:00:00+00:00"},
        {"profile_id": "b", "campaign_id": None, "message_id": None},
    ]
    rows = typed_outcomes("a,4.5,2026-03-01T10:00:00+02:00\nb")
    assert rows[0] == {"profile_id": "a", "value": 4.5, "conversion_ts": "2026-03-01T10:00:00+02:00"}
    assert (rows[1]["profile_id"], rows[1]["value"]) == ("b", 0.0)


@pytest.mark.parametrize(
    ("read", "text", "complaint"),
    [
        (typed_ids, "\n \n", "There is no line"),
        (typed_ids, "x\n" * (MOST + 1), "At most 5,000 lines"),
        (typed_exposures, "a,b,c,d,e", "Line 1 has 5 fields"),
        (typed_exposures, "ok\n,c", "Line 2 names no profile"),
        (typed_exposures, "a,,,soon", "Line 1: the time must look like"),
        (typed_outcomes, "a,1\nb,one", "Line 2: the value must be a number"),
        (typed_outcomes, "a,inf", "Line 1: the value must be finite"),
    ],
)
def test_a_bad_line_is_named(read, text, complaint):
    with pytest.raises(UsageError, match=complaint):
        read(text)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_a_scorecard_comes_back_from_its_json_to_the_byte(sample):
    card = sample()
    again = read_scorecard(json.loads(card.to_json()))
    assert again == card
    assert again.to_json() == card.to_json()


@pytest.mark.parametrize("raw", [{}, {"comparisons": []}, {"experiment": 3}])
def test_what_is_no_scorecard_is_said(raw):
    with pytest.raises(DataError, match="not a scorecard"):
        read_scorecard(raw)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_a_forest_draws_what_has_both_ends_and_says_what_it_leaves_out(sample):
    card = sample()
    rows = forest_rows(card)
    assert all(row["low"] <= row["effect"] <= row["high"] and math.isfinite(row["high"]) for row in rows)
    drawn = [c for c in card.comparisons if c.estimate is not None and c.estimate.lift_interval is not None]
    assert len(rows) <= len(drawn)
    assert bool(not_drawn(card, rows)) == (len(rows) < len(card.comparisons))
    if card.decision.state == "invalid":
        assert {row["tone"] for row in rows} <= {"unavailable"}


def test_novelty_that_cannot_be_told_is_said_so():
    found = {
        "metric": "converted", "unavailable_reason": "too_few_days", "has_novelty": None, "p_value": None, "recommendation": "Wait.",
        "trajectory": [{"day": 0, "effect": 0.02, "ci_low": -0.01, "ci_high": 0.05}],
    }  # fmt: skip
    assert "cannot be told: too few days" in novelty_sentence(found)
    assert novelty_rows(found) == [{"day": 0, "uplift": 2.0, "low": -1.0, "high": 5.0}]


def test_curves_are_the_sizes_of_the_calculator():
    """HO-37."""
    rows = size_curve(0.05, 0.01, alpha=0.05, power=0.8, treatment_rate=0.8)
    middle = min(rows, key=lambda row: abs(row["mde"] - 1.0))
    assert middle["profiles"] == estimate_sample_size(0.05, middle["mde"] / 100, 0.05, 0.8, 0.8)
    assert [row["profiles"] for row in rows] == sorted((row["profiles"] for row in rows), reverse=True)
    shares = share_curve(0.05, 0.01, alpha=0.05, power=0.8)
    assert min(shares, key=lambda row: row["profiles"])["share"] == 50.0


def test_a_rule_is_simulated_with_its_promises():
    """A fixed plan launches about 2.5 of 100 changes that do nothing; with twice the planned effect it launches nearly all."""
    plan = {"baseline_rate": 0.05, "mde": 0.01, "alpha": 0.05, "power": 0.8, "treatment_rate": 0.8}
    rows = {round(row["effect"], 3): row["launch"] for row in rule_rows(rule_of(plan, "fixed", runs=400, seed=1))}
    assert rows[0.0] < 7.0
    assert rows[-1.0] < 1.0
    assert rows[2.0] > 95.0
