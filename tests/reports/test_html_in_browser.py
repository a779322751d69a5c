"""The page in a real browser: nothing leaves, nothing overflows, everything can be read."""

import shutil
import subprocess
import tempfile

import pytest
from samples import SAMPLES, advertising, three_arms

from fairtrial.reports import render_html, repr_html, view

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]

LEAST_CONTRAST = 4.5
"""WCAG 2.2, success criterion 1.4.3, level AA, text of normal size."""

CONTRASTS = """() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const read = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = read(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  let seen = 0;
  for (const node of document.querySelectorAll('body *')) {
    const words = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (!words || ['STYLE', 'TITLE', 'title', 'desc'].includes(node.nodeName)) continue;
    const style = getComputedStyle(node);
    const front = read(node.nodeName === 'text' ? style.fill : style.color);
    const [a, b] = [light(front), light(behind(node))].sort((x, y) => y - x);
    seen += 1;
    if ((a + 0.05) / (b + 0.05) < LEAST) poor.push([node.nodeName, node.textContent.slice(0, 40), (a + 0.05) / (b + 0.05)]);
  }
  return { seen, poor };
}""".replace("LEAST", str(LEAST_CONTRAST))


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tool, tempfile.TemporaryDirectory() as profile:
        opened = tool.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            headless=True,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield opened
        opened.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open a document from a file; every request and every message of the page is kept."""
    pages = []

    def open_page(text: str, *, width: int = 1280, scheme: str = "light", media: str = "screen"):
        path = tmp_path / f"page{len(pages)}.html"
        path.write_text(text, encoding="utf-8")
        page = browser.new_page()
        pages.append(page)
        page.requests, page.messages = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("dialog", lambda dialog: page.messages.append(dialog.message))
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme, media=media)
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_requested_and_nothing_runs(show, name: str):
    page = show(render_html(SAMPLES[name]()))
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in page.requests if url.startswith("file:")]) == 1
    assert page.messages == []


@pytest.mark.parametrize("width", [320, 360, 768])
@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_never_scrolls_sideways(show, name: str, width: int):
    page = show(render_html(SAMPLES[name]()), width=width)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= page.evaluate("innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SAMPLES)
def test_all_text_has_enough_contrast(show, name: str, scheme: str):
    found = show(render_html(SAMPLES[name]()), scheme=scheme).evaluate(CONTRASTS)
    assert found["seen"] > 50
    assert found["poor"] == []


def test_dark_is_dark_and_paper_is_white(show):
    shade = "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)"
    text = render_html(advertising())
    assert max(show(text, scheme="dark").evaluate(shade)) < 40
    assert min(show(text, scheme="light").evaluate(shade)) > 230
    assert show(text, scheme="dark", media="print").evaluate(shade) == [255, 255, 255]


def test_a_plot_is_as_wide_as_its_track_and_stays_inside(show):
    page = show(render_html(three_arms()), width=360)
    boxes = page.evaluate(
        "[...document.querySelectorAll('.track')].map(s => { const b = s.getBoundingClientRect(); return [b.left, b.right, b.height] })"
    )
    assert len(boxes) == 10
    for left, right, height in boxes:
        assert left >= 0
        assert right <= 360
        assert right - left > 200
        assert 20 < height < 100


@pytest.mark.parametrize(("theme", "dark"), [("true", False), ("false", True)])
def test_the_notebook_fragment_follows_the_hosts_theme(show, theme: str, dark: bool):
    host = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><body data-jp-theme-light="{theme}">{repr_html(three_arms())}</body></html>'
    )
    page = show(host, scheme="light" if dark else "dark")
    shade = page.evaluate("getComputedStyle(document.querySelector('.ft-card')).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(shade) < 60) == dark
    found = page.evaluate(CONTRASTS)
    assert found["seen"] > 20
    assert found["poor"] == []


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext on this machine (apt-get install poppler-utils)")
@pytest.mark.parametrize("name", ["advertising", "three_arms", "invalid_srm"])
def test_print_has_the_verdict_and_its_number_on_page_one(show, tmp_path, name: str):
    scorecard = SAMPLES[name]()
    path = tmp_path / "report.pdf"
    show(render_html(scorecard)).pdf(path=path, format="A4", prefer_css_page_size=True)
    words = subprocess.run(["pdftotext", "-l", "1", "-layout", str(path), "-"], capture_output=True, text=True, check=True).stdout
    first = " ".join(words.split())
    shown = view(scorecard)
    assert shown.verdict.label in first
    assert shown.verdict.headline in first
    assert shown.hero.row.change in first
    assert shown.hero.row.interval_words in first
