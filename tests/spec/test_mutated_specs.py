"""Two hundred specs with one mistake each: none crashes the check, none passes, each is told with its line and what to do."""

from __future__ import annotations

import copy
import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fairtrial.spec import get_experiment_config
from fairtrial.spec.checking import check_specs
from fairtrial.spec.templates import list_templates, template_text

TYPED = 200
WRONG = "zzz-wrong"
ENTRIES = ("free_shipping_threshold_test", "recommendation_algorithm_test")
FREE = {"value", "implementation", "business_justification", "risk_assessment", "strategic_importance", "data_generation", "experiments"}
"""Keys below which anything may be written."""

ANY_LIST = {"arms", "include", "exclude"}
"""Mappings that may be written as a list of words."""


def bases() -> Iterator[tuple[str, dict]]:
    for name in list_templates():
        yield name, yaml.safe_load(template_text(name))
    for name in ENTRIES:
        yield name, get_experiment_config(name)


def places(node: object, path: tuple = ()) -> Iterator[tuple]:
    """Ways to every value that a spec's form speaks of."""
    for step, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, step)
        if isinstance(value, dict | list) and step not in FREE and not (path == () and step == "arms" and isinstance(value, dict)):
            yield from places(value, (*path, step))


def at(spec: dict, path: tuple) -> object:
    for step in path:
        spec = spec[step]
    return spec


def rename(spec: dict, path: tuple) -> dict:
    """The same spec with a letter lost in a key."""
    home = at(spec, path[:-1])
    typo = path[-1][:-1] + "zz"
    renamed = {typo if key == path[-1] else key: value for key, value in home.items()}
    home.clear()
    home.update(renamed)
    return spec


def replace(spec: dict, path: tuple, value: object) -> dict:
    at(spec, path[:-1])[path[-1]] = value
    return spec


def mistakes() -> Iterator[tuple[str, dict, str]]:
    """What is wrong, the spec, and a text that the wrong line holds ('' where it is a matter of several lines)."""
    for name, base in bases():
        for path in places(base):
            value, key = at(base, path), path[-1]
            if key in FREE or (path[0] == "arms" and isinstance(base["arms"], dict) and len(path) > 1):
                continue
            named = "variants" in path[:1] and len(path) == 2  # names of arms are anybody's
            if isinstance(key, str) and not named:
                yield f"{name}: key {'.'.join(map(str, path))}", rename(copy.deepcopy(base), path), f"{key[:-1]}zz"
            if isinstance(value, bool | int | float):
                yield f"{name}: word at {'.'.join(map(str, path))}", replace(copy.deepcopy(base), path, WRONG), WRONG
            if isinstance(key, str) and "date" in key and isinstance(value, str | dt.date):
                yield f"{name}: date at {'.'.join(map(str, path))}", replace(copy.deepcopy(base), path, "2024-02-31"), "2024-02-31"
            if isinstance(key, str) and isinstance(value, dict) and not named and key not in ANY_LIST:
                yield f"{name}: list at {'.'.join(map(str, path))}", replace(copy.deepcopy(base), path, [WRONG]), ""


def write(folder: Path, spec: dict) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=200), encoding="utf-8")
    return file


def test_a_spec_with_a_mistake_is_told_with_its_line_and_a_way_out(tmp_path):
    cases = list(mistakes())
    chosen = random.Random(5).sample(cases, TYPED)
    wrong: list[str] = []
    for label, spec, sign in chosen:
        file = write(tmp_path, spec)
        try:
            errors = check_specs(file).errors
        except Exception as error:  # noqa: BLE001 - any exception is a crash, and all are to be listed
            wrong.append(f"{label}: crashed with {error!r}")
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        if not errors:
            wrong.append(f"{label}: passes")
        elif any(error.line is None for error in errors):
            wrong.append(f"{label}: without a line: {errors[0].message}")
        elif sign and not any(sign in lines[error.line - 1] for error in errors):
            wrong.append(f"{label}: line {errors[0].line} ({lines[errors[0].line - 1]!r}): {errors[0].message}")
    assert wrong == []


ONE = {"key": "one", "arms": ["control", "b"], "metrics": [{"key": "m", "kind": "mean", "role": "primary"}]}


def catalog(**files: dict) -> dict[str, dict]:
    return files


MISTAKES_BETWEEN_SPECS = {
    "a metric that is not there": (catalog(a={**ONE, "metrics": [{"use": "sales"}]}), "unknown_metric|spec", "use: sales"),
    "a metric that is spelt wrongly": (
        catalog(a={**ONE, "metrics": [{"use": "sale"}]}, b={"metric_catalog": {"sales": {"kind": "mean"}}}),
        "Did you mean 'sales'?",
        "use: sale",
    ),
    "metrics in a circle": (
        catalog(a=ONE, b={"metric_catalog": {"x": {"extends": "y"}, "y": {"extends": "x"}}}),
        "x -> y -> x",
        "extends: y",
    ),
    "a metric of no kind": (catalog(a=ONE, b={"metric_catalog": {"x": {"owner": "me"}}}), "kind is required", "x:"),
    "a metric of a wrong kind": (catalog(a=ONE, b={"metric_catalog": {"x": {"kind": "medain"}}}), "must be one of", "kind: medain"),
    "a metric with a role": (catalog(a=ONE, b={"metric_catalog": {"x": {"kind": "mean", "role": "primary"}}}), "belongs to the", "role:"),
    "a metric that is redefined": (
        catalog(a={**ONE, "metrics": [{"use": "x", "column": "y"}]}, b={"metric_catalog": {"x": {"kind": "mean"}}}),
        "is the metric catalog's",
        "column: y",
    ),
    "a metric twice": (
        catalog(a={"metric_catalog": {"x": {"kind": "mean"}}}, b={"metric_catalog": {"x": {"kind": "mean"}}}, c=ONE),
        "defined once",
        "",
    ),
    "a name twice": (catalog(a=ONE, b=ONE), "must be unique", "key: one"),
    "a prerequisite that is not there": (catalog(a={**ONE, "prerequisites": ["two"]}), "not in the catalog", "prerequisites:"),
    "prerequisites in a circle": (
        catalog(a={**ONE, "prerequisites": ["two"]}, b={**ONE, "key": "two", "prerequisites": ["one"]}),
        "one -> two -> one",
        "prerequisites:",
    ),
    "a version that is none": (catalog(a={**ONE, "version": "1.0"}), "Such as version: 1.2.0", "version:"),
    "a version that jumps": (
        catalog(
            a={
                "experiments": {"one": {**ONE, "version": "3.0.0"}},
                "previous_versions": {"one": [ONE]},
                "config_metadata": {
                    "version": "1.0.0",
                    "schema_version": "1",
                    "change_log": [{"version": "3.0.0", "date": "2026-01-01", "experiment": "one", "description": "x"}],
                },
            }
        ),
        "one step at a time",
        "version: 3.0.0",
    ),
    "a version that moves too little": (
        catalog(
            a={
                "experiments": {
                    "one": {
                        **ONE,
                        "version": "1.0.1",
                        "plan": {"alpha": 0.1},
                        "change_log": [{"version": "1.0.1", "date": "2026-01-01", "description": "x"}],
                    }
                },
                "previous_versions": {"one": [ONE]},
            }
        ),
        "its changes are major: write 2.0.0",
        "version: 1.0.1",
    ),
    "a change that is not logged": (
        catalog(a={"experiments": {"one": {**ONE, "version": "1.1.0"}}, "previous_versions": {"one": [ONE]}}),
        "line in the change log",
        "",
    ),
    "a previous version that is broken": (
        catalog(
            a={
                "experiments": {
                    "one": {**ONE, "version": "1.1.0", "change_log": [{"version": "1.1.0", "date": "2026-01-01", "description": "x"}]}
                },
                "previous_versions": {"one": [{**ONE, "arms": ["control"]}]},
            }
        ),
        "Of version 1.0.0",
        "",
    ),
    "a change of a day that is none": (
        catalog(a={**ONE, "change_log": [{"version": "1.0.0", "date": "2026-02-30", "description": "x"}]}),
        "date",
        "date:",
    ),
}


@pytest.mark.parametrize("case", MISTAKES_BETWEEN_SPECS)
def test_a_mistake_between_specs_is_told_with_its_line(case, tmp_path):
    files, said, sign = MISTAKES_BETWEEN_SPECS[case]
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    errors = check_specs(tmp_path).errors
    assert errors
    found = [error for error in errors if any(word in error.message or word == error.code for word in said.split("|"))]
    assert found, errors
    if sign:
        assert sign in found[0].file.read_text(encoding="utf-8").splitlines()[found[0].line - 1]


def test_every_broken_file_of_a_folder_is_told_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text("key: a\n\tarms: [control, b]\n", encoding="utf-8")
    (tmp_path / "b.json").write_text('{"key": "b",\n "arms": [}', encoding="utf-8")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**ONE, "plan": {"alfa": 1}, "armz": 1}), encoding="utf-8")
    errors = check_specs(tmp_path).errors
    assert [(error.file.name, error.line) for error in errors] == [("a.yaml", 2), ("b.json", 2), ("c.yaml", 4), ("c.yaml", 11)]
