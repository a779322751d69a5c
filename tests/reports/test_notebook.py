"""The notebook's fragment: scoped, escaped, and no larger than it needs to be."""

import re

import pytest
from samples import SAMPLES, advertising, hostile_names, wide

from fairtrial.reports import repr_html, view
from fairtrial.reports.notebook import MOST_ROWS, scoped


@pytest.mark.parametrize("name", SAMPLES)
def test_every_rule_stays_inside_the_card(name: str):
    text = repr_html(SAMPLES[name]())
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    flat = re.sub(r"@(?:media|container)[^{]*\{", "", style)
    for selectors in re.findall(r"([^{}]+)\{", flat):
        for selector in re.split(r",(?![^(]*\))", selectors):
            assert ".ft-card" in selector, selector
    assert text.count("<style>") == 1


@pytest.mark.parametrize("name", SAMPLES)
def test_the_fragment_is_escaped_and_loads_nothing(name: str):
    text = repr_html(SAMPLES[name]())
    assert "<script" not in text
    assert "http" not in text
    assert "url(" not in text


def test_the_headline_the_number_and_the_findings_are_there():
    text, shown = repr_html(advertising()), view(advertising())
    for words in (shown.verdict.label, shown.verdict.headline, shown.hero.row.change, shown.hero.row.interval, shown.srm.title):
        assert words in text
    assert "+4,343" in text


def test_a_long_scorecard_is_cut_and_says_so():
    text = repr_html(wide())
    assert text.count('class="track"') == MOST_ROWS
    assert f"{60 - MOST_ROWS} more rows" in text


def test_names_are_text():
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in repr_html(hostile_names())


def test_scoping_leaves_no_selector_behind():
    assert scoped(".a,.b{x:1}\n.v-good{y:2}") == ".ft-card .a,.ft-card .b{x:1}\n.ft-card.v-good{y:2}"
