"""Which effect is told in money, by the kind of plan (XC-32, XC-35, XC-39)."""

import pytest
from readings import rate, reading

from fairtrial import evaluate, parse_spec

FACTOR = 100 * 365 * 2.0
READ = reading({"control": {"bought": rate(200, 2000)}, "t": {"bought": rate(270, 2000)}})


def card(**plan):
    spec = {
        "key": "x",
        "arms": ["control", "t"],
        "metrics": [{"key": "bought", "kind": "proportion"}],
        "plan": {"baseline": 0.1, "mde": 0.2, "sample_size": 4000, **plan},
        "business": {"eligible_units_per_day": 100, "value_per_unit": 2},
    }
    return evaluate(parse_spec(spec), READ)


def test_a_plan_with_looks_tells_the_effect_without_the_bias_of_stopping():
    found = card(method="group_sequential")
    after, (impact,) = found.comparison("bought").after_stop, found.impact
    assert after.effect != found.comparison("bought").estimate.effect
    assert impact.basis == "after_stop"
    assert impact.gain.value == pytest.approx(FACTOR * after.effect)
    assert impact.gain.interval.low == pytest.approx(FACTOR * after.interval.low)


def test_a_bayesian_plan_has_its_own_prior_and_no_second_one():
    (impact,) = card(method="bayesian").impact
    assert impact.gain is not None
    assert (impact.shrunk_gain, impact.prior_sd, impact.shrinkage) == (None, None, None)
    assert any("own prior" in text for text in impact.assumptions)


def test_an_unfinished_plan_says_that_its_figures_may_move():
    (impact,) = card(sample_size=8000).impact
    assert impact.assumptions[0].startswith("Not final")


def test_a_one_sided_plan_keeps_its_open_end_and_is_shrunken_all_the_same():
    (impact,) = card(alternative="one-sided").impact
    assert impact.gain.interval.high == float("inf")
    assert 0 < impact.shrunk_gain.value < impact.gain.value


def test_without_an_effect_to_expect_there_is_no_shrunken_figure_and_that_is_said():
    (impact,) = card(mde=None, baseline=None).impact
    assert impact.shrunk_gain is None
    assert any("not shrunk" in text for text in impact.assumptions)
