"""Eligibility is a pure function, and its rules are checked when the spec is read."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairtrial.spec.eligibility import EligibilityRule, EligibilitySpec, is_eligible

VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3), st.sampled_from(["", "a", "ab", "é", "1"]))


def rule(operator: str, value: object = None, attribute: str = "a") -> EligibilityRule:
    return EligibilityRule.model_validate({"attribute": attribute, "operator": operator, "value": value})


@pytest.mark.parametrize(
    ("operator", "value", "met", "not_met"),
    [
        ("equals", "IT", ["IT"], ["it", "ITA", 1, None, True, ["IT"]]),
        ("equals", 1, [1, 1.0], [True, "1", 2]),
        ("equals", True, [True], [1, "true", False]),
        ("not_equals", "IT", ["FR", ""], ["IT", None, 1]),
        ("in", ["IT", 1], ["IT", 1, 1.0], [True, "1", "FR", None]),
        ("not_in", ["IT", "FR"], ["DE"], ["IT", None, 3]),
        ("below", 18, [17, 17.9], [18, "17", None, True]),
        ("at_most", 18, [18], [18.1]),
        ("at_least", 18, [18, 99], [17.99, "18", False]),
        ("above", 18, [18.5], [18]),
        ("starts_with", "ab", ["ab", "abc"], ["AB", "ba", None, 1]),
        ("ends_with", "@x.org", ["me@x.org"], ["me@x.organic"]),
        ("contains", "beta", ["a-beta-b"], ["Beta", ["beta"]]),
        ("exists", None, [0, "", False, "x"], [None]),
    ],
)
def test_an_operator_means_what_the_table_says(operator, value, met, not_met):
    found = rule(operator, value)
    assert [one for one in met if not found.is_met({"a": one})] == []
    assert [one for one in not_met if found.is_met({"a": one})] == []
    assert not found.is_met({})


def test_every_include_and_no_exclude():
    rules = EligibilitySpec(
        include=(rule("equals", "IT", "country"), rule("at_least", 18, "age")), exclude=(rule("equals", True, "staff"),)
    )
    adult = {"country": "IT", "age": 18}
    assert is_eligible(rules, adult)
    assert not is_eligible(rules, {"country": "IT"})
    assert not is_eligible(rules, {**adult, "staff": True})
    assert is_eligible(rules, {**adult, "staff": None})
    assert is_eligible(None, {})
    assert is_eligible(EligibilitySpec(), {})


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("equals", None),
        ("equals", ["IT"]),
        ("in", "IT"),
        ("in", []),
        ("in", [None]),
        ("below", "18"),
        ("below", True),
        ("above", 10**400),
        ("starts_with", ""),
        ("contains", 3),
        ("exists", True),
        ("matches", "a.*"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(operator, value):
    with pytest.raises(ValidationError):
        rule(operator, value)


SQL = {
    "equals": "a = {v}",
    "not_equals": "a <> {v}",
    "in": "a IN ({v}, {w})",
    "not_in": "a NOT IN ({v}, {w})",
    "below": "a < {v}",
    "at_most": "a <= {v}",
    "at_least": "a >= {v}",
    "above": "a > {v}",
    "exists": "a IS NOT NULL",
}


@given(
    operators=st.lists(st.sampled_from(list(SQL)), min_size=1, max_size=4),
    numbers=st.lists(st.integers(-2, 2), min_size=8, max_size=8),
    excluded=st.lists(st.booleans(), min_size=4, max_size=4),
    found=st.none() | st.integers(-2, 2),
)
def test_rules_agree_with_the_sql_that_is_documented(operators, numbers, excluded, found):
    terms, include, exclude = [], [], []
    for i, operator in enumerate(operators):
        v, w = numbers[2 * i], numbers[2 * i + 1]
        value = [v, w] if operator in {"in", "not_in"} else None if operator == "exists" else v
        (exclude if excluded[i] else include).append(rule(operator, value))
        terms.append(f"{'NOT ' if excluded[i] else ''}coalesce({SQL[operator].format(v=v, w=w)}, false)")
    sql = f"SELECT {' AND '.join(terms)} FROM (SELECT {'NULL' if found is None else found}::INTEGER AS a)"
    rules = EligibilitySpec(include=tuple(include), exclude=tuple(exclude))
    assert is_eligible(rules, {"a": found}) == duckdb.sql(sql).fetchone()[0]


@given(value=VALUES, attribute=VALUES)
def test_equality_knows_kinds(value, attribute):
    if value is None:
        return
    same = attribute is not None and attribute == value and isinstance(attribute, bool) == isinstance(value, bool)
    assert rule("equals", value).is_met({"a": attribute}) == same
