"""A scorecard as one HTML page: no request, no script, light and dark, phone and paper.

The page carries a content security policy that forbids every request and every
script, so that even a name made to inject one could do nothing; and every text
is escaped by the template engine.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import jinja2
from markupsafe import Markup, escape

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.view_models import ScorecardView
from fairtrial.reports.views import UNTRUSTED, view


def render_html(scorecard: Scorecard, *, charts: Sequence[str] = ()) -> str:
    """The report page.

    Args:
        scorecard: The result to show.
        charts: SVG elements of `reports.charts` to be shown on it, in order.

    Returns:
        One self-contained HTML document, UTF-8 when written to a file.
    """
    shown = view(scorecard)
    css = stylesheet("forest.css") + stylesheet("report.css")
    drawn = [Markup(chart) for chart in charts]  # noqa: S704 - our own SVG, its texts escaped
    page = environment().get_template("report.html.j2")
    return squeeze(page.render(v=shown, css=css, untrusted=UNTRUSTED, letters=method_letters(shown), charts=drawn))


@functools.cache
def environment() -> jinja2.Environment:
    """The template engine: everything is escaped, an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("fairtrial.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["code"] = code_words
    return made


def code_words(text: str) -> Markup:
    """Text escaped, with what stands between backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just here


def stylesheet(name: str) -> Markup:
    """One of the packaged style sheets, to be put inside `<style>`."""
    loader = environment().loader
    if loader is None:
        return Markup()
    source, _, _ = loader.get_source(environment(), name)
    return Markup(source)  # noqa: S704 - our own packaged file


def method_letters(shown: ScorecardView) -> dict[str, str]:
    """A letter for each distinct set of methods, in order of appearance: "A", ..., "Z", "A2"."""
    rows = (row for group in shown.groups for metric in group.metrics for row in metric.rows)
    distinct = dict.fromkeys(row.methods for row in rows if row.methods)
    return {methods: chr(ord("A") + i % 26) + (str(i // 26 + 1) if i >= 26 else "") for i, methods in enumerate(distinct)}


def squeeze(page: str) -> str:
    """Drop the white space that only indents or ends lines; nothing in our pages is preformatted."""
    return re.sub(r"\s*\n\s*", "\n", page).strip() + "\n"
