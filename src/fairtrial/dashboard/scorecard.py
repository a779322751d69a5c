"""A scorecard on a page: verdict with its reasons, effects, checks, segments."""

from __future__ import annotations

import streamlit as st

from fairtrial.dashboard import charts
from fairtrial.dashboard.parts import badge, box, facts, plain, table
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.pages.scorecard import forest_rows, not_drawn
from fairtrial.reports.view_models import MetricView, ScorecardView, VerdictView
from fairtrial.reports.views import view

SEVERITY = {"info": "info", "warning": "warning", "critical": "error"}


def draw_verdict(card: Scorecard) -> None:
    """The verdict, its reasons, the effects."""
    shown = view(card)
    for verdict in shown.verdicts or (shown.verdict,):
        _verdict(verdict, named=bool(shown.verdicts))
    if shown.hero is not None:
        st.markdown(plain(shown.hero.sentence))
        if shown.hero.caution:
            box("warning", shown.hero.caution)
    rows = forest_rows(card)
    if rows:
        st.altair_chart(charts.forest(rows, title="Change relative to the control, %"), width="stretch")
    left_out = not_drawn(card, rows)
    if left_out:
        st.caption(plain(left_out))
    for group in shown.groups:
        st.markdown(f"**{plain(group.title)}** · {plain(group.hint)}")
        _table(group.metrics)


def _verdict(verdict: VerdictView, *, named: bool) -> None:
    with st.container(border=True):
        badge(verdict.label, verdict.tone)
        st.markdown(f"### {plain(verdict.headline)}")
        if named:
            st.caption(plain(verdict.treatment))
        for reason in verdict.reasons:
            st.markdown(f"- {plain(reason)}")
        if verdict.next_steps:
            st.markdown("**Next**")
            for step in verdict.next_steps:
                st.markdown(f"- {plain(step)}")
        st.caption(plain(" · ".join(f"{name}: {value}" for name, value in verdict.facts)))


def _table(metrics: tuple[MetricView, ...]) -> None:
    rows = [row for metric in metrics for row in metric.rows]
    table(
        {
            "Metric": [row.metric for row in rows],
            "Arm": [row.treatment for row in rows],
            "Control": [row.control_value for row in rows],
            "Treatment": [row.treatment_value for row in rows],
            "Change": [row.change for row in rows],
            "Interval": [row.interval for row in rows],
            "Lift": [row.lift for row in rows],
            "p": [row.p_final for row in rows],
            "Reading": [row.guardrail.status if row.guardrail is not None else row.reading for row in rows],
            "Why not": [row.why_unavailable for row in rows],
        }
    )


def draw_checks(card: Scorecard) -> None:
    """Can the data be trusted, is the plan done, what was found."""
    shown = view(card)
    box(
        {"ok": "success", "warning": "warning", "critical": "error", "skipped": "warning"}[shown.srm.state],
        f"{shown.srm.title}. {shown.srm.sentence}",
    )
    st.markdown(plain(f"{shown.plan.sentence} {shown.plan.powered}"))
    if shown.plan.progress is not None:
        st.progress(min(shown.plan.progress, 1.0), text=plain(shown.plan.progress_text))
    for finding in shown.findings:
        box(SEVERITY[finding.severity], f"{finding.message} {finding.action}")
    if not shown.findings:
        st.caption(plain(shown.no_findings))
    table(
        {
            "Arm": [arm.name for arm in shown.arms],
            "Units": [arm.n for arm in shown.arms],
            "Planned share": [arm.planned_share for arm in shown.arms],
            "Observed share": [arm.observed_share for arm in shown.arms],
        }
    )
    with st.expander("How it was computed"):
        facts([*shown.provenance, *shown.intake])
    with st.expander("How to read this"):
        for heading, text in shown.how_to_read:
            st.markdown(f"**{plain(heading)}** {plain(text)}")


def draw_segments(shown: ScorecardView) -> bool:
    """Effects by segment, the test of "do they differ" first; whether there are any."""
    if shown.segments is None:
        return False
    st.caption(plain(f"{shown.segments.hint[0].upper()}{shown.segments.hint[1:]}. {shown.segments.basis}"))
    for column in shown.segments.columns:
        st.markdown(f"#### {plain(column.column)}")
        if column.note:
            st.caption(plain(column.note))
        for block in column.blocks:
            st.markdown(f"**{plain(block.metric)}** · {plain(block.treatment)} · {plain(block.whole)}")
            st.markdown(plain(block.differ))
            if block.reversed:
                box("warning", block.reversed)
            table(
                {
                    "Segment": [row.row.treatment for row in block.rows],
                    "Units": [row.n for row in block.rows],
                    "Share": [row.share for row in block.rows],
                    "Change": [row.row.change for row in block.rows],
                    "Interval": [row.row.interval for row in block.rows],
                    "p": [row.row.p_final for row in block.rows],
                    "Drawn together": [row.shrunken for row in block.rows],
                    "Harm": [row.harm for row in block.rows],
                }
            )
    return True
