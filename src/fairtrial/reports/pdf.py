"""A scorecard as a PDF file: the report page on paper, drawn by WeasyPrint (extra `reports`).

WeasyPrint lays out HTML by CSS, but draws each SVG by itself: without the page's style
sheet and without CSS variables. So the shapes of the page's charts are told, each by its
own `style`, what the style sheet says of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fairtrial.errors import UsageError
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.html import render_html, stylesheet

PAPER = """
@page{size:A4;margin:16mm 15mm 18mm;@bottom-right{content:counter(page) " / " counter(pages);font:8pt sans-serif;color:#575d66}}
html{font-size:10pt}
body{padding:0}
h1{font-size:20pt}
.verdict h2{font-size:15pt}
.big{font-size:26pt}
.big.long{font-size:17pt}
.facts{display:block}
.facts div{display:inline-block;margin-right:16pt}
.facts dt,.facts dd{display:inline}
.facts dt{margin-right:4pt}
.gone{grid-column:2/5}
"""
"""What the page says in CSS that WeasyPrint does not know, said otherwise."""

HINT = "pip install 'fairtrial[reports]'; WeasyPrint needs the Pango library as well (Debian: libpango-1.0-0, libpangoft2-1.0-0)."
DRAWN = ("fill", "stroke", "stroke-width", "stroke-dasharray", "text-anchor", "font-size", "overflow")
"""What the style sheet says of the shapes of a chart."""


def render_pdf(scorecard: Scorecard) -> bytes:
    """The report as a PDF file.

    Args:
        scorecard: The result to show.

    Returns:
        The bytes of the file: A4, text that can be searched, no request made.

    Raises:
        UsageError: WeasyPrint or a library that it needs is not installed.
    """
    try:
        weasyprint: Any = import_module("weasyprint")
    except (ImportError, OSError) as error:
        raise UsageError(
            f"A PDF report is drawn by WeasyPrint, which cannot be loaded: {error}.", hint=HINT, code="missing_extra"
        ) from error
    page = render_html(scorecard).replace("</style>", f"{PAPER}</style>", 1)
    document: Any = weasyprint.HTML(string=page, url_fetcher=_no_request)
    _style_charts(document.wrapper_element, _variables(page))
    return document.write_pdf()


def _no_request(url: str, *_: object, **__: object) -> Mapping[str, object]:
    raise ValueError(f"a report asks for nothing from elsewhere, not even {url}")


def _variables(page: str) -> dict[str, str]:
    """The page's colours by light, which is that of paper: its first rule."""
    first = page.partition(":root{")[2].partition("}")[0]
    return dict(re.findall(r"--([\w-]+):([^;]+)", first))


def _style_charts(root: Any, variables: Mapping[str, str]) -> None:
    """Write into each shape of a chart what the style sheets say of it, variables filled in."""
    matcher = _matcher()
    known = {None: dict(variables)}
    for element in root.iter_subtree():
        above = known[element.parent if element.parent in known else None]
        said = {name: value for *_, rule in matcher.match(element) for name, value in rule.items()}
        own = {name[2:]: _filled(value, above) for name, value in said.items() if name.startswith("--")}
        known[element] = here = {**above, **own}
        style = [f"{name}:{_filled(said[name], here)}" for name in DRAWN if name in said]
        if style and any(outer.local_name == "svg" for outer in element.ancestors):
            element.etree_element.set("style", ";".join(style))


def _matcher() -> Any:
    """The rules of the style sheets about charts: by selector their declarations."""
    cssselect2: Any = import_module("cssselect2")
    tinycss2: Any = import_module("tinycss2")
    made = cssselect2.Matcher()
    for rule in tinycss2.parse_stylesheet(stylesheet("forest.css") + stylesheet("report.css"), skip_comments=True, skip_whitespace=True):
        if rule.type != "qualified-rule":
            continue
        declared = tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True)
        settings = {d.lower_name: tinycss2.serialize(d.value) for d in declared if d.type == "declaration"}
        about = {name: value for name, value in settings.items() if name in DRAWN or name.startswith("--")}
        if about:
            for selector in cssselect2.compile_selector_list(rule.prelude):
                made.add_selector(selector, about)
    return made


def _filled(value: str, variables: Mapping[str, str]) -> str:
    """A value with the variables in it replaced; 1rem is 10pt on paper."""
    filled = re.sub(r"var\(--([\w-]+)\)", lambda found: variables.get(found[1], "currentColor"), value)
    return re.sub(r"([\d.]+)rem", lambda found: f"{10 * float(found[1]):g}pt", filled).strip()
