"""Sequences and futility rules that no method serves are refused, with what to use instead (issue 3)."""

import pytest

from fairtrial.errors import SpecError
from fairtrial.spec.loader import parse_spec

RATE = {"key": "paid", "kind": "proportion"}
MEAN = {"key": "paid", "kind": "mean"}
EXACT = {"method": "always_valid", "always_valid": {"sequence": "bernoulli"}}
BOUND = {"futility": "beta_spending"}


def spec(plan, metric=RATE, arms=("control", "treatment"), **more):
    return parse_spec({"key": "x", "arms": list(arms), "metrics": [metric], "plan": plan} | more)


REFUSED = [
    ({"sequential": BOUND}, {}, "belongs to planned looks (method group_sequential or hybrid), method is 'fixed'"),
    (
        {"method": "group_sequential", "sequential": {"binding": True}},
        {},
        "binding belong to futility: beta_spending, got 'conditional_power'",
    ),
    (
        {"method": "group_sequential", "sequential": {"futility": "none", "futility_spending": "lan-demets-pocock"}},
        {},
        "futility_spending belong to futility: beta_spending, got 'none'",
    ),
    ({"method": "group_sequential", "sequential": BOUND | {"futility_spending": "kim-demets"}}, {}, "needs a futility_shape"),
    ({"method": "group_sequential", "sequential": BOUND | {"futility_shape": 1.0}}, {}, "futility_shape belongs to"),
    (
        {"method": "group_sequential", "sequential": BOUND | {"futility_spending": "kim-demets", "futility_shape": -1.0}},
        {},
        "positive for kim-demets, got -1",
    ),
    ({"method": "group_sequential", "sequential": BOUND | {"futility_spending": "pocock"}}, {}, "must be one of"),
    ({"method": "group_sequential", "sequential": BOUND | {"binding": True}}, {}, "a two-sided plan takes binding: false"),
    (
        {"method": "group_sequential", "alternative": "one-sided", "min_days": 7, "sequential": BOUND | {"binding": True}},
        {},
        "min_days would hold it back; use binding: false",
    ),
    (
        {"method": "hybrid", "alternative": "one-sided", "sequential": BOUND | {"binding": True}},
        {"arms": ("control", "a", "b")},
        "binding futility is for one treatment, there are 2",
    ),
    ({"always_valid": {"sequence": "asymptotic"}}, {}, "belongs to method always_valid or hybrid, method is 'fixed'"),
    ({"method": "always_valid", "always_valid": {"tuned_for": 0.5}}, {}, "tuned_for belongs to sequence asymptotic or bernoulli"),
    ({"method": "always_valid", "always_valid": {"sequence": "asymptotic", "tuned_for": 1.5}}, {}, "units from 2 on, got 1.5"),
    ({"method": "always_valid", "always_valid": {"sequence": "asymptotic", "tuned_for": 0}}, {}, "should be greater than 0"),
    (EXACT, {"metric": MEAN}, "sequence bernoulli is of proportions without covariate; use asymptotic or msprt"),
    (EXACT, {"metric": RATE | {"covariate": "before"}}, "sequence bernoulli is of proportions without covariate"),
    (EXACT, {"allocation": "unknown"}, "needs the arms' planned shares, allocation is 'unknown'"),
    (EXACT | {"objective": "non_inferiority"}, {"metric": RATE | {"margin": 0.01}}, "tests no margin in points"),
    (
        EXACT,
        {"data": {"source": "u.parquet", "unit": "id", "strata": ["c"], "adjust": "post_stratify"}},
        "cannot be post-stratified; use asymptotic, or adjust: none",
    ),
]


@pytest.mark.parametrize(("plan", "more", "said"), REFUSED, ids=lambda part: part if isinstance(part, str) else None)
def test_what_no_method_serves_is_refused_with_what_to_do(plan, more, said):
    with pytest.raises(SpecError) as caught:
        spec(plan, **more)
    assert said in str(caught.value)


def test_an_exact_watch_asks_nothing_of_the_metrics_it_does_not_watch():
    metrics = [RATE | {"role": "primary"}, MEAN | {"key": "spend", "role": "secondary"}]
    plan = {"method": "hybrid", "always_valid": {"sequence": "bernoulli"}}
    assert parse_spec({"key": "x", "arms": ["control", "t"], "metrics": metrics, "plan": plan}).plan.always_valid.sequence == "bernoulli"


def test_defaults_said_aloud_change_no_hash():
    """Decision 6."""
    plain = spec({"method": "group_sequential"})
    said = {"futility": "conditional_power", "futility_spending": "lan-demets-obrien-fleming", "futility_shape": None, "binding": False}
    assert spec({"method": "group_sequential", "sequential": said, "always_valid": {"sequence": "msprt"}}).spec_hash == plain.spec_hash
    assert spec({"method": "group_sequential", "sequential": BOUND}).spec_hash != plain.spec_hash
