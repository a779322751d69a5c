"""The business section of a spec: what it takes, what it refuses, and that it is no part of the design (XC-35)."""

from __future__ import annotations

import jsonschema
import pytest

from fairtrial import parse_spec
from fairtrial.errors import SpecError
from fairtrial.spec import spec_schema
from fairtrial.spec.diff import compare_trees

TERMS = {"eligible_units_per_day": 950, "value_per_unit": 30, "currency": "EUR"}


def raw(**changed):
    return {"key": "shop", "arms": ["control", "treatment"], "metrics": [{"key": "bought", "kind": "proportion"}], **changed}


def test_a_business_section_leaves_the_hash_of_the_design_alone():
    """XC-12: what an effect is worth says nothing of how it is measured."""
    assert parse_spec(raw()).spec_hash == parse_spec(raw(business=TERMS)).spec_hash
    assert parse_spec(raw()).business is None


def test_a_changed_value_is_a_patch():
    """XC-12: PATCH is what says nothing of the design."""
    old, new = (parse_spec(raw(business={**TERMS, "value_per_unit": value})).model_dump(mode="json") for value in (30, 40))
    assert [(change.path, change.level) for change in compare_trees(old, new)] == [("business.value_per_unit", "patch")]
    without = parse_spec(raw()).model_dump(mode="json")
    assert [change.level for change in compare_trees(without, new)] == ["patch"]


def test_what_is_not_said_has_a_default_and_the_schema_knows_it():
    spec = parse_spec(raw(business=TERMS))
    case = spec.business
    assert (case.period_days, case.horizon_years, case.persistence, case.one_off_cost, case.holdout_share) == (365, 1.0, 1.0, 0.0, 0.0)
    assert parse_spec(spec.model_dump(mode="json")) == spec
    jsonschema.validate(raw(business=TERMS), spec_schema())


@pytest.mark.parametrize(
    ("business", "said"),
    [
        ({"value_per_unit": 0}, "value_per_unit"),
        ({"value_per_unit": -3}, "value_per_unit"),
        ({"one_off_cost": -1}, "one_off_cost"),
        ({"horizon_years": 0}, "horizon_years"),
        ({"persistence": 0}, "persistence"),
        ({"holdout_share": 1}, "holdout_share"),
        ({"discount_rate": 8}, "discount_rate"),
        ({"value_per_units": 3}, "value_per_unit"),
        ({"long_term_metrics": ["lifetime"]}, "'lifetime'"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(business, said):
    with pytest.raises(SpecError, match=said):
        parse_spec(raw(business=business))


def test_the_effect_of_a_quasi_experiment_is_not_told_in_money():
    """Its effect is of those it was found on; the error says so and what to do."""
    quasi = {
        "key": "q",
        "kind": "rdd",
        "metrics": [{"key": "spend", "kind": "mean"}],
        "design": {"running": "score", "cutoff": 0},
        "data": {"source": "x.csv"},
    }
    assert parse_spec(quasi).business is None
    with pytest.raises(SpecError, match="randomised experiments"):
        parse_spec({**quasi, "business": TERMS})


def test_a_catalog_entry_brings_its_terms_and_its_traffic(entry):
    """XC-35: users, period and value from the config."""
    spec = parse_spec({**entry, "business_impact": {"value_per_unit": 30, "period_days": 30}})
    assert (spec.business.value_per_unit, spec.business.period_days) == (30, 30)
    assert spec.business.eligible_units_per_day is None
    assert spec.feasibility.daily_units == 950
    assert parse_spec(entry).business is None
