"""Reports of plans with looks and of Bayesian plans say what they are."""

import io

import pytest
from rich.console import Console

from fairtrial.evaluation import Look, evaluate
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports import render_html, render_terminal
from fairtrial.reports.words import note
from fairtrial.spec import parse_spec
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats, Reading

INTAKE = Intake(source="memory", engine="memory", fingerprint="0" * 64, shape="units", rows=40_000, units=40_000)


def card_of(method, looks=(), guarded=False, **plan):
    guard = [{"key": "failed", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.01}] if guarded else []
    spec = parse_spec(
        {
            "key": "shown",
            "arms": ["control", "treatment"],
            "metrics": [{"key": "paid", "kind": "proportion", "role": "primary"}, *guard],
            "plan": {"method": method, "mde": 0.05, "sample_size": 40_000, "practical_threshold": 0.02, **plan},
        }
    )
    counts = {"control": 2000, "treatment": 2160}
    arms = {arm: ArmStats(n=20_000, outcomes={"paid": rate(x), "failed": rate(400)}) for arm, x in counts.items()}
    return evaluate(spec, Reading(arms=arms, intake=INTAKE), looks)


def rate(successes):
    return OutcomeStats(moments=CoMoments.of(Moments.from_successes(successes, 20_000)))


def terminal(card) -> str:
    out = io.StringIO()
    render_terminal(card, Console(file=out, width=100))
    return out.getvalue()


def test_a_bayesian_report_speaks_of_chances_and_never_of_p():
    """V.c: Bayesian output is not called a p-value."""
    card = card_of("bayesian")
    shown = terminal(card)
    assert "chance to be better" in shown
    assert "Prior: Beta(1, 1)" in shown
    assert "p = " not in shown.replace("Chi-square", "").partition("Shares agree")[0]
    page = render_html(card)
    assert "<h3>Chance and expected loss</h3>" in page
    assert "<h3>The p-value</h3>" not in page
    assert "model: beta binomial" in page
    assert "frequentist error not controlled" in page
    assert "chance to be better" in card.explain()


def test_a_bayesian_report_says_which_of_its_numbers_are_those_of_a_test():
    """Guardrails are tested, sizes and powers are those of a test, and a launch says that nobody controls how often it errs."""
    card = card_of("bayesian", guarded=True)
    shown, page = terminal(card), render_html(card)
    row = next(line for line in shown.splitlines() if "[" in line and shown.index(line) > shown.index("Guardrails  "))
    assert "p = 1" in row, "a p-value in a column of chances says what it is"
    for text in (" ".join(shown.split()).replace("`", ""), page.replace("<code>", "").replace("</code>", "")):
        assert "very probably an improvement" in text
        assert "not of this plan: its own rule is measured by fairtrial oc" in text
        assert "is not controlled: fairtrial oc measures it" in text
    assert "Guardrails are tested, in a Bayesian plan too" in page
    assert "Guardrails are tested, in a Bayesian plan too" not in render_html(card_of("bayesian"))
    assert "not of this plan" not in render_html(card_of("fixed"))


def test_a_size_planned_for_a_bayesian_plan_says_that_it_is_that_of_a_test():
    plan = {"mde": 0.05, "baseline": 0.1}
    notes = [
        plan_experiment(
            parse_spec(
                {"key": "x", "arms": ["control", "t"], "metrics": [{"key": "m", "kind": "proportion"}], "plan": plan | {"method": m}}
            )
        ).notes
        for m in ("bayesian", "fixed")
    ]
    assert notes == [("planned_as_test",), ()]
    assert "a Bayesian plan has neither" in note("planned_as_test")


def test_a_report_of_planned_looks_names_its_boundary_and_allows_for_them():
    card = card_of("group_sequential", [Look(as_of=None, complete=False, decisions={}, information=0.5)], sequential={"looks": 2})
    assert "median-unbiased" in terminal(card)
    page = render_html(card)
    for said in ("Planned looks at", "Boundary at this look", "z 1.969", "adjusted for the planned interim looks"):
        assert said in page
    assert "<h3>The p-value</h3>" in page


@pytest.mark.parametrize(("method", "said"), [("always_valid", "at every look at once"), ("hybrid", "watched at every look")])
def test_a_report_says_what_its_intervals_promise(method, said):
    assert said in render_html(card_of(method))
    assert card_of(method).to_frame()["error_control"].iloc[0] == ("always_valid" if method == "always_valid" else "group_sequential")
