"""A quasi-experiment's scorecard: the experiments' table, held to the design."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fairtrial import parse_spec
from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.quasi import evaluate_quasi, held_to_design
from fairtrial.quasi import sharp_rdd
from fairtrial.quasi.estimate import EvidenceGrade
from fairtrial.stats.reading import Intake
from fairtrial.stats.result import Interval, Unavailable

INTAKE = Intake(source="rows.csv", engine="duckdb", fingerprint="f", shape="units", rows=600, units=600)


def spec(direction="increase", **plan):
    metrics = [{"key": "y", "kind": "mean", "role": "primary", "direction": direction}, {"key": "z", "kind": "mean"}]
    return parse_spec({"key": "q", "kind": "rdd", "metrics": metrics, "design": {"running": "x"}, "plan": plan})


def estimate(effect, half=1.0, level="strong"):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 600)
    found = sharp_rdd(rng.normal(0, 1, 600), x)
    p = 0.001 if abs(effect) > half else 0.5
    ends = Interval(low=effect - half, high=effect + half)
    grade = replace(found.estimate.grade, level=level)
    return replace(found.estimate, effect=effect, interval=ends, p_value=p, treated=10.0 + effect, counterfactual=10.0, grade=grade)


def card(effect, level="strong", **options):
    other = Unavailable(code="missing_outcome", reason="There is no z.")
    return evaluate_quasi(spec(**options), {"y": estimate(effect, level=level), "z": other}, INTAKE)


@pytest.mark.parametrize(
    ("effect", "level", "options", "verdict", "confidence"),
    [
        (3.0, "strong", {"practical_threshold_absolute": 2.5}, "LAUNCH", "MEDIUM-HIGH"),
        (3.0, "moderate", {"practical_threshold_absolute": 2.5}, "LAUNCH", "MEDIUM"),
        (3.0, "weak", {"practical_threshold_absolute": 2.5}, "CONSIDER_LAUNCH", "LOW"),
        (3.0, "weak", {"practical_threshold_absolute": 0.5}, "CONSIDER_LAUNCH", "LOW"),
        (3.0, "strong", {}, "CONSIDER_LAUNCH", "MEDIUM"),
        (0.5, "strong", {}, "NO_LAUNCH", "LOW"),
        (-3.0, "strong", {}, "NO_LAUNCH", "MEDIUM-HIGH"),
        (-3.0, "strong", {"direction": "decrease", "practical_threshold_absolute": 2.5}, "LAUNCH", "MEDIUM-HIGH"),
    ],
)
def test_the_table_decides_and_the_design_limits(effect, level, options, verdict, confidence):
    decision = card(effect, level, **options).decision
    assert (decision.verdict, decision.confidence) == (verdict, confidence)
    assert f"the evidence is {level}" in decision.reasoning[-1]


def test_the_scorecard_says_what_design_it_rests_on():
    found = card(3.0)
    assert found.evidence_grade.design == "rdd"
    assert found.findings[0].code == "evidence_grade"
    assert "regression discontinuity" in found.findings[0].message
    assert (found.srm.status, found.plan.planned_from, found.kind) == ("skipped", "none", "rdd")
    assert [arm.n for arm in found.arms] == [found.comparisons[0].estimate.n_control, found.comparisons[0].estimate.n_treatment]
    assert '"evidence_grade": {' in found.to_json()
    assert found.explain()


def test_a_metric_that_cannot_be_had_says_why_and_the_others_stand():
    found = card(3.0)
    assert found.comparison("z").unavailable.code == "missing_outcome"
    assert found.comparison("z").reading == "unavailable"
    assert found.comparison("y").reading == "better"


def test_without_a_primary_estimate_there_is_no_verdict_and_no_grade():
    gone = Unavailable(code="too_few_units", reason="There are 3 rows.")
    found = evaluate_quasi(spec(), {"y": gone, "z": gone}, INTAKE)
    assert (found.decision.verdict, found.decision.state, found.evidence_grade) == (None, "not_enough_data", None)


def test_corrected_metrics_carry_their_correction_and_findings_their_metric():
    both = {"y": estimate(3.0), "z": estimate(3.0).with_findings([Finding(code="x", severity="info", message="m.", action="a.")])}
    found = evaluate_quasi(spec(), both, INTAKE, adjusted={"z": 0.04})
    assert (found.comparison("z").estimate.p_adjusted, found.comparison("z").estimate.correction) == (0.04, "benjamini-hochberg")
    assert found.comparison("y").estimate.p_adjusted is None
    assert next(finding for finding in found.findings if finding.code == "x").metric == "z"


def test_a_decision_without_confidence_keeps_none():
    decision = replace(card(3.0).decision, confidence=None)
    grade = EvidenceGrade(level="weak", design="did", rests_on="Trends.", because="None.")
    assert held_to_design(decision, grade).confidence is None
