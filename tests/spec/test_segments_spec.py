"""Segments in a spec: what may be asked, what is refused, and that specs without them keep their hashes (XC-34, III.b)."""

from __future__ import annotations

import jsonschema
import pytest

from fairtrial import parse_spec
from fairtrial.errors import SpecError
from fairtrial.spec import spec_schema

UNITS = {"source": "units.parquet", "arm": "arm", "unit": "id", "post_assignment": ["visits"]}


def spec(segments=None, **changes):
    raw = {"key": "checkout", "arms": ["control", "treatment"], "metrics": [{"key": "bought", "kind": "proportion"}], "data": UNITS}
    raw |= {} if segments is None else {"segments": segments}
    return parse_spec({name: value for name, value in {**raw, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    "said", ["country", ["country"], {"columns": ["country"]}, {"columns": "country"}, {"columns": ["country"], "min_units": 100}]
)
def test_a_column_a_list_and_a_section_say_the_same(said):
    if said == {"columns": "country"}:
        with pytest.raises(SpecError):
            spec(said)
        return
    found = spec(said)
    assert found.segments.columns == ("country",)
    assert (found.segments.min_units, found.segments.max_levels, found.segments.correction) == (100, 10, "holm")
    assert found.spec_hash == spec(["country"]).spec_hash
    assert parse_spec(found.model_dump(mode="json")).spec_hash == found.spec_hash
    jsonschema.validate({"key": "k", "arms": ["control", "b"], "metrics": [{"key": "m", "kind": "mean"}], "segments": said}, spec_schema())


def test_a_spec_without_segments_has_the_hash_it_had_before_there_were_any():
    assert spec().segments is None
    assert spec().spec_hash != spec(["country"]).spec_hash
    assert "segments" not in spec().model_dump(exclude_defaults=True)
    assert spec().spec_hash == "1526bdbba849f1f4086c4211b77390d9e7db7e6076129884ba7d733b0a50e69a"


@pytest.mark.parametrize(
    ("segments", "changes", "says"),
    [
        (["visits"], {}, "'visits' is measured after it"),
        (["arm"], {}, "'arm' is the arm"),
        (["id"], {}, "'id' is the unit"),
        (["bought"], {}, "'bought' is an outcome of metric 'bought'"),
        (["b"], {"metrics": [{"key": "ctr", "kind": "ratio", "numerator": "a", "denominator": "b"}]}, "an outcome of metric 'ctr'"),
        (["country", "country"], {}, "named once"),
        ([], {}, "at least 1"),
        ([f"c{i}" for i in range(9)], {}, "at most 8"),
        ({"columns": ["country"], "max_levels": 1}, {}, "max_levels"),
        ({"columns": ["country"], "min_units": 5}, {}, "min_units"),
        ({"columns": ["country"], "correction": "none"}, {}, "correction"),
        (["country"], {"data": {**UNITS, "repeated": "mean"}}, "one row a unit"),
        (
            ["country"],
            {"data": {"source": "a.csv", "pair": "match"}, "metrics": [{"key": "y", "kind": "mean", "test": "paired_t"}]},
            "pairs are compared",
        ),
        (
            ["colour"],
            {"kind": "factorial", "arms": None, "factors": {"button": ["red", "blue"], "price": ["low", "high"]},
             "data": {"source": "a.csv", "factors": {"button": "colour", "price": "price"}}},
            "'colour' is factor 'button'",
        ),
        (
            ["country"],
            {"data": {"source": "a.csv", "shape": "aggregates", "columns": {"bought": {"successes": "x"}}}},
            "ready aggregates hold none; give a unit table",
        ),
        (["country"], {"data": {"source": "duckdb:///a.db", "assignments": {"table": "a"}}}, "join the attribute to a table of one row"),
        (
            ["country"],
            {"kind": "iv", "arms": ["control", "treatment"], "allocation": "unknown", "data": {"source": "a.csv"},
             "metrics": [{"key": "bought", "kind": "mean"}], "design": {"instrument": "z", "treatment": "t"}},
            "filter by data.where",
        ),
    ],
)  # fmt: skip
def test_what_no_method_serves_is_refused_with_what_to_use_instead(segments, changes, says):
    with pytest.raises(SpecError) as error:
        spec(segments, **changes)
    assert says in str(error.value)


def test_a_spec_without_data_may_name_its_segments():
    assert spec(["country"], data=None).segments.columns == ("country",)
