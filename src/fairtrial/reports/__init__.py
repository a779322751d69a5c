"""A scorecard as terminal text, HTML page, Markdown, notebook fragment, plain language and JSON Schema.

`fairtrial.reports.frames.to_frame` makes a data frame of it; it is not imported
here because it loads pandas.
"""

from fairtrial.reports.explain import explain
from fairtrial.reports.html import render_html
from fairtrial.reports.markdown import render_markdown
from fairtrial.reports.notebook import repr_html
from fairtrial.reports.pdf import render_pdf
from fairtrial.reports.schema import scorecard_schema
from fairtrial.reports.spec_text import render_plan, render_spec
from fairtrial.reports.terminal import render_terminal
from fairtrial.reports.view_models import ScorecardView
from fairtrial.reports.views import view

__all__ = [
    "ScorecardView",
    "explain",
    "render_html",
    "render_markdown",
    "render_pdf",
    "render_plan",
    "render_spec",
    "render_terminal",
    "repr_html",
    "scorecard_schema",
    "view",
]
