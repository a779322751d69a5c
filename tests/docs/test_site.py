"""The built site: whole, without a warning, and without a request to any other host."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from page_runner import DOCS, ROOT

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src", "object": "data"}
pytestmark = pytest.mark.xdist_group("site")
"""One worker builds the site once."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(HTMLParser):
    """What a page loads by itself, where it leads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles = ""
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = {key: value or "" for key, value in attrs}
        self.anchors |= {given[key] for key in ("id", "name") if key in given}
        self._in_style = tag == "style"
        self.styles += given.get("style", "")
        if tag in LOADS and LOADS[tag] in given:
            self.loads.append(given[LOADS[tag]])
        if tag == "link" and given.get("rel") not in {"canonical", "next", "prev", "alternate"}:
            self.loads.append(given.get("href", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])

    def handle_endtag(self, tag):
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data):
        if self._in_style:
            self.styles += data


def is_outside(address: str) -> bool:
    parts = urlsplit(address.strip("'\" "))
    return bool(parts.netloc) or parts.scheme in {"http", "https", "ftp"}


@cache
def page_at(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages_of(site: Path) -> Iterator[tuple[Path, Page]]:
    for path in sorted(site.rglob("*.html")):
        yield path, page_at(path)


def test_the_check_for_outside_hosts_can_fail():
    page = Page('<script src="//cdn.example/x.js"></script><link rel="stylesheet" href="a.css"><style>@import "https://f.example"</style>')
    assert [is_outside(address) for address in page.loads] == [True, False]
    assert "f.example" in page.styles


def test_no_page_loads_anything_from_another_host(site: Path):
    found = [f"{path.relative_to(site)}: {address}" for path, page in pages_of(site) for address in page.loads if is_outside(address)]
    assert found == []


def test_no_style_loads_anything_from_another_host(site: Path):
    styles = [(path.name, path.read_text(encoding="utf-8")) for path in site.rglob("*.css")]
    styles += [(path.parent.name, page.styles) for path, page in pages_of(site)]
    asked = [(name, address) for name, text in styles for address in re.findall(r"(?:url\(|@import\s+)['\"]?([^'\")\s;]+)", text)]
    assert [found for found in asked if is_outside(found[1]) and not found[1].startswith("data:")] == []


def test_links_and_anchors_inside_the_site_exist(site: Path):
    pages = {path.resolve(): page for path, page in pages_of(site) if path.name != "404.html"}
    broken: list[str] = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors):
                broken.append(f"{path.relative_to(site.resolve())}: {link}")
    assert len(pages) > 25
    assert broken == []


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """Passes over Python tags of extensions."""

    Loader.add_multi_constructor("tag:", lambda *_: None)
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=Loader)
    named = set(re.findall(r"[\w/-]+\.(?:md|ipynb)", repr(settings["nav"])))
    there = {path.relative_to(DOCS).as_posix() for pattern in ("*.md", "*.ipynb") for path in DOCS.rglob(pattern)}
    assert sorted(named ^ there) == []
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True


def test_the_site_holds_the_executed_notebook(site: Path):
    text = (site / "notebook" / "index.html").read_text(encoding="utf-8")
    assert "STRONG LAUNCH" in text
    assert "ModuleNotFoundError" not in text


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
def test_a_browser_asks_no_other_host_and_nothing_overflows_on_a_phone(site: Path, tmp_path: Path):
    tool = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    asked: list[str] = []
    try:
        with tool.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
            page = browser.new_page(viewport={"width": 360, "height": 740})
            page.on("request", lambda request: asked.append(request.url))
            for name in ("", "tutorial/", "notebook/", "reference/decisions/"):
                page.goto(home + name, wait_until="networkidle")
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= 360, f"{name} is {wide} pixels wide"
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) > 10
    assert [address for address in asked if not address.startswith((home, "data:", "blob:"))] == []


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        """Nothing."""
