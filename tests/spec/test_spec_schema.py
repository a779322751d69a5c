"""The JSON Schema says what the loader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from fairtrial.errors import SpecError
from fairtrial.spec import ExperimentConfigClient, parse_spec, spec_schema
from fairtrial.spec.data import DataSpec
from fairtrial.spec.examples import FRAUD_DETECTION_EXPERIMENT
from fairtrial.spec.loader import SUFFIXES, read_mapping
from fairtrial.spec.metric import MetricSpec

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCE = {"source": "units.parquet"}
METRIC = {"key": "y", "kind": "mean"}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = spec_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_names_its_dialect_and_is_plain_json():
    schema = spec_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    assert schema["additionalProperties"] is False
    assert (schema["required"], schema["else"]) == (["key", "metrics"], {"required": ["arms"]})


def test_every_kind_and_shape_of_the_unions_is_in_the_schema():
    definitions = spec_schema()["$defs"]
    for union, tag in ((MetricSpec, "kind"), (DataSpec, "shape")):
        for member in get_args(get_args(union)[0]):
            (value,) = get_args(member.model_fields[tag].annotation)
            assert definitions[member.__name__]["properties"][tag]["const"] == value


def test_parts_and_their_fields_are_described():
    definitions = spec_schema()["$defs"]
    assert [name for name, part in definitions.items() if not part.get("description")] == []
    plan = definitions["PlanSpec"]["properties"]
    assert "Type I error rate" in plan["alpha"]["description"]
    assert [name for name, field in plan.items() if "description" not in field] == []


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"arms": ["control", "treatment"]},
        {"arms": [{"key": "control"}, "treatment"]},
        {"arms": {"control": None, "treatment": None}},
        {"arms": [{"key": "control", "value": {"a": [1, None, True]}}, {"key": "b", "value": 3}]},
        {"data": SOURCE},
        {"data": {**SOURCE, "arm": "group", "unit": "id"}},
        {"data": {**SOURCE, "assignments": {"table": "assigned"}, "facts": {"orders": {"table": "orders"}}}},
        {"data": {**SOURCE, "shape": "aggregates", "columns": {"y": {"mean": "m", "variance": "v"}}}},
        {"metrics": [METRIC]},
        {"metrics": [{**METRIC, "role": "primary"}, {"key": "z", "kind": "ratio", "numerator": "a", "denominator": "b"}]},
        {"metrics": [{**METRIC, "column": {"fact": "orders", "value": "amount"}}]},
        {"schedule": {"start": "2024-04-15T00:00:00Z"}},
    ],
)
def test_what_the_loader_reads_the_schema_accepts(short, validator, change):
    raw = {**short, **change}
    assert parse_spec(raw).key == "checkout"
    assert [error.message for error in validator.iter_errors(raw)] == []


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"plan": {"alhpa": 0.05}},
        {"plan": {"alpha": 95}},
        {"plan": {"power": 1}},
        {"metrics": [{"key": "y", "kind": "medain"}]},
        {"metrics": [{"key": "y"}]},
        {"metrics": []},
        {"metrics": [{**METRIC, "role": "primary"}, {**METRIC, "key": "z", "role": "primary"}]},
        {"metrics": [METRIC, {**METRIC, "key": "z"}]},
        {"arms": ["control"]},
        {"arms": None},
        {"arms": {"control": 1.0}},
        {"arms": {"control": 2, "b": -1}},
        {"arms": "control"},
        {"data": {"arm": "group"}},
        {"data": {**SOURCE, "shape": "unit"}},
        {"key": "123"},
        {"key": ""},
        {"status": "runing"},
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(short, validator, change):
    raw = {**short, **change}
    assert not validator.is_valid(raw)
    with pytest.raises(SpecError):
        parse_spec(raw)


def test_the_schema_accepts_every_spec_that_the_project_carries(short, validator):
    """The shipped catalog and the model example in normal form, and the spec files of `examples/`."""
    client = ExperimentConfigClient()
    carried = [client.get_experiment_spec(name).model_dump(mode="json") for name in client.list_available_experiments()]
    carried += [FRAUD_DETECTION_EXPERIMENT.to_spec().model_dump(mode="json"), short]
    for file in sorted(file for file in EXAMPLES.rglob("*") if file.suffix in SUFFIXES):
        raw = json.loads(json.dumps(read_mapping(file), default=str))
        carried += [raw] if "key" in raw else [{"key": key, **spec} for key, spec in raw.get("experiments", {}).items() if "arms" in spec]
    assert len(carried) >= 9
    assert [(spec["key"], error.message) for spec in carried for error in validator.iter_errors(spec)] == []
