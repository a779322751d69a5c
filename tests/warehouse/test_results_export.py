"""XC-25, XC-26, XC-28: results in a warehouse: whole, once, and with the columns that are documented."""

import datetime as dt
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import psycopg
import pytest
import sqlglot

from fairtrial.analysis import quick_analysis
from fairtrial.analysis.quick import store
from fairtrial.errors import ConnectorError, DataError, UnknownNameError, UsageError
from fairtrial.spec import ExperimentConfigClient, parse_spec
from fairtrial.warehouse.result_rows import LEGACY, PRIMARY, SECONDARY, rows_of
from fairtrial.warehouse.result_sql import BIGQUERY, Dialect, create_table, delete_analysis, earlier_analysis, insert_row, views
from fairtrial.warehouse.results import check_results, open_store, transaction_script, without_secrets, write_results

NAME = "free_shipping_threshold_test_v1_1_1"
LOOK = dt.datetime(2024, 9, 4, 6, 45, 22, tzinfo=dt.UTC)
NEEDED = {
    "int_experiment_results_primary": "analysis_id, experiment_name, analysis_date, control_mean, treatment_mean, relative_lift_percent, "
    "p_value, statistical_power, imbalance_factor, final_decision, confidence_level, risk_level, control_n, treatment_n, cohens_d, ci_low, "
    "ci_high, test_used, launch_ready, needs_more_data, decision_state, srm_p_value, looks, data_source, config_version, package_version",
    "int_experiment_results_secondary": "analysis_id, secondary_metric_name, secondary_metric_effect_percent, secondary_metric_status, "
    "secondary_metric_interpretation, guardrail_threshold_used, ci_low_percent, ci_high_percent, non_inferior",
}


def values_with(n, mean, sd):
    x = np.arange(n, dtype=float)
    x = (x - x.mean()) / x.std(ddof=1)
    return mean + sd * x


@pytest.fixture(scope="module")
def made():
    frame = pd.DataFrame(
        {
            "unit": range(1155),
            "arm": ["control"] * 578 + ["treatment"] * 577,
            "orders_per_eligible_user": np.r_[values_with(578, 1.00692, 0.1017), values_with(577, 1.18198, 0.4524)],
            "active_user_rate": [1] * 405 + [0] * 173 + [1] * 410 + [0] * 167,
        }
    )
    return quick_analysis(ExperimentConfigClient().get_experiment_spec(NAME), data=frame, as_of=LOOK)


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def warehouse(request, tmp_path):
    """An empty warehouse: its address and how to ask it."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")

        def ask(statement):
            with psycopg.connect(url) as connection:
                return connection.execute(statement).fetchall()
    else:
        path = tmp_path / f"results.{request.param}"
        url = f"{request.param}:///{path}"

        def ask(statement):
            with open_store(url) as opened:
                return opened.run(statement)

    return url, ask


def test_the_golden_analysis_stands_in_both_tables(made, warehouse):
    url, ask = warehouse
    written = store(made, url)
    assert written.analysis_id == f"{NAME}_20240904T064522Z"
    assert made["warehouse"]["tables"] == ["int_experiment_results_primary", "int_experiment_results_secondary"]
    for table, columns in NEEDED.items():
        assert len(ask(f"select {columns} from {table}")) == 1
    row = ask(
        "select control_mean, treatment_mean, relative_lift_percent, p_value, imbalance_factor, cohens_d, ci_low, ci_high, "
        "statistical_power from int_experiment_results_primary"
    )[0]
    assert row[:8] == pytest.approx((1.00692, 1.18198, 17.385691, 1.488e-18, 1.001733, 0.534127, 0.137155, 0.212965), rel=1e-3)
    assert row[8] == made.scorecard.plan.power_at_mde
    words = ask(
        "select final_decision, confidence_level, risk_level, decision_state, test_used, data_source, control_n, treatment_n, looks "
        "from int_experiment_results_primary"
    )[0]
    assert words == ("LAUNCH", "MEDIUM-HIGH", "medium", "valid", "welch_t", "duckdb", 578, 577, 0)
    assert [bool(x) for x in ask("select launch_ready, needs_more_data, is_verdict from int_experiment_results_primary")[0]] == [
        True,
        False,
        True,
    ]
    assert str(ask("select analysis_date from int_experiment_results_primary")[0][0]) == "2024-09-04 06:45:22"
    other = ask(
        "select secondary_metric_name, secondary_metric_status, guardrail_threshold_used, secondary_metric_effect_percent, "
        "ci_low_percent, ci_high_percent, non_inferior from int_experiment_results_secondary"
    )[0]
    assert other[:3] == ("active_user_rate", "PASS", -0.02)
    assert other[3:6] == pytest.approx((1.41, -5.8708, 9.254), abs=1e-3)
    assert bool(other[6]) is False


def test_written_twice_it_stands_there_once(made, warehouse):
    url, ask = warehouse
    for _ in range(2):
        store(made, url)
    assert ask("select count(*) from int_experiment_results_primary") == [(1,)]
    assert ask("select count(*) from int_experiment_results_secondary") == [(1,)]


def test_a_result_without_a_moment_keeps_its_id_while_design_and_data_stay(made, warehouse):
    url, ask = warehouse
    card = replace(made.scorecard, as_of=None)
    first = write_results(card, url, now=LOOK)
    again = write_results(card, url, now=LOOK + dt.timedelta(days=3))
    assert first.analysis_id == again.analysis_id
    other = write_results(replace(card, spec_hash="0" * 64), url, now=LOOK + dt.timedelta(days=4))
    assert other.analysis_id == f"{NAME}_20240908T064522Z"
    assert ask("select count(*) from int_experiment_results_primary") == [(2,)]


def test_views_show_the_last_look_and_its_guardrails(made, warehouse):
    url, ask = warehouse
    for day in (4, 6, 5):
        write_results(replace(made.scorecard, as_of=f"2024-09-0{day}T06:45:22Z"), url)
    assert ask("select analysis_id from v_experiment_latest") == [(f"{NAME}_20240906T064522Z",)]
    assert ask("select analysis_id, secondary_metric_status from v_experiment_guardrails") == [(f"{NAME}_20240906T064522Z", "PASS")]


def test_the_one_table_of_old(made, warehouse):
    """XC-26."""
    url, ask = warehouse
    for _ in range(2):
        written = store(made, url, legacy=True)
    assert written.tables == ("int_experiment_results",)
    rows = ask("select final_decision, secondary_metric_name, secondary_metric_status from int_experiment_results")
    assert rows == [("LAUNCH", "active_user_rate", "PASS")]


@pytest.mark.parametrize("spoil", ["drop column risk_level", "rename column p_value to p"])
def test_a_table_that_does_not_fit_is_named_and_nothing_is_written(made, warehouse, spoil):
    url, ask = warehouse
    store(made, url)
    with open_store(url) as opened:

        def alter():
            for view in ("v_experiment_guardrails", "v_experiment_latest"):
                opened.run(f"drop view {view}")
            opened.run(f"alter table int_experiment_results_primary {spoil}")

        opened.write(alter)
    with pytest.raises(DataError, match="is missing") as caught:
        write_results(replace(made.scorecard, as_of="2024-10-01T00:00:00Z"), url)
    assert caught.value.code == "wrong_schema"
    assert ask("select count(*) from int_experiment_results_secondary") == [(1,)]
    state = {one.name: one for one in check_results(url)}
    assert state["int_experiment_results_primary"].misfits
    assert not state["int_experiment_results_secondary"].misfits


def test_a_wrong_type_is_a_misfit(warehouse):
    url, _ = warehouse
    with open_store(url) as opened:
        opened.write(lambda: opened.run("create table int_experiment_results_secondary (analysis_id integer)"))
    state = {one.name: one for one in check_results(url)}["int_experiment_results_secondary"]
    assert any("analysis_id is" in misfit for misfit in state.misfits)


def _write_many(url, card, count):
    for i in range(count):
        write_results(replace(card, as_of=f"2024-09-04T06:{i:02d}:00Z"), url)


def test_two_processes_at_once_lose_and_double_nothing(made, warehouse):
    url, ask = warehouse
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_write_many, args=(url, made.scorecard, 4)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
        assert other.exitcode == 0
    assert ask("select count(*), count(distinct analysis_id) from int_experiment_results_primary") == [(4, 4)]
    assert ask("select count(*) from int_experiment_results_secondary") == [(4,)]


KILLED = """
import sys, datetime as dt, pickle
from dataclasses import replace
from fairtrial.warehouse.results import write_results
card = pickle.load(open(sys.argv[2], "rb"))
print("ready", flush=True)
for i in range(100000):
    write_results(replace(card, as_of=(dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=i)).isoformat()), sys.argv[1])
"""


def test_a_kill_in_the_middle_leaves_no_half_analysis(made, warehouse, tmp_path):
    """Every analysis that is there has all its rows, in both tables."""
    url, ask = warehouse
    (tmp_path / "card.pickle").write_bytes(pickle.dumps(made.scorecard))
    process = subprocess.Popen([sys.executable, "-c", KILLED, url, str(tmp_path / "card.pickle")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    store(made, url)
    torn = (
        "select count(*) from int_experiment_results_primary p full join int_experiment_results_secondary s "
        "on p.analysis_id = s.analysis_id where p.analysis_id is null or s.analysis_id is null"
    )
    assert ask(torn) == [(0,)]
    assert ask("select count(*) from int_experiment_results_primary")[0][0] > 1


def test_several_treatments_have_a_row_each():
    rng = np.random.default_rng(4)
    spec = parse_spec(
        {"key": "three", "arms": ["control", "a", "b"], "metrics": [{"key": "spend", "kind": "mean"}], "plan": {"sample_size": 600}}
    )
    frame = pd.DataFrame({"unit": range(600), "arm": ["control", "a", "b"] * 200, "spend": rng.normal(5, 1, 600)})
    card = quick_analysis(spec, data=frame).scorecard
    rows = rows_of(card, analysis_id="three_x", moment=LOOK).tables["int_experiment_results_primary"][1]
    place = [column.name for column in PRIMARY].index("is_verdict")
    assert len(rows) == 2
    assert sum(bool(row[place]) for row in rows) == 1


def test_statements_for_bigquery_are_what_its_parser_takes():
    """The client is real; what is tested here is what it is sent."""
    dialect = Dialect(types=BIGQUERY.types, families=BIGQUERY.families, mark="?", prefix="`shop`.`results`.")
    tables = {"int_experiment_results_primary": PRIMARY, "int_experiment_results_secondary": SECONDARY, "int_experiment_results": LEGACY}
    statements = [*views(dialect), earlier_analysis(dialect, "int_experiment_results_primary")]
    for name, columns in tables.items():
        statements += [create_table(dialect, name, columns), delete_analysis(dialect, name), insert_row(dialect, name, columns)]
    for statement in statements:
        assert "`shop`.`results`." in statement
        sqlglot.parse_one(statement, dialect="bigquery")
    script, parameters = transaction_script([("DELETE FROM t WHERE a = ?", ["x"]), ("INSERT INTO t (a) VALUES (?)", ["x"])])
    assert parameters == ["x", "x"]
    assert script.startswith("BEGIN TRANSACTION;")
    assert script.endswith("COMMIT TRANSACTION;")
    kinds = {"text": "STRING", "number": "FLOAT64", "integer": "INT64", "boolean": "BOOL", "time": "DATETIME"}
    assert all(f"{column.name} {kinds[column.kind]}" in create_table(dialect, "t", PRIMARY) for column in PRIMARY)


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("mysql://host/db", UnknownNameError, "kind of warehouse"),
        ("results.txt", UsageError, "address or a .duckdb file"),
        ("duckdb://results.duckdb", UsageError, "three slashes"),
        ("bigquery://shop", UsageError, "project and dataset"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", ConnectorError, "cannot be reached"),
        ("duckdb:////no/such/folder/x.duckdb", ConnectorError, "cannot be opened"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_its_secret(made, url, kind, said):
    with pytest.raises(kind, match=said) as caught:
        write_results(made.scorecard, url)
    assert "secret" not in str(caught.value)


def test_a_check_makes_nothing(tmp_path):
    """XC-28."""
    path = tmp_path / "new.duckdb"
    assert {one.name: one.exists for one in check_results(f"duckdb:///{path}")} == {
        "int_experiment_results_primary": False,
        "int_experiment_results_secondary": False,
        "int_experiment_results": False,
    }
    assert not path.exists()
    assert without_secrets("postgresql://me:pw@db/shop?password=x") == "postgresql://db/shop"


def test_a_file_that_is_no_database_is_refused(made, tmp_path):
    (tmp_path / "x.duckdb").write_text("not a database, by far not long enough to be one of any kind at all" * 100)
    with pytest.raises(ConnectorError):
        write_results(made.scorecard, f"duckdb:///{tmp_path / 'x.duckdb'}")
    with duckdb.connect() as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]
