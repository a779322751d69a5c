"""A scorecard in a notebook: a compact fragment to look at.

It brings its own colours, for light and for dark hosts, and touches nothing
outside itself: every rule is scoped to its own class.
"""

from __future__ import annotations

from markupsafe import Markup

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.html import environment, squeeze, stylesheet
from fairtrial.reports.views import view

SCOPE = ".ft-card"
MOST_ROWS = 24
"""Rows shown before the rest is left to the data frame."""


def repr_html(scorecard: Scorecard) -> str:
    """The scorecard as an HTML fragment for a notebook's output.

    Args:
        scorecard: The result to show.
    """
    shown = view(scorecard)
    rows = [row for group in shown.groups for metric in group.metrics for row in metric.rows]
    fragment = (
        environment()
        .get_template("notebook.html.j2")
        .render(
            v=shown,
            rows=rows[:MOST_ROWS],
            hidden=max(len(rows) - MOST_ROWS, 0),
            css=scoped(stylesheet("forest.css")) + stylesheet("notebook.css"),
            spec=scorecard.spec_hash[:12],
            data=scorecard.intake.fingerprint[:12],
        )
    )
    return squeeze(fragment)


def scoped(css: str) -> Markup:
    """Plain rules, each limited to the card; a verdict's class sits on the card itself.

    Args:
        css: Rules without nesting and without at-rules.
    """
    rules: list[str] = []
    for rule in css.split("}"):
        selectors, brace, body = rule.partition("{")
        if brace:
            names = (name.strip() for name in selectors.split(","))
            limited = ",".join(f"{SCOPE}{name}" if name.startswith(".v-") else f"{SCOPE} {name}" for name in names)
            rules.append(f"{limited}{{{body.strip()}}}")
    return Markup("\n".join(rules))  # noqa: S704 - our own packaged rules
