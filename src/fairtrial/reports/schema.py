"""The JSON Schema of a scorecard."""

from __future__ import annotations

import msgspec

from fairtrial.evaluation.scorecard import Scorecard

NUMBER_OR_OPEN = {"type": ["number", "null"]}


def scorecard_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of what `Scorecard.to_json` writes.

    An infinite end of an interval is written as null, so both are allowed there.
    """
    (reference,), definitions = msgspec.json.schema_components([Scorecard], ref_template="#/$defs/{name}")
    definitions["Interval"]["properties"] = {"low": NUMBER_OR_OPEN, "high": NUMBER_OR_OPEN}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **reference, "$defs": definitions}
