"""The report on paper: every scorecard becomes a PDF that says what the page says (HO-42)."""

import logging
import shutil
import subprocess

import pytest
from samples import SAMPLES, hostile_names, three_arms

from fairtrial.errors import UsageError
from fairtrial.reports import pdf, render_html, render_pdf

weasyprint = pytest.importorskip(
    "weasyprint", reason="WeasyPrint or Pango is not installed (extra [reports])", exc_type=(ImportError, OSError)
)


def words(data: bytes) -> str:
    """The text of a PDF file, on one line."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    text = subprocess.run(["pdftotext", "-layout", "-", "-"], input=data, capture_output=True, check=True).stdout.decode()
    return " ".join(text.split())


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_scorecard_can_be_printed(name):
    assert render_pdf(SAMPLES[name]()).startswith(b"%PDF-")


def test_the_paper_says_what_the_page_says():
    card = three_arms()
    said = words(render_pdf(card))
    for comparison in card.comparisons:
        assert comparison.metric in said
        assert comparison.treatment in said
    assert card.decision.verdict.replace("_", " ") in said
    assert card.spec_hash[:12] in said


def test_names_made_to_inject_are_text_and_nothing_is_asked_for(caplog):
    with caplog.at_level(logging.WARNING, logger="weasyprint"):
        data = render_pdf(hostile_names())
    assert "<script>" in words(data)
    assert [record for record in caplog.records if "fetch" in record.message.lower() or "load" in record.message.lower()] == []


def test_charts_carry_their_colours_themselves():
    page = render_html(three_arms())
    document = weasyprint.HTML(string=page)
    pdf._style_charts(document.wrapper_element, pdf._variables(page))
    shapes = [element for element in document.etree_element.iter() if element.get("class") in {"bar", "zero", "dot"}]
    assert len(shapes) > 5
    for shape in shapes:
        assert "stroke:#" in shape.get("style")
        assert "var(" not in shape.get("style")


def test_without_its_library_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "weasyprint", None)
    with pytest.raises(UsageError, match="WeasyPrint") as caught:
        render_pdf(three_arms())
    assert "fairtrial[reports]" in caught.value.hint
