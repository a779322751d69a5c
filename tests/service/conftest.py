"""The service on each store."""

from __future__ import annotations

import pytest
from running_service import SetClock, service_on


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """A database without a row, in SQLite and in Postgres."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    return request.getfixturevalue("postgres_service_url")


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def service(tmp_path, clock):
    """The application on SQLite: for what does not depend on the store."""
    with service_on(f"sqlite:///{tmp_path}/service.db", clock=clock) as running:
        yield running


@pytest.fixture
def stored_service(store_url, clock):
    """The application on each store."""
    with service_on(store_url, clock=clock) as running:
        yield running
