"""The JSON Schema describes what `to_json` writes."""

import json

import pytest
from samples import SAMPLES

from fairtrial.reports import scorecard_schema

TYPES = {"null": type(None), "number": (int, float), "integer": int, "string": str, "boolean": bool, "array": list, "object": dict}


def fits(value, schema, definitions) -> bool:
    """Whether `value` fits the part of JSON Schema that ours uses."""
    if "$ref" in schema:
        return fits(value, definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:
        return any(fits(value, one, definitions) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    inner = inside(value, schema)
    return any(isinstance(value, TYPES[kind]) for kind in kinds) and inner is not None and all(fits(*one, definitions) for one in inner)


def inside(value, schema):
    """The parts of `value` with their schemas; None when a required one is missing."""
    if isinstance(value, dict):
        known, extra = schema.get("properties", {}), schema.get("additionalProperties", {})
        missing = [name for name in schema.get("required", []) if name not in value]
        return None if missing else [(item, known.get(name, extra if isinstance(extra, dict) else {})) for name, item in value.items()]
    return [(item, schema["items"]) for item in value] if isinstance(value, list) and schema.get("items") else []


@pytest.mark.parametrize("name", SAMPLES)
def test_every_scorecard_fits_its_schema(name: str):
    """G-4."""
    schema = scorecard_schema()
    definitions = schema["$defs"]
    written = json.loads(SAMPLES[name]().to_json())
    assert fits(written, schema, definitions)
    assert set(written) == set(definitions["Scorecard"]["properties"])


def test_a_wrong_scorecard_does_not_fit():
    schema = scorecard_schema()
    written = json.loads(SAMPLES["advertising"]().to_json())
    written["decision"]["verdict"] = "SHIP_IT"
    assert not fits(written, schema, schema["$defs"])
    del written["decision"]
    assert not fits(written, schema, schema["$defs"])
