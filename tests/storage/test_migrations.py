"""Migrations go up, down and up again on both stores, and leave what the code knows."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import inspect

from fairtrial.errors import StorageError, UsageError
from fairtrial.storage import current_revision, differences, downgrade, newest_revision, open_database, upgrade
from fairtrial.storage.tables import Base


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    url = f"sqlite:///{tmp_path}/a b%20c.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_database(url)
    yield opened
    opened.close()


def test_up_check_down_and_up_again(database):
    assert current_revision(database) is None
    assert upgrade(database) == newest_revision()
    assert differences(database) == []
    assert set(Base.metadata.tables) < set(inspect(database.engine).get_table_names())
    assert downgrade(database, "base") is None
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    assert upgrade(database) == newest_revision()
    assert upgrade(database) == newest_revision()


PROMISED = {
    "experiments": "segment_json policy_json guardrails_json config_id config_version",
    "experiment_assignments": "id experiment_id profile_id group assigned_at",
    "experiment_exposures": "id experiment_id profile_id exposure_ts campaign_id message_id",
    "experiment_outcomes": "id experiment_id profile_id conversion_ts value",
    "experiment_results": "id experiment_id computed_at uplift_abs uplift_rel ci_low ci_high p_value treatment_size control_size meta_json",
    "profiles": "id age ltv",
}


def test_the_tables_have_the_columns_that_queries_of_others_rely_on(database):
    """HO-22, HO-23, HO-35: names in the database itself, the unique keys and the indexes too."""
    upgrade(database)
    found = inspect(database.engine)
    for table, columns in PROMISED.items():
        assert set(columns.split()) <= {column["name"] for column in found.get_columns(table)}, table
    unique = {table: [key["column_names"] for key in found.get_unique_constraints(table)] for table in PROMISED}
    assert ["experiment_id"] in unique["experiment_results"]
    assert ["experiment_id", "profile_id"] in unique["experiment_assignments"]
    for table in ("experiment_exposures", "experiment_outcomes"):
        keyed = [*unique[table], *(index["column_names"] for index in found.get_indexes(table))]
        assert any(columns[:2] == ["experiment_id", "profile_id"] for columns in keyed), table


def test_two_processes_may_upgrade_at_once(database):
    failures: list[Exception] = []

    def work() -> None:
        try:
            upgrade(database)
        except Exception as error:  # noqa: BLE001 - a thread's failure is looked at below
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert failures == []
    assert differences(database) == []


def test_an_address_that_cannot_serve_is_refused_with_what_can():
    with pytest.raises(UsageError, match="SQLite or Postgres"):
        open_database("mysql://u@h/db")
    with pytest.raises(UsageError, match="must be a URL"):
        open_database("not a url")
    with pytest.raises(UsageError, match="folder of"):
        open_database("sqlite:////no/such/folder/x.db")


def test_a_database_that_is_gone_is_a_storage_error():
    gone = open_database("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(StorageError) as caught:
        upgrade(gone)
    assert "secret" not in str(caught.value)
