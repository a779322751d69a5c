"""Write the generated parts of the reference pages: `python docs/generate.py`, or `--check` to compare only.

A page holds regions between `<!-- generated: NAME ARGUMENT -->` and `<!-- end -->`.
What stands inside comes from the program itself - options from Typer, settings from
the spec's models - so that it cannot say something else than the program does. The
rest of a page is written by hand and left alone.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

import service_reference
from pydantic import BaseModel
from typer.models import ArgumentInfo

from fairtrial.cli.app import VERBS, build_verb
from fairtrial.spec import (
    assignment,
    business,
    changes,
    data,
    decision_table,
    eligibility,
    experiment,
    feasibility,
    interference,
    metric,
    plan,
    quasi,
    segments,
    serving,
    stages,
)
from fairtrial.warehouse import result_rows

DOCS = Path(__file__).parent
PAGES = (
    "reference/cli.md",
    "reference/spec.md",
    "reference/metrics.md",
    "reference/settings.md",
    "reference/http.md",
    "howto/export-results.md",
)
OPENAPI = DOCS / "openapi.json"
REGION = re.compile(r"(<!-- generated: (\w+) ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        experiment.ExperimentSpec,
        assignment.AssignmentSpec,
        plan.VariantSpec,
        eligibility.EligibilitySpec,
        eligibility.EligibilityRule,
        plan.PlanSpec,
        plan.SequentialSpec,
        plan.AlwaysValidSpec,
        plan.BayesianSpec,
        decision_table.RuleOverride,
        plan.ScheduleSpec,
        changes.Change,
        metric.BaseMetricSpec,
        metric.ProportionSpec,
        metric.MeanSpec,
        metric.CountSpec,
        metric.RatioSpec,
        metric.QuantileSpec,
        metric.EventValue,
        data.SourceSpec,
        data.UnitsData,
        data.LogsData,
        data.LogTable,
        data.FactTable,
        data.AggregatesData,
        data.MomentColumns,
        segments.SegmentsSpec,
        feasibility.FeasibilitySpec,
        feasibility.AvoidPeriod,
        feasibility.RoiSpec,
        feasibility.Expected,
        feasibility.HistorySpec,
        feasibility.VisitTable,
        feasibility.MetricHistory,
        feasibility.FeasibilityRecord,
        business.BusinessSpec,
        interference.InterferenceSpec,
        quasi.DidDesign,
        quasi.RddDesign,
        quasi.SyntheticControlDesign,
        quasi.IvDesign,
        quasi.InterruptedSeriesDesign,
        serving.Serving,
        serving.Endpoint,
        serving.Identity,
        serving.Reading,
        serving.Features,
        serving.Shadow,
        stages.Rollout,
        stages.Stage,
        stages.Watch,
    )
}
"""Every part of a spec; a test walks the models and misses none."""

INHERITED = {
    "ProportionSpec": "BaseMetricSpec",
    "MeanSpec": "BaseMetricSpec",
    "CountSpec": "BaseMetricSpec",
    "RatioSpec": "BaseMetricSpec",
    "QuantileSpec": "BaseMetricSpec",
    "UnitsData": "SourceSpec",
    "LogsData": "SourceSpec",
    "AggregatesData": "SourceSpec",
}
"""Parts whose shared settings are listed once, under the other name."""

LINKS = {
    "EventValue": ("a value from events", "spec.md#values-from-events"),
    "VariantSpec": ("arm", "spec.md#an-arm"),
    "EligibilitySpec": ("eligibility", "spec.md#eligibility"),
    "EligibilityRule": ("rule", "spec.md#eligibility"),
    "AssignmentSpec": ("assignment", "spec.md#assignment"),
    "PlanSpec": ("plan", "spec.md#the-plan"),
    "SequentialSpec": ("looks", "spec.md#planned-looks"),
    "AlwaysValidSpec": ("sequence", "spec.md#an-always-valid-sequence"),
    "BayesianSpec": ("priors and stopping rule", "spec.md#a-bayesian-plan"),
    "RuleOverride": ("words of a rule", "spec.md#the-decision-table"),
    "SegmentsSpec": ("segments", "spec.md#segments"),
    "InterferenceSpec": ("interference", "spec.md#interference"),
    "ScheduleSpec": ("schedule", "spec.md#the-schedule"),
    "Change": ("line", "spec.md#the-change-log"),
    "ProportionSpec": ("proportion", "metrics.md#proportion"),
    "MeanSpec": ("mean", "metrics.md#mean"),
    "CountSpec": ("count", "metrics.md#count"),
    "RatioSpec": ("ratio", "metrics.md#ratio"),
    "QuantileSpec": ("quantile", "metrics.md#quantile"),
    "UnitsData": ("units", "spec.md#shape-units-a-unit-table"),
    "LogsData": ("logs", "spec.md#shape-logs-event-logs"),
    "AggregatesData": ("aggregates", "spec.md#shape-aggregates-ready-counts-or-moments"),
    "LogTable": ("log table", "spec.md#a-log-of-assignments-or-exposures"),
    "FactTable": ("fact table", "spec.md#a-fact-table"),
    "MomentColumns": ("columns of a metric", "spec.md#columns-of-a-metric"),
    "FeasibilitySpec": ("feasibility", "spec.md#feasibility"),
    "AvoidPeriod": ("period", "spec.md#a-period-to-avoid"),
    "RoiSpec": ("return", "spec.md#what-a-launch-must-earn"),
    "Expected": ("expected value", "spec.md#what-a-guardrail-is-believed-to-show"),
    "HistorySpec": ("history", "spec.md#history-to-plan-from"),
    "VisitTable": ("visits", "spec.md#history-to-plan-from"),
    "MetricHistory": ("events of a metric", "spec.md#history-to-plan-from"),
    "FeasibilityRecord": ("record", "spec.md#what-was-found-last"),
    "BusinessSpec": ("business", "spec.md#business"),
    "DidDesign": ("did", "spec.md#kind-did"),
    "RddDesign": ("rdd", "spec.md#kind-rdd"),
    "SyntheticControlDesign": ("synthetic_control", "spec.md#kind-synthetic_control"),
    "Endpoint": ("endpoint", "spec.md#where-a-model-answers"),
    "Identity": ("identity", "spec.md#who-a-request-is-for"),
    "Reading": ("reading", "spec.md#what-of-an-answer-is-the-prediction"),
    "Features": ("features", "spec.md#what-is-logged"),
    "Shadow": ("shadow", "spec.md#the-shadow"),
    "Rollout": ("rollout", "spec.md#stages-of-a-rollout"),
    "Stage": ("stage", "spec.md#a-stage"),
    "Watch": ("watch", "spec.md#the-watch"),
    "IvDesign": ("iv", "spec.md#kind-iv"),
    "InterruptedSeriesDesign": ("interrupted_series", "spec.md#kind-interrupted_series"),
}

MEANINGS = {
    "ExperimentSpec.schema_version": "Version of this form.",
    "ExperimentSpec.key": "Name of the experiment, unique among yours: any script, not all digits, no line breaks.",
    "ExperimentSpec.name": "Title for people.",
    "ExperimentSpec.description": "What a reader should know.",
    "ExperimentSpec.hypothesis": "What is expected to happen, and why; shown in every report.",
    "ExperimentSpec.owner": "Who answers for it.",
    "ExperimentSpec.status": "Where it stands in its life. While it is `running`, a stop is a `ROLLBACK`; without it the schedule says.",
    "ExperimentSpec.metrics": "What is measured; one of them is `primary` (a metric that stands alone is so without saying it).",
    "ExperimentSpec.plan": "How it is sized, tested, corrected and decided.",
    "ExperimentSpec.schedule": "When it takes units in; days are counted from its start.",
    "ExperimentSpec.data": "Where the data is. Not needed to validate or to plan.",
    "VariantSpec.key": "Name of the arm, as it stands in the data.",
    "VariantSpec.description": "What people in this arm get.",
    "PlanSpec.mde_kind": "Whether `mde` is a fraction of the baseline or in the metric's unit.",
    "ScheduleSpec.start": "First moment of the experiment; without an offset it is read as UTC.",
    "BaseMetricSpec.description": "What is counted, in words.",
    "RatioSpec.numerator": "What is summed above the line.",
    "RatioSpec.denominator": "What is summed below it.",
    "RatioSpec.covariate_denominator": "Denominator of a covariate that is a ratio itself.",
    "UnitsData.shape": "This shape; it is the default, so it may be left out.",
    "LogsData.shape": "This shape; it may be left out, `assignments` says it.",
    "LogsData.assignments": "Who was given which arm, and when.",
    "LogsData.facts": "Tables of events by the name that metrics call them.",
    "LogTable.table": "Name of the table.",
    "LogTable.unit": "Column of the unit.",
    "LogTable.arm": "Column of the arm.",
    "LogTable.time": "Column of the time.",
    "FactTable.table": "Name of the table.",
    "FactTable.unit": "Column of the unit.",
    "FactTable.time": "Column of the time.",
    "MomentColumns.mean": "Column of the mean over units.",
    "MomentColumns.sum": "Column of the sum over units.",
    "MomentColumns.sum_squares": "Column of the sum of squares over units.",
    "AggregatesData.shape": "This shape; it must be written.",
    "AggregatesData.table": "Table name, when the source is a database.",
    "AggregatesData.arm": "Column that names the arm.",
}
"""Meaning of the settings whose model has no sentence of its own."""


def rendered(page: str) -> str:
    """The text of a page with every region filled anew."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return REGION.sub(lambda match: f"{match[1]}\n{MAKERS[match[2]](match[3])}\n\n{match[4]}", text)


def result_columns(table: str) -> str:
    """Columns of a table of results: `primary` or `secondary`."""
    columns = {"primary": result_rows.PRIMARY, "secondary": result_rows.SECONDARY}[table]
    rows = [f"| `{column.name}` | {column.kind} | {column.meaning} |" for column in columns]
    return "\n".join(["| column | kind | what it holds |", "| --- | --- | --- |", *rows])


def command(verb: str) -> str:
    """Usage, arguments and options of a verb."""
    parameters = parameters_of(verb)
    usage = " ".join(["fairtrial", verb, *(p.usage for p in parameters if p.argument), "[OPTIONS]"])
    if all(p.argument for p in parameters):
        usage = usage.removesuffix(" [OPTIONS]")
    lines = [f"```text\n{usage}\n```", "", _reflowed(inspect.getdoc(_function(verb)) or ""), ""]
    for parameter in parameters:
        lines += [f"`{parameter.shown}`", f':   <span class="type">{parameter.facts}</span>', "", f"    {parameter.help}", ""]
    return "\n".join(lines).rstrip()


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An argument or an option of a verb, as Typer reads it from the signature."""

    names: tuple[str, ...]
    argument: bool
    kind: Any
    default: Any
    variable: str | None
    help: str

    @property
    def shown(self) -> str:
        """Its spellings."""
        return ", ".join(self.names)

    @property
    def usage(self) -> str:
        """How it stands in the usage line."""
        return self.shown if self.default is inspect.Parameter.empty else f"[{self.shown}]"

    @property
    def facts(self) -> str:
        """What it takes, and what happens without it."""
        kinds = {inner for inner in (self.kind, *get_args(self.kind)) if inner is not type(None)}
        repeated = any(get_origin(inner) is list for inner in kinds)
        words = ["switch" if self.kind is bool else "a path" if "Path" in str(self.kind) else "text"]
        if self.default not in {None, False, inspect.Parameter.empty}:
            words.append(f"default `{self.default}`")
        if self.argument:
            words.append("required" if self.default is inspect.Parameter.empty else "optional")
        if repeated:
            words.append("may be repeated")
        if self.variable:
            words.append(f"also read from the variable `{self.variable}`")
        return " · ".join(words)


def parameters_of(verb: str) -> list[Parameter]:
    """Arguments, then options, in the order of the signature."""
    function = _function(verb)
    hints = get_type_hints(function, include_extras=True)
    spellings = {parameter.name: tuple(parameter.opts) for parameter in build_verb(verb).params}
    found: list[Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = get_args(hints[name])
        argument = isinstance(info, ArgumentInfo)
        found.append(
            Parameter(
                names=(name.upper(),) if argument else spellings[name],
                argument=argument,
                kind=kind,
                default=parameter.default,
                variable=cast("str | None", info.envvar),
                help=_reflowed(info.help or ""),
            )
        )
    return sorted(found, key=lambda p: not p.argument)


def _function(verb: str) -> Callable[..., Any]:
    found = VERBS[verb]
    return cast("Callable[..., Any]", getattr(import_module(f"fairtrial.cli.{found.home}"), found.function))


def settings(name: str) -> str:
    """Every setting of a part of the spec: name, type, default, meaning."""
    model = MODELS[name]
    schema = model.model_json_schema(mode="validation", ref_template="{model}")
    required = set(schema.get("required", []))
    shared = set(MODELS[INHERITED[name]].model_fields) if name in INHERITED else set[str]()
    lines: list[str] = []
    for field, node in cast("Mapping[str, Mapping[str, Any]]", schema["properties"]).items():
        if field in shared:
            continue
        default = "required" if field in required else f"default {_default(node, model.model_fields[field])}"
        lines += [f"`{field}`", f':   <span class="type">{_type(node)} · {default}</span>', "", f"    {_meaning(model, field)}", ""]
    return "\n".join(lines).rstrip()


def _meaning(model: type[BaseModel], field: str) -> str:
    """The field's own sentence, else ours."""
    said = model.model_fields[field].description or MEANINGS.get(f"{model.__name__}.{field}")
    if said:
        return _reflowed(said)
    if field == "kind" and model.__name__ != "ExperimentSpec":
        return "This kind."
    raise SystemExit(f"{model.__name__}.{field} has no meaning: give the field a docstring, or a line in MEANINGS.")


def _type(node: Mapping[str, Any]) -> str:
    """The values that a JSON Schema node allows, in words."""
    describe = next((describe for key, describe in BY_KEY.items() if key in node), None)
    if describe is not None:
        return describe(node)
    return BY_TYPE.get(str(node.get("type")), lambda _: "any value of JSON")(node)


def _link(node: Mapping[str, Any]) -> str:
    if node["$ref"] == "JsonValue":
        return "any value of JSON"
    text, target = LINKS[node["$ref"]]
    return f"[{text}]({target})"


def _choice(node: Mapping[str, Any]) -> str:
    branches = node.get("oneOf") or node.get("anyOf") or node["allOf"]
    return " or ".join(dict.fromkeys(_type(branch) for branch in branches if branch.get("type") != "null"))


def _list(node: Mapping[str, Any]) -> str:
    if "prefixItems" in node:
        return f"list of {' and '.join(_type(part) for part in node['prefixItems'])}"
    least = f", at least {node['minItems']}" if node.get("minItems") else ""
    return f"list of {_plural(_type(node['items']))}{least}"


BY_KEY: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "$ref": _link,
    "const": lambda node: f"`{node['const']}`",
    "enum": lambda node: "one of " + ", ".join(f"`{value}`" for value in node["enum"]),
    "oneOf": _choice,
    "anyOf": _choice,
    "allOf": _choice,
}
"""What a node says by a key of its own; the first that it has."""

BY_TYPE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "array": _list,
    "object": lambda node: f"mapping of names to {_plural(_type(node['additionalProperties']))}",
    "number": lambda node: "number" + _bounds(node),
    "integer": lambda node: "whole number" + _bounds(node),
    "string": lambda node: "date and time" if node.get("format") == "date-time" else "text",
    "boolean": lambda _: "true or false",
}
"""What a node says by its type."""


def _plural(words: str) -> str:
    return {"text": "texts"}.get(words, words)


def _bounds(node: Mapping[str, Any]) -> str:
    words = [("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"), ("exclusiveMaximum", "below")]
    found = [f"{said} {node[key]:g}" for key, said in words if key in node]
    return f", {' and '.join(found)}" if found else ""


def _default(node: Mapping[str, Any], field: Any) -> str:
    value = node.get("default", field.default)
    if field.default_factory is not None or value in ([], {}, ()):
        return "empty"
    if isinstance(value, Mapping | BaseModel):
        return "its own defaults"
    if value is None or value == "":
        return "none" if value is None else "empty"
    return f"`{value}`"


def _reflowed(text: str) -> str:
    """Paragraphs on one line each."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


MAKERS: dict[str, Callable[[str], str]] = {
    "command": command,
    "settings": settings,
    "service_settings": service_reference.service_settings,
    "endpoints": service_reference.endpoints,
    "results": result_columns,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or say which differ."""
    stale = [page for page in PAGES if rendered(page) != (DOCS / page).read_text(encoding="utf-8")]
    contract = service_reference.openapi_text()
    if not OPENAPI.exists() or OPENAPI.read_text(encoding="utf-8") != contract:
        stale.append(OPENAPI.name)
    if "--check" in arguments:
        for page in stale:
            print(f"docs/{page} is not what the program says: run python docs/generate.py", file=sys.stderr)  # noqa: T201 a script talks
        return 1 if stale else 0
    for page in stale:
        (DOCS / page).write_text(contract if page == OPENAPI.name else rendered(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
