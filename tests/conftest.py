"""What all tests share: where the real data lies, and helpers on the path."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# CI judges a commit, so it draws the same examples every time; elsewhere every run looks at new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

HERE = Path(__file__).parent
for folder in ("evaluation",):
    sys.path.insert(0, str(HERE / folder))


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
