"""What is said of a scorecard, before anything is laid out."""

import dataclasses
from types import SimpleNamespace

import pytest
from samples import SAMPLES, advertising, compared, decision, extend_one_sided, invalid_srm, plan, rate, three_arms

from fairtrial.decisions.decision import Decision
from fairtrial.decisions.rules import RULES
from fairtrial.evaluation.scorecard import Incremental
from fairtrial.reports import view
from fairtrial.reports.formatting import TIMES, clean
from fairtrial.reports.words import HEADLINES, headline, sentence, verdict_label, verdict_tone
from fairtrial.stats.result import Interval


def rows_of(shown):
    return [row for group in shown.groups for metric in group.metrics for row in metric.rows]


def test_the_real_experiment_reads_as_it_was_computed():
    """G-2, G-12: the advertising holdout, with its published counts."""
    shown = view(advertising())
    row = shown.hero.row
    assert (row.control_value, row.treatment_value) == ("1.785%", "2.555%")
    assert (row.change, row.interval) == ("+0.77 pp", "[+0.59, +0.94] pp")
    assert (row.lift, row.lift_interval) == ("+43.1%", "[+30.0%, +57.5%]")
    assert (row.p, row.level, row.reading) == ("< 0.0001", "95%", "better")
    assert (row.n_control, row.n_treatment) == ("23,524", "564,577")
    assert dict(row.exact)["p"] == f"1.70528 {TIMES} 10⁻¹³"
    assert shown.incremental[0].sentence == (
        "ad added an estimated +4,343 to the total of converted (95% interval +3,317 to +5,285), 30.1% of its own total."
    )
    assert [(arm.name, arm.planned_share, arm.observed_share) for arm in shown.arms] == [("ad", "96.0%", "96.0%"), ("psa", "4.0%", "4.0%")]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_view_is_made_of_whole_sentences_and_places_on_the_axis(name: str):
    shown = view(SAMPLES[name]())
    for text in (*shown.verdict.reasons, *shown.verdict.next_steps, *(f.message for f in shown.findings), shown.plan.powered):
        assert text[-1] in ".!?"
    for row in rows_of(shown):
        assert (row.mark is None) == bool(row.mark_missing)
        assert "nan" not in " ".join((row.change, row.interval, row.lift, row.p))


@pytest.mark.parametrize("name", SAMPLES)
def test_better_lies_to_the_right_on_every_axis(name: str):
    """The point is right of zero if and only if the effect is good in the metric's direction."""
    scorecard = SAMPLES[name]()
    shown = view(scorecard)
    by_start = {f"{clean(c.metric)}, {clean(c.treatment)}:": c for c in scorecard.comparisons}
    drawn = [row for row in rows_of(shown) if row.mark is not None and not row.mark.point_off]
    for row in drawn:
        comparison = by_start[f"{row.metric}, {row.treatment}:"]
        if comparison.estimate.effect != 0:
            good = (comparison.estimate.effect > 0) == (comparison.direction == "increase")
            assert (row.mark.point > shown.axis.zero) == good


def test_lower_is_better_keeps_its_signed_number_and_loses_the_axis_signs():
    shown = view(three_arms())
    crash = next(row for row in rows_of(shown) if row.metric == "crash_rate")
    assert crash.change == "+0.42 pp"
    assert crash.reading == "worse"
    assert crash.mark.point < shown.axis.zero
    assert shown.axis.mirrored
    assert all(tick.label[0] not in "+\N{MINUS SIGN}" for tick in shown.axis.ticks)


def test_a_guardrails_margin_lies_on_the_side_of_harm_on_either_scale():
    shown = view(three_arms())
    by_name = {row.metric: row for row in rows_of(shown) if row.role == "guardrail"}
    assert by_name["crash_rate"].mark.margin_text == "harm tolerated: 10% of the control"
    assert by_name["refund_rate"].mark.margin_text == "harm tolerated: 0.1 pp"
    for name in ("crash_rate", "refund_rate", "page_latency_ms"):
        assert by_name[name].mark.margin < shown.axis.zero
    assert by_name["refund_rate"].mark.margin > by_name["crash_rate"].mark.margin


def test_unavailable_is_never_a_number():
    """G-5."""
    gone = next(row for row in rows_of(view(three_arms())) if row.metric == "support_tickets")
    assert gone.tone == "unavailable"
    assert {gone.change, gone.interval, gone.lift, gone.p, gone.p_adjusted, gone.control_value} == {"\N{EM DASH}"}
    assert gone.why_unavailable == "The table has no column support_tickets."
    assert gone.guardrail.status == "UNAVAILABLE"


def test_numbers_of_invalid_data_are_not_judged():
    shown = view(invalid_srm())
    assert not shown.trusted
    assert {row.reading for row in rows_of(shown)} == {"not judged"}
    assert "improvement" not in shown.hero.sentence
    assert shown.hero.caution == "Do not read this number: the data failed a check."
    assert shown.srm.state == "critical"


def test_a_running_fixed_plan_is_called_not_final():
    shown = view(extend_one_sided())
    assert shown.hero.caution.startswith("Not final")
    assert shown.hero.row.interval_words == "+0.01 or less"
    assert shown.hero.mark.open_high


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.number)
def test_every_verdict_of_the_table_has_words_of_its_own(rule):
    """G-15: no rule of the decision table falls back to the wrong sentence."""
    for live in (True, False):
        for late in (True, False):
            outcome = rule.outcome(SimpleNamespace(live=live, max_days_reached=late, looks_left=live, effect=1.0 if late else -1.0))
            made = Decision(
                verdict=outcome.verdict,
                state=outcome.state,
                rule=rule.number,
                reason=outcome.reason,
                confidence=outcome.confidence,
                risk_level=outcome.risk,
                reasoning=(),
                next_steps=(),
            )
            said = headline(made, "b", "sales", guarded=True)
            assert verdict_label(made)
            assert verdict_tone(made)
            if outcome.reason in {"harm", "guardrail", "futile", "inconclusive", "guardrail_unavailable"}:
                assert said == HEADLINES[outcome.verdict, outcome.reason].format(t="b", m="sales")
            if outcome.verdict is None:
                assert said.startswith("No verdict")


def test_a_sentence_leaves_names_alone():
    assert sentence("the interval includes 0") == "The interval includes 0."
    assert sentence("crash_rate: too high") == "crash_rate: too high."
    assert sentence("Done!") == "Done!"
    assert sentence("") == ""


def test_the_plan_says_what_it_could_detect_and_never_at_the_observed_effect():
    told = view(three_arms()).plan
    assert told.powered == (
        "If the true effect is 8% of the control, as planned for, 64,000 units detect it with power 91.2%. "
        "The smallest effect they detect with power 80.0% is 0.844 pp (a lift of 7.95%)."
    )
    assert told.progress == 1.0
    ni = dataclasses.replace(advertising(), plan=plan(1000, objective="non_inferiority", power_at_mde=0.83))
    assert view(ni).plan.powered == "If the arms do not differ, 1,000 units show the treatment to be within the margin with power 83.0%."


def test_a_non_inferiority_margin_is_drawn_on_the_side_of_harm():
    found = dataclasses.replace(rate(0.10, 0.099, 20000, 20000), margin=-0.01)
    made = dataclasses.replace(advertising(), comparisons=(compared("converted", "ad", found, role="primary"),))
    hero = view(made).hero
    assert hero.mark.margin_text == "non-inferiority margin: 1 pp"
    assert hero.mark.margin < hero.axis.zero


def test_corrected_comparisons_show_both_p_values_and_their_own_level():
    shown = view(three_arms())
    mens, womens = (row for row in rows_of(shown) if row.metric == "visit")
    assert (mens.level, womens.level) == ("97.5%", "95%")
    assert shown.one_level == ""
    assert womens.p_says == "adjusted p = 0.0853"
    assert womens.p == "0.0845"


def test_how_to_read_promises_no_probability_to_a_frequentist_interval():
    guide = dict(view(advertising()).how_to_read)
    assert "not a 95% probability" in guide["The interval"]
    assert "not the probability that there is no effect" in guide["The p-value"]
    bayes = dataclasses.replace(advertising(), error_control="bayesian")
    assert "given the model and its prior" in dict(view(bayes).how_to_read)["The interval"]


def test_the_lead_of_several_treatments_is_the_scorecards_own():
    shown = view(three_arms())
    assert [v.treatment for v in shown.verdicts] == ["mens", "womens"]
    assert shown.verdict.treatment == "mens"
    assert view(advertising()).verdicts == ()


def test_safety_is_claimed_only_of_guardrails_that_were_declared():
    strong = decision("STRONG_LAUNCH", "strong")
    assert "guardrail is proven safe" in headline(strong, "b", "m", guarded=True)
    assert "no guardrail was declared" in headline(strong, "b", "m", guarded=False)
    made = dataclasses.replace(advertising(), decision=strong, decisions={"ad": strong})
    assert "proven safe" not in view(made).verdict.headline


def test_a_loss_is_not_called_an_addition():
    lost = Incremental(metric="converted", treatment="ad", value=-191.0, interval=Interval(low=-400.0, high=17.0), share=-0.04)
    told = view(dataclasses.replace(advertising(), incremental=(lost,))).incremental[0]
    assert told.share == ""
    assert told.sentence == (
        "ad changed the total of converted by an estimated \N{MINUS SIGN}191 (95% interval \N{MINUS SIGN}400 to +17). "
        "No change at all is not ruled out."
    )


def test_nothing_is_called_incremental_in_data_that_failed_a_check():
    gained = Incremental(metric="clicked", treatment="treatment", value=3500.0, interval=Interval(low=2900.0, high=4100.0), share=0.05)
    assert view(dataclasses.replace(invalid_srm(), incremental=(gained,))).incremental == ()


def test_an_arm_named_by_a_number_is_called_an_arm():
    assert headline(decision("ROLLBACK", "harm"), "3", "sales", guarded=False) == "Take arm 3 off now: it makes sales worse."


def test_a_plan_of_non_inferiority_does_not_speak_of_an_improvement():
    undecided = decision("NO_LAUNCH", "inconclusive")
    assert "an improvement is not shown" in headline(undecided, "3", "sales", guarded=False)
    said = headline(undecided, "3", "sales", guarded=False, objective="non_inferiority")
    assert "not worse by more than the margin is not shown" in said
    assert "improvement" not in said


def test_an_unknown_reason_still_has_a_headline():
    assert headline(decision("NO_LAUNCH", "something_new"), "b", "m", guarded=False) == "Do not launch b on this evidence."
