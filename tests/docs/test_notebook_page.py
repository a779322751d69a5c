"""The notebook page runs from top to bottom and shows what it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (dependency group docs)")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (dependency group docs)")

pytestmark = pytest.mark.xdist_group("notebook")

NOTEBOOK = Path(__file__).parent.parent.parent / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    return nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()


def outputs_of(notebook) -> list:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_no_output_is_committed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert outputs_of(notebook) == []
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count] == []


def test_no_cell_fails_or_talks_to_stderr(executed):
    assert [output for output in outputs_of(executed) if output.output_type == "error"] == []
    assert [output.text for output in outputs_of(executed) if output.get("name") == "stderr"] == []


def test_both_scorecards_show_themselves(executed):
    shown = [output.data["text/html"] for output in outputs_of(executed) if "text/html" in output.get("data", {})]
    cards = [html for html in shown if "LAUNCH" in html]
    assert len(cards) == 2
    assert "STRONG LAUNCH" in cards[0]


def test_it_says_what_its_text_promises(executed):
    said = "".join(output.text for output in outputs_of(executed) if output.output_type == "stream")
    assert "lift +43.1%" in said
    assert "{'loud': 'NO_LAUNCH', 'quiet': 'LAUNCH'} -> quiet" in said
    assert "variance saved: " in said
