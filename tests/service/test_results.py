"""Results over HTTP: the documented figures, what counts, what is left out (HO-09, HO-10, HO-40, HO-43, II.b, II.c)."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import subprocess
from fractions import Fraction

import pytest
import yaml
from holdout_rows import START, add_exposures, add_outcomes, add_units
from running_service import PROGRAM
from test_experiments import HOLDOUT

from fairtrial.storage.tables import Experiment, ExperimentResult, ForcedVariant, Profile

DAY = dt.timedelta(days=1)
WORKED = {
    "uplift_abs": 0.01625,
    "uplift_rel": 0.40625,
    "ci_low": -0.022924,
    "ci_high": 0.043565,
    "uplift_rel_ci_low": -0.326298,
    "uplift_rel_ci_high": 1.93533,
}


@pytest.fixture
def holdout(stored_service):
    """Experiment 1 of the examples: 800 treated with 45 converters worth 5420, 200 controls with 8 worth 960."""
    stored_service.post("/api/experiments", HOLDOUT)
    stored_service.post("/api/experiments/1/status", {"status": "running"})
    with stored_service.database.writing() as session:
        treated = add_units(session, 1, "treatment", 800)
        held = add_units(session, 1, "control", 200)
        add_outcomes(session, 1, treated[:45], at=START + 5 * DAY, value=5420 / 45)
        add_outcomes(session, 1, held[:8], at=START + 6 * DAY, value=120.0)
    stored_service.treated, stored_service.held = treated, held
    stored_service.clock.move(days=10)
    return stored_service


def test_the_worked_example_is_not_significant(holdout):
    """HO-09, II.b, II.c: 45/800 against 8/200 is p .3589, not .032."""
    body = holdout.get("/api/experiments/1/results").json()
    assert (body["experiment_id"], body["status"]) == (1, "running")
    assert body["treatment"] == pytest.approx(
        {"n": 800, "conversions": 45, "conversion_rate": 0.05625, "total_value": 5420.0, "value_per_profile": 6.775}
    )
    assert body["control"] == {"n": 200, "conversions": 8, "conversion_rate": 0.04, "total_value": 960.0, "value_per_profile": 4.8}
    for name, value in WORKED.items():
        assert body[name] == pytest.approx(value, abs=6e-7), name
    assert body["p_value"] == pytest.approx(0.3589, abs=5e-5)
    assert (body["insufficient_data"], body["reason"], body["significant"], body["alpha"]) == (False, None, False, 0.05)
    assert (body["test"], body["ci_method"], body["always_valid_p"]) == ("two_proportion_z_pooled", "score", 1.0)
    assert body["plan"] == {"planned_total": 25999, "observed_total": 1000, "complete": False}
    assert body["srm"] == {"chi_square": 0.0, "p_value": 1.0, "status": "ok"}
    assert (body["contamination_rate"], body["data_source"]) == (0.0, "storage")


def test_the_scorecard_is_the_one_that_the_command_line_computes(holdout, tmp_path):
    """DESIGN: one result everywhere. The units as a file, analysed by `fairtrial analyze`, give the same numbers."""
    whole = holdout.get("/api/experiments/1/scorecard").json()
    spec = holdout.get("/api/experiments/1").json()
    with (tmp_path / "units.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["unit", "arm", "converted", "value"])
        for names, arm, converters, value in ((holdout.treated, "treatment", 45, 5420 / 45), (holdout.held, "control", 8, 120.0)):
            writer.writerows([name, arm, int(i < converters), value if i < converters else 0.0] for i, name in enumerate(names))
    stored = stored_spec(holdout) | {"data": {"source": "units.csv", "unit": "unit", "arm": "arm"}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(stored))
    ran = subprocess.run(  # noqa: PLW1510 - exit 1 is an answer too
        [PROGRAM, "analyze", "spec.yaml", "--json", "--as-of", "2026-03-11T00:00:00Z"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode in {0, 1}, ran.stderr
    same = json.loads(ran.stdout)
    converted = [card["comparisons"][0] for card in (whole, same)]
    assert converted[0]["estimate"] == converted[1]["estimate"]
    value = [card["comparisons"][1]["estimate"] for card in (whole, same)]
    for name in ("effect", "p_value", "std_error", "control", "treatment"):
        assert value[0][name] == pytest.approx(value[1][name], rel=1e-12), name
    assert whole["decision"]["verdict"] == same["decision"]["verdict"]
    assert spec["spec_hash"] == whole["spec_hash"]


def test_fewer_than_ten_profiles_in_a_group_give_counts_and_no_statistics(stored_service):
    """HO-09, II.b."""
    for _ in range(3):
        stored_service.post("/api/experiments", HOLDOUT)
    stored_service.post("/api/experiments/3/status", {"status": "running"})
    with stored_service.database.writing() as session:
        treated = add_units(session, 3, "treatment", 4)
        add_units(session, 3, "control", 1)
        add_outcomes(session, 3, treated[:1], at=START + DAY, value=10.0)
    body = stored_service.get("/api/experiments/3/results").json()
    assert body["treatment"] == {"n": 4, "conversions": 1, "conversion_rate": 0.25, "total_value": 10.0, "value_per_profile": 2.5}
    assert body["control"] == {"n": 1, "conversions": 0, "conversion_rate": 0.0, "total_value": 0.0, "value_per_profile": 0.0}
    statistics = ("uplift_abs", "uplift_rel", "ci_low", "ci_high", "p_value", "always_valid_p", "significant")
    assert [body[name] for name in statistics] == [None] * 7
    assert (body["insufficient_data"], body["reason"]) == (True, "fewer than 10 profiles in a group")


def test_nobody_and_nobody_converted_are_said(stored_service):
    stored_service.post("/api/experiments", HOLDOUT)
    body = stored_service.get("/api/experiments/1/results").json()
    assert (body["treatment"]["n"], body["treatment"]["conversion_rate"], body["insufficient_data"]) == (0, None, True)
    assert stored_service.get("/api/experiments/1/scorecard").status_code == 422
    with stored_service.database.writing() as session:
        add_units(session, 1, "treatment", 80)
        add_units(session, 1, "control", 20)
    assert stored_service.get("/api/experiments/1/results").json()["reason"] == "nobody converted yet"
    assert stored_service.get("/api/experiments/1/time-series").json()["data"][0]["uplift_rel"] is None


def test_repeat_purchases_count_once_as_converters_and_wholly_as_value(holdout):
    """II.b, II.c: distinct converters, value over all their outcomes."""
    with holdout.database.writing() as session:
        add_outcomes(session, 1, holdout.treated[:45], at=START + 7 * DAY, value=1.0)
    body = holdout.get("/api/experiments/1/results").json()
    assert body["treatment"]["conversions"] == 45
    assert body["treatment"]["total_value"] == pytest.approx(5465.0)


def test_outcomes_outside_a_units_time_are_stored_but_not_counted(holdout):
    """II.b: from max(start_at, assigned_at) to end_at + window; both ends count."""
    end = dt.datetime(2026, 3, 31, 23, 59, 59, tzinfo=dt.UTC)
    second = dt.timedelta(seconds=1)
    late = START + 3 * DAY
    with holdout.database.writing() as session:
        newcomers = add_units(session, 1, "treatment", 6, assigned_at=late, prefix="new")
        for name, at in zip(
            newcomers, (START - second, late - second, late, end + 14 * DAY, end + 14 * DAY + second, START + 9 * DAY), strict=True
        ):
            add_outcomes(session, 1, [name], at=at)
        add_outcomes(session, 1, ["stranger"], at=late)
    body = holdout.get("/api/experiments/1/results").json()
    assert (body["treatment"]["n"], body["treatment"]["conversions"]) == (806, 48)
    intake = holdout.get("/api/experiments/1/scorecard").json()["intake"]
    assert (intake["unknown_unit_events"], intake["early_events"], intake["late_events"]) == (1, 2, 1)


def test_assignments_recorded_after_the_end_count_from_the_start(holdout):
    """II.b: back-filled data."""
    with holdout.database.writing() as session:
        filled = add_units(session, 1, "control", 3, assigned_at=START + 90 * DAY, prefix="back")
        add_outcomes(session, 1, filled[:2], at=START + DAY)
    body = holdout.get("/api/experiments/1/results").json()
    assert (body["control"]["n"], body["control"]["conversions"], body["backfilled_assignments"]) == (203, 10, 3)


def test_lazily_assigned_and_forced_profiles_are_outside_the_population(holdout):
    """II.b: only one group ever exposes."""
    with holdout.database.writing() as session:
        lazy = add_units(session, 1, "treatment", 5, source="exposure", prefix="lazy")
        add_outcomes(session, 1, lazy, at=START + DAY)
        session.add(ForcedVariant(experiment_id=1, unit=holdout.treated[0], arm="control", created_by="qa", created_at=START))
    body = holdout.get("/api/experiments/1/results").json()
    assert (body["treatment"]["n"], body["treatment"]["conversions"], body["lazy_assigned"]) == (799, 44, 5)


def test_exposed_controls_are_contamination_and_reach_gives_the_cace(holdout):
    """II.b golden: .01625 / (.92 - 0) = .017663."""
    with holdout.database.writing() as session:
        add_exposures(session, 1, holdout.treated[:736], at=START + DAY)
        add_exposures(session, 1, holdout.treated[:10], at=START + 2 * DAY)
    body = holdout.get("/api/experiments/1/results").json()
    assert body["cace"] == pytest.approx(0.017663, abs=5e-7)
    with holdout.database.writing() as session:
        add_exposures(session, 1, holdout.held[:20], at=START + DAY)
    assert holdout.get("/api/experiments/1/results").json()["contamination_rate"] == 0.1


def test_the_time_series_is_cumulative_and_agrees_with_the_results(holdout):
    """HO-10, II.b, II.c: 5/120 and 1/30 give .008333 and .25."""
    holdout.post("/api/experiments", {**HOLDOUT, "name": "series"})
    with holdout.database.writing() as session:
        for day, (treated, held, t, c) in enumerate(((120, 30, 5, 1), (120, 30, 4, 1))):
            at = START + day * DAY
            add_outcomes(session, 2, add_units(session, 2, "treatment", treated, assigned_at=at, prefix=f"d{day}")[:t], at=at)
            add_outcomes(session, 2, add_units(session, 2, "control", held, assigned_at=at, prefix=f"d{day}")[:c], at=at)
    data = holdout.get("/api/experiments/2/time-series?freq=D").json()["data"]
    assert data[0] == pytest.approx(
        {
            "date": "2026-03-01",
            "treatment_n": 120,
            "treatment_conversions": 5,
            "treatment_rate": 5 / 120,
            "control_n": 30,
            "control_conversions": 1,
            "control_rate": 1 / 30,
            "uplift_abs": float(Fraction(5, 120) - Fraction(1, 30)),
            "uplift_rel": 0.25,
        }
    )
    assert (data[1]["treatment_n"], data[1]["treatment_rate"], data[1]["uplift_abs"]) == (240, 0.0375, pytest.approx(0.004167, abs=5e-7))
    last = holdout.get("/api/experiments/1/time-series").json()["data"][-1]
    body = holdout.get("/api/experiments/1/results").json()
    assert (last["treatment_n"], last["treatment_conversions"]) == (800, 45)
    assert (last["uplift_abs"], last["uplift_rel"]) == (body["uplift_abs"], body["uplift_rel"])
    weekly = holdout.get("/api/experiments/1/time-series?freq=W").json()["data"]
    assert [row["date"] for row in weekly] == ["2026-02-23", "2026-03-02"]  # Mondays
    assert holdout.get("/api/experiments/1/time-series?freq=M").status_code == 422


def test_days_without_events_repeat_what_was_there(holdout):
    data = holdout.get("/api/experiments/1/time-series").json()["data"]
    assert [row["date"] for row in data] == [f"2026-03-0{day}" for day in range(1, 8)]
    assert [row["treatment_conversions"] for row in data] == [0, 0, 0, 0, 0, 45, 45]


def test_looks_keep_the_smallest_always_valid_p(stored_service):
    """G-13, II.b: the push holdout of the nightly example, p .001395; a later, weaker look does not take it back."""
    stored_service.post("/api/experiments", {**HOLDOUT, "channel": "push"})
    stored_service.post("/api/experiments/1/status", {"status": "running"})
    with stored_service.database.writing() as session:
        treated = add_units(session, 1, "treatment", 8000)
        held = add_units(session, 1, "control", 2000)
        add_outcomes(session, 1, treated[:600], at=START + DAY, value=50.0)
        add_outcomes(session, 1, held[:100], at=START + DAY, value=42.0)
    stored_service.clock.move(days=5)
    first = stored_service.post("/api/experiments/1/looks").json()
    assert first["always_valid_p"] == pytest.approx(0.001395, abs=5e-7)
    assert (first["ci_low"], first["ci_high"]) == (pytest.approx(0.013213, abs=6e-7), pytest.approx(0.035631, abs=6e-7))
    assert first["p_value"] == pytest.approx(0.0000888, abs=5e-8)
    with stored_service.database.writing() as session:
        add_outcomes(session, 1, held[100:130], at=START + 2 * DAY)
    stored_service.clock.move(days=1)
    second = stored_service.post("/api/experiments/1/looks").json()
    assert second["uplift_abs"] < first["uplift_abs"]
    assert second["always_valid_p"] == first["always_valid_p"]
    with stored_service.database.reading() as session:
        stored = session.query(ExperimentResult).one()
        assert (stored.uplift_abs, stored.treatment_size) == (second["uplift_abs"], 8000)
    assert stored_service.get("/api/experiments/1/scorecard").json()["looks"] == 1


def test_the_report_is_a_page_and_a_pdf(holdout):
    """HO-42."""
    page = holdout.get("/api/experiments/1/report.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "800" in page.text
    paper = holdout.get("/api/experiments/1/report.pdf")
    if paper.status_code == 422:
        assert paper.json()["code"] == "missing_extra"
        pytest.skip("WeasyPrint or Pango is not installed (extra [reports])")
    assert (paper.headers["content-type"], paper.content[:5]) == ("application/pdf", b"%PDF-")
    assert holdout.get("/api/experiments/none/report.pdf").status_code == 404


def test_a_decision_is_written_down_on_a_scorecard(holdout):
    asked = {"decision": "NO_LAUNCH", "note": "Too small to matter."}
    assert holdout.post("/api/experiments/1/decision", asked).status_code == 409
    holdout.post("/api/experiments/1/status", {"status": "stopped"})
    made = holdout.post("/api/experiments/1/decision", asked).json()
    assert made["status"] == "decided"
    assert len(made["decision"]["scorecard_sha256"]) == 64
    assert holdout.post("/api/experiments/1/decision", asked).status_code == 409


def test_results_go_out_as_csv_with_23_columns(holdout):
    """HO-40."""
    holdout.post("/api/experiments", {**HOLDOUT, "name": "=cmd()"})
    answer = holdout.get("/api/experiments/export.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, new, old = list(csv.reader(io.StringIO(answer.text)))
    assert len(header) == 23
    row = dict(zip(header, old, strict=True))
    assert (row["treatment_n"], row["control_conversions"], row["insufficient_data"], row["srm_p_value"]) == ("800", "8", "false", "1.0")
    assert float(row["uplift_abs"]) == 0.01625
    assert dict(zip(header, new, strict=True))["name"] == "'=cmd()"
    alone = list(csv.reader(io.StringIO(holdout.get("/api/experiments/1/export.csv").text)))
    assert alone == [header, old]


def test_balance_is_the_standardised_difference(holdout):
    """HO-43, II.b: SMD = difference / sqrt((s1^2 + s0^2) / 2), flagged above .1."""
    with holdout.database.writing() as session:
        for names, ages in ((holdout.treated, (30.0, 40.0)), (holdout.held, (20.0, 30.0))):
            session.add_all(Profile(id=name, age=ages[i % 2], ltv=None) for i, name in enumerate(names[:100]))
    body = holdout.get("/api/experiments/1/balance").json()
    age, ltv = body["covariates"]
    assert (age["treatment_mean"], age["control_mean"]) == (35.0, 25.0)
    assert age["smd"] == pytest.approx(10 / (25 * 100 / 99) ** 0.5)
    assert age["flag"] is True
    assert (ltv["smd"], ltv["flag"]) == (None, None)
    documented = (
        'SELECT e."group", COUNT(*) AS n, AVG(p.age) AS avg_age, AVG(p.ltv) AS avg_ltv FROM experiment_assignments e '
        'JOIN profiles p ON e.profile_id = p.id WHERE e.experiment_id = 1 GROUP BY e."group"'
    )
    with holdout.database.reading() as session:
        rows = {row[0]: (row[1], float(row[2])) for row in session.connection().exec_driver_sql(documented)}
    assert rows == {"treatment": (100, 35.0), "control": (100, 25.0)}


def stored_spec(service) -> dict:

    with service.database.reading() as session:
        return dict(session.get(Experiment, 1).spec_json)
