"""Effects by segment as they are shown: a small forest a column, metric and treatment."""

from __future__ import annotations

from collections.abc import Mapping

from fairtrial.evaluation.scorecard import Comparison, Scorecard
from fairtrial.evaluation.segment_report import LevelEffect, SegmentColumn, SegmentComparison, SegmentLevel, Segments
from fairtrial.reports.axis import Domain, Span, axis, domain, mark
from fairtrial.reports.formatting import DASH, clean, count, effect_style, estimate_style, level, p_statement, power, share, tick
from fairtrial.reports.rows import effect_span, row
from fairtrial.reports.view_models import AxisView, SegmentBlockView, SegmentColumnView, SegmentRowView, SegmentsView
from fairtrial.reports.words import CORRECTIONS, phrase, sentence

HINT = "no verdict rests on them; levels stand by size, not by effect"
HARMS: Mapping[str, str] = {
    "hidden_regression": "hidden regression: significantly worse here, for the better over all units",
    "suspected": "the estimate is on the harmful side here, which chance alone may do",
}
REVERSED = "Simpson's paradox: every level points the other way than all units together."


def segments_view(scorecard: Scorecard) -> SegmentsView | None:
    """Everything by segment, written out; None where the scorecard has none."""
    segments = scorecard.segments
    if segments is None:
        return None
    treatments = {row.treatment for row in segments.comparisons}
    return SegmentsView(
        hint=HINT,
        basis=_basis(segments),
        columns=tuple(_column(scorecard, segments, column) for column in segments.columns),
        several=len(treatments) > 1,
        believed=scorecard.error_control == "bayesian",
    )


def _basis(segments: Segments) -> str:
    correction = CORRECTIONS.get(segments.correction, phrase(segments.correction))
    return (
        f"{sentence(segments.basis)} p-values are corrected ({correction}) over all levels, columns and treatments of a metric, and so are "
        "the tests of whether levels differ. A shrunken effect is drawn towards the others by as much as its noise asks for."
    )


def _column(scorecard: Scorecard, segments: Segments, column: SegmentColumn) -> SegmentColumnView:
    pooled = next((one.pooled for one in column.levels if one.kind == "other"), 0)
    note = f"(other) holds the {count(pooled)} rarer values." if pooled else ""
    blocks = tuple(_block(scorecard, segments, column, one) for one in segments.comparisons if one.column == column.column)
    return SegmentColumnView(column=clean(column.column), note=note, blocks=blocks)


def _block(scorecard: Scorecard, segments: Segments, column: SegmentColumn, found: SegmentComparison) -> SegmentBlockView:
    levels = [_as_comparison(found, one) for one in found.levels]
    spans = [span for one in levels if (span := effect_span(one)) is not None]
    scale = domain(spans)
    rows = tuple(
        _row(scorecard, segments, found, (who, one, compared), scale)
        for who, one, compared in zip(column.levels, found.levels, levels, strict=True)
    )
    mirrored = found.direction == "decrease"
    return SegmentBlockView(
        metric=clean(found.metric),
        treatment=clean(found.treatment),
        lower_is_better=mirrored,
        whole=_whole(scorecard, found),
        differ=_differ(found, segments.alpha),
        reversed=REVERSED if found.reversed else "",
        axis=None if scale is None else _axis(found, scale, mirrored=mirrored),
        rows=rows,
    )


def _as_comparison(found: SegmentComparison, one: LevelEffect) -> Comparison:
    """A level as the row of a forest: its name stands where a treatment's would."""
    return Comparison(
        metric=found.metric,
        kind=found.kind,
        role=found.role,
        direction=found.direction,
        treatment=one.level,
        estimate=one.estimate,
        unavailable=one.unavailable,
        reading=one.reading,
    )


def _axis(found: SegmentComparison, scale: Domain, *, mirrored: bool) -> AxisView:
    title = f"Change of {clean(found.metric)}" + (", turned so that better is to the right" if mirrored else "")
    return axis(scale, lambda value, step: tick(found.kind, value, step, signed=not mirrored), mirrored=mirrored, title=title)


def _row(
    scorecard: Scorecard,
    segments: Segments,
    found: SegmentComparison,
    level_of: tuple[SegmentLevel, LevelEffect, Comparison],
    scale: Domain | None,
) -> SegmentRowView:
    who, one, compared = level_of
    trusted = scorecard.decision.state != "invalid"
    span: Span | None = effect_span(compared)
    placed = None if span is None or scale is None else mark(span, scale)
    shrunken, interval = DASH, DASH
    if one.shrunken is not None and one.shrunken_interval is not None:
        style = effect_style(found.kind, one.shrunken, one.shrunken_interval)
        shrunken, interval = style.signed(one.shrunken), style.span(one.shrunken_interval)
    return SegmentRowView(
        row=row(compared, alpha=segments.alpha, mark=placed, trusted=trusted),
        share=share(who.share),
        n=count(sum(who.n.values())),
        shrunken=shrunken,
        shrunken_interval=interval,
        at_once=_at_once(found, one),
        harm=HARMS.get(one.harm or "", "") if trusted else "",
    )


def _at_once(found: SegmentComparison, one: LevelEffect) -> str:
    if one.simultaneous is None or one.estimate is None or one.simultaneous == one.estimate.interval:
        return ""
    return effect_style(found.kind, one.estimate.effect, one.simultaneous).span(one.simultaneous)


def _whole(scorecard: Scorecard, found: SegmentComparison) -> str:
    whole = scorecard.comparison(found.metric, found.treatment).estimate
    if whole is None:
        return "not available over all units"
    style = estimate_style(found.kind, whole)
    return f"all units {style.signed(whole.effect)} {style.span(whole.interval)}"


def _differ(found: SegmentComparison, alpha: float) -> str:
    tested = found.differ
    if tested is None:
        gone = found.unavailable
        return f"Whether levels differ was not tested. {sentence(gone.reason) if gone is not None else ''}".strip()
    says = "The effect differs between levels" if tested.p_adjusted < alpha else "No sign that the effect differs between levels"
    figures = f"Q {tested.q:.3g} on {tested.df} df, adjusted {p_statement(tested.p_adjusted, alpha)}, I² {power(tested.i_squared)}"
    return f"{says} ({figures}; shrunken intervals at {level(alpha)})."
