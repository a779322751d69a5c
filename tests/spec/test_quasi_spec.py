"""Quasi-experiments as kinds of a spec."""

from __future__ import annotations

import datetime as dt

import pytest

from fairtrial import parse_spec
from fairtrial.errors import SpecError
from fairtrial.spec.catalog import is_catalog_entry
from fairtrial.spec.quasi import QUASI_KINDS

DESIGNS = {
    "did": {"unit": "store", "time": "week", "treated": "region_a", "start": 12},
    "rdd": {"running": "score", "cutoff": 600},
    "synthetic_control": {"unit": "state", "time": "year", "treated_unit": "California", "start": 1989},
    "iv": {"instrument": "invited", "treatment": "joined"},
    "interrupted_series": {"time": "day", "start": dt.date(2024, 3, 1), "controls": ["other"]},
}


def spec(kind="did", **changes):
    raw = {"key": "q", "kind": kind, "metrics": [{"key": "sales", "kind": "mean"}], "design": DESIGNS.get(kind)}
    raw |= {"data": {"source": "rows.csv"}}
    return parse_spec({name: value for name, value in {**raw, **changes}.items() if value is not None})


@pytest.mark.parametrize("kind", QUASI_KINDS)
def test_every_kind_needs_its_design_and_little_else(kind):
    found = spec(kind)
    assert found.design.kind == found.kind == kind
    assert (found.control, found.treatments, found.shares) == ("control", ("treatment",), None)
    assert parse_spec(found.model_dump(mode="json")).spec_hash == found.spec_hash
    assert set(DESIGNS) == set(QUASI_KINDS)


def test_arms_may_have_names_of_their_own():
    assert spec(arms=["before", "after"], control="before").treatments == ("after",)


def test_a_design_beside_a_kind_is_not_the_catalogs_form():
    """The catalog's form has a section `design` too, and no `kind`."""
    assert not is_catalog_entry({"kind": "rdd", "design": {}})
    assert is_catalog_entry({"design": {}})


def test_a_start_is_a_number_or_a_date():
    assert spec("interrupted_series").design.start == dt.date(2024, 3, 1)
    assert spec("did").design.start == 12
    assert spec("interrupted_series", design={"time": "day", "start": "2024-03-01"}).design.start == dt.date(2024, 3, 1)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("did", {"design": None}, "needs a `design`"),
        ("did", {"design": {"kind": "rdd", "running": "x"}}, "one of kind 'rdd'"),
        ("ab_test", {"design": {"kind": "rdd", "running": "x"}, "arms": ["control", "b"]}, "for quasi-experiments"),
        ("did", {"arms": ["control", "a", "b"]}, "leave `arms` out"),
        ("did", {"data": {"source": "x.csv", "shape": "aggregates"}}, "shape 'units'"),
        ("did", {"plan": {"alternative": "one-sided"}}, "two-sided"),
        ("did", {"plan": {"method": "always_valid", "mde": 0.1}}, "read once"),
        ("did", {"metrics": [{"key": "r", "kind": "ratio", "numerator": "a", "denominator": "b"}]}, "not a ratio"),
        ("did", {"metrics": [{"key": "r", "kind": "mean", "covariate": "x"}]}, "no covariate"),
        ("did", {"metrics": [{"key": "r", "kind": "mean", "winsorize": 0.99}]}, "winsorize"),
        (
            "did",
            {"metrics": [{"key": "a", "kind": "mean", "role": "primary"}, {"key": "b", "kind": "mean", "role": "guardrail"}]},
            "guardrails",
        ),
        ("did", {"design": {"unit": "u", "time": "t"}}, "either `cohort`"),
        ("did", {"design": {"unit": "u", "time": "t", "cohort": "c", "treated": "d", "start": 1}}, "either `cohort`"),
        ("did", {"design": {"unit": "u", "time": "t", "treated": "d"}}, "go together"),
        ("did", {"design": {"time": "t", "cohort": "c"}}, "without `unit`"),
        ("did", {"design": {"time": "t", "treated": "d", "start": 1, "estimator": "two_way"}}, "without `unit`"),
        ("did", {"design": {"unit": "u", "time": "t", "cohort": "c", "covariates": ["x"], "estimator": "two_way"}}, "callaway_santanna"),
        ("did", {"design": {"unit": "u", "time": "t", "cohort": "c", "weights": "w", "estimator": "two_by_two"}}, "two_way and imputation"),
        ("rdd", {"design": {"running": "x", "bias_bandwidth": 2}}, "needs a `bandwidth`"),
        ("rdd", {"design": {"running": "x", "placebo_cutoffs": [0]}}, "differ"),
        ("rdd", {"design": {"running": "x", "kernal": "uniform"}}, "Did you mean 'kernel'"),
        ("iv", {"design": {"instrument": "z"}}, "design.treatment is required"),
        ("synthetic_control", {"plan": {"lift_method": "fieller"}}, "leave lift_method out"),
        ("interrupted_series", {"plan": {"lift_method": "delta"}}, "leave lift_method out"),
    ],
)
def test_what_does_not_go_together_is_said(kind, changes, message):
    with pytest.raises(SpecError, match=message.replace("(", r"\(")):
        spec(kind, **changes)
