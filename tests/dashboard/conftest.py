"""The real program, filled with simulated experiments, and one without any."""

from __future__ import annotations

import pytest
from demo_service import Demo
from running_service import real_service


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with real_service(folder, f"sqlite:///{folder}/demo.db", "--demo", "--auth", "on") as (address, token, _):
        yield Demo(address, token)


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """A service without a single experiment."""
    folder = tmp_path_factory.mktemp("bare")
    with real_service(folder, f"sqlite:///{folder}/bare.db") as (address, token, _):
        yield Demo(address, token)
