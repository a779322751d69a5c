"""What a report shows, as text and positions: every number is already written out.

Terminal, HTML and notebook lay these out and add nothing: no arithmetic and no
formatting happens after this point. Positions are fractions of a track's width,
0 at its left edge; on every track better lies to the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["better", "worse", "inconclusive", "unavailable"]
VerdictTone = Literal["good", "caution", "wait", "neutral", "bad", "invalid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickView:
    """One tick of an axis: where it stands, in [0, 1], what it says, and whether it stays when room is short."""

    at: float
    label: str
    major: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisView:
    """A horizontal axis on which better lies to the right.

    Attributes:
        ticks: From left to right.
        zero: Position of "no change".
        mirrored: Whether some metric is lower-is-better and drawn mirrored; ticks then carry no sign.
        title: What the axis measures.
    """

    ticks: tuple[TickView, ...]
    zero: float
    mirrored: bool
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkView:
    """An estimate and its interval on an axis, better to the right.

    Attributes:
        point: Position of the estimate, in [0, 1].
        low: Left end of the interval.
        high: Right end of the interval.
        open_low: The interval goes on beyond the left edge.
        open_high: The interval goes on beyond the right edge.
        point_off: The estimate itself lies beyond the edge at which it is drawn.
        margin: Position of the harm tolerated (or of the null hypothesis), if one was declared and lies on the axis.
        margin_text: What the margin is, in words; empty when there is none.
    """

    point: float
    low: float
    high: float
    open_low: bool = False
    open_high: bool = False
    point_off: bool = False
    margin: float | None = None
    margin_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailView:
    """Status of a guardrail, in words."""

    status: Literal["PASS", "WARNING", "ALERT", "UNAVAILABLE"]
    reason: str
    margin: str
    non_inferior: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One metric of one treatment against the control.

    Attributes:
        tone: What the estimate says in the metric's direction.
        reading: The same as a word for a person.
        change: Effect with its unit; a dash when unavailable.
        interval: Interval of the effect with brackets.
        interval_words: The same as "a to b".
        level: Confidence level of both intervals ("95%").
        lift: Relative effect; a dash when there is none.
        lift_interval: Interval of the lift with brackets.
        lift_says: Both together; empty when there is no lift.
        p: The p-value as tested, written for a table.
        p_final: The p-value that counts: adjusted where a correction applies.
        p_adjusted: Adjusted p-value, or a dash.
        p_says: The p-value that counts, as "p = 0.012" or "adjusted p = 0.024".
        spoken: The row as one sentence (for screen readers and plain text).
        mark: Where it is drawn; None when it cannot be.
        mark_missing: Why it is not drawn.
        why_unavailable: Reason when there is no estimate; empty otherwise.
        exact: Every number as computed, as (name, value) in order.
        methods: How it was computed; empty when it was not.
        notes: What a reader must know, in words.
    """

    metric: str
    kind: str
    role: Literal["primary", "secondary", "guardrail"]
    lower_is_better: bool
    treatment: str
    tone: Tone
    reading: str
    control_value: str
    treatment_value: str
    n_control: str
    n_treatment: str
    change: str
    interval: str
    interval_words: str
    level: str
    lift: str
    lift_interval: str
    lift_says: str
    p: str
    p_adjusted: str
    p_final: str
    p_says: str
    spoken: str
    mark: MarkView | None
    mark_missing: str
    why_unavailable: str
    guardrail: GuardrailView | None
    exact: tuple[tuple[str, str], ...]
    methods: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricView:
    """One metric with a row per treatment, in declared order."""

    metric: str
    role: Literal["primary", "secondary", "guardrail"]
    lower_is_better: bool
    rows: tuple[RowView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """All metrics of one role."""

    title: str
    hint: str
    metrics: tuple[MetricView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictView:
    """What the declared rule says of one treatment.

    Attributes:
        label: Verdict as a person reads it ("LAUNCH", "NO VERDICT").
        headline: The verdict as one sentence.
        facts: Confidence, risk and rule, as (name, value).
    """

    treatment: str
    label: str
    tone: VerdictTone
    headline: str
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeroView:
    """The number that matters: the primary metric of the treatment that the verdict speaks of.

    Attributes:
        row: The comparison.
        control: Name of the control arm.
        axis: Axis of the effect itself, in the metric's unit; None when it cannot be drawn.
        mark: The effect on `axis`.
        sentence: Number and interval as one sentence.
        caution: Why the number must not be believed or is not final; empty when nothing speaks against it.
    """

    row: RowView
    control: str
    axis: AxisView | None
    mark: MarkView | None
    sentence: str
    caution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmView:
    """One arm: units, planned and observed share."""

    name: str
    role: str
    n: str
    planned_share: str
    observed_share: str
    planned_n: str
    share_width: float
    planned_width: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """A check of the data with its state: `ok`, `warning`, `critical` or `skipped`."""

    state: Literal["ok", "warning", "critical", "skipped"]
    title: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """What was planned and what of it is there.

    Attributes:
        sentence: The plan's state.
        powered: Whether it was powered, for what effect.
        progress: Units that came as a fraction of those planned, at most 1; None without a plan.
        facts: (name, value) in order.
    """

    sentence: str
    powered: str
    progress: float | None
    progress_text: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One thing worth knowing, and what to do."""

    severity: Literal["info", "warning", "critical"]
    label: str
    code: str
    message: str
    action: str
    about: str
    numbers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalView:
    """What a treatment added.

    Attributes:
        share: Part of its own total that is incremental; empty when nothing was added.
    """

    metric: str
    treatment: str
    value: str
    interval: str
    share: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactLineView:
    """One figure with its interval; a dash where it has none (costs are exact)."""

    name: str
    value: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactView:
    """What a treatment's effect is worth.

    Attributes:
        level: Level of the intervals; empty where there are none.
        sentence: The gain with its interval, and whether it is sure to pay.
        lines: Gain, costs, net gain, return, payback; empty when unavailable.
        assumptions: What the figures rest on.
        why_unavailable: Why there are none; empty otherwise.
    """

    treatment: str
    metric: str
    level: str
    sentence: str
    lines: tuple[ImpactLineView, ...]
    assumptions: tuple[str, ...]
    why_unavailable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRowView:
    """One level of a segment column.

    Attributes:
        row: The comparison within the level; its `treatment` is the level's name.
        share: Part of all units.
        n: Units in it.
        shrunken: The effect drawn towards the other levels', with its interval; a dash where there is none.
        at_once: Interval that holds together with those of all other levels; empty where it is the row's own, or there is none.
        harm: What speaks of harm that the average hides; empty when nothing does.
    """

    row: RowView
    share: str
    n: str
    shrunken: str
    shrunken_interval: str
    at_once: str
    harm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentBlockView:
    """One metric and treatment by the levels of a column.

    Attributes:
        whole: The effect over all units, with its interval.
        differ: Whether the levels differ, in a sentence.
        reversed: Warning of Simpson's paradox; empty when there is none.
        axis: Axis shared by the levels; None when nothing can be drawn.
    """

    metric: str
    treatment: str
    lower_is_better: bool
    whole: str
    differ: str
    reversed: str
    axis: AxisView | None
    rows: tuple[SegmentRowView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentColumnView:
    """One segment column with a block per metric and treatment."""

    column: str
    note: str
    blocks: tuple[SegmentBlockView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentsView:
    """Everything by segment.

    Attributes:
        hint: What may be read from it, in a few words.
        basis: What p-values and intervals promise.
        columns: In declared order.
        several: Whether blocks must say which treatment they are of.
        believed: Whether levels have credible intervals and no p-values.
    """

    hint: str
    basis: str
    columns: tuple[SegmentColumnView, ...]
    several: bool
    believed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRowView:
    """One effect of factors.

    Attributes:
        name: Which: `price: full -> discount`, `button x price`, the first with the levels of others behind it.
        p: The p-value that counts: adjusted where a correction applies.
        spoken: The row as one sentence.
    """

    name: str
    tone: Tone
    reading: str
    change: str
    interval: str
    level: str
    p: str
    spoken: str
    methods: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorMetricView:
    """One metric's effects of factors, or why it has none."""

    metric: str
    role: Literal["primary", "secondary", "guardrail"]
    lower_is_better: bool
    rows: tuple[FactorRowView, ...]
    why_unavailable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorialView:
    """What the factors of a factorial experiment do.

    Attributes:
        sentence: How the effects are made and corrected.
        caution: Why main effects must not be read alone, or not yet; empty when nothing speaks against it.
        simple: Effects of interacting factors at each level of the others; empty when none interact.
        simple_note: How these are corrected.
    """

    sentence: str
    caution: str
    metrics: tuple[FactorMetricView, ...]
    simple: tuple[FactorRowView, ...]
    simple_note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardView:
    """A scorecard as it is shown.

    Attributes:
        trusted: Whether the data passed its checks; when not, the numbers serve diagnosis only.
        verdict: The experiment's verdict.
        verdicts: One per treatment, when there are several.
        axis: Axis shared by all marks of `groups`, of relative lift; None when nothing can be drawn.
        one_level: The confidence level, when all intervals stand at the same one; else empty.
        adjusted: Whether any p-value was corrected.
        believed: Whether the comparisons are posteriors: a chance to be better stands in the place of a p-value.
        how_to_read: (heading, paragraph) in order.
        factorial: Effects of factors; None where the experiment is not factorial.
        provenance: (name, value) in order.
        segments: Effects by segment, where the spec asks for them.
        impact: What the effects are worth, where the spec says what turns them into money.
    """

    title: str
    key: str
    kind: str
    hypothesis: str
    as_of: str
    summary: str
    trusted: bool
    control: str
    verdict: VerdictView
    verdicts: tuple[VerdictView, ...]
    hero: HeroView | None
    axis: AxisView | None
    groups: tuple[GroupView, ...]
    one_level: str
    adjusted: bool
    believed: bool
    arms: tuple[ArmView, ...]
    srm: CheckView
    plan: PlanView
    findings: tuple[FindingView, ...]
    no_findings: str
    incremental: tuple[IncrementalView, ...]
    how_to_read: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]
    intake: tuple[tuple[str, str], ...]
    intake_notes: tuple[str, ...]
    segments: SegmentsView | None = None
    factorial: FactorialView | None = None
    impact: tuple[ImpactView, ...] = ()
