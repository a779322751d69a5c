"""A spec and its plan in the terminal, as a person wants to read them."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairtrial.evaluation.factor_sizes import FactorSizes
from fairtrial.evaluation.planning import ExperimentPlan
from fairtrial.evaluation.sequence import WATCHING
from fairtrial.reports.formatting import Kind, clean, count, magnitude, power, precise, relative, share
from fairtrial.reports.pen import Pen
from fairtrial.reports.plan_view import SEQUENCES
from fairtrial.reports.words import CORRECTIONS, KINDS, METRIC_KINDS, ROLE_TITLES, note, objective_words, phrase, sentence
from fairtrial.spec.data import AggregatesData, LogsData, UnitsData
from fairtrial.spec.decision_table import RuleOverride
from fairtrial.spec.experiment import ExperimentSpec, metric_sources
from fairtrial.spec.metric import REGRESSIONS, CountSpec, EventValue, MeanSpec, MetricSpec, QuantileSpec, chosen_test
from fairtrial.spec.plan import PLANNED_LOOKS, AlwaysValidSpec, Method, PlanSpec
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.result import Unavailable

SHAPES = {"units": "one row per unit", "logs": "assignment and event logs", "aggregates": "ready aggregates"}


def render_spec(spec: ExperimentSpec, console: Console) -> None:
    """Print what an experiment is: its arms, metrics, decision rule and data.

    Args:
        spec: The experiment.
        console: Where to print; its width, colours and encoding are respected.
    """
    pen = Pen(console)
    kind = KINDS.get(spec.kind, phrase(spec.kind))
    pen.out(pen.join((clean(spec.name or spec.key), "bold"), (f"  {kind}, version {clean(spec.version)}", "dim")))
    if spec.name:
        pen.out(pen.text(clean(spec.key), "dim"))
    for text in (spec.hypothesis, spec.description):
        if text:
            pen.out(pen.text(clean(text), "italic"))
    _arms(pen, spec)
    _factors(pen, spec)
    pen.heading("Metrics")
    pen.items((_role(pen, metric), _metric(pen, metric)) for metric in sorted(spec.metrics, key=lambda m: list(ROLE_TITLES).index(m.role)))
    pen.heading("Decision rule")
    pen.items((pen.text(name, "dim"), pen.text(value)) for name, value in _rule(spec))
    if spec.data is not None:
        pen.heading("Data")
        pen.items((pen.text(name, "dim"), pen.text(value)) for name, value in _data(spec.data))
    if spec.segments is not None:
        pen.heading("Segments", "read beside the whole; no verdict rests on them")
        pen.items((pen.text(name, "dim"), pen.text(value)) for name, value in _segments(spec.segments))
    pen.out(Text(), pen.text(f"spec {spec.spec_hash[:12]}", "dim"))


def render_plan(plan: ExperimentPlan | Unavailable, spec: ExperimentSpec, console: Console) -> None:
    """Print how many units an experiment needs and what for, or why that cannot be said.

    Args:
        plan: The plan, as `plan_experiment` makes it.
        spec: The experiment it belongs to.
        console: Where to print.
    """
    pen = Pen(console)
    pen.heading("Plan", clean(spec.name or spec.key))
    if isinstance(plan, Unavailable):
        pen.out(pen.join(("Not sized. ", "bold yellow"), (sentence(plan.reason), "")), indent=2)
        return
    kind: Kind = spec.primary.kind
    pen.out(pen.join((count(plan.total), "bold"), (" units in all", "bold")), indent=2)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("arm", overflow="fold", min_width=8)
    table.add_column("units", justify="right")
    table.add_column("share", justify="right")
    for arm, n in plan.arms.items():
        table.add_row(pen.text(clean(arm), "bold" if arm == spec.control else ""), count(n), share(n / plan.total) if plan.total else "")
    pen.out(table, indent=2)
    pen.out(Text())
    pen.items((pen.text(name, "dim"), pen.text(value)) for name, value in _plan_facts(plan, spec, kind))
    for code in plan.notes:
        pen.out(pen.text(note(code), "dim"), indent=2)


def _plan_facts(plan: ExperimentPlan, spec: ExperimentSpec, kind: Kind) -> list[tuple[str, str]]:
    facts = [("metric", f"{clean(spec.primary.key)}, {_wanted(spec.primary)}")]
    if plan.baseline is not None and plan.target is not None:
        write = relative if kind == "proportion" else precise
        facts.append(("from, to", f"{write(plan.baseline)} to {write(plan.target)}"))
    lift = "" if not plan.baseline else f", a lift of {relative(plan.effect / plan.baseline)}"
    facts.append(("effect", f"{magnitude(kind, plan.effect)}{lift}"))
    each = "" if plan.alpha == spec.plan.alpha else f", {share(plan.alpha)} for each of {plan.comparisons} treatments"
    if plan.alphas:
        each = ", by weight " + ", ".join(f"{share(alpha)} for {clean(key)}" for key, alpha in plan.alphas.items())
    facts.append(("error", f"alpha {share(spec.plan.alpha)}{each}; power {power(plan.power)}"))
    facts.append(("test", f"{phrase(plan.method)}, {objective_words(plan.objective, plan.alternative)}"))
    if spec.plan.method in PLANNED_LOOKS:
        looks = ", ".join(count(round(part * plan.total)) for part in spec.plan.sequential.fractions)
        facts.append(("looks at", f"{looks} units"))
    if plan.factor_sizes is not None:
        facts += _factor_facts(plan.factor_sizes, plan.total)
    if spec.segments is not None:
        facts.append(("segments", "not in the size: a level that holds a tenth of the units needs ten times as many for the same power"))
    return facts


def _segments(segments: SegmentsSpec) -> list[tuple[str, str]]:
    return [
        ("columns", clean(", ".join(segments.columns))),
        ("levels", f"the {segments.max_levels} most common, with {count(segments.min_units)} units an arm at least"),
        ("correction", f"{CORRECTIONS[segments.correction]}, over all levels, columns and treatments of a metric"),
    ]


def _factor_facts(sizes: FactorSizes, total: int) -> list[tuple[str, str]]:
    """What effects of factors of the same size need, beside the verdict on a cell."""
    each = f"at {share(sizes.alpha)} for each of {sizes.effects} effects" if sizes.effects > 1 else f"at {share(sizes.alpha)}"
    told = "not estimated" if sizes.interaction is None else f"of that size: {count(sizes.interaction)} units in all, four times as many"
    return [
        ("verdict", f"on a cell against the control: {count(total)} units in all"),
        ("main effect", f"of that size: {count(sizes.main_effect)} units in all, {each}; every unit counts for every factor"),
        ("interaction", told),
    ]


def _arms(pen: Pen, spec: ExperimentSpec) -> None:
    pen.heading("Arms")
    shares = spec.shares
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    for arm in spec.arms:
        control = arm.key == spec.control
        planned = share(shares[arm.key]) if shares is not None else f"share {spec.allocation}"
        table.add_row(
            pen.text(clean(arm.key), "bold" if control else ""),
            planned,
            pen.text("control" if control else "treatment", "dim"),
            pen.text(clean(arm.description), "dim"),
        )
    pen.out(table, indent=2)


def _factors(pen: Pen, spec: ExperimentSpec) -> None:
    if not spec.factors:
        return
    upto = "main effects alone" if spec.interactions == 1 else f"interactions of up to {spec.interactions} factors"
    pen.heading("Factors", upto)
    told = {clean(name): " or ".join(clean(level) for level in levels) for name, levels in spec.factors.items()}
    pen.items((pen.text(name, "bold"), pen.text(levels)) for name, levels in told.items())


def _role(pen: Pen, metric: MetricSpec) -> Text:
    styles = {"primary": "bold", "guardrail": "yellow", "secondary": "dim"}
    return pen.text(metric.role, styles[metric.role])


def _wanted(metric: MetricSpec) -> str:
    return "higher is better" if metric.direction == "increase" else "lower is better"


def _metric(pen: Pen, metric: MetricSpec) -> Text:
    facts = [METRIC_KINDS[metric.kind], _wanted(metric)]
    facts += [f"{phrase(part)} {_source(source)}" for part, source in metric_sources(metric).items() if source != metric.key]
    facts += _compared(metric)
    if metric.margin is not None:
        size = relative(metric.margin) + " of the control" if metric.margin_kind == "relative" else magnitude(metric.kind, metric.margin)
        facts.append(f"tolerates a harm of {size}")
    if metric.max_value is not None:
        facts.append(f"limit {precise(metric.max_value)}")
    if metric.missing != "error":
        facts.append("missing counts as zero" if metric.missing == "zero" else "units without a value are left out")
    described = f"\n{clean(metric.description)}" if metric.description else ""
    return pen.join((clean(metric.key), "bold"), ("  " + "; ".join(clean(fact) for fact in facts), ""), (described, "dim"))


def _compared(metric: MetricSpec) -> list[str]:
    """Where it is not the usual: the quantile, the cap, the test."""
    if isinstance(metric, QuantileSpec):
        return [f"the {metric.q:g} quantile"]
    facts: list[str] = []
    if isinstance(metric, MeanSpec | CountSpec) and metric.winsorize is not None:
        facts.append(f"capped at the {100 * metric.winsorize:.4g}th percentile")
    if chosen_test(metric) not in {"proportions", "welch", "delta"}:
        trim = f" by {metric.trim:g} at each end" if isinstance(metric, MeanSpec | CountSpec) and metric.test == "trimmed" else ""
        errors = f" with {metric.hc} errors" if isinstance(metric, MeanSpec | CountSpec) and metric.test in REGRESSIONS else ""
        facts.append(f"test {phrase(chosen_test(metric))}{trim}{errors}")
    return facts


def _source(source: str | EventValue) -> str:
    if isinstance(source, str):
        return f"from column {source}"
    what = f"sum of {source.value}" if source.value else "number of events"
    before = f" in the {source.before_days:g} days before the start" if source.before_days is not None else ""
    return f"from {what} in {source.fact}{before}"


HORIZONS: Mapping[Method, str] = {
    "fixed": "fixed horizon",
    "group_sequential": "planned looks",
    "always_valid": "any number of looks",
    "hybrid": "planned looks, harm watched at any",
    "bayesian": "Bayesian: error not controlled",
}


def _rule(spec: ExperimentSpec) -> list[tuple[str, str]]:
    plan = spec.plan
    rule = [
        ("test", objective_words(plan.objective, plan.alternative)),
        ("error", f"alpha {share(plan.alpha)}, power {power(plan.power)}, {HORIZONS[plan.method]}"),
        ("smallest effect", _mde(spec)),
    ]
    if plan.method in PLANNED_LOOKS:
        looks = plan.sequential
        at = ", ".join(share(part) for part in looks.fractions)
        rule.append(("looks", f"at {at} of the information ({looks.information}), {phrase(looks.spending)} spending"))
        if looks.futility == "conditional_power":
            rule.append(("futility", f"stop when the power left at the MDE falls below {looks.futility_power:g}"))
        elif looks.futility == "beta_spending":
            held = "binding" if looks.binding else "not binding"
            rule.append(("futility", f"stop below a bound that spends {1.0 - plan.power:.3g} by {phrase(looks.futility_spending)}, {held}"))
    if plan.method in WATCHING:
        rule.append(("sequence", _sequence(plan.always_valid)))
    if plan.sample_size is not None:
        rule.append(("units", f"{count(plan.sample_size)} in all, as declared"))
    days = [f"at least {plan.min_days} days"] if plan.min_days else []
    days += [f"at most {plan.max_days} days"] if plan.max_days else []
    if days:
        rule.append(("run", ", ".join(days)))
    if len(spec.treatments) > 1:
        rule.append(("correction", f"{CORRECTIONS[plan.correction]} over {len(spec.treatments)} treatments"))
    rule += _judged(plan)
    if spec.schedule is not None:
        end = f" to {spec.schedule.end:%Y-%m-%d %H:%M} UTC" if spec.schedule.end is not None else ""
        rule.append(("schedule", f"{spec.schedule.start:%Y-%m-%d %H:%M}{end or ' UTC'}"))
    return rule


def _judged(plan: PlanSpec) -> list[tuple[str, str]]:
    """By what a result is judged: the threshold, and the plan's own words in the decision table."""
    said: list[tuple[str, str]] = []
    if plan.practical_threshold is not None:
        said.append(("worth launching", f"a lift of {relative(plan.practical_threshold)} or more"))
    if plan.decision_table:
        said.append(("own table", "; ".join(_own_words(number, own) for number, own in plan.decision_table.items())))
    return said


def _own_words(number: str, own: RuleOverride) -> str:
    """What a plan's own decision table says of one rule."""
    said = {"verdict": own.verdict, "confidence": own.confidence, "risk": own.risk, "next steps": own.next_steps and "its own"}
    return f"rule {number}: {', '.join(f'{name} {value}' for name, value in said.items() if value)}"


def _sequence(declared: AlwaysValidSpec) -> str:
    if declared.sequence == "msprt":
        return SEQUENCES["msprt"]
    tuned = declared.tuned_for
    where = f"{count(round(tuned))} units" if tuned is not None and tuned > 1.0 else f"{share(tuned or 1.0)} of the planned size"
    return f"{SEQUENCES[declared.sequence]}, tightest at {where}"


def _mde(spec: ExperimentSpec) -> str:
    plan = spec.plan
    if plan.mde is None:
        return "none declared, so the experiment cannot be sized"
    return f"{relative(plan.mde)} of the control" if plan.mde_kind == "relative" else magnitude(spec.primary.kind, plan.mde)


def _data(data: UnitsData | LogsData | AggregatesData) -> list[tuple[str, str]]:
    facts = [("source", clean(data.source)), ("shape", SHAPES[data.shape])]
    if isinstance(data, UnitsData):
        facts.append(
            ("columns", f"arm {clean(data.arm)}, unit {clean(data.unit) if data.unit else 'not named, so repeats cannot be seen'}")
        )
        if data.strata:
            how = "weighted by their shares" if data.adjust == "post_stratify" else "by metrics with test mantel haenszel"
            facts.append(("strata", f"{clean(', '.join(data.strata))}; arms compared within them, {how}"))
        if data.pair is not None:
            facts.append(("pairs", f"named by {clean(data.pair)}; arms compared within complete pairs"))
    if isinstance(data, LogsData):
        triggered = "triggered, from the first exposure" if data.exposures is not None else "intention to treat"
        window = f"{data.window_days:g} days from the start" if data.window_days is not None else "to the end of the data"
        facts += [("population", triggered), ("window", window)]
    if data.where:
        facts.append(("only", ", ".join(f"{clean(column)} = {clean(str(value))}" for column, value in data.where.items())))
    return facts
