"""Plain language that claims what the method allows."""

import re

import pytest
from samples import SAMPLES, advertising, extend_one_sided, invalid_srm, not_enough_data, three_arms

from fairtrial.reports import explain

FORBIDDEN = (
    r"\b9\d(\.\d+)?% (probability|chance|confident|sure|certain) that (the|it|ad)",
    r"proves? that",
    r"has no effect",
    r"there is no effect",
    r"statistically significant",
)


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_claimed_that_the_method_does_not_allow(name: str):
    text = explain(SAMPLES[name]())
    allowed = text.replace("It is not a 95% probability that the truth lies inside this one", "")
    allowed = re.sub(r"It is not a [\d.]+% probability that the truth lies inside this one", "", allowed)
    for claim in FORBIDDEN:
        assert not re.search(claim, allowed), claim


def test_the_real_experiment_in_words():
    text = explain(advertising())
    assert "With ad, converted was 0.77 pp higher than with psa: an improvement." in text
    assert "The 95% interval is +0.59 to +0.94 pp, a lift of +43.1% [+30.0%, +57.5%] (p < 0.0001)." in text
    assert "No guardrails were declared, so harm to other metrics was not watched." in text
    assert "30.1% of its own total" in text


def test_what_was_not_tested_is_said_with_its_reason():
    text = explain(three_arms())
    assert "Not tested. support_tickets for mens: The table has no column support_tickets." in text
    assert "Shares of the arms: The planned shares were not recorded." in explain(not_enough_data())


def test_guardrails_are_told_by_state_worst_first():
    text = explain(three_arms())
    assert (
        "ALERT: crash_rate (mens); WARNING: refund_rate (mens); UNAVAILABLE: support_tickets (mens); PASS: page_latency_ms (mens)" in text
    )


def test_inconclusive_is_not_no_effect():
    assert "inconclusive, which is not the same as no effect" in explain(extend_one_sided())


def test_invalid_data_gives_no_effect_to_read():
    text = explain(invalid_srm())
    assert "Do not read this number" in text
    assert "interval is" not in text
    assert "improvement" not in text


def test_the_interval_is_explained_at_its_own_level():
    assert "A 97.5% interval comes from a method" in explain(three_arms())
