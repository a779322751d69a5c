"""The real program, filled with simulated experiments, and one without any."""

from __future__ import annotations

import sys

import pytest
from demo_service import Demo
from running_service import real_service


@pytest.fixture(autouse=True)
def own_main_module():
    """Streamlit runs a page as `__main__`; a process that a later test spawns would run the page again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


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
