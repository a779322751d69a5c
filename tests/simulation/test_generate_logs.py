"""Made-up logs: events in the window, what came before, who was exposed, and what is sent late or twice (XC-48)."""

import numpy as np
import pytest

from fairtrial.errors import UsageError
from fairtrial.simulation.generate import Recipe, generate_data
from fairtrial.simulation.generate.clock import DAY, weekdays
from fairtrial.spec.loader import parse_spec

ORDERS = {"table": "orders", "unit": "user", "time": "at", "event_id": "id"}
CLICKS = {"table": "clicks"}
DATA = {
    "source": "duckdb:///x.duckdb",
    "assignments": {"table": "assigned", "unit": "user", "arm": "variant", "time": "since"},
    "facts": {"orders": ORDERS, "clicks": CLICKS},
    "window_days": 10,
}
N = 30_000


def spec_of(*metrics, data=None, **plan):
    first, *others = metrics
    raw = {"key": "shop", "arms": ["control", "b"], "metrics": [{"role": "primary", **first}, *others]}
    return parse_spec({**raw, "plan": {"baseline": 0.3, "mde": 0.1, **plan}, "data": {**DATA, **(data or {})}})


def tables_of(spec, **recipe):
    return generate_data(spec, Recipe(**{"seed": 5, "units": N, **recipe})).tables


def micros(column):
    return np.asarray(column).astype("datetime64[us]").astype(np.int64)


def per_unit(tables, table, value=None, *, window=10 * DAY, unit="user"):
    """By unit in the order of assignment: arm is control, and the sum over the events of its window (window > 0) or before it."""
    place = {name: i for i, name in enumerate(tables["assigned"]["user"])}
    who = np.array([place[name] for name in tables[table][unit]], dtype=np.int64)
    offset = micros(tables[table]["at" if table == "orders" else "time"]) - micros(tables["assigned"]["since"])[who]
    inside = (offset >= 0) & (offset < window) if window > 0 else (offset < 0) & (offset >= window)
    weights = np.ones(who.size) if value is None else np.asarray(tables[table][value])
    return np.array(tables["assigned"]["variant"]) == "control", np.bincount(who[inside], weights[inside], len(place))


BOUGHT = {"key": "bought", "kind": "proportion", "column": {"fact": "orders"}}
REVENUE = {"key": "revenue", "kind": "mean", "column": {"fact": "orders", "value": "amount"}}


def test_a_rate_a_count_and_a_sum_share_the_events_of_one_fact():
    spec = spec_of(BOUGHT, {"key": "orders", "kind": "count", "column": {"fact": "orders"}}, REVENUE)
    tables = tables_of(spec)
    assert list(tables["orders"]) == ["id", "user", "at", "amount", "synthetic"]
    assert list(tables["assigned"]) == ["user", "variant", "since", "synthetic"]
    control, orders = per_unit(tables, "orders")
    assert (orders[control] > 0).mean() == pytest.approx(0.30, abs=0.015)
    assert (orders[~control] > 0).mean() == pytest.approx(0.33, abs=0.015)
    assert not tables["clicks"]["unit"], "a fact that no metric reads is there and empty"


@pytest.mark.parametrize("sd", [6.0, 25.0])
def test_sums_have_the_planned_mean_and_spread(sd):
    """One event a unit where the spread is small, seldom ones where it is large."""
    tables = tables_of(spec_of(REVENUE, baseline=10.0, baseline_sd=sd, mde=0.2))
    control, revenue = per_unit(tables, "orders", "amount")
    assert revenue[control].mean() == pytest.approx(10.0, abs=5 * sd / np.sqrt(N / 2))
    assert revenue[~control].mean() == pytest.approx(12.0, abs=6 * sd / np.sqrt(N / 2))
    assert revenue[control].std() == pytest.approx(sd, rel=0.08)


def test_a_covariate_counts_events_from_before_with_the_correlation():
    metric = {**REVENUE, "covariate": {"fact": "orders", "value": "amount", "before_days": 20}}
    tables = tables_of(spec_of(metric, baseline=10.0, baseline_sd=8.0), correlation=0.6)
    control, revenue = per_unit(tables, "orders", "amount")
    _, before = per_unit(tables, "orders", "amount", window=-20 * DAY)
    assert np.corrcoef(revenue[control], before[control])[0, 1] == pytest.approx(0.6, abs=0.03)
    assert before[control].mean() == pytest.approx(before[~control].mean(), rel=0.02)


def test_events_before_are_counted_where_the_covariate_counts():
    metric = {"key": "orders", "kind": "count", "column": {"fact": "orders"}, "covariate": {"fact": "clicks", "before_days": 7}}
    tables = tables_of(spec_of(metric, baseline=2.0), correlation=-0.5)
    control, orders = per_unit(tables, "orders")
    _, before = per_unit(tables, "clicks", window=-7 * DAY, unit="unit")
    assert np.corrcoef(orders[control], before[control])[0, 1] == pytest.approx(-0.5, abs=0.03)


@pytest.mark.parametrize("rate", [0.3, 2.5])
def test_a_ratio_of_two_facts_has_its_rate(rate):
    metric = {"key": "rate", "kind": "ratio", "numerator": {"fact": "orders"}, "denominator": {"fact": "clicks"}}
    tables = tables_of(spec_of(metric, baseline=rate))
    control, above = per_unit(tables, "orders")
    _, below = per_unit(tables, "clicks", unit="unit")
    for who, truth in ((control, rate), (~control, rate * 1.1)):
        assert above[who].sum() / below[who].sum() == pytest.approx(truth, rel=0.02)


def test_a_ratio_of_values_over_their_number_has_its_rate():
    metric = {"key": "basket", "kind": "ratio", "numerator": {"fact": "orders", "value": "amount"}, "denominator": {"fact": "orders"}}
    tables = tables_of(spec_of(metric, baseline=25.0))
    control, above = per_unit(tables, "orders", "amount")
    _, below = per_unit(tables, "orders")
    for who, truth in ((control, 25.0), (~control, 27.5)):
        assert above[who].sum() / below[who].sum() == pytest.approx(truth, rel=0.02)


def test_a_quantile_of_sums_has_its_baseline():
    metric = {"key": "median", "kind": "quantile", "q": 0.5, "column": {"fact": "orders", "value": "amount"}}
    control, revenue = per_unit(tables_of(spec_of(metric, baseline=40.0)), "orders", "amount")
    assert np.median(revenue[control]) == pytest.approx(40.0, rel=0.03)


def test_exposures_come_within_a_day_and_only_the_exposed_change():
    exposures = {"table": "seen", "unit": "user", "arm": "variant", "time": "at"}
    tables = tables_of(spec_of(BOUGHT, data={"exposures": exposures}, mde=0.5))
    assert len(tables["seen"]["user"]) / N == pytest.approx(0.6, abs=0.02)
    place = {name: i for i, name in enumerate(tables["assigned"]["user"])}
    who = np.array([place[name] for name in tables["seen"]["user"]])
    wait = micros(tables["seen"]["at"]) - micros(tables["assigned"]["since"])[who]
    assert wait.min() >= 0
    assert wait.max() < DAY
    control, orders = per_unit(tables, "orders", window=11 * DAY)
    exposed = np.isin(np.arange(N), who)
    assert (orders[~control & exposed] > 0).mean() == pytest.approx(0.45, abs=0.02)
    assert (orders[~control & ~exposed] > 0).mean() == pytest.approx(0.30, abs=0.02)


def test_late_and_repeated_events_are_added_to_what_is_there():
    spec = spec_of(BOUGHT, REVENUE, data={"facts": {"orders": ORDERS}})
    plain, more = tables_of(spec)["orders"], tables_of(spec, late=0.25, duplicates=0.1)["orders"]
    distinct = len(set(more["id"].tolist()))
    assert distinct == plain["id"].size + round(0.25 * plain["id"].size)
    assert more["id"].size == distinct + round(0.1 * distinct)
    rows = [set(zip(t["user"], micros(t["at"]).tolist(), t["amount"].tolist(), strict=True)) for t in (plain, more)]
    assert rows[0] < rows[1]
    inside = [per_unit(tables_of(spec, late=late), "orders", "amount")[1] for late in (0.0, 0.25)]
    assert np.array_equal(*inside), "what is late lies outside every unit's window"


def test_events_have_the_season_of_the_week():
    spec = spec_of(BOUGHT, baseline=0.9, mde=0.01, data={"window_days": 700})
    counts = np.bincount(weekdays(micros(tables_of(spec)["orders"]["at"])), minlength=7)
    assert counts[5] / counts[:4].mean() == pytest.approx(1.4, rel=0.08)


def test_contaminated_controls_are_exposed_to_the_treatment_and_feel_it():
    spec = spec_of(BOUGHT, mde=0.5, data={"facts": {"orders": ORDERS}, "exposures": {"table": "seen"}})
    plain, more = tables_of(spec), tables_of(spec, contaminated=0.2)
    assert plain["assigned"]["variant"] == more["assigned"]["variant"]
    control, orders = per_unit(more, "orders", window=11 * DAY)
    place = {name: i for i, name in enumerate(more["assigned"]["user"])}
    reached = [
        place[unit] for unit, arm in zip(more["seen"]["unit"], more["seen"]["arm"], strict=True) if arm == "b" and control[place[unit]]
    ]
    assert len(reached) / control.sum() == pytest.approx(0.2, abs=0.015)
    assert (orders[reached] > 0).mean() == pytest.approx(0.45, abs=0.03)
    for arm, unit in zip(plain["seen"]["arm"], plain["seen"]["unit"], strict=True):
        assert (arm == "control") == control[place[unit]]


@pytest.mark.parametrize(
    ("spec", "recipe", "says"),
    [
        (spec_of(BOUGHT), {"contaminated": 0.1}, "log of exposures"),
        (spec_of(BOUGHT, data={"window_days": None}), {"late": 0.1}, "declares none"),
        (spec_of(BOUGHT), {"duplicates": 0.1}, r"\['clicks'\] declare none"),
        (spec_of(BOUGHT, data={"facts": {"orders": ORDERS, "clicks": {"table": "orders"}}}), {}, "serve two"),
        (
            spec_of({"key": "r", "kind": "ratio", "numerator": {"fact": "orders"}, "denominator": {"fact": "clicks", "value": "n"}}),
            {},
            "neither",
        ),
        (spec_of({"key": "q", "kind": "quantile", "q": 0.5, "column": {"fact": "orders"}}), {}, "No quantile of a number of events"),
        (spec_of({**REVENUE, "covariate": {"fact": "orders"}}), {}, "name before_days"),
        (spec_of({"key": "bought", "kind": "proportion"}), {}, "no column a unit"),
    ],
    ids=["no exposures", "no window", "no event id", "one table", "ratio", "quantile", "covariate", "column"],
)
def test_logs_that_cannot_be_generated_are_refused(spec, recipe, says):
    with pytest.raises(UsageError, match=says):
        tables_of(spec, **{"units": 100, **recipe})


def test_late_events_are_of_logs_alone():
    spec = parse_spec({"key": "k", "arms": ["control", "b"], "metrics": [{"key": "x", "kind": "proportion"}]})
    with pytest.raises(UsageError, match="are of logs"):
        tables_of(spec, late=0.1)
