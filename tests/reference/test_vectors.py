"""Every reference value that we offer is the one expected.

The vectors are the `*.json` files of the folder named by the environment
variable FAIRTRIAL_REFERENCE_DIR, by default this one. A vector whose function
has no call of ours fails, unless `not_built_yet` names it; nothing is skipped.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from calls import TABLE, merge
from comparison import mismatches
from not_built_yet import NOT_BUILT_YET

FOLDER = Path(os.environ.get("FAIRTRIAL_REFERENCE_DIR") or Path(__file__).parent)
SCHEMA = 1


def load(folder: Path) -> list[dict[str, Any]]:
    """All cases of a folder's files, in the order of the files' names."""
    cases: list[dict[str, Any]] = []
    for file in sorted(folder.glob("*.json")):
        group = json.loads(file.read_text(encoding="utf-8"))
        if group["schema"] != SCHEMA or group["count"] != len(group["cases"]):
            raise ValueError(f"{file.name} must have schema {SCHEMA} and the {group['count']} cases that it counts.")
        cases += group["cases"]
    return cases


CASES = load(FOLDER)


@pytest.mark.parametrize("case", [c for c in CASES if c["function"] not in NOT_BUILT_YET], ids=lambda case: case["id"])
def test_reference_value(case):
    assert case["function"] in TABLE, f"{case['function']} has no call: map it in tests/reference/calls or name it in not_built_yet.py"
    wrong = mismatches(TABLE[case["function"]](case["inputs"]), case["expected"], case["tolerance"])
    assert not wrong, "\n".join([f"{case['function']} of {case['inputs']}", *wrong, f"source: {case['source']}"])


def test_the_folder_holds_vectors_with_ids_of_their_own():
    repeated = [key for key, count in Counter(case["id"] for case in CASES).items() if count > 1]
    assert CASES, f"no vectors in {FOLDER}"
    assert repeated == []


def test_a_function_is_either_built_or_listed_as_not_built():
    assert sorted(TABLE.keys() & NOT_BUILT_YET) == [], "built: take these names out of not_built_yet.py"


def test_a_function_mapped_twice_is_refused():
    table = {"welch_t_test": lambda inputs: inputs}
    with pytest.raises(ValueError, match="welch_t_test"):
        merge([table, table])


def test_a_file_that_lost_cases_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"schema": SCHEMA, "count": 2, "cases": [{"id": "only"}]}), encoding="utf-8")
    with pytest.raises(ValueError, match="2 cases"):
        load(tmp_path)
