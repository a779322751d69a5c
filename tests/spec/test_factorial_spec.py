"""XC-41: a factorial experiment in a spec - what need not be said, and what is refused with a way out."""

import jsonschema
import pytest

from fairtrial import parse_spec
from fairtrial.errors import SpecError
from fairtrial.spec import spec_schema
from fairtrial.spec.factorial import CellsData, cells_of, with_cells

FACTORS = {"button": ["grey", "green"], "price": ["full", "discount"]}
CELLS = ["grey+full", "grey+discount", "green+full", "green+discount"]


def spec(**changes):
    raw = {"key": "shop", "kind": "factorial", "factors": FACTORS, "metrics": [{"key": "ordered", "kind": "proportion"}]}
    return parse_spec({name: value for name, value in {**raw, **changes}.items() if value is not None})


def test_the_arms_are_the_cells_and_the_control_is_today():
    found = spec()
    assert ([arm.key for arm in found.arms], found.control) == (CELLS, "grey+full")
    assert found.arms[1].levels == {"button": "grey", "price": "discount"}
    assert found.shares == dict.fromkeys(CELLS, 0.25)
    assert cells_of(found.factors, found.arms) == {(0, 0): CELLS[0], (0, 1): CELLS[1], (1, 0): CELLS[2], (1, 1): CELLS[3]}


def test_arms_may_be_named_by_their_levels_or_say_them():
    shares = spec(arms={"grey+full": 0.4, "grey+discount": 0.2, "green+full": 0.2, "green+discount": 0.2})
    assert shares.shares["grey+full"] == 0.4
    assert shares.arms[3].levels == {"button": "green", "price": "discount"}
    named = [{"key": f"v{i}", "levels": {"button": a, "price": b}} for i, (a, b) in enumerate(key.split("+") for key in CELLS)]
    own = spec(arms=named[::-1])
    assert own.control == "v0"
    assert cells_of(own.factors, own.arms)[1, 0] == "v2"


def test_said_and_unsaid_arms_are_one_design():
    assert spec().spec_hash == spec(arms=CELLS, control="grey+full", interactions=2).spec_hash
    assert parse_spec(spec().model_dump(mode="json", exclude_defaults=True)) == spec()
    assert spec(interactions=1).spec_hash != spec().spec_hash


def test_the_new_fields_change_no_hash_of_a_spec_that_does_not_use_them():
    """The hash that this spec had before there were factors and weights (decision 0006)."""
    plain = parse_spec({"key": "plain", "arms": ["control", "b"], "metrics": [{"key": "y", "kind": "mean"}]})
    assert plain.spec_hash == "39d09e391165793d6dd7113bcf1de08405989f6132609642a7aefe9e44381109"


def test_the_json_schema_takes_a_factorial_spec_without_arms():
    raw = {"key": "shop", "kind": "factorial", "factors": FACTORS, "metrics": [{"key": "ordered", "kind": "proportion"}]}
    validator = jsonschema.Draft202012Validator(spec_schema())
    assert validator.is_valid(raw)
    assert not validator.is_valid({**raw, "kind": "ab_test"})
    assert validator.is_valid(spec().model_dump(mode="json"))


def test_a_level_may_be_a_number():
    assert [arm.key for arm in spec(factors={"button": ["grey", "green"], "items": [10, 20]}).arms][:2] == ["grey+10", "grey+20"]


def test_columns_of_the_factors_go_with_the_levels_of_every_arm():
    found = spec(data={"source": "shop.parquet", "factors": {"button": "btn", "price": "offer"}})
    read = with_cells(found.data, found.arms)
    assert isinstance(read, CellsData)
    assert read.cells["green+full"] == {"btn": "green", "offer": "full"}
    arm = spec(data={"source": "shop.parquet", "arm": "cell"})
    assert with_cells(arm.data, arm.arms) is arm.data
    assert with_cells(None, arm.arms) is None


THREE = {"a": ["0", "1"], "b": ["x", "y"], "c": ["u", "v"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": {"button": ["grey", "green"]}, "arms": ["grey", "green"], "control": "grey"}, "2 to 6 factors, got 1.*kind ab_test"),
        ({"factors": None, "arms": ["control", "b"]}, "2 to 6 factors, got 0"),
        ({"factors": {f"f{i}": ["0", "1"] for i in range(7)}}, "got 7"),
        ({"factors": {"button": ["grey", "green", "red"], "price": ["full", "half"]}}, "two different levels.*use kind ab_test"),
        ({"factors": {"button": ["grey", "grey"], "price": ["full", "half"]}}, "two different levels"),
        ({"factors": ["button", "price"], "arms": CELLS, "control": CELLS[0]}, "factors"),
        ({"interactions": 3}, "between 1 .main effects alone. and the 2 factors, got 3"),
        ({"arms": CELLS[:3]}, r"cells \['green\+discount'\] have no arm.*use kind ab_test"),
        ({"arms": [*CELLS, {"key": "again", "levels": {"button": "grey", "price": "full"}}]}, "a cell has two arms"),
        ({"arms": ["A", "B"], "control": "A"}, "arm 'A' is no cell.*'grey.full'"),
        ({"arms": [*CELLS[:3], {"key": "D", "levels": {"button": "green"}}]}, "needs a level of each"),
        ({"arms": [*CELLS[:3], {"key": "D", "levels": {"button": "red", "price": "full"}}]}, "'red' is no level of factor 'button'"),
        ({"control": "green+full"}, "the cell of all first levels, 'grey.full', got 'green.full'"),
        ({"arms": {"grey+full": 0.5, "grey+discount": 0.5, "green+full": 0, "green+discount": 0}}, "the share of .* is 0"),
        ({"plan": {"method": "group_sequential"}}, "read once .method: fixed.*use kind ab_test"),
        ({"plan": {"alternative": "one-sided"}}, "an interaction has no better side"),
        ({"plan": {"gatekeeping": "serial"}}, "no gate"),
        ({"plan": {"correction": "dunnett"}}, "'dunnett' does not serve effects of factors; use holm"),
        ({"metrics": [{"key": "ms", "kind": "quantile", "q": 0.5}]}, "contrasts of means or rates"),
        ({"metrics": [{"key": "spend", "kind": "mean", "test": "mann_whitney"}]}, "contrasts of means or rates"),
        ({"data": {"source": "x.csv", "factors": {"button": "b"}}}, "names the column of each of"),
        ({"data": {"source": "x.csv", "factors": {"button": "b", "price": "b"}}}, "a column of its own"),
        ({"data": {"source": "x.csv", "arm": "cell", "factors": {"button": "b", "price": "p"}}}, "not by both"),
        ({"kind": "ab_test", "arms": ["control", "b"]}, "factors belong to kind 'factorial', this is kind 'ab_test'"),
        ({"kind": None, "factors": None, "arms": ["control", {"key": "b", "levels": {"x": "y"}}]}, "levels of an arm belong"),
        (
            {"kind": None, "factors": None, "arms": ["control", "b"], "data": {"source": "x.csv", "factors": {"a": "b"}}},
            "data.factors belong",
        ),
        ({"kind": None, "factors": None, "arms": ["control", "b"], "interactions": 1}, "interactions belong"),
    ],
)
def test_what_no_contrast_serves_is_refused_with_a_way_out(changes, message):
    with pytest.raises(SpecError, match=message):
        spec(**changes)


def test_a_ratio_of_covariates_is_refused():
    ratio = {"key": "r", "kind": "ratio", "numerator": "a", "denominator": "b", "covariate": "c", "covariate_denominator": "d"}
    with pytest.raises(SpecError, match="leave covariate_denominator out"):
        spec(metrics=[ratio])
    assert spec(factors=THREE, metrics=[{**ratio, "covariate_denominator": None}], interactions=3).interactions == 3
