"""Moments drawn directly are those of drawn units (issue 3: work on moments, not rows)."""

import numpy as np
import pytest
from scipy import stats

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics import build_metrics
from fairtrial.simulation.draws import binomial_quantile, draw_block, square_root
from fairtrial.simulation.replicates import why_not_simulated
from fairtrial.simulation.world import Baseline, Law, World, law_of_baseline, law_of_moments, parse_baseline, world_of_plan
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.moments import CoMoments


def spec(*metrics, **plan):
    return parse_spec({"key": "x", "arms": ["control", "t"], "metrics": list(metrics), "plan": plan})


def world_of(metric, baseline):
    design = spec(metric | {"role": "primary"})
    return world_of_plan(design, baselines={metric["key"]: baseline})


def test_means_and_variances_of_normal_outcomes_follow_their_laws():
    """Cramer (1946), 27.4: var(mean) = s2 / n, var(s2) = 2 s4 / (n - 1); 20,000 draws, 5 standard errors."""
    world = world_of({"key": "m", "kind": "mean"}, Baseline(mean=5.0, sd=2.0))
    block = draw_block(world, (12, 30), {"m": np.array([0.0, 1.0])}, runs=20_000, rng=np.random.default_rng(1))
    moments = block.of("m")
    assert moments.mean[..., 0].mean(axis=0) == pytest.approx([5.0, 6.0], abs=5 * 2 / np.sqrt(12 * 20_000))
    s2 = moments.cross[..., 0, 0] / (moments.n - 1)
    assert s2.mean(axis=0) == pytest.approx([4.0, 4.0], rel=0.02)
    assert s2.var(axis=0) == pytest.approx([2 * 16 / 11, 2 * 16 / 29], rel=0.06)
    assert moments.mean[..., 0].var(axis=0) == pytest.approx([4 / 12, 4 / 30], rel=0.05)


def test_blocks_of_counts_have_the_moments_of_negative_binomial_units():
    """Against 20,000 samples of 400 units from NumPy's own generator: mean, s2, their variances and correlation."""
    mean, sd, n = 2.0, 3.0, 400
    world = world_of({"key": "c", "kind": "count"}, Baseline(mean=mean, sd=sd))
    moments = draw_block(world, (n, n), {}, runs=20_000, rng=np.random.default_rng(2)).of("c")
    size = mean**2 / (sd**2 - mean)
    raw = np.random.default_rng(3).negative_binomial(size, size / (size + mean), (20_000, n))
    drawn = moments.mean[:, 0, 0], moments.cross[:, 0, 0, 0] / (n - 1)
    real = raw.mean(axis=1), raw.var(axis=1, ddof=1)
    for a, b in zip(drawn, real, strict=True):
        assert a.mean() == pytest.approx(b.mean(), rel=0.01)
        assert a.std() == pytest.approx(b.std(), rel=0.05)
    assert stats.skew(drawn[0]) == pytest.approx(stats.skew(real[0]), abs=0.1)
    assert np.corrcoef(*drawn)[0, 1] == pytest.approx(np.corrcoef(*real)[0, 1], abs=0.04)


def test_two_columns_are_wishart():
    """E[W] = (n - 1) Sigma and var(W_12) = (n - 1)(s12^2 + s11 s22) (Anderson 2003, section 7.2)."""
    metric = build_metrics(spec({"key": "m", "kind": "mean", "covariate": "before", "role": "primary"}))[0]
    covariance = np.array([[4.0, 1.8], [1.8, 1.0]])
    law = Law(metric=metric, mean=np.array([1.0, 2.0]), covariance=covariance)
    world = World(laws={"m": law}, correlation=np.eye(1))
    moments = draw_block(world, (25, 25), {}, runs=20_000, rng=np.random.default_rng(4)).of("m")
    cross = moments.cross[:, 0][:, [0, 0, 2], [0, 2, 2]]
    assert cross.mean(axis=0) == pytest.approx(24 * covariance[[0, 0, 1], [0, 1, 1]], rel=0.02)
    assert cross[:, 1].var() == pytest.approx(24 * (1.8**2 + 4.0), rel=0.06)
    assert np.cov(moments.mean[:, 0, [0, 2]].T) * 25 == pytest.approx(covariance, rel=0.05)


@pytest.mark.parametrize(("n", "rate"), [(40, 0.03), (1000, 0.2), (100_000, 0.001), (50_000, 0.4)])
def test_rates_tied_to_scores_stay_binomial(n, rate):
    """Mean and variance of 200,000 quantiles within 1%, and for small counts the exact distribution function."""
    scores = np.random.default_rng(5).standard_normal(200_000)
    x = binomial_quantile(float(n), rate, scores)
    assert x.mean() == pytest.approx(n * rate, rel=0.01)
    assert x.var() == pytest.approx(n * rate * (1 - rate), rel=0.02)
    k = np.quantile(x, [0.1, 0.5, 0.9])
    assert [(x <= v).mean() for v in k] == pytest.approx(stats.binom.cdf(k, n, rate), abs=0.01)


def test_metrics_are_as_correlated_as_the_world_says():
    design = spec(
        {"key": "a", "kind": "proportion", "role": "primary"}, {"key": "b", "kind": "mean"}, {"key": "c", "kind": "count"}, baseline=0.3
    )
    world = world_of_plan(design, baselines={"b": Baseline(mean=1.0, sd=1.0), "c": Baseline(mean=3.0)}, correlation=0.6)
    block = draw_block(world, (2000, 2000), {}, runs=20_000, rng=np.random.default_rng(6))
    means = np.stack([block.of(key).mean[:, 1, 0] for key in "abc"])
    assert np.corrcoef(means)[np.triu_indices(3, 1)] == pytest.approx([0.6] * 3, abs=0.03)


def test_blocks_add_up_to_the_law_of_all_units():
    world = world_of({"key": "m", "kind": "mean"}, Baseline(mean=5.0, sd=2.0))
    rng = np.random.default_rng(7)
    blocks = [draw_block(world, (10, 10), {}, runs=20_000, rng=rng) for _ in range(3)]
    both = (blocks[0] + blocks[1] + blocks[2]).of("m")
    assert (both.n == 30).all()
    assert (both.cross[..., 0, 0] / 29).mean() == pytest.approx(4.0, rel=0.01)


def test_a_single_unit_has_no_spread():
    world = world_of({"key": "m", "kind": "mean"}, Baseline(mean=5.0, sd=2.0))
    assert not draw_block(world, (1, 1), {}, runs=5, rng=np.random.default_rng(8)).of("m").cross.any()


def test_a_singular_covariance_has_a_root_too():
    covariance = np.array([[1.0, 2.0], [2.0, 4.0]])
    root = square_root(covariance)
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-12)


@pytest.mark.parametrize(
    ("units", "runs", "shift", "said"),
    [((1, 0), 5, 0.0, "in each of two arms"), ((1, 1), 0, 0.0, "A block needs a run"), ((10, 10), 5, 0.9, "must stay in")],
)
def test_blocks_that_cannot_be_are_refused(units, runs, shift, said):
    world = world_of({"key": "p", "kind": "proportion"}, Baseline(mean=0.3))
    with pytest.raises(UsageError, match=said):
        draw_block(world, units, {"p": np.array([0.0, shift])}, runs=runs, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("kind", "baseline", "said"),
    [
        ("proportion", Baseline(mean=1.2), "must be a rate"),
        ("mean", Baseline(mean=1.0), "standard deviation"),
        ("mean", Baseline(mean=np.nan, sd=1.0), "must be finite"),
        ("count", Baseline(mean=0.0), "must be > 0"),
        ("mean", Baseline(mean=1.0, sd=0.0), "standard deviation > 0"),
    ],
)
def test_impossible_baselines_are_refused(kind, baseline, said):
    metric = build_metrics(spec({"key": "m", "kind": kind, "role": "primary"}))[0]
    with pytest.raises(UsageError, match=said):
        law_of_baseline(metric, baseline)


def test_a_metric_without_a_baseline_is_left_out_and_said():
    """G-5: no number is invented."""
    world = world_of_plan(spec({"key": "a", "kind": "proportion", "role": "primary"}, {"key": "b", "kind": "mean"}, baseline=0.3))
    assert list(world.laws) == ["a"]
    assert "No baseline of 'b'" in world.left_out["b"]
    with pytest.raises(DataError, match="must have a baseline"):
        world_of_plan(spec({"key": "a", "kind": "proportion", "role": "primary"}))
    with pytest.raises(UnknownNameError):
        world_of_plan(spec({"key": "a", "kind": "proportion"}, baseline=0.3), baselines={"z": Baseline(mean=1.0)})
    with pytest.raises(UsageError, match="correlation must lie"):
        world_of_plan(spec({"key": "a", "kind": "proportion"}, baseline=0.3), correlation=1.0)


def test_a_test_of_single_units_is_not_simulated():
    metric = build_metrics(spec({"key": "m", "kind": "mean", "test": "mann_whitney", "role": "primary"}))[0]
    assert "reads single units" in why_not_simulated(metric)


def test_a_world_checks_its_correlations_and_laws():
    law = world_of({"key": "m", "kind": "mean"}, Baseline(mean=5.0, sd=2.0)).laws["m"]
    with pytest.raises(UsageError, match="symmetric"):
        World(laws={"m": law}, correlation=np.eye(2))
    with pytest.raises(UsageError, match="contradict"):
        World(laws={"m": law, "n": law}, correlation=np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(UsageError, match="columns"):
        Law(metric=law.metric, mean=np.zeros(2), covariance=np.eye(2))
    with pytest.raises(UsageError, match="finite moments"):
        Law(metric=law.metric, mean=np.array([np.inf]), covariance=np.eye(1))
    with pytest.raises(DataError, match="two units"):
        law_of_moments(law.metric, CoMoments.from_values([1.0]))


@pytest.mark.parametrize(("text", "baseline"), [("a=1", Baseline(mean=1.0)), ("a=b=2,3", Baseline(mean=2.0, sd=3.0))])
def test_a_baseline_is_read_from_text(text, baseline):
    assert parse_baseline(text)[1] == baseline


@pytest.mark.parametrize("text", ["a", "=1", "a=x", "a=1,2,3"])
def test_a_baseline_written_otherwise_is_refused(text):
    with pytest.raises(UsageError, match="metric=mean"):
        parse_baseline(text)
