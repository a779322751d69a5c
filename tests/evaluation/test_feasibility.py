"""Feasibility from what a spec assumes (XC-13 to XC-18, XC-35, XC-36) and the golden sizes of V.b."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from fairtrial.errors import UsageError
from fairtrial.evaluation.calendar import recommend_starts
from fairtrial.evaluation.feasibility import TrafficFigures, assess_feasibility, feasibility_document
from fairtrial.evaluation.feasibility_advice import sensitivity_table, what_to_change
from fairtrial.evaluation.feasibility_sizes import MetricFigures
from fairtrial.spec import ExperimentConfigClient
from fairtrial.spec.feasibility import AvoidPeriod
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.power_means import sample_size_two_means
from fairtrial.stats.result import Unavailable
from fairtrial.stats.roi import mde_from_roi

MARCH = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
CATALOG = ExperimentConfigClient()
FLAGSHIP = "free_shipping_threshold_test"
SHORT = {
    "key": "ship",
    "arms": {"control": 0.5, "treatment": 0.5},
    "metrics": [{"key": "ordered", "kind": "proportion", "role": "primary"}],
    "plan": {"baseline": 0.1, "mde": 0.1, "max_days": 56},
    "feasibility": {"daily_units": 2000, "daily_cv": 0.1},
}


def assess(spec=None, **options):
    raw = SHORT if spec is None else spec
    return assess_feasibility(parse_spec(raw) if isinstance(raw, dict) else CATALOG.get_experiment_spec(raw), at=MARCH, **options)


def changed(**parts):
    return {**SHORT, **{key: {**SHORT.get(key, {}), **part} if isinstance(part, dict) else part for key, part in parts.items()}}


class TestDocument:
    """XC-15, and the example of POST /configs/{name}/power."""

    def test_the_documented_answer(self):
        traffic = TrafficFigures(daily=950, cv=0.15, data_source="request")
        found = msgspec.to_builtins(feasibility_document(assess(FLAGSHIP, traffic=traffic, buffer=1.1)))
        expected = {
            "experiment_name": FLAGSHIP,
            "config_version": "1.0.0",
            "analysis_timestamp": "2024-03-01T00:00:00Z",
            "statistical_parameters": {
                "test_type": "conversion",
                "baseline": 0.045,
                "target": 0.0486,
                "relative_effect": 0.08,
                "absolute_effect": 0.0036,
                "alpha": 0.05,
                "power": 0.8,
                "alternative": "two-sided",
            },
            "sample_size_requirements": {
                "per_variant": 54033,
                "total": 108066,
                "buffer": 1.1,
                "target_per_variant": 59437,
                "target_total": 118874,
            },
            "traffic_analysis": {
                "daily_eligible_users": 950,
                "daily_per_variant": 475.0,
                "coefficient_of_variation": 0.15,
                "data_source": "request",
            },
            "duration_requirements": {
                "required_days": 126,
                "variability_adjusted_days": 136,
                "final_duration_days": 140,
                "business_maximum_days": 56,
            },
            "feasibility_assessment": {
                "status": "NOT_FEASIBLE",
                "reasons": ["final duration 140 days exceeds the business maximum of 56 days"],
                "assumptions_met": True,
                "warnings": [],
            },
            "calendar_recommendations": [],
        }
        for part, fields in expected.items():
            if isinstance(fields, dict):
                shown = {name: found[part][name] for name in fields}
                numbers = {name: value for name, value in fields.items() if isinstance(value, float)}
                assert {name: shown[name] for name in numbers} == pytest.approx(numbers, rel=1e-9)
                assert {name: shown[name] for name in fields if name not in numbers} == {
                    n: v for n, v in fields.items() if n not in numbers
                }
            else:
                assert found[part] == fields

    def test_the_feasible_variant_takes_28_days(self):
        found = assess(f"{FLAGSHIP}_feasible")
        assert (found.arms["control"], found.run.target_per_arm["control"]) == (9509, 10460)
        assert (found.run.required_days, found.run.adjusted_days, found.run.final_days) == (23, 25, 28)
        assert found.status == "FEASIBLE"
        assert [str(one.start_date) for one in found.calendar] == ["2024-04-15", "2024-04-22", "2024-04-29"]
        assert what_to_change(found) == ()


class TestSizes:
    """V.b, XC-16: declared types, historical variance, declared fallbacks."""

    def test_a_count_without_a_variance_is_poisson_by_declared_fallback(self):
        found = assess(f"{FLAGSHIP}_v1_1")
        assert found.arms == {"control": 421, "treatment": 421}
        assert any("Poisson" in warning for warning in found.warnings)
        assert found.assumptions_met

    def test_a_count_that_declares_no_fallback_is_marginal(self):
        spec = changed(metrics=[{"key": "orders", "kind": "count", "role": "primary"}], plan={"baseline": 1.0262, "mde": 0.2})
        found = assess(spec)
        assert (found.status, found.assumptions_met, found.arms["control"]) == ("MARGINAL", False, 421)

    def test_a_mean_with_the_declared_fallback_takes_its_mean_as_its_spread(self):
        spec = changed(metrics=[{"key": "revenue", "kind": "mean", "role": "primary"}], plan={"baseline": 10.0, "mde": 0.2})
        without = assess(spec)
        assert isinstance(without, Unavailable)
        assert without.code == "no_sd"
        found = assess({**spec, "feasibility": {**spec["feasibility"], "variance_fallback": "cv_1"}})
        assert found.arms == {"control": 393, "treatment": 393}
        assert any("declared fallback" in warning for warning in found.warnings)

    def test_means_of_the_printed_table(self):
        assert sample_size_two_means(0.594, 1.0, power=0.8).n_control_ceil == pytest.approx(46, abs=1)
        assert sample_size_two_means(0.594, 1.0, power=0.9).n_control_ceil == pytest.approx(61, abs=1)
        spec = changed(
            metrics=[{"key": "orders", "kind": "count", "role": "primary"}], plan={"baseline": 1.004, "baseline_sd": 1.234, "mde": 0.08}
        )
        assert assess(spec).arms["control"] == pytest.approx(3706, rel=0.002)
        assert pytest.approx(0.0651, abs=5e-5) == 0.08 * 1.004 / 1.234

    def test_four_metrics_of_bonferroni_and_less_power(self):
        full = assess().arms["control"]
        assert assess(changed(plan={"alpha": 0.05 / 4})).arms["control"] / full == pytest.approx(1.42, abs=0.01)
        assert assess(changed(plan={"power": 0.65})).arms["control"] / full == pytest.approx(0.70, abs=0.01)

    def test_the_largest_of_primary_and_guardrails_is_planned(self):
        guardrail = {"key": "returned", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.004}
        spec = changed(metrics=[*SHORT["metrics"], guardrail])
        alone, unsized = assess(), assess(spec)
        assert unsized.arms == alone.arms
        assert unsized.guardrails[0].code == "no_baseline"
        found = assess({**spec, "feasibility": {**SHORT["feasibility"], "expected": {"returned": {"value": 0.08}}}})
        assert found.decided_by == "returned"
        assert found.guardrails[0].total == sum(found.arms.values()) > sum(alone.arms.values())
        n = 2 * 0.08 * 0.92 * (1.959964 + 0.841621) ** 2 / 0.004**2
        assert found.arms["control"] == pytest.approx(n, rel=0.02)
        lax = assess({**spec, "feasibility": {**SHORT["feasibility"], "expected": {"returned": {"value": 0.001}}}})
        assert lax.decided_by == "ordered"

    def test_a_measured_correlation_counts_only_where_the_analysis_adjusts(self):
        figures = {"ordered": MetricFigures(value=0.1, correlation=0.6, units=5000)}
        plain = assess(figures=figures).arms["control"]
        spec = changed(metrics=[{**SHORT["metrics"][0], "covariate": "before"}])
        assert plain == assess().arms["control"]
        assert assess(spec, figures=figures).arms["control"] == pytest.approx(0.64 * plain, abs=1)

    def test_unequal_arms_are_each_rounded_up(self):
        found = assess(changed(arms={"control": 0.8, "treatment": 0.2}))
        document = feasibility_document(found)
        assert document.sample_size_requirements["by_variant"] == dict(found.arms)
        assert document.sample_size_requirements["total"] == sum(found.arms.values())


class TestDuration:
    """XC-17."""

    def test_a_measured_baseline_far_off_is_marginal_and_warned_of(self):
        near, far = (assess(figures={"ordered": MetricFigures(value=value, units=9000)}) for value in (0.115, 0.13))
        assert (near.status, near.warnings) == ("FEASIBLE", ())
        assert (far.status, far.assumptions_met) == ("MARGINAL", False)
        assert "0.13, the spec assumes 0.1" in far.warnings[0]

    def test_thin_traffic_is_marginal(self):
        spec = changed(plan={"mde": 0.5}, feasibility={"daily_units": 90})
        assert assess(spec).status == "MARGINAL"

    def test_who_comes_back_makes_it_longer(self):
        curve = tuple(20_000 * (1 - 0.95**day) for day in range(1, 57))
        plain = assess(traffic=TrafficFigures(daily=1000, cv=0.0, data_source="x"))
        bent = assess(traffic=TrafficFigures(daily=1000, cv=0.0, data_source="x", distinct=curve))
        assert plain.run.required_days == 33
        assert bent.run.beyond
        assert bent.run.required_days > 100
        assert "beyond the 56 measured" in "; ".join(bent.reasons)

    def test_when_nobody_new_comes_it_is_not_feasible(self):
        found = assess(traffic=TrafficFigures(daily=1000, cv=0.0, data_source="x", distinct=(1000.0,) * 30))
        assert (found.status, found.run.final_days, found.calendar) == ("NOT_FEASIBLE", None, ())
        assert "no new eligible units" in found.reasons[0]
        assert all(row.varied for row in sensitivity_table(found))

    @pytest.mark.parametrize("wrong", [{"buffer": 0.9}, {"traffic": TrafficFigures(daily=0, cv=0, data_source="x")}])
    def test_impossible_traffic_is_refused(self, wrong):
        with pytest.raises(UsageError):
            assess(**wrong)

    def test_without_traffic_nothing_is_assessed(self):
        found = assess({key: value for key, value in SHORT.items() if key != "feasibility"})
        assert isinstance(found, Unavailable)
        assert found.code == "no_traffic"


class TestCalendar:
    """XC-18, XC-36."""

    @pytest.mark.parametrize(
        ("reference", "days", "starts"),
        [
            ("2024-03-01", 14, ["2024-03-04", "2024-04-15", "2024-04-22"]),
            ("2024-03-01", 28, ["2024-04-15", "2024-04-22", "2024-04-29"]),
            ("2024-01-01", 14, ["2024-01-15", "2024-01-22", "2024-02-19"]),
        ],
    )
    def test_the_golden_mondays(self, reference, days, starts):
        found = recommend_starts(dt.date.fromisoformat(reference), days)
        assert [one.start_date.isoformat() for one in found] == starts
        assert all((one.end_date - one.start_date).days == days - 1 and "Monday" in one.reason for one in found)

    def test_own_periods_are_avoided_and_a_run_that_never_fits_is_said(self):
        own = AvoidPeriod(start="2024-03-15", end="2024-03-16", reason="stocktaking")
        assert str(recommend_starts(MARCH.date(), 14, avoid=[own])[0].start_date) == "2024-04-15"
        leap = AvoidPeriod(start="02-29", end="02-29")
        assert recommend_starts(dt.date(2023, 2, 20), 14, avoid=[leap])[0].start_date > dt.date(2023, 2, 28)
        assert recommend_starts(MARCH.date(), 120) == ()
        found = assess(changed(plan={"max_days": 200}), traffic=TrafficFigures(daily=280, cv=0.0, data_source="x"))
        assert "no Monday within a year" in " ".join(found.notes)

    def test_declared_dates_in_a_period_to_avoid_are_warned_of(self):
        found = assess({**SHORT, "schedule": {"start": "2024-11-18", "end": "2024-12-02"}})
        assert "Black Friday" in found.warnings[0]


class TestAdvice:
    """XC-17, V.c: what to change, never a smaller effect."""

    def test_every_lever_moved_as_far_as_it_says_fits(self):
        found = assess(FLAGSHIP)
        changes = {change.lever: change.text for change in what_to_change(found)}
        assert list(changes) == ["larger_mde", "more_traffic", "cuped", "longer", "less_power"]
        assert not any("smaller effect" in text for text in changes.values())
        assert "12.6%" in changes["larger_mde"]
        assert "2,287" in changes["more_traffic"]
        assert "0.77" in changes["cuped"]
        spec = CATALOG.get_experiment_spec(FLAGSHIP)

        def fits(daily=950.0, **plan):
            moved = spec.model_copy(update={"plan": spec.plan.model_copy(update=plan)})
            return assess_feasibility(moved, at=MARCH, traffic=TrafficFigures(daily=daily, cv=0.15, data_source="x")).status == "FEASIBLE"

        assert [fits(mde=0.126), fits(daily=2287), fits(covariate_correlation=0.77), fits(max_days=140)] == [True] * 4
        assert [fits(mde=0.124), fits(daily=2280), fits(covariate_correlation=0.74), fits(power=0.7)] == [False] * 4

    def test_less_power_alone_can_be_enough(self):
        changes = what_to_change(assess(changed(plan={"max_days": 14}), traffic=TrafficFigures(daily=2100, cv=0.0, data_source="x")))
        assert any(change.lever == "less_power" and "fits" in change.text for change in changes)

    def test_sensitivity_moves_one_number(self):
        rows = sensitivity_table(assess(FLAGSHIP))
        planned = [row for row in rows if row.planned]
        assert {row.varied for row in planned} == {"mde", "power", "daily_users", "baseline"}
        assert {(row.total, row.final_days) for row in planned} == {(108066, 140)}
        by_mde = [row.total for row in rows if row.varied == "mde"]
        assert by_mde[:-1] == sorted(by_mde[:-1], reverse=True)

    def test_the_effect_that_pays_rises_with_the_demanded_return(self):
        assert mde_from_roi(50_000, 1_000_000, required_multiple=3) == pytest.approx(0.15)
        assert mde_from_roi(50_000, 1_000_000, required_multiple=4) > mde_from_roi(50_000, 1_000_000, required_multiple=3)
        with pytest.raises(UsageError):
            mde_from_roi(0, 1)
        found = assess(changed(feasibility={"roi": {"cost": 50_000, "annual_revenue": 1_000_000}}))
        assert found.roi_mde == pytest.approx(0.15)
        assert feasibility_document(found).statistical_parameters["mde_from_roi"] == found.roi_mde
