"""JSON Schema of the experiment spec, for editors and for checks in other languages.

The schema (draft 2020-12) follows the pydantic models, short forms included. It
says what a single value may be; rules between values (shares that sum to 1, a
margin for non-inferiority) are checked when the spec is read.
"""

from __future__ import annotations

from typing import cast

from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.factorial import FACTORIAL
from fairtrial.spec.quasi import QUASI_KINDS
from fairtrial.spec.segments import MOST_COLUMNS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Node = dict[str, object]


def spec_schema() -> Node:
    """JSON Schema of `ExperimentSpec`, with a description of every field.

    Returns:
        A new mapping, fit for JSON: what it accepts is accepted by the loader but for rules
        between values; what the loader accepts is accepted by it but for numbers written
        where text is due.
    """
    schema = cast("Node", ExperimentSpec.model_json_schema(mode="validation"))
    properties = cast("dict[str, Node]", schema["properties"])
    definitions = cast("dict[str, Node]", schema["$defs"])
    properties["key"]["not"] = {"pattern": "^[0-9]+$"}
    properties["arms"] = _arms(properties["arms"])
    properties["metrics"] |= _one_primary()
    properties["segments"] = _segments(properties["segments"])
    definitions["JsonValue"] = {"description": "Any JSON value."}
    definitions["AggregatesData"]["required"] = [*cast("list[str]", definitions["AggregatesData"].get("required", [])), "shape"]
    schema["required"] = [name for name in cast("list[str]", schema["required"]) if name != "arms"]
    return {"$schema": DIALECT, **schema, **_arms_where_needed()}


def _arms(long: Node) -> Node:
    """Arms as a list of variants or names, or as a mapping of name to share."""
    variant = cast("Node", long["items"])
    name: Node = {"type": "string", "minLength": 1, "maxLength": 200, "description": "Name of an arm with an equal share."}
    share: Node = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]}
    listed: Node = {"type": "array", "minItems": 2, "items": {"anyOf": [variant, name]}}
    mapped: Node = {
        "type": "object",
        "minProperties": 2,
        "propertyNames": {"minLength": 1, "maxLength": 200},
        "additionalProperties": share,
        "description": "Name of an arm to its share of units.",
    }
    return {"anyOf": [listed, mapped], **{key: value for key, value in long.items() if key in {"description", "title"}}}


def _segments(long: Node) -> Node:
    """Segments as their section, or as the names of their columns alone."""
    name: Node = {"type": "string", "minLength": 1, "maxLength": 200, "description": "Name of a column."}
    listed: Node = {"type": "array", "minItems": 1, "maxItems": MOST_COLUMNS, "items": name, "uniqueItems": True}
    return {**long, "anyOf": [*cast("list[Node]", long["anyOf"]), listed, name]}


def _arms_where_needed() -> Node:
    """Arms must be written but where the kind implies them: cells of factors, the two sides of a quasi-experiment."""
    implied: Node = {"properties": {"kind": {"enum": [FACTORIAL, *QUASI_KINDS]}}, "required": ["kind"]}
    return {"if": implied, "else": {"required": ["arms"]}}


def _one_primary() -> Node:
    """One metric is primary; a metric that stands alone is so without saying it."""
    primary: Node = {"properties": {"role": {"const": "primary"}}, "required": ["role"]}
    return {"anyOf": [{"contains": primary, "minContains": 1, "maxContains": 1}, {"maxItems": 1}]}
