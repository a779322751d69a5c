"""The JSON Schema describes what `to_json` writes."""

import json

import pytest
from samples import SAMPLES

from fairtrial.reports import scorecard_schema


def fits(value, schema, definitions) -> bool:
    """Whether `value` fits the part of JSON Schema that ours uses."""
    if "$ref" in schema:
        return fits(value, definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:
        return any(fits(value, one, definitions) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    types = {"null": type(None), "number": (int, float), "integer": int, "string": str, "boolean": bool, "array": list, "object": dict}
    if kinds and not any(isinstance(value, types[kind]) for kind in kinds):
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        extra = schema.get("additionalProperties", {})
        needed = all(name in value for name in schema.get("required", []))
        return needed and all(
            fits(item, known.get(name, extra if isinstance(extra, dict) else {}), definitions) for name, item in value.items()
        )
    if isinstance(value, list):
        return all(fits(item, schema.get("items", {}), definitions) for item in value if schema.get("items"))
    return True


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
