"""The page: whole, escaped, self-contained, small, and in order for a screen reader."""

import itertools
import re
from html.parser import HTMLParser

import pytest
from samples import SAMPLES, advertising, hostile_names, three_arms, wide

from fairtrial.reports import render_html, view
from fairtrial.reports.html import code_words

VOID = {"meta", "link", "br", "img", "hr", "input"}
INLINE = {"code", "b", "bdi"}
LARGEST = 150_000


class Page(HTMLParser):
    """Reads a page: its tags, their nesting, its text."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in INLINE:
            self.words.append(" ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module", params=SAMPLES)
def made(request):
    scorecard = SAMPLES[request.param]()
    text = render_html(scorecard)
    return scorecard, text, Page(text)


def test_tags_are_closed_in_order(made):
    assert made[2].open == []


def test_nothing_is_loaded_and_nothing_runs(made):
    """Self-contained: no script, no event handler, no address but data:."""
    _, text, page = made
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "img", "iframe", "object", "embed", "base", "form", "audio", "video"})
    for tag, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert attrs.get(name, "data:,") == "data:,"
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_the_page_is_small(made):
    assert len(made[1].encode()) < LARGEST


def test_every_number_of_the_view_is_on_the_page(made):
    scorecard, _, page = made
    shown = view(scorecard)
    words = page.text.replace("\N{NO-BREAK SPACE}", " ")
    for group in shown.groups:
        for metric in group.metrics:
            for row in metric.rows:
                numbers = [row.change, row.interval, row.lift, row.p, row.p_final, row.control_value, row.treatment_value, row.n_control]
                for number in (*numbers[:7], row.why_unavailable, *(value for _, value in row.exact)):
                    assert number in words, (row.metric, number)
    texts = [shown.verdict.headline, *shown.verdict.reasons, *shown.verdict.next_steps, shown.plan.powered, shown.srm.title]
    texts += [value for _, value in (*shown.plan.facts, *shown.provenance, *shown.intake)]
    texts += [f.action for f in shown.findings] + [i.sentence for i in shown.incremental] + [t for _, t in shown.how_to_read]
    for text in texts:
        assert text.replace("`", "") in words, text


def test_headings_go_down_one_step_at_a_time(made):
    levels = [int(tag[1]) for tag, _ in made[2].tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_the_page_names_its_language_its_plots_and_its_columns(made):
    _, text, page = made
    assert dict(page.tags)["html"] == {"lang": "en"}
    for tag, attrs in page.tags:
        if tag == "th":
            assert attrs.get("scope") in {"col", "row"}
        if tag == "svg" and attrs.get("class", "").startswith("track"):
            assert attrs["role"] == "img"
    assert text.count('role="img"') == text.count("<title>") - 1


def test_the_verdict_comes_first_then_the_number_then_the_plot():
    text = render_html(three_arms())
    sections = ["Verdict", "The number that matters", "All metrics", "Arms and plan", "Findings", "Every number", "How to read this"]
    places = [text.index(f'aria-label="{section}"') for section in [*sections, "Where this comes from"]]
    assert places == sorted(places)


def test_names_with_html_in_them_are_text():
    text = render_html(hostile_names())
    page = Page(text)
    assert "<script" not in text
    assert "<b>处" not in text
    assert "onload=" not in [name for _, attrs in page.tags for name in attrs]
    assert "<script>alert(1)</script>" in page.text
    assert '{{ 7 * 7 }} & "quoted"' in page.text
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_every_comparison_has_a_mark_or_a_reason():
    shown = view(wide())
    text = render_html(wide())
    rows = [row for group in shown.groups for metric in group.metrics for row in metric.rows]
    assert len(rows) == 60
    assert text.count('class="track"') == sum(row.mark is not None for row in rows)


def test_margins_are_drawn():
    assert render_html(three_arms()).count('class="margin"') == 3
    assert "harm tolerated: 10% of the control" in render_html(three_arms())


def test_the_same_scorecard_gives_the_same_bytes():
    assert render_html(advertising()) == render_html(advertising())


def test_words_between_backticks_are_code_and_still_escaped():
    assert code_words("run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
