"""Reading specs: files, folders, the three forms, and everything else that may be opened by mistake."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import yaml

from fairtrial.errors import SpecError, UnknownNameError, UsageError
from fairtrial.spec import load_spec, load_specs, parse_spec
from fairtrial.spec.loader import LARGEST_FILE

SPEC = """
key: checkout
arms: {control: 0.5, treatment: 0.5}
metrics: [{key: converted, kind: proportion}]
plan: {mde: 0.05, baseline: 0.1}
"""


def _write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", ["spec.yaml", "spec.yml"])
def test_yaml_and_json_give_the_same_spec(tmp_path, short, name):
    as_yaml = load_spec(_write(tmp_path, name, yaml.safe_dump(short)))
    as_json = load_spec(_write(tmp_path, "spec.json", json.dumps(short)))
    assert as_yaml.spec == as_json.spec == parse_spec(short)
    assert as_yaml.base == tmp_path
    assert as_yaml.raw == short


def test_a_folder_is_read_in_the_order_of_file_names(tmp_path, short):
    for name in ("b.yaml", "a.json", "c.yml"):
        _write(tmp_path, name, json.dumps({**short, "key": f"spec_{name[0]}"}))
    _write(tmp_path, "notes.txt", "not a spec")
    assert list(load_specs(tmp_path)) == ["spec_a", "spec_b", "spec_c"]


def test_a_mapping_of_experiments_gives_each_its_key(tmp_path, short):
    body = {key: value for key, value in short.items() if key != "key"}
    file = _write(tmp_path, "all.yaml", yaml.safe_dump({"experiments": {"second": body, "first": body}}, sort_keys=False))
    assert list(load_specs(file)) == ["second", "first"]
    assert load_spec(file, "first").spec.key == "first"


def test_the_three_forms_stand_side_by_side(tmp_path, short, model, entry):
    everything = {"experiments": {"checkout": short, "ranker_test": model, "free_shipping_threshold_test": entry}}
    found = load_specs(_write(tmp_path, "all.json", json.dumps(everything)))
    assert [spec.spec.plan.alpha for spec in found.values()] == [0.05, 0.05, 0.05]
    assert found["ranker_test"].spec.control == "v1"
    assert found["free_shipping_threshold_test"].spec.plan.mde == 0.08


def test_one_file_in_each_form(tmp_path, model, entry):
    assert load_spec(_write(tmp_path, "model.json", json.dumps(model))).spec.key == "ranker_test"
    assert load_spec(_write(tmp_path, "entry.json", json.dumps(entry))).spec.key == "free_shipping_threshold_test"


def test_only_true_and_false_are_booleans(tmp_path):
    """An arm may be called `on`, a country `NO`."""
    text = """
key: toggle
control: off
arms: {on: 0.5, off: 0.5}
metrics: [{key: y, kind: mean}]
data: {source: units.csv, where: {country: NO, active: true}}
"""
    spec = load_spec(_write(tmp_path, "toggle.yaml", text)).spec
    assert [arm.key for arm in spec.arms] == ["on", "off"]
    assert spec.data is not None
    assert spec.data.where == {"country": "NO", "active": True}


def test_a_byte_order_mark_does_no_harm(tmp_path):
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SPEC.strip().encode())
    assert load_spec(file).spec.key == "checkout"


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("a.yaml", "", "holds a mapping of keys to values; a.yaml holds nothing"),
        ("a.json", "", "a.json is not valid JSON"),
        ("a.yaml", "- a\n- b\n", "a.yaml holds a list"),
        ("a.json", "[1, 2]", "a.json holds a list"),
        ("a.yaml", "just text", "a.yaml holds text"),
        ("a.yaml", "key: [", "a.yaml is not valid YAML"),
        ("a.json", "{'key': 1}", "a.json is not valid JSON"),
        ("a.yaml", "key: a\nkey: b\n", "key 'key' is given twice"),
        ("a.yaml", SPEC + "  \narms: {control: 1, control: 0}\n", "is given twice"),
        ("a.json", '{"key": 1, "key": 2}', "Key 'key' is given twice"),
        ("a.yaml", SPEC + "schedule: {start: 2024-13-45}\n", "a.yaml is not valid YAML"),
        ("a.yaml", SPEC + "description: !!python/object:os.system x\n", "a.yaml is not valid YAML"),
        ("a.yaml", "[" * 5000, "nests without end"),
        ("a.json", "[" * 100_000, "nests without end"),
        ("a.yaml", "&a [*a]", "unfolds to more"),
        ("a.json", '{"key": "a", "description": "\\ud800"}', "a.json has the half of one"),
        ("a.yaml", "experiments: [a]\n", "`experiments` maps keys to specs; in a.yaml it is a list"),
        ("a.yaml", "experiments: {a: 5}\n", "spec 'a' in a.yaml must be a mapping"),
        ("a.yaml", "experiments: {}\n", "holds no .yaml, .yml, .json file with an experiment"),
        ("a.yaml", "experiments: {}\nexperimentz: {}\n", "Did you mean 'experiments'?"),
        (
            "a.yaml",
            "experiments: {other: " + json.dumps(yaml.safe_load(SPEC)) + "}",
            "calls itself 'checkout'; the two names must agree",
        ),
        ("a.yaml", SPEC.replace("key: checkout", "kye: checkout"), "unknown key 'kye'"),
    ],
)
def test_what_is_no_spec_is_refused_with_the_rule(tmp_path, name, text, rule):
    with pytest.raises(UsageError) as caught:
        load_specs(_write(tmp_path, name, text))
    assert rule in str(caught.value)


def test_a_few_lines_that_unfold_into_billions_are_refused(tmp_path):
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(SpecError, match="unfolds to more"):
        load_specs(_write(tmp_path, "bomb.yaml", "\n".join(lines)))


def test_a_binary_file_is_not_text(tmp_path):
    file = tmp_path / "units.parquet"
    file.write_bytes(b"PAR1\x15\x04\xff\xfe\x00\x80")
    with pytest.raises(SpecError, match=r"UTF-8 text; units\.parquet is not"):
        load_specs(file)


def test_control_characters_are_not_yaml(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"key: \x00\x01")
    with pytest.raises(SpecError, match="not valid YAML"):
        load_specs(file)


def test_five_gigabytes_opened_by_mistake_are_not_read(tmp_path):
    """The issue's 5 GB file: refused by its size alone, at once."""
    file = tmp_path / "events.yaml"
    with file.open("wb") as handle:
        handle.truncate(5_000_000_000)
    assert file.stat().st_size > LARGEST_FILE
    before = time.perf_counter()
    with pytest.raises(SpecError, match=r"at most 10 MB of text; events\.yaml has 5,000,000,000 bytes"):
        load_specs(file)
    assert time.perf_counter() - before < 1.0


def test_what_is_no_file_is_not_read(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SpecError, match=r"folder\.yaml is something else"):
        load_specs(tmp_path)
    with pytest.raises(SpecError, match="something else"):
        load_specs(os.devnull)


def test_a_missing_path_says_so(tmp_path):
    with pytest.raises(UsageError, match=r"there is no .*nowhere\.yaml.* Check the path"):
        load_specs(tmp_path / "nowhere.yaml")


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(UsageError, match="No spec in"):
        load_specs(tmp_path)


def test_two_files_with_one_key_are_refused(tmp_path, short):
    _write(tmp_path, "a.yaml", json.dumps(short))
    _write(tmp_path, "b.yaml", json.dumps(short))
    with pytest.raises(SpecError, match=r"must be unique: 'checkout' stands in a\.yaml and in b\.yaml"):
        load_specs(tmp_path)


def test_an_unknown_key_is_answered_with_the_known_ones(tmp_path):
    file = _write(tmp_path, "a.yaml", SPEC)
    with pytest.raises(UnknownNameError, match=r"Known: \['checkout'\]. Did you mean 'checkout'\?"):
        load_spec(file, "chekout")


def test_several_specs_need_a_name(tmp_path, short):
    file = _write(tmp_path, "a.json", json.dumps({"experiments": {"a": {**short, "key": "a"}, "b": {**short, "key": "b"}}}))
    with pytest.raises(UsageError, match=r"holds 2 experiments: \['a', 'b'\]. Name one"):
        load_spec(file)


def test_errors_name_the_file_and_the_experiment(tmp_path, short):
    file = _write(tmp_path, "a.json", json.dumps({"experiments": {"a": {**short, "key": "a", "plan": {"alpha": 95}}}}))
    with pytest.raises(SpecError, match=r"The spec 'a' in a\.json breaks a rule: plan\.alpha"):
        load_specs(file)
