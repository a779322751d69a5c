"""Pairs of experiments in the terminal: overlap, interaction, what it means for the decision, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from fairtrial.diagnostics.joint_cells import BestCell
from fairtrial.diagnostics.pair_analysis import PairAnalysis, ScanEntry
from fairtrial.diagnostics.pair_tests import InteractionTest
from fairtrial.evaluation.within_arms import VerdictInArm
from fairtrial.reports.formatting import DASH, clean, count, p_statement, p_value, precise, share
from fairtrial.reports.pen import Pen

RISKS = {"low": "green", "medium": "yellow", "high": "bold red"}
WHY = {
    "mutual_exclusion_group": "they are in one exclusion group",
    "not_concurrent": "they do not run at the same time",
    "no_shared_users": "they share no users",
    "no_users": "neither has users yet",
    "no_metric": "an experiment has no metric to test",
    "unsupported_metric": "the primary metric is none that sums by cell can hold (a plain rate, mean or count)",
    "no_control_variant": "an experiment has no control",
    "too_few_shared_users": "too few shared users in a cell",
    "too_few_conversions": "too few conversions in a cell",
    "no_variance": "the metric does not vary in a cell",
}
"""Reasons in words."""
WIDE = 110
"""Columns from which the shares of both sides and the smallest visible interaction have room."""
MOST_LISTED = 25
"""Pairs that are listed, the riskiest first; JSON has all."""


def render_pair(pair: PairAnalysis, console: Console, verdicts: Sequence[VerdictInArm] = ()) -> None:
    """Print the analysis of a pair.

    Args:
        pair: What was found.
        console: Where to print.
        verdicts: Of both experiments, in the arms of the other.
    """
    pen = Pen(console)
    pen.heading("Interaction", f"{clean(pair.a)} and {clean(pair.b)}")
    overlap = pair.overlap
    if overlap.jaccard is None:
        pen.out(pen.text("Neither experiment has users yet.", "dim"), indent=2)
    else:
        told = f"{count(overlap.intersection)} users in both: {_share(overlap.share_of_a)} of {clean(pair.a)} ({count(overlap.n_a)}), "
        told += f"{_share(overlap.share_of_b)} of {clean(pair.b)} ({count(overlap.n_b)}); Jaccard {overlap.jaccard:.3f}, {overlap.band}"
        pen.out(pen.text(told), indent=2)
    for one in pair.dependence:
        if one.is_dependent:
            told = f"Whether users of {clean(one.experiment_id)} are in {clean(one.in_experiment_id)} depends on their arm "
            told += f"({p_statement(one.p_value or 0.0)}): find out why before the effects are read."
            pen.out(pen.text(told, "yellow"), indent=2)
    for row in pair.tests:
        _row(pen, row)
    if pair.decisions:
        pen.heading("Does the decision change?")
        pen.items((pen.text("-"), pen.text(clean(one.sentence))) for one in pair.decisions)
    if verdicts:
        pen.out(pen.text("By each one's own rule, on its primary metric alone:", "dim"), indent=2)
        table = Table.grid(padding=(0, 3, 0, 0))
        for one in verdicts:
            says = _verdict(one)
            table.add_row(
                pen.text(f"{clean(one.experiment_id)} where {clean(one.by_experiment_id)} is {clean(one.arm)}"), pen.text(says, "bold")
            )
        pen.out(table, indent=4)
    for best in pair.best:
        _best(pen, best, pair)
    pen.heading("Risk of running both")
    pen.out(pen.text(pair.risk, RISKS[pair.risk]), indent=2)
    pen.items((pen.text("-"), pen.text(clean(text))) for text in pair.recommendations)


def render_scan(
    entries: Sequence[ScanEntry], experiments: Sequence[str], console: Console, *, method: str, skipped: Mapping[str, str]
) -> None:
    """Print a scan, the riskiest pairs first.

    Args:
        entries: One a pair.
        experiments: Keys of the experiments.
        console: Where to print.
        method: How shared users were counted.
        skipped: Experiments that were left out, and why.
    """
    pen = Pen(console)
    high = sum(entry.overall_risk == "high" for entry in entries)
    pen.heading("Interaction scan", f"{count(len(experiments))} experiments, {count(len(entries))} pairs, {method}")
    ranked = sorted(entries, key=_order)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    wide = pen.width >= WIDE
    table.add_column("pair", overflow="fold", min_width=20)
    for head in ("shared", *(("of A", "of B") if wide else ()), "Jaccard", "p corrected", *(("could see",) if wide else ())):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("interaction", overflow="fold")
    table.add_column("risk", no_wrap=True)
    for entry in ranked[:MOST_LISTED]:
        visible = DASH if entry.smallest_visible is None else precise(entry.smallest_visible, 3)
        table.add_row(
            pen.text(f"{clean(entry.experiment_a_id)} / {clean(entry.experiment_b_id)}", "bold"),
            count(entry.shared_users),
            *((_share(entry.share_of_a), _share(entry.share_of_b)) if wide else ()),
            DASH if entry.overlap_coefficient is None else f"{entry.overlap_coefficient:.3f}",
            DASH if entry.min_corrected_p_value is None else p_value(entry.min_corrected_p_value),
            *((visible,) if wide else ()),
            pen.text(_answer(entry)),
            pen.text(entry.overall_risk, RISKS[entry.overall_risk]),
        )
    pen.out(table, indent=2)
    if len(ranked) > MOST_LISTED:
        pen.out(
            pen.text(f"{count(len(ranked) - MOST_LISTED)} more pairs of no higher risk are not listed; --json has all.", "dim"), indent=2
        )
    for key, why in skipped.items():
        pen.out(pen.text(clean(f"Left out: {key}. {why}"), "dim"), indent=2)
    told = f"{count(high)} of {count(len(entries))} pairs are of high risk." if high else "No pair is of high risk."
    pen.out(pen.text(""), pen.text(told, "bold red" if high else "green"), indent=2)
    pen.out(pen.text("p is corrected over every test of the scan (Benjamini-Hochberg).", "dim"), indent=2)
    if wide:
        pen.out(pen.text("`could see`: the smallest interaction, as a difference of effects, found with 80% power.", "dim"), indent=2)
    else:
        pen.out(pen.text("A wider terminal, or --json, shows the smallest interaction that each pair could have shown.", "dim"), indent=2)


def _verdict(one: VerdictInArm) -> str:
    if one.verdict is not None:
        return one.verdict.replace("_", " ")
    return f"no verdict ({(one.state or one.reason).replace('_', ' ')})"


def _order(entry: ScanEntry) -> tuple[int, float, float]:
    rank = ("high", "medium", "low").index(entry.overall_risk)
    return rank, 1.0 if entry.min_corrected_p_value is None else entry.min_corrected_p_value, -(entry.overlap_coefficient or 0.0)


def _answer(entry: ScanEntry) -> str:
    if entry.has_interaction is None:
        return f"not tested: {WHY.get(entry.unavailable_reason or '', entry.unavailable_reason)}"
    return "yes" if entry.has_interaction else "none shown"


def _share(value: float | None) -> str:
    return DASH if value is None else share(value)


def _row(pen: Pen, row: InteractionTest) -> None:
    of = "" if row.treatment is None else f"{clean(row.treatment)} of "
    title = f"{of}{clean(row.tested_experiment_id)} by arm of {clean(row.by_experiment_id)}"
    pen.heading(title, "" if row.metric is None else clean(row.metric))
    if row.arms:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        table.add_column(f"arm of {clean(row.by_experiment_id)}", overflow="fold")
        for head in ("control", "n", "treatment", "n", "effect"):
            table.add_column(head, justify="right", no_wrap=True)
        for arm in row.arms:
            values = (_level(row, arm.rate_control), count(arm.n_control), _level(row, arm.rate_treatment), count(arm.n_treatment))
            table.add_row(pen.text(clean(arm.arm), "bold"), *values, _effect(row, arm.effect))
        pen.out(table, indent=2)
    if row.p_value is None:
        why = WHY.get(row.unavailable_reason or "", str(row.unavailable_reason))
        pen.out(pen.text(f"Not tested: {why}.", "yellow"), indent=2)
        return
    says = "These effects differ" if row.is_significant else "Nothing shows that these effects differ"
    between = "" if row.ci_low is None else f", {_effect(row, row.ci_low)} to {_effect(row, row.ci_high)}"
    told = f"{says}: {_effect(row, row.interaction)}{between}; {p_statement(row.p_value)}"
    told += "" if row.corrected_p_value is None else f", corrected {p_value(row.corrected_p_value)}"
    pen.out(pen.text(f"{told}.", "bold red" if row.is_significant else ""), indent=2)
    pen.out(
        pen.text(f"A difference of {_effect(row, row.smallest_visible).lstrip('+')} would have been found with 80% power.", "dim"), indent=2
    )


def _level(row: InteractionTest, value: float | None) -> str:
    if value is None:
        return DASH
    return f"{100.0 * value:.2f}%" if row.method != "hc3_z" and row.arms[0].conversions_control is not None else precise(value, 5)


def _effect(row: InteractionTest, value: float | None) -> str:
    if value is None:
        return DASH
    return f"{100.0 * value:+.2f} pp" if row.arms[0].conversions_control is not None else f"{value:+.4g}"


def _best(pen: Pen, best: BestCell, pair: PairAnalysis) -> None:
    pen.heading("Best combination", clean(best.metric))
    first = best.cells[0]
    if best.best is not None:
        told = f"{clean(first.arm_a)} of {clean(pair.a)} with {clean(first.arm_b)} of {clean(pair.b)}: {precise(first.mean, 5)}."
    else:
        told = f"{count(best.contenders)} of {count(len(best.cells))} combinations cannot be told from the best; none is named."
    pen.out(pen.text(told), indent=2)
    if best.left_out:
        pen.out(pen.text(f"{count(best.left_out)} combinations with too few users were left out.", "dim"), indent=2)
