"""A scorecard in a notebook: a fragment to look at, and a data frame to work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairtrial.evaluation.scorecard import Comparison, Scorecard
from fairtrial.reports.html import environment, squeeze, stylesheet
from fairtrial.reports.views import view

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 24
"""Rows shown before the rest is left to the data frame."""


def repr_html(scorecard: Scorecard) -> str:
    """The scorecard as an HTML fragment for a notebook's output.

    It brings its own colours, for light and for dark hosts, and touches nothing
    outside itself: every rule is scoped to its own class.

    Args:
        scorecard: The result to show.
    """
    shown = view(scorecard)
    rows = [row for group in shown.groups for metric in group.metrics for row in metric.rows]
    css = stylesheet("forest.css").replace("\n.", "\n.ft-card .").replace(".ft-card .v-", ".ft-card.v-").replace("}.v-", "}.ft-card.v-")
    page = (
        environment()
        .get_template("notebook.html.j2")
        .render(
            v=shown,
            rows=rows[:MOST_ROWS],
            hidden=max(len(rows) - MOST_ROWS, 0),
            css=css,
            spec=scorecard.spec_hash[:12],
            data=scorecard.intake.fingerprint[:12],
        )
    )
    return squeeze(page)
