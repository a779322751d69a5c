"""The normal form: what it refuses, its short forms, its hash and its round trip."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import SpecError, UnknownNameError
from fairtrial.spec import ExperimentSpec, parse_spec
from fairtrial.spec.experiment import metric_sources
from fairtrial.spec.plan import PlanSpec

UNITS = {"source": "units.parquet", "arm": "group"}
TWO = [{"key": "a", "kind": "mean", "role": "primary"}, {"key": "b", "kind": "mean", "role": "primary"}]
NONE = [{"key": "a", "kind": "mean"}, {"key": "b", "kind": "mean"}]

LOGS = {"source": "logs.db", "assignments": {"table": "assigned"}, "facts": {"orders": {"table": "orders"}}}
AGGREGATES = {"source": "sums.csv", "shape": "aggregates"}
EARLIER = {"fact": "orders", "before_days": 7}
RATIO = {"key": "a", "kind": "ratio", "numerator": "x", "denominator": "y"}
INFERIOR = {"objective": "non_inferiority"}

BAD = [
    ({"conrtol": "a"}, "unknown key 'conrtol'", "Did you mean 'control'?"),
    ({"plan": {"alhpa": 0.05}}, "unknown key 'alhpa' in plan", "Did you mean 'alpha'?"),
    ({"metrics": [{"key": "a", "kind": "mean", "winsorise": 0.9}]}, "unknown key 'winsorise' in metrics[0]", "Did you mean 'winsorize'?"),
    ({"metrics": [{"key": "a", "kind": "medain"}]}, "metrics[0].kind must be one of", "Did you mean 'mean'?"),
    ({"data": {**UNITS, "shape": "unit"}}, "data.shape must be one of", "Did you mean 'units'?"),
    ({"plan": {"correction": "holms"}}, "plan.correction must be one of", "Did you mean 'holm'?"),
    ({"kind": "holdouts"}, "kind must be one of", "Did you mean 'holdout'?"),
    ({"arms": {"control": 0.5, "treatment": 0.4}}, "allocations must sum to 1, got 0.9", "leave them out for equal shares"),
    ({"arms": {"control": 1.5, "treatment": -0.5}}, "arms[1].allocation", "greater than or equal to 0"),
    ({"arms": {"control": 50, "treatment": 50}}, "arms[0].allocation", "write 0.5"),
    ({"arms": {"control": "half", "treatment": 0.5}}, "arms[0].allocation", "got 'half'"),
    ({"arms": ["a", "b"]}, "no control: no arm is named 'control'", "set `control` to one of ['a', 'b']"),
    ({"arms": ["control"]}, "arms", "at least 2 items"),
    ({"arms": ["control", "a", "a"]}, "arm names must be unique", "['a']"),
    ({"arms": [{"key": "control", "allocation": 0.5}, "a"]}, "allocation must be given for every arm or for none", ""),
    ({"allocation": "adaptive"}, "allocation is 'adaptive'", "carry no shares"),
    ({"arms": [{"key": "control", "value": {"a": float("nan")}}, "a"]}, "arms[0].value", "finite number"),
    ({"arms": [{"key": "control", "value": b"\xff"}, "a"]}, "arms[0].value", "JSON"),
    ({"plan": {"alpha": 95}}, "plan.alpha", "for 95% confidence write alpha: 0.05"),
    ({"plan": {"alpha": 0}}, "plan.alpha", "greater than 0"),
    ({"plan": {"alpha": float("nan")}}, "plan.alpha", "finite"),
    ({"plan": {"power": 1}}, "plan.power", "less than 1"),
    ({"plan": {"power": 80}}, "plan.power", "write 0.8"),
    ({"plan": {"power": 0.04}}, "power must lie between alpha and 1", ""),
    ({"plan": {"mde": -0.1}}, "plan.mde", "greater than 0"),
    ({"plan": {"sample_size": -5}}, "plan.sample_size", "greater than or equal to 2"),
    ({"plan": {"min_days": 0}}, "plan.min_days", "greater than or equal to 1"),
    ({"plan": {"min_days": 20, "max_days": 10}}, "min_days must not exceed max_days", "20 and 10"),
    ({"plan": {"baseline_sd": 0}}, "plan.baseline_sd", "greater than 0"),
    ({"plan": {"practical_threshold": 0.2, "strong_threshold": 0.1}}, "strong_threshold must not be below practical_threshold", ""),
    ({"plan": {"objective": "non_inferiority"}}, "objective non_inferiority needs a margin", "converted"),
    ({"metrics": TWO}, "at most one is primary, got ['a', 'b']", "make the others secondary"),
    ({"metrics": NONE}, "no primary metric", "role: primary"),
    ({"metrics": []}, "metrics", "at least 1 item"),
    ({"metrics": [{**TWO[0]}, {**NONE[0]}]}, "metric names must be unique", "['a']"),
    ({"metrics": [{"key": "a"}]}, "metrics[0] needs the key 'kind'", ""),
    ({"metrics": [{"key": "a", "kind": "ratio", "numerator": "x"}]}, "metrics[0].denominator is required", ""),
    ({"metrics": [{"key": "a", "kind": "mean", "max_value": 3}]}, "max_value is for guardrails", "primary"),
    ({"metrics": [{"key": "a", "kind": "mean", "margin": -1}]}, "metrics[0].margin", "greater than or equal to 0"),
    ({"data": UNITS, "metrics": [{"key": "a", "kind": "mean", "column": {"fact": "orders"}}]}, "facts need data of shape 'logs'", ""),
    (
        {"data": {**UNITS, "post_assignment": ["later"]}, "metrics": [{"key": "a", "kind": "mean", "covariate": "later"}]},
        "['later']",
        "biases",
    ),
    ({"data": {**UNITS, "where": {"country": ["US"]}}}, "data.where.country", "text, a number, true or false"),
    ({"data": {"source": "x", "assignments": {"table": "a"}, "facts": {"count": {"tabel": "c"}}}}, "data.facts.count", "'table'"),
    ({"schedule": {"start": 20240415}}, "schedule.start", "not a number"),
    ({"schedule": {"start": "0001-01-01T00:00:00+05:00"}}, "schedule.start", "between the years 1900 and 2200"),
    ({"schedule": {"start": "20240415"}}, "schedule.start", "not a number"),
    ({"schedule": {"start": "2024-05-01", "end": "2024-05-01"}}, "end must come after start", ""),
    ({"data": LOGS, "metrics": [{"key": "a", "kind": "count", "column": {"fact": "order"}}]}, "no fact named 'order'", "'orders'"),
    ({"data": LOGS, "metrics": [{"key": "a", "kind": "count", "column": EARLIER}]}, "before_days is for covariates", "outcome"),
    ({"data": AGGREGATES, "metrics": [{"key": "a", "kind": "mean", "covariate": "x"}]}, "ready aggregates carry no covariate", ""),
    ({"data": {**AGGREGATES, "columns": {"a": {"mean": "m"}}}}, "data.columns.a", "`mean` and `variance`"),
    ({"data": {**AGGREGATES, "columns": {"a": {"successes": "s", "sum": "t"}}}}, "data.columns.a", "name one form"),
    ({"metrics": [RATIO | {"covariate_denominator": "x"}]}, "covariate_denominator needs a covariate", "metric 'a'"),
    ({"plan": INFERIOR, "metrics": [{**NONE[0], "margin": 0.1, "margin_kind": "relative"}]}, "margin_kind must be absolute", "'a'"),
    ({"key": "a\ud800"}, "key", "unicode"),
    ({"key": "123"}, "key", "all digits"),
    ({"key": " checkout"}, "key", "white space"),
    ({"key": "a\nb"}, "key", "line breaks"),
    ({"key": "x" * 201}, "key", "at most 200"),
    ({"schema_version": 2}, "schema_version", "must be one of"),
    ({"status": "runing"}, "status", "Did you mean 'running'?"),
]


@pytest.mark.parametrize(("change", "rule", "advice"), BAD, ids=lambda part: part if isinstance(part, str) else None)
def test_a_broken_rule_is_named_with_what_to_do(short, change, rule, advice):
    """Bad input of the issue: the rule, what came, and where possible what to write instead."""
    with pytest.raises(SpecError) as caught:
        parse_spec({**short, **change})
    assert rule in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("raw", [None, [], "text", 5, True])
def test_what_is_no_mapping_is_no_spec(raw):
    with pytest.raises(SpecError, match="must be a mapping of keys to values"):
        parse_spec(raw)


def test_all_broken_rules_are_listed_at_once(short):
    with pytest.raises(SpecError) as caught:
        parse_spec({**short, "plan": {"alpha": 95, "power": 1}, "colour": "red"})
    assert str(caught.value).count("\n  - ") == 3
    assert all(word in str(caught.value) for word in ("plan.alpha", "plan.power", "'colour'"))


def test_short_forms_mean_the_long_ones(short):
    long = {
        **short,
        "arms": [{"key": "control", "allocation": 0.5}, {"key": "treatment", "allocation": 0.5}],
        "metrics": [{"key": "converted", "kind": "proportion", "role": "primary"}],
        "data": {**UNITS, "shape": "units"},
    }
    spec = parse_spec({**short, "data": UNITS})
    assert spec == parse_spec(long)
    assert spec.spec_hash == parse_spec(long).spec_hash


def test_logs_are_told_by_their_assignments(short):
    metrics = [{"key": "orders", "kind": "count", "column": {"fact": "orders"}, "covariate": EARLIER}]
    spec = parse_spec({**short, "data": LOGS, "metrics": metrics})
    assert spec.data.shape == "logs"
    assert spec.primary.covariate.before_days == 7
    assert metric_sources(spec.primary) == {"outcome": spec.primary.column, "covariate": spec.primary.covariate}


def test_a_default_column_is_named_as_the_metric(short):
    assert metric_sources(parse_spec(short).primary) == {"outcome": "converted"}


def test_adaptive_and_unknown_shares_are_not_known(short):
    spec = parse_spec({**short, "arms": ["control", "b"], "allocation": "adaptive"})
    assert spec.shares is None


def test_names_alone_give_equal_shares(short):
    spec = parse_spec({**short, "arms": ["control", "a", "b", "c"]})
    assert spec.shares == {"control": 0.25, "a": 0.25, "b": 0.25, "c": 0.25}
    assert spec.treatments == ("a", "b", "c")


@pytest.mark.parametrize("value", [True, False, 0, 1, 2.5, "red", {"a": [1, None]}, ["x"], None])
def test_an_arm_serves_any_json_value_unchanged(short, value):
    spec = parse_spec({**short, "arms": [{"key": "control", "value": value}, "treatment"]})
    assert spec.arms[0].value == value
    assert type(spec.arms[0].value) is type(value)


def test_an_unknown_metric_name_is_answered_with_the_known_ones(short):
    with pytest.raises(UnknownNameError, match=r"Known: \['converted'\]. Did you mean 'converted'\?"):
        parse_spec(short).metric("convert")


# --- the hash ---


def _hash(short: dict, **change: object) -> str:
    return parse_spec({**short, **change}).spec_hash


DESIGN_CHANGES = {
    "key": "other",
    "kind": "holdout",
    "hypothesis": "better",
    "version": "1.0.1",
    "arms": {"control": 0.4, "treatment": 0.6},
    "metrics": [{"key": "converted", "kind": "mean"}],
    "plan": {"mde": 0.06, "baseline": 0.1},
    "schedule": {"start": "2024-04-15"},
    "data": UNITS,
}
PLAN_CHANGES = {
    "objective": "non_inferiority",
    "alternative": "one-sided",
    "alpha": 0.06,
    "power": 0.9,
    "mde": 0.07,
    "mde_kind": "absolute",
    "baseline": 0.2,
    "baseline_sd": 1.0,
    "sample_size": 100,
    "min_days": 7,
    "max_days": 70,
    "correction": "none",
    "secondary_correction": "none",
    "ci_method": "wald",
    "lift_method": "delta",
    "practical_threshold": 0.03,
    "strong_threshold": 0.3,
    "practical_threshold_absolute": 0.01,
    "sequential": {"looks": 3},
    "always_valid": {"sequence": "asymptotic"},
    "bayesian": {"lift_prior_sd": 0.1},
    "covariate_correlation": 0.5,
    "cluster_size": 20,
    "gatekeeping": "serial",
    "intraclass_correlation": 0.02,
    "decision_table": {7: {"verdict": "NO_LAUNCH"}},
}


@pytest.mark.parametrize("name", DESIGN_CHANGES)
def test_the_hash_changes_with_the_design(short, name):
    assert _hash(short, **{name: DESIGN_CHANGES[name]}) != _hash(short)


@pytest.mark.parametrize("name", [name for name in PlanSpec.model_fields if name != "method"])
def test_the_hash_changes_with_every_field_of_the_plan(short, name):
    """A new field of the plan without an entry above fails here."""
    metrics = [{"key": "converted", "kind": "proportion", "margin": 0.01}]
    together = {"cluster_size", "intraclass_correlation"}
    plan = {**short["plan"], **({"method": "always_valid"} if name == "always_valid" else {})}
    changed = {**plan, **{key: PLAN_CHANGES[key] for key in (together if name in together else {name})}}
    assert _hash(short, metrics=metrics, plan=changed) != _hash(short, metrics=metrics, plan=plan)


def test_the_hash_ignores_what_is_not_design(short):
    free = {"status": "running", "name": "Checkout", "description": "long", "owner": "growth"}
    assert _hash(short, **free) == _hash(short)


def test_the_hash_ignores_the_order_of_keys(short):
    def turned(value: object) -> object:
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    spec = {**short, "arms": ["control", {"key": "b", "value": {"x": 1, "y": {"p": 2, "q": 3}}}], "data": UNITS}
    reverse = turned(spec)
    reverse["arms"] = [turned(arm) for arm in spec["arms"]]
    assert list(reverse) != list(spec)
    assert parse_spec(reverse).spec_hash == parse_spec(spec).spec_hash


def test_the_hash_is_the_same_in_every_process(short):
    script = "import json, sys; from fairtrial.spec import parse_spec; print(parse_spec(json.loads(sys.argv[1])).spec_hash)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script, json.dumps(short)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }
    assert hashes == {parse_spec(short).spec_hash}


# --- the round trip ---

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip() and not text.isdecimal()
)
positive = st.floats(1e-6, 1e6, allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


times = st.datetimes(dt.datetime(1900, 1, 2), dt.datetime(2199, 12, 30))  # noqa: DTZ001 - the offset is drawn apart


def _starting(time: dt.datetime, offset_minutes: int) -> dict:
    return {"start": time.replace(tzinfo=dt.timezone(dt.timedelta(minutes=offset_minutes))).isoformat()}


@st.composite
def metric_specs(draw: st.DrawFn, key: str, role: str) -> dict:
    kind = draw(st.sampled_from(["proportion", "mean", "count", "ratio"]))
    fields: dict = {"key": key, "kind": kind, "role": role, "direction": draw(st.sampled_from(["increase", "decrease"]))}
    fields["missing"] = draw(st.sampled_from(["zero", "drop", "error"]))
    if kind == "ratio":
        fields |= {"numerator": draw(names), "denominator": draw(names)}
    elif draw(st.booleans()):
        fields["column"] = draw(names)
    if draw(st.booleans()):
        fields["covariate"] = draw(names)
    if kind in {"mean", "count"} and draw(st.booleans()):
        fields["winsorize"] = draw(st.floats(0.51, 0.999))
    if role == "guardrail":
        fields |= {"margin": draw(st.floats(0, 100)), "margin_kind": draw(st.sampled_from(["absolute", "relative"]))}
    return fields


@st.composite
def specs(draw: st.DrawFn) -> dict:
    arms = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    weights = draw(st.none() | st.lists(st.integers(1, 1000), min_size=len(arms), max_size=len(arms)))
    metrics = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    roles = ["primary", *(draw(st.sampled_from(["secondary", "guardrail"])) for _ in metrics[1:])]
    raw: dict = {
        "key": draw(names),
        "kind": draw(st.sampled_from(["ab_test", "holdout"])),
        "control": draw(st.sampled_from(arms)),
        "arms": [{"key": arm, "value": draw(json_values)} for arm in arms],
        "metrics": [draw(metric_specs(key, role)) for key, role in zip(metrics, roles, strict=True)],
        "plan": {
            "alpha": draw(st.floats(0.001, 0.2)),
            "power": draw(st.floats(0.5, 0.99)),
            "mde": draw(st.none() | positive),
            "baseline": draw(st.none() | st.floats(-1e6, 1e6)),
            "correction": draw(st.sampled_from(["none", "bonferroni", "holm", "hochberg"])),
        },
        "schedule": draw(st.none() | st.builds(_starting, times, st.integers(-14 * 60, 14 * 60))),
        "data": draw(st.none() | st.just({**UNITS, "where": {"country": "US", "age": 3, "new": True}})),
    }
    if weights is not None:
        for arm, weight in zip(raw["arms"], weights, strict=True):
            arm["allocation"] = weight / sum(weights)
    return raw


@settings(max_examples=60, deadline=None)
@given(specs())
def test_a_dumped_spec_is_read_back_equal(raw):
    spec = parse_spec(raw)
    for mode in ("json", "python"):
        dumped = spec.model_dump(mode=mode)
        again = parse_spec(json.loads(json.dumps(dumped)) if mode == "json" else dumped)
        assert again == spec
        assert again.spec_hash == spec.spec_hash
    assert sum(spec.shares.values()) == pytest.approx(1.0, abs=1e-12)


# --- mutations ---

JUNK = [
    None,
    True,
    -1,
    0,
    1e308,
    95,
    "",
    "x",
    "123",
    [],
    {},
    [[]],
    {"": 0},
    {"a": {"b": []}},
    "2024-13-45",
    float("nan"),
    float("inf"),
    b"\x00",
]
BREAKING = [change for change, _, _ in BAD]


def _places(value: object, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _put(raw: dict, path: tuple, junk: object, rng: random.Random) -> None:
    where = raw
    for part in path[:-1]:
        where = where[part]
    if isinstance(where, dict) and rng.random() < 0.3:
        where[f"{path[-1]}x"] = junk
    else:
        where[path[-1]] = junk


def test_junk_anywhere_is_a_spec_error_or_a_whole_spec(short, model, entry):
    """200 seeded mutations of each form: no other error, and what passes can be hashed and written."""
    rng = random.Random(20240415)
    refused = 0
    for base in ({**short, "data": UNITS, "schedule": {"start": "2024-04-15"}}, model, entry):
        places = [place for place in _places(base) if place]
        for _ in range(200):
            raw = copy.deepcopy(base)
            _put(raw, rng.choice(places), rng.choice(JUNK), rng)
            try:
                spec = parse_spec(raw)
            except SpecError:
                refused += 1
                continue
            assert isinstance(spec, ExperimentSpec)
            assert len(spec.spec_hash) == 64
            json.dumps(spec.model_dump(mode="json"), allow_nan=False)
    assert refused > 300


def test_two_hundred_broken_specs_are_all_refused(short):
    """A broken rule stays refused whatever harmless changes stand beside it."""
    rng = random.Random(7)
    harmless = [{"name": "n"}, {"owner": "o"}, {"description": "d"}, {"hypothesis": "h"}, {"version": "2.0.0"}, {"status": "draft"}]
    for _ in range(200):
        broken = rng.choice(BREAKING)
        beside = {key: value for change in rng.sample(harmless, 3) for key, value in change.items() if key not in broken}
        with pytest.raises(SpecError):
            parse_spec({**short, **beside, **copy.deepcopy(broken)})


@pytest.mark.parametrize(
    ("sequential", "rule"),
    [
        ({"looks": [0.5, 0.4, 1.0]}, "increasing shares"),
        ({"looks": [0.5, 0.9]}, "end at 1"),
        ({"looks": 1}, "greater than or equal to 2"),
        ({"spending": "hwang-shih-decani"}, "needs a shape"),
        ({"spending": "kim-demets", "shape": -1}, "positive for kim-demets"),
        ({"shape": 2}, "shape belongs to"),
        ({"spending": "obrien-flemming"}, "obrien-fleming"),
        ({"futility_power": 1.0}, "less than 1"),
        ({"look": 3}, "Did you mean 'looks'"),
    ],
)
def test_looks_that_cannot_be_are_refused(short, sequential, rule):
    with pytest.raises(SpecError) as caught:
        parse_spec({**short, "plan": {**short["plan"], "method": "group_sequential", "sequential": sequential}})
    assert rule in str(caught.value)


def test_a_design_effect_needs_both_its_parts(short):
    with pytest.raises(SpecError, match="give both or neither"):
        parse_spec({**short, "plan": {**short["plan"], "cluster_size": 20}})


def test_a_bayesian_plan_has_no_sides(short):
    with pytest.raises(SpecError, match="no sides"):
        parse_spec({**short, "plan": {**short["plan"], "method": "bayesian", "alternative": "one-sided"}})


def test_looks_are_a_number_or_their_shares(short):
    plan = {**short["plan"], "method": "hybrid"}
    four = parse_spec({**short, "plan": {**plan, "sequential": {"looks": 4}}}).plan.sequential
    assert four.fractions == (0.25, 0.5, 0.75, 1.0)
    named = parse_spec({**short, "plan": {**plan, "sequential": {"looks": [0.3, 1]}}}).plan.sequential
    assert named.fractions == (0.3, 1.0)


def test_a_default_said_aloud_has_the_hash_of_one_left_out(short):
    """A field that a later version adds changes no hash of a spec that does not use it."""
    assert _hash(short, plan={**short["plan"], "method": "fixed", "power": 0.8}) == _hash(short)
