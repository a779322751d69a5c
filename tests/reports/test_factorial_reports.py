"""XC-41: effects of factors as they are shown - in the terminal, on the page and in plain words."""

import io

import numpy as np
import pytest
from rich.console import Console
from test_terminal import squeezed

from fairtrial import parse_spec
from fairtrial.evaluation import evaluate
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports import explain, render_html, render_terminal
from fairtrial.reports.spec_text import render_plan, render_spec
from fairtrial.reports.views import view
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats, Reading

CELLS = ("grey+full", "grey+discount", "green+full", "green+discount")


def spec_of(button="button", **plan):
    return parse_spec(
        {
            "key": "shop",
            "kind": "factorial",
            "factors": {button: ["grey", "green"], "price": ["full", "discount"]},
            "metrics": [
                {"key": "ordered", "kind": "proportion", "role": "primary"},
                {"key": "wait", "kind": "mean", "direction": "decrease"},
                {"key": "gone", "kind": "mean"},
            ],
            "plan": {"baseline": 0.1, "mde": 0.2, **plan},
        }
    )


def card_of(last=1475, n=10_000, **options):
    counts = (976, 1098, 1095, last)
    arms = {}
    for place, (cell, x) in enumerate(zip(CELLS, counts, strict=True)):
        size = n if place else 10_000
        outcomes = {
            "ordered": OutcomeStats(moments=CoMoments.of(Moments.from_successes(min(x, size), size))),
            "wait": OutcomeStats(moments=CoMoments.of(Moments(n=size, mean=9.0 - 0.2 * (place >= 2), m2=size - 1.0))),
            "gone": OutcomeStats(moments=CoMoments.from_values(np.zeros((size, 1)))),
        }
        arms[cell] = ArmStats(n=size, outcomes=outcomes)
    intake = Intake(
        source="memory", engine="memory", fingerprint="0" * 64, shape="units", rows=4 * n, units=sum(a.n for a in arms.values())
    )
    return evaluate(spec_of(**options), Reading(arms=arms, intake=intake))


def printed(thing, width=80, encoding="utf-8", **more):
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=buffer, width=width, **more)
    thing(console)
    buffer.flush()
    return buffer.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_effect_stands_in_the_terminal(width):
    card = card_of()
    text = printed(lambda console: render_terminal(card, console), width)
    assert max(len(line) for line in text.splitlines()) <= width
    shown = view(card).factorial
    for row in (*(row for metric in shown.metrics for row in metric.rows), *shown.simple):
        assert row.change in text
        assert row.p in text
    assert "main effects alone mislead" in squeezed(text)
    assert "At each level of the factors they interact with" in squeezed(text)


def test_names_and_readings_say_what_moved_where():
    shown = view(card_of()).factorial
    ordered, wait, gone = shown.metrics
    assert [row.name for row in ordered.rows] == ["button: grey → green", "price: full → discount", "button \N{MULTIPLICATION SIGN} price"]
    assert [row.reading for row in ordered.rows] == ["better", "better", "they interact"]
    assert [row.name for row in shown.simple][:2] == ["button: grey → green, at price full", "button: grey → green, at price discount"]
    assert (wait.lower_is_better, wait.rows[0].reading, wait.rows[0].change[0]) == (True, "better", "\N{MINUS SIGN}")
    assert (gone.rows, "does not vary" in gone.why_unavailable) == ((), True)
    assert "The 3 effects on ordered are one family: p-values and intervals are corrected by Holm." in shown.sentence


def test_without_an_interaction_nothing_is_said_to_mislead():
    shown = view(card_of(last=1217)).factorial
    assert (shown.simple, shown.caution) == ((), "")
    assert "not corrected for their number" in view(card_of(last=1217, correction="none")).factorial.sentence


def test_a_plan_that_is_not_complete_and_data_that_failed_are_not_read_as_final():
    assert "Not final" in view(card_of(mde=0.05)).factorial.caution
    broken = view(card_of(n=9_000)).factorial
    assert "Do not read these numbers" in broken.caution
    assert {row.reading for metric in broken.metrics for row in metric.rows} == {"not judged"}
    assert {row.tone for metric in broken.metrics for row in metric.rows} == {"inconclusive"}
    assert "Factors." not in explain(card_of(n=9_000))


def test_the_page_holds_every_effect_and_obeys_no_name():
    page = render_html(card_of(button="<b>button</b>"))
    assert "Effects of factors" in page
    assert "<b>button</b>" not in page
    assert "&lt;b&gt;button&lt;/b&gt;: grey → green, at price discount" in page
    plain = parse_spec({"key": "p", "arms": ["control", "b"], "metrics": [{"key": "y", "kind": "mean"}]})
    arms = {
        arm: ArmStats(n=50, outcomes={"y": OutcomeStats(moments=CoMoments.of(Moments(n=50, mean=1.0, m2=49.0)))})
        for arm in ("control", "b")
    }
    intake = Intake(source="memory", engine="memory", fingerprint="0" * 64, shape="units", rows=100, units=100)
    assert "Effects of factors" not in render_html(evaluate(plain, Reading(arms=arms, intake=intake)))


def test_plain_language_names_the_effects():
    text = explain(card_of())
    assert "Factors. Each main effect is an average" in text
    assert "price: full → discount: +2.51 pp" in text
    assert "main effects alone mislead" in text


def test_a_console_without_utf8_gets_ascii_arrows():
    text = printed(lambda console: render_terminal(card_of(), console), 120, encoding="ascii")
    assert "price: full -> discount" in text
    assert "button x price" in text


def test_spec_and_plan_say_the_factors_and_their_sizes():
    spec = spec_of()
    said = squeezed(printed(lambda console: render_spec(spec, console), 100))
    assert "Factors interactions of up to 2 factors" in said
    assert "price full or discount" in said
    sized = squeezed(printed(lambda console: render_plan(plan_experiment(spec), spec, console), 100))
    assert "four times as many" in sized
    assert "every unit counts for every factor" in sized
    alone = spec.model_copy(update={"interactions": 1})
    assert "main effects alone" in squeezed(printed(lambda console: render_spec(alone, console), 100))
    assert "not estimated" in squeezed(printed(lambda console: render_plan(plan_experiment(alone), alone, console), 100))


def test_a_weighted_plan_says_the_level_of_every_arm():
    spec = parse_spec(
        {
            "key": "w",
            "arms": ["control", {"key": "a", "weight": 3}, {"key": "b", "weight": 1}],
            "metrics": [{"key": "y", "kind": "proportion"}],
            "plan": {"baseline": 0.1, "mde": 0.2, "correction": "weighted-bonferroni"},
        }
    )
    text = squeezed(printed(lambda console: render_plan(plan_experiment(spec), spec, console), 100))
    assert "by weight 3.75% for a, 1.25% for b" in text or "by weight 3.8% for a, 1.2% for b" in text
    assert "weighted Bonferroni over 2 treatments" in squeezed(printed(lambda console: render_spec(spec, console), 100))
