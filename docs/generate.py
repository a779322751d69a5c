"""Write the generated parts of the reference pages: `python docs/generate.py`, or `--check` to compare only.

A page holds regions between `<!-- generated: NAME ARGUMENT -->` and `<!-- end -->`.
What stands inside comes from the program itself - options from Typer, settings from
the spec's models - so that it cannot say something else than the program does. The
rest of a page is written by hand and left alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import typer.main
from pydantic import BaseModel

from fairtrial.cli.app import app
from fairtrial.spec import data, experiment, metric, plan

DOCS = Path(__file__).parent
PAGES = ("reference/cli.md", "reference/spec.md", "reference/metrics.md")
REGION = re.compile(r"(<!-- generated: (\w+) ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        experiment.ExperimentSpec,
        plan.VariantSpec,
        plan.PlanSpec,
        plan.ScheduleSpec,
        metric.BaseMetricSpec,
        metric.ProportionSpec,
        metric.MeanSpec,
        metric.CountSpec,
        metric.RatioSpec,
        metric.EventValue,
        data.SourceSpec,
        data.UnitsData,
        data.LogsData,
        data.LogTable,
        data.FactTable,
        data.AggregatesData,
        data.MomentColumns,
    )
}
"""Every part of a spec; a test walks the models and misses none."""

INHERITED = {
    "ProportionSpec": "BaseMetricSpec",
    "MeanSpec": "BaseMetricSpec",
    "CountSpec": "BaseMetricSpec",
    "RatioSpec": "BaseMetricSpec",
    "UnitsData": "SourceSpec",
    "LogsData": "SourceSpec",
    "AggregatesData": "SourceSpec",
}
"""Parts whose shared settings are listed once, under the other name."""

LINKS = {
    "EventValue": ("a value from events", "spec.md#values-from-events"),
    "VariantSpec": ("arm", "spec.md#an-arm"),
    "PlanSpec": ("plan", "spec.md#the-plan"),
    "ScheduleSpec": ("schedule", "spec.md#the-schedule"),
    "ProportionSpec": ("proportion", "metrics.md#proportion"),
    "MeanSpec": ("mean", "metrics.md#mean"),
    "CountSpec": ("count", "metrics.md#count"),
    "RatioSpec": ("ratio", "metrics.md#ratio"),
    "UnitsData": ("units", "spec.md#shape-units-a-unit-table"),
    "LogsData": ("logs", "spec.md#shape-logs-event-logs"),
    "AggregatesData": ("aggregates", "spec.md#shape-aggregates-ready-counts-or-moments"),
    "LogTable": ("log table", "spec.md#a-log-of-assignments-or-exposures"),
    "FactTable": ("fact table", "spec.md#a-fact-table"),
    "MomentColumns": ("columns of a metric", "spec.md#columns-of-a-metric"),
}

MEANINGS = {
    "ExperimentSpec.schema_version": "Version of this form.",
    "ExperimentSpec.key": "Name of the experiment, unique among yours: any script, not all digits, no line breaks.",
    "ExperimentSpec.name": "Title for people.",
    "ExperimentSpec.description": "What a reader should know.",
    "ExperimentSpec.hypothesis": "What is expected to happen, and why; shown in every report.",
    "ExperimentSpec.owner": "Who answers for it.",
    "ExperimentSpec.status": "Where it stands in its life. `running` makes a stop a `ROLLBACK`; without it the schedule says whether units come in.",
    "ExperimentSpec.metrics": "What is measured; one of them has the role `primary` (a metric that stands alone has it without saying so).",
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


def command(verb: str) -> str:
    """Usage, arguments and options of a verb."""
    group = cast("Any", typer.main.get_command(app))
    found = group.commands[verb]
    arguments = [p for p in found.params if p.param_type_name == "argument"]
    options = [p for p in found.params if p.param_type_name == "option"]
    usage = " ".join(["fairtrial", verb, *(_usage(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"```text\n{usage}\n```", "", _reflowed(found.help), ""]
    for parameter in [*arguments, *options]:
        lines += _parameter(parameter)
    return "\n".join(lines).rstrip()


def _usage(argument: Any) -> str:
    name = argument.name.upper()
    return name if argument.required else f"[{name}]"


def _parameter(parameter: Any) -> list[str]:
    argument = parameter.param_type_name == "argument"
    named = parameter.name.upper() if argument else ", ".join([*parameter.opts, *parameter.secondary_opts])
    facts = [_value(parameter)]
    if not argument and not getattr(parameter, "is_flag", False) and parameter.default is not None:
        facts.append(f"default `{parameter.default}`")
    if argument:
        facts.append("required" if parameter.required else "optional")
    if getattr(parameter, "multiple", False):
        facts.append("may be repeated")
    if parameter.envvar:
        facts.append(f"also read from the variable `{parameter.envvar}`")
    shown = " · ".join(fact for fact in facts if fact)
    return [f"`{named}`", f':   <span class="type">{shown}</span>', "", f"    {_reflowed(parameter.help)}", ""]


def _value(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "switch"
    return {"path": "a path", "file": "a path", "text": "text"}.get(parameter.type.name, parameter.type.name)


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
    said = model.model_fields[field].description
    written = f"{model.__name__}.{field}"
    if said and written not in MEANINGS:
        return _reflowed(said)
    if written in MEANINGS and not said:
        return MEANINGS[written]
    if said:
        raise SystemExit(f"{written} has a docstring now: take it out of MEANINGS.")
    if field == "kind" and model.__name__ != "ExperimentSpec":
        return "This kind."
    raise SystemExit(f"{written} has no meaning: give the field a docstring, or a line in MEANINGS.")


def _type(node: Mapping[str, Any]) -> str:
    """The values that a JSON Schema node allows, in words."""
    if "$ref" in node:
        text, target = LINKS[node["$ref"]]
        return f"[{text}]({target})"
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return "one of " + ", ".join(f"`{value}`" for value in node["enum"])
    if "oneOf" in node or "anyOf" in node or "allOf" in node:
        branches = node.get("oneOf") or node.get("anyOf") or node["allOf"]
        words = [_type(branch) for branch in branches if branch.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    match node.get("type"):
        case "array":
            least = f", at least {node['minItems']}" if node.get("minItems") else ""
            return f"list of {_plural(_type(node['items']))}{least}"
        case "object":
            return f"mapping of names to {_plural(_type(node['additionalProperties']))}"
        case "number" | "integer":
            return ("number" if node["type"] == "number" else "whole number") + _bounds(node)
        case "string":
            return "date and time" if node.get("format") == "date-time" else "text"
        case "boolean":
            return "true or false"
        case _:
            return "any value of JSON"


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
    return {None: "none", "": "empty"}.get(value) or f"`{value}`"


def _reflowed(text: str) -> str:
    """Paragraphs on one line each."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


MAKERS: dict[str, Callable[[str], str]] = {"command": command, "settings": settings}


def main(arguments: list[str]) -> int:
    """Write the pages, or say which differ."""
    stale = [page for page in PAGES if rendered(page) != (DOCS / page).read_text(encoding="utf-8")]
    if "--check" in arguments:
        for page in stale:
            print(f"docs/{page} is not what the program says: run python docs/generate.py", file=sys.stderr)  # noqa: T201 a script talks
        return 1 if stale else 0
    for page in stale:
        (DOCS / page).write_text(rendered(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
