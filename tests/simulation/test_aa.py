"""A/A tests on history: re-randomisation, its designs, and what is flagged (issue 3)."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fairtrial.analysis.history import measure_history, read_history
from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics import build_metrics
from fairtrial.metrics.columns import UnitColumns, metric_values
from fairtrial.metrics.needs import Column
from fairtrial.simulation.aa import _moments, _products, aa_test, ks_uniform_p
from fairtrial.simulation.history import world_of_units
from fairtrial.simulation.randomise import Randomisation, arm_sums
from fairtrial.spec import load_spec
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.moments import CoMoments

EXAMPLES = Path(__file__).parents[2] / "examples"


def spec(*metrics, **changes):
    plain = {"key": "x", "arms": {"control": 0.7, "t": 0.3}, "metrics": list(metrics), "plan": {"sample_size": 100}}
    return parse_spec(plain | changes)


def columns(design, labels=None, **values):
    by_column = {}
    for metric in build_metrics(design):
        for column in metric.needs.columns:
            by_column[Column(source=column.source, any_event=column.any_event)] = np.asarray(values[column.source], dtype=float)
    size = len(next(iter(values.values())))
    return UnitColumns(units=size, values=by_column, labels=labels or {})


def test_units_are_assigned_with_their_shares_and_independently():
    design = Randomisation(shares=(0.7, 0.2, 0.1), units=100_000)
    arms = design.draw(np.random.default_rng(1))
    assert np.bincount(arms) / 100_000 == pytest.approx([0.7, 0.2, 0.1], abs=0.006)


def test_a_cluster_is_assigned_as_a_whole():
    clusters = np.repeat(np.arange(50), 20)
    arms = Randomisation(shares=(0.5, 0.5), units=1000, clusters=clusters).draw(np.random.default_rng(2))
    assert all(len(set(arms[clusters == c])) == 1 for c in range(50))


def test_within_a_stratum_the_shares_hold_to_a_unit():
    strata = np.repeat([0, 1, 2], [100, 33, 7])
    for seed in range(20):
        arms = Randomisation(shares=(0.75, 0.25), units=140, strata=strata).draw(np.random.default_rng(seed))
        for stratum, size in enumerate([100, 33, 7]):
            assert abs((arms[strata == stratum] == 1).sum() - size / 4) < 1.0


def test_every_unit_of_a_stratum_is_treated_as_often_as_any_other():
    strata = np.zeros(5, dtype=int)
    rng = np.random.default_rng(3)
    design = Randomisation(shares=(0.5, 0.5), units=5, strata=strata)
    treated = np.mean([design.draw(rng) == 1 for _ in range(4000)], axis=0)
    assert treated == pytest.approx([0.5] * 5, abs=0.035)


def test_clusters_in_strata_are_assigned_within_them():
    clusters, strata = np.repeat(np.arange(8), 3), np.repeat([0, 1], 12)
    arms = Randomisation(shares=(0.5, 0.5), units=24, clusters=clusters, strata=strata).draw(np.random.default_rng(4))
    assert [(arms[strata == s] == 1).sum() for s in (0, 1)] == [6, 6]
    with pytest.raises(DataError, match="lie in one stratum"):
        Randomisation(shares=(0.5, 0.5), units=24, clusters=clusters, strata=np.arange(24) % 2).draw(np.random.default_rng(4))


def test_sums_by_arm_are_those_of_the_units():
    rng = np.random.default_rng(5)
    values, arms = rng.normal(size=(40, 3)), [rng.integers(0, 3, 40).astype(np.int8) for _ in range(4)]
    expected = [[values[a == arm].sum(axis=0) for arm in range(3)] for a in arms]
    np.testing.assert_allclose(arm_sums(arms, values, 3), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"shares": (1.0,)}, UsageError, "two arms or more"),
        ({"shares": (0.5, 0.6)}, UsageError, "sum to 1"),
        ({"clusters": np.zeros(3, dtype=int)}, UsageError, "clusters must be"),
        ({"clusters": np.zeros(10, dtype=int)}, DataError, "needs clusters"),
        ({"units": 1}, DataError, "needs units"),
    ],
)
def test_impossible_designs_are_refused(changes, error, said):
    with pytest.raises(error, match=said):
        Randomisation(**({"shares": (0.5, 0.5), "units": 10} | changes))


def test_uniformity_is_tested_as_scipy_does():
    """scipy.stats.kstest, exact; Stephens' correction is good to 0.005 at n = 200."""
    rng = np.random.default_rng(6)
    for values in (rng.random(200), rng.random(200) ** 1.2):
        assert ks_uniform_p(values) == pytest.approx(stats.kstest(values, "uniform").pvalue, abs=0.005)
    for wrong in (np.ones(3), np.full(10, 2.0)):
        with pytest.raises(UsageError, match="test of uniformity"):
            ks_uniform_p(wrong)


def test_sound_metrics_pass():
    design = spec({"key": "bought", "kind": "proportion", "role": "primary"}, {"key": "spend", "kind": "mean", "covariate": "before"})
    rng = np.random.default_rng(7)
    before = rng.normal(size=3000)
    history = columns(design, bought=rng.random(3000) < 0.2, spend=before + rng.normal(size=3000), before=before)
    found = aa_test(design, history, runs=400, rng=np.random.default_rng(8))
    assert found.passed
    assert [row.flag for row in found.rows] == ["ok", "ok"]
    assert all(sum(row.histogram) == pytest.approx(1.0) for row in found.rows)


def test_dependence_within_clusters_is_flagged():
    """Units of a shop are alike, shops are assigned, units are tested: the size leaves its promise."""
    design = spec({"key": "spend", "kind": "mean", "role": "primary"}, arms=["control", "t"])
    rng = np.random.default_rng(9)
    shop = np.repeat(np.arange(60), 50)
    spend = rng.normal(size=60)[shop] + rng.normal(size=3000)
    history = columns(design, labels={"shop": shop}, spend=spend)
    found = aa_test(design, history, runs=300, rng=np.random.default_rng(10), cluster="shop")
    assert found.rows[0].flag == "too_many"
    assert not found.passed
    assert aa_test(design, history, runs=300, rng=np.random.default_rng(10)).passed, "assigned by unit all is well"


def test_one_absurd_unit_makes_a_test_blind_and_is_flagged():
    design = spec({"key": "spend", "kind": "mean", "role": "primary"}, arms=["control", "t"])
    spend = np.random.default_rng(11).random(2000)
    spend[0] = 1e5
    found = aa_test(design, columns(design, spend=spend), runs=300, rng=np.random.default_rng(12))
    assert found.rows[0].flag == "too_few"
    assert found.passed, "safe, if useless"


def test_what_cannot_be_tested_is_said():
    design = spec({"key": "a", "kind": "mean", "role": "primary"}, {"key": "b", "kind": "mean", "test": "bootstrap"})
    rng = np.random.default_rng(13)
    history = columns(design, a=rng.normal(size=200), b=rng.normal(size=200))
    assert "sums by bucket" in aa_test(design, history, runs=100, rng=rng).skipped["b"]
    with pytest.raises(UsageError, match="100 assignments"):
        aa_test(design, history, runs=5, rng=rng)
    with pytest.raises(UnknownNameError):
        aa_test(design, history, runs=100, rng=rng, cluster="shop")
    with pytest.raises(UsageError, match="fixed shares"):
        aa_test(spec({"key": "a", "kind": "mean"}, arms=["control", "t"], allocation="adaptive"), history, runs=100, rng=rng)
    ranks = spec({"key": "a", "kind": "mean", "role": "primary", "test": "bootstrap"})
    with pytest.raises(DataError, match="sums by bucket"):
        aa_test(ranks, history, runs=100, rng=rng)
    with pytest.raises(DataError, match="hardly varies"):
        aa_test(spec({"key": "a", "kind": "mean"}), columns(design, a=np.ones(200), b=np.ones(200)), runs=100, rng=rng)


def test_missing_values_follow_the_metrics_rules():
    def value(rule, numbers, **options):
        design = spec({"key": "m", "kind": "mean", "missing": rule} | options)
        return metric_values(build_metrics(design)[0].needs, columns(design, m=numbers, **({"c": [1.0, np.nan, 3.0]} if options else {})))

    gap = [1.0, np.nan, 5.0]
    assert value("zero", gap).values.ravel().tolist() == [1.0, 0.0, 5.0]
    assert value("drop", gap).kept.tolist() == [True, False, True]
    assert value("zero", gap, covariate="c").values[:, 1].tolist() == [1.0, 2.0, 3.0], "a covariate gets its mean"
    with pytest.raises(DataError, match="must have a value"):
        value("error", gap)
    with pytest.raises(DataError, match="Every unit misses"):
        value("drop", [np.nan] * 3)
    with pytest.raises(DataError, match="finite"):
        value("zero", [np.inf, 1.0, 2.0])


@pytest.mark.parametrize(("kind", "wrong"), [("proportion", 0.5), ("count", -1.0)])
def test_values_out_of_a_kinds_range_are_refused(kind, wrong):
    design = spec({"key": "m", "kind": kind})
    with pytest.raises(DataError, match="Values of metric"):
        metric_values(build_metrics(design)[0].needs, columns(design, m=[0.0, 1.0, wrong]))


def test_winsorising_caps_at_the_pooled_quantile():
    design = spec({"key": "m", "kind": "mean", "winsorize": 0.9})
    values = np.arange(101.0)
    assert metric_values(build_metrics(design)[0].needs, columns(design, m=values)).values.max() == 90.0


def test_columns_must_agree_in_length():
    with pytest.raises(UsageError, match="entry for each of 3 units"):
        UnitColumns(units=3, values={Column(source="a"): np.ones(2)})
    with pytest.raises(DataError, match="a unit at least"):
        UnitColumns(units=0, values={})


def test_a_measured_world_has_the_moments_of_its_units():
    design = spec({"key": "m", "kind": "mean", "role": "primary"}, {"key": "r", "kind": "ratio", "numerator": "up", "denominator": "down"})
    rng = np.random.default_rng(14)
    m = rng.exponential(size=50_000)
    down = 1.0 + rng.poisson(2.0, 50_000)
    up = down * (0.3 + 0.1 * (m - 1.0)) + rng.normal(size=50_000)
    world = world_of_units(design, columns(design, m=m, up=up, down=down))
    law = world.laws["m"]
    assert (law.value, law.skewness, law.kurtosis) == pytest.approx((m.mean(), stats.skew(m), stats.kurtosis(m)))
    assert world.laws["r"].value == pytest.approx(up.sum() / down.sum())
    assert world.correlation[0, 1] == pytest.approx(np.corrcoef(m, up - up.sum() / down.sum() * down)[0, 1])


def write(tmp_path, text):
    (tmp_path / "units.csv").write_text(text, encoding="utf-8")
    return str(tmp_path / "units.csv")


def test_history_is_read_for_the_control_or_for_everybody(tmp_path):
    design = spec({"key": "m", "kind": "mean"}, data={"source": "units.csv", "unit": "u"})
    source = write(tmp_path, "u,arm,m,shop\n1,control,2.0,a\n2,t,4.0,b\n3,control,6.0,a\n4,,9.0,b\n")
    own = read_history(design, source=source, arm="control", labels=["shop"])
    assert (own.units, own.population) == (2, "units of arm control")
    assert own.label("shop").tolist() == [0, 0]
    assert read_history(design, source=source, arm=None).units == 4
    assert measure_history(design, source=source).laws["m"].value == 4.0
    with pytest.raises(DataError, match="has no unit"):
        read_history(design, source=source, arm="nobody")
    with pytest.raises(UsageError, match="names no data"):
        read_history(spec({"key": "m", "kind": "mean"}), arm=None)


def test_repeated_units_are_taken_together_as_declared(tmp_path):
    source = write(tmp_path, "u,m\n1,2\n1,4\n2,5\n")
    for rule, expected in (("mean", [3.0, 5.0]), ("sum", [6.0, 5.0])):
        design = spec({"key": "m", "kind": "mean"}, data={"source": source, "unit": "u", "repeated": rule})
        found = read_history(design, arm=None)
        assert next(iter(found.values.values())).tolist() == expected
    with pytest.raises(DataError, match="name each unit once"):
        read_history(spec({"key": "m", "kind": "mean"}, data={"source": source, "unit": "u"}), arm=None)


def test_ready_aggregates_give_moments_but_no_units(tmp_path):
    source = write(tmp_path, "arm,n,x\ncontrol,1000,100\nt,500,60\n")
    data = {"shape": "aggregates", "source": source, "columns": {"p": {"successes": "x"}}}
    design = spec({"key": "p", "kind": "proportion"}, data=data)
    assert measure_history(design).laws["p"].value == 0.1
    with pytest.raises(UsageError, match="one by one"):
        read_history(design, arm=None)


def test_cookie_cats_shows_its_outlier_and_hillstrom_passes(real_data):
    """Issue 3: A/A on real data. One player of 49,854 rounds blinds Welch's test; everything else keeps its promise."""
    cats = load_spec(EXAMPLES / "cookie_cats.yaml").spec
    history = read_history(cats, source=str(real_data / "cookie_cats.csv.gz"), arm=cats.control)
    found = {row.metric: row.flag for row in aa_test(cats, history, runs=800, rng=np.random.default_rng(1)).rows}
    assert found == {"retention_7": "ok", "retention_1": "ok", "sum_gamerounds": "too_few"}
    mail = load_spec(EXAMPLES / "hillstrom.yaml").spec
    history = read_history(mail, source=str(real_data / "hillstrom.csv.gz"), arm=mail.control)
    assert (history.units, aa_test(mail, history, runs=200, rng=np.random.default_rng(1)).passed) == (21_306, True)


def test_moments_by_arm_are_those_of_its_units():
    """Small arms far from the overall mean, where the correction by S^2 / n is large."""
    design = spec({"key": "r", "kind": "ratio", "numerator": "up", "denominator": "down", "missing": "drop"})
    metric = build_metrics(design)[0]
    rng = np.random.default_rng(15)
    up, down = 1e6 + rng.normal(size=9), 5.0 + rng.normal(size=9)
    up[4] = np.nan
    found = metric_values(metric.needs, columns(design, up=up, down=down))
    arms = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1], dtype=np.int8)
    sums, centre = _products(found)
    moments = _moments(metric, arm_sums([arms], sums, 2), centre)
    for arm in (0, 1):
        expected = CoMoments.from_values(np.column_stack([up, down])[(arms == arm) & ~np.isnan(up)])
        assert moments.n[0, arm] == expected.n
        np.testing.assert_allclose(moments.mean[0, arm, :2], expected.mean, rtol=1e-12)
        np.testing.assert_allclose(moments.cross[0, arm, :2, :2], expected.cross, rtol=1e-9)
    with pytest.raises(DataError, match="got no unit"):
        _moments(metric, arm_sums([np.zeros(9, dtype=np.int8)], sums, 2), centre)
