"""Configurations over HTTP (XC-50): the documented answers, roles, and a catalog of one's own."""

from __future__ import annotations

import duckdb
import pytest
from running_service import service_on

from fairtrial import __version__
from fairtrial.analysis import run_quick_analysis

NAMES = [
    "free_shipping_threshold_test",
    "checkout_simplification_test",
    "recommendation_algorithm_test",
    "free_shipping_threshold_test_v1_1_1",
    "free_shipping_threshold_test_v1_1",
    "free_shipping_threshold_test_v2",
    "free_shipping_threshold_test_feasible",
]
FLAGSHIP = "/api/v1/configs/free_shipping_threshold_test"


def test_the_catalog_is_listed_in_its_order(service):
    answer = service.get("/api/v1/configs", role="VIEWER")
    assert answer.status_code == 200
    assert answer.json() == {"experiments": NAMES, "package_version": __version__}


def test_a_configuration_is_shown_as_its_file_has_it(service):
    found = service.get(FLAGSHIP, role="VIEWER").json()
    assert (found["name"], found["config_version"]) == ("free_shipping_threshold_test", "1.0.0")
    assert found["config"]["design"]["experiment_name"] == "free_shipping_threshold_test"
    assert found["config"]["hypothesis"]["primary"].startswith("Reducing free shipping threshold from $50 to $35 will increase")
    older = service.get("/api/v1/configs/checkout_simplification_test?version=1.0.0").json()
    assert older["config_version"] == "1.0.0"


def test_what_is_not_there_is_404_with_the_names(service):
    answer = service.get("/api/v1/configs/nonexistent_experiment")
    assert answer.status_code == 404
    body = answer.json()
    assert (body["code"], body["hint"]) == ("unknown_experiment", "fairtrial list")
    assert body["detail"] == f"Experiment 'nonexistent_experiment' not found. Available experiments: {NAMES}"
    assert service.post("/api/v1/configs/nonexistent_experiment/power", {}).status_code == 404
    assert service.get(f"{FLAGSHIP}?version=9.9.9").json()["code"] == "unknown_version"
    assert service.get(f"{FLAGSHIP}?version=9.9.9").status_code == 404


def test_the_documented_power_analysis(service):
    asked = {"reference_date": "2024-03-01", "daily_eligible_users": 950, "daily_cv": 0.15, "buffer": 1.1}
    answer = service.post(f"{FLAGSHIP}/power", asked, role="ANALYST")
    assert answer.status_code == 200
    found = answer.json()
    assert found["analysis_timestamp"] == "2024-03-01T00:00:00Z"
    assert found["statistical_parameters"]["target"] == pytest.approx(0.0486)
    assert {k: found["sample_size_requirements"][k] for k in ("per_variant", "total", "buffer", "target_per_variant", "target_total")} == {
        "per_variant": 54033,
        "total": 108066,
        "buffer": 1.1,
        "target_per_variant": 59437,
        "target_total": 118874,
    }
    assert {k: v for k, v in found["traffic_analysis"].items() if v is not None} == {
        "daily_eligible_users": 950,
        "daily_per_variant": 475.0,
        "coefficient_of_variation": 0.15,
        "data_source": "request",
    }
    assert found["duration_requirements"] == {
        "required_days": 126,
        "variability_adjusted_days": 136,
        "final_duration_days": 140,
        "business_maximum_days": 56,
    }
    assessed = found["feasibility_assessment"]
    assert (assessed["status"], assessed["assumptions_met"], assessed["warnings"]) == ("NOT_FEASIBLE", True, [])
    assert assessed["reasons"] == ["final duration 140 days exceeds the business maximum of 56 days"]
    assert next(change["lever"] for change in assessed["what_to_change"]) == "larger_mde"
    assert found["calendar_recommendations"] == []


def test_what_the_body_leaves_out_is_the_configurations(service):
    found = service.post("/api/v1/configs/free_shipping_threshold_test_feasible/power", {"reference_date": "2024-03-01"}).json()
    assert found["traffic_analysis"]["data_source"] == "spec"
    assert found["duration_requirements"]["final_duration_days"] == 28
    assert [start["start_date"] for start in found["calendar_recommendations"]] == ["2024-04-15", "2024-04-22", "2024-04-29"]
    steady = service.post(f"{FLAGSHIP}/power", {"daily_cv": 0.0}).json()
    assert steady["traffic_analysis"]["coefficient_of_variation"] == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"daily_eligible_users": 0},
        {"daily_cv": -1},
        {"buffer": 0.5},
        {"reference_date": "2024-13-01"},
        {"reference_date": "0001-01-01"},
        {"source": "x"},
    ],
    ids=["users", "cv", "buffer", "date", "year", "source"],
)
def test_a_wrong_body_is_422(service, wrong):
    assert service.post(f"{FLAGSHIP}/power", wrong).status_code == 422


def test_who_may_ask(service):
    assert service.post(f"{FLAGSHIP}/power", {}, role="VIEWER").status_code == 403
    assert service.post(f"{FLAGSHIP}/power", {}, role="ANALYST").status_code == 200


def warehouse_with(folder, name, rows):
    """A DuckDB file with the table of an experiment: 578 and 577 units whose lift is about 17%."""
    path = folder / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"create table {name} as select 'u' || i as unit, case when i < {rows // 2} then 'control' else 'treatment' end as arm, "
            f"1.0 + (i % 7) * 0.05 + case when i >= {rows // 2} then 0.15 else 0 end as orders_per_eligible_user, "
            f"case when i % 10 < 7 then 1 else 0 end as active_user_rate from range({rows}) as r (i)"
        )
    return f"duckdb:///{path}"


def test_a_configuration_is_analysed_from_the_warehouse(tmp_path, clock):
    """XC-50: the same numbers as run_quick_analysis."""
    name = "free_shipping_threshold_test_v1_1_1"
    url = warehouse_with(tmp_path, name, 1200)
    with service_on(f"sqlite:///{tmp_path}/service.db", clock=clock, warehouse=url) as running:
        answer = running.post(f"/api/v1/configs/{name}/analysis", {"reference_date": "2024-09-03"}, role="ANALYST")
        assert running.post(f"/api/v1/configs/{name}/analysis", {}, role="VIEWER").status_code == 403
        missing = running.post("/api/v1/configs/checkout_simplification_test/analysis", {})
    assert answer.status_code == 200
    found = answer.json()
    expected = run_quick_analysis(name, source=url, reference_date="2024-09-03").to_dict()
    assert found["statistical_results"] == expected["statistical_results"]
    assert found["recommendation"] == expected["recommendation"]
    assert found["experiment_info"]["data_source"] == "duckdb"
    assert found["recommendation"]["decision"] in {"LAUNCH", "STRONG_LAUNCH"}
    assert missing.status_code == 422
    assert missing.json()["code"] == "unknown_table"


def test_a_result_is_stored_when_asked(tmp_path, clock):
    """XC-20, XC-50."""
    name = "free_shipping_threshold_test_v1_1_1"
    url = warehouse_with(tmp_path, name, 1200)
    with service_on(f"sqlite:///{tmp_path}/service.db", clock=clock, warehouse=url) as running:
        asked = {"reference_date": "2024-09-03", "write_to_warehouse": True}
        stored = [running.post(f"/api/v1/configs/{name}/analysis", asked).json()["warehouse"] for _ in range(2)]
    assert stored[0] == stored[1]
    assert stored[0]["analysis_id"] == f"{name}_20240904T000000Z"
    assert stored[0]["tables"] == ["int_experiment_results_primary", "int_experiment_results_secondary"]
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        assert connection.execute("select count(*) from int_experiment_results_primary").fetchall() == [(1,)]


def test_without_a_warehouse_there_is_no_analysis(service):
    answer = service.post("/api/v1/configs/free_shipping_threshold_test_v1_1_1/analysis", {})
    assert answer.status_code == 422
    assert "FAIRTRIAL_WAREHOUSE" in answer.json()["hint"]
    assert service.post("/api/v1/configs/nonexistent_experiment/analysis", {}).status_code == 404


def test_a_body_that_is_no_text_is_refused_as_any_other(service):
    answer = service.call("POST", f"{FLAGSHIP}/power", role="ANALYST", content=b"9\xa1", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
