"""The reference is complete: every verb, option, setting, verdict, finding, error, method and public name."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import get_args

import generate
import pytest
from page_runner import DOCS, ROOT

import fairtrial
from fairtrial.cli.app import VERBS
from fairtrial.decisions import RULES, Decision, Evidence, GuardrailState, Verdict
from fairtrial.errors import FairtrialError
from fairtrial.evaluation.planning import METHOD_NAMES
from fairtrial.metrics import known_kinds
from fairtrial.metrics.family import Means, Proportions
from fairtrial.metrics.unit_comparison import NAMES, UnitComparison
from fairtrial.spec.base import SpecModel
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import CiMethod, Correction, LiftMethod

SOURCE = ROOT / "src" / "fairtrial"
CODE = re.compile(r"[a-z]+(?:_[a-z]+)*")


def page(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", generate.PAGES)
def test_the_generated_parts_are_what_the_program_says(name):
    assert generate.rendered(name) == (DOCS / name).read_text(encoding="utf-8"), "run python docs/generate.py"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_heading_with_all_its_options(verb):
    section = page("cli.md").partition(f"\n## fairtrial {verb}\n")[2].partition("\n## ")[0]
    parameters = generate.parameters_of(verb)
    assert section
    assert [p.shown for p in parameters if f"\n`{p.shown}`\n" not in section] == []
    assert [p.shown for p in parameters if not p.help] == [], "every option has a help text"


def test_every_part_of_a_spec_is_listed_with_all_its_settings():
    assert {model.__name__ for model in parts_of(ExperimentSpec)} <= set(generate.MODELS)
    documented = page("spec.md") + page("metrics.md")
    assert re.findall(r"<!-- generated: settings (\w+) -->", documented)
    assert sorted(re.findall(r"<!-- generated: settings (\w+) -->", documented)) == sorted(generate.MODELS)
    for name, model in generate.MODELS.items():
        region = re.search(rf"<!-- generated: settings {name} -->.*?<!-- end -->", documented, re.DOTALL)
        shared = generate.MODELS[generate.INHERITED[name]].model_fields if name in generate.INHERITED else {}
        assert [field for field in model.model_fields if field not in shared and f"\n`{field}`\n" not in region[0]] == []


def parts_of(model: type[SpecModel], seen: set[type[SpecModel]] | None = None) -> set[type[SpecModel]]:
    """A spec model and all models that stand in its fields."""
    seen = set() if seen is None else seen
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for found in models_in(field.annotation):
                parts_of(found, seen)
    return seen


def models_in(annotation: object) -> Iterator[type[SpecModel]]:
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


@pytest.mark.parametrize("kind", known_kinds())
def test_a_kind_of_metric_has_a_heading(kind):
    assert f"\n## {kind}\n" in page("metrics.md")


def rows(text: str) -> dict[str, list[str]]:
    """Cells of the table rows that begin with a `code`, by that code."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells for cells in found}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.number)
def test_a_rule_of_decision_has_its_row(rule):
    """Verdict, reason, confidence and risk of every outcome that a rule can have stand in its row."""
    shown = rows(page("decisions.md"))[rule.number]
    for live in (False, True):
        for late in (False, True):
            for left, effect in ((False, None), (True, 0.1)):
                outcome = rule.outcome(replace(NOTHING, live=live, max_days_reached=late, looks_left=left, effect=effect))
                assert (outcome.verdict or "none") in shown[2]
                assert outcome.reason in shown[3]
                assert (outcome.confidence or "none") in shown[4]
                assert outcome.risk in shown[5]
                assert outcome.state == "valid" or f"`{outcome.state}`" in shown[2]


NOTHING = Evidence(
    invalid=(),
    insufficient=None,
    effect=None,
    interval=None,
    lift=None,
    lift_interval=None,
    significant=False,
    harm_interval=None,
    guardrails=None,
    guardrails_non_inferior=True,
    guardrail_reasons=(),
    planned=True,
    plan_complete=True,
    fixed_horizon=True,
    looks_left=False,
    conditional_power=None,
    min_days_met=True,
    max_days_reached=False,
    live=False,
)


def test_the_rules_stand_in_their_order_and_no_other_is_shown():
    first_table = page("decisions.md").partition("\n\n## ")[0]
    assert list(rows(first_table)) == [rule.number for rule in RULES]


def test_every_verdict_and_guardrail_state_is_explained():
    shown = rows(page("decisions.md"))
    assert [word for word in (*get_args(Verdict), *get_args(GuardrailState)) if word not in shown] == []


@pytest.mark.parametrize("field", [name for name in Decision.__dataclass_fields__ if name != "rule"])
def test_a_part_of_a_decision_is_on_the_python_page(field):
    assert f"`{field}`" in page("python.md")


@cache
def functions() -> list[tuple[ast.FunctionDef, dict[str, list[ast.Call]]]]:
    """Every function of the source with the calls in it, by the called name."""
    found: list[tuple[ast.FunctionDef, dict[str, list[ast.Call]]]] = []
    for path in sorted(SOURCE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                by_name: dict[str, list[ast.Call]] = {}
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                        by_name.setdefault(node.func.id if isinstance(node.func, ast.Name) else node.func.attr, []).append(node)
                found.append((function, by_name))
    return found


def calls(name: str) -> Iterator[tuple[ast.Call, ast.FunctionDef]]:
    """Calls of `name` in the source, with the function around each."""
    for function, by_name in functions():
        for call in by_name.get(name, []):
            yield call, function


@cache
def codes_of(call: ast.Call, around: ast.FunctionDef) -> set[str]:
    """The codes that a call may carry; where it is a variable, all texts like codes in the function."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)
    if given is None:
        return set()
    direct = {n.value for n in ast.walk(given) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    if isinstance(given, ast.Constant | ast.IfExp) or not isinstance(given, ast.Name):
        return {text for text in direct if CODE.fullmatch(text)}
    texts = {n.value for n in ast.walk(around) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return {text for text in texts if re.fullmatch(r"[a-z]+(?:_[a-z]+)+", text)}


def finding_codes() -> set[str]:
    return {code for call, around in calls("Finding") for code in codes_of(call, around)}


def test_every_finding_is_explained_and_no_other():
    shown = set(re.findall(r"^### `(\w+)`$", page("findings.md"), re.MULTILINE))
    assert len(shown) > 15
    assert sorted(finding_codes() ^ shown) == []


def test_a_finding_says_how_bad_it_is_and_what_to_do():
    """What a call states as text stands on the page; what it computes is one of several."""
    for code in sorted(finding_codes()):
        section = page("findings.md").partition(f"### `{code}`\n")[2].partition("\n### ")[0]
        said = set(re.findall(r"\*\*(critical|warning|info)\.?\*\*", section))
        assert "*Do:*" in section, code
        assert said >= stated_severities(code), code
        assert said, code


def stated_severities(code: str) -> set[str]:
    """Severities that the source gives to a finding as texts."""
    stated: set[str] = set()
    for call, _ in calls("Finding"):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if isinstance(given["code"], ast.Constant) and given["code"].value == code and isinstance(given["severity"], ast.Constant):
            stated.add(given["severity"].value)
    return stated


def error_classes(root: type[FairtrialError] = FairtrialError) -> Iterator[type[FairtrialError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__.startswith("fairtrial."):
            yield from error_classes(child)


def test_every_class_of_error_has_its_row_with_its_code():
    shown = {cells[0].partition("`")[2].partition("`")[0]: cells for cells in map(list, rows(page("errors.md")).values())}
    for error in error_classes():
        assert error.__name__ in shown, f"{error.__name__} is not on the page of errors"
        assert shown[error.__name__][1] == f"`{error.default_code}`"


def error_codes() -> set[str]:
    names = [error.__name__ for error in error_classes()]
    return {code for name in (*names, "among") for call, around in calls(name) for code in codes_of(call, around)}


def test_every_code_of_an_error_is_explained():
    assert len(error_codes()) > 15
    assert sorted(code for code in error_codes() if f"`{code}`" not in page("errors.md")) == []


def test_every_reason_for_a_missing_number_is_explained():
    found = {code for call, around in calls("Unavailable") for code in codes_of(call, around)}
    assert len(found) > 8
    assert sorted(code for code in found if f"`{code}`" not in page("errors.md")) == []


@pytest.mark.parametrize("choice", sorted({*get_args(CiMethod), *get_args(Correction), *get_args(LiftMethod)} - {"auto"}))
def test_a_choice_of_method_has_its_row(choice):
    assert choice in rows(page("methods.md"))


def test_every_method_that_a_scorecard_names_has_its_row():
    families = [Proportions(choice) for choice in get_args(CiMethod)]
    flags = list(product((False, True), repeat=2))
    families += [
        Means((True, ratio, covariate, False), stratified=stratified) for ratio, covariate in flags for stratified in (False, True)
    ]
    families += [Means((True, False, covariate, False), variances="equal") for covariate in (False, True)]
    families += [UnitComparison(test=test, adjusted=adjusted) for test in NAMES for adjusted in (False, True)]
    families += [UnitComparison(test=test, ratio=True) for test in ("bootstrap", "permutation")]
    named = {"fisher_exact", *METHOD_NAMES, *(family.interval_method for family in families)}
    named |= {family.test_name(margin) for family in families for margin in (0.0, 0.1)}
    assert sorted(name for name in named if f"`{name}`" not in page("methods.md")) == []


def test_every_public_name_is_on_the_python_page():
    assert [name for name in fairtrial.__all__ if f"`fairtrial.{name}" not in page("python.md")] == []


def test_extras_that_pages_name_exist():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {
        extra for path in [ROOT / "README.md", *DOCS.rglob("*.md")] for extra in re.findall(r"fairtrial\[(\w+)\]", path.read_text("utf-8"))
    }
    assert named
    assert sorted(named - set(known)) == []
