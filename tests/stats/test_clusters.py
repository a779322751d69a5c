"""Cluster-robust differences against statsmodels, dense algebra and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import linalg, stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.clusters import cluster_means_test, cluster_robust_difference, intraclass_correlation
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments


def trial(seed=71, clusters=14, icc=0.3, straddle=False):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    treated = rng.integers(0, 2, cluster.size) if straddle else (cluster % 2)
    noise = rng.normal(0, np.sqrt(icc), clusters)[cluster] + rng.normal(0, np.sqrt(1 - icc), cluster.size)
    return 0.3 * treated + noise, treated.astype(float), cluster


@pytest.mark.parametrize("straddle", [False, True])
def test_cr1_is_that_of_statsmodels(straddle):
    """Oracle: statsmodels OLS(...).fit(cov_type="cluster", use_correction=True), 1e-9."""
    y, t, cluster = trial(straddle=straddle)
    fit = sm.OLS(y, sm.add_constant(t)).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
    ours = cluster_robust_difference(y, t, cluster)
    assert (ours.effect, ours.std_error, ours.p_value) == pytest.approx((fit.params[1], fit.bse[1], fit.pvalues[1]), rel=1e-9)
    n, groups = y.size, np.unique(cluster).size
    cr0 = cluster_robust_difference(y, t, cluster, correction="CR0")
    assert cr0.std_error == pytest.approx(ours.std_error / np.sqrt(groups / (groups - 1) * (n - 1) / (n - 2)), rel=1e-12)


@pytest.mark.parametrize("straddle", [False, True])
def test_cr2_is_the_formula_in_full_matrices(straddle):
    """Oracle: Bell & McCaffrey with dense (I - H_gg)^(-1/2) by scipy.linalg.sqrtm, 1e-8."""
    y, t, cluster = trial(straddle=straddle)
    x = sm.add_constant(t)
    bread = np.linalg.inv(x.T @ x)
    residual_maker = np.eye(y.size) - x @ bread @ x.T
    e, meat, pieces = residual_maker @ y, np.zeros((2, 2)), []
    for g in np.unique(cluster):
        rows = np.flatnonzero(cluster == g)
        a = np.real(linalg.inv(linalg.sqrtm(residual_maker[np.ix_(rows, rows)])))
        score = x[rows].T @ a @ e[rows]
        meat += np.outer(score, score)
        pieces.append(residual_maker[:, rows] @ a @ x[rows] @ bread[:, 1])
    gram = np.array(pieces) @ np.array(pieces).T
    ours = cluster_robust_difference(y, t, cluster, correction="CR2")
    assert ours.std_error == pytest.approx(np.sqrt((bread @ meat @ bread)[1, 1]), rel=1e-8)
    assert ours.df == pytest.approx(np.trace(gram) ** 2 / np.square(gram).sum(), rel=1e-8)


def test_clusters_of_one_unit_under_cr2_are_welch():
    """HC2 of two means is the Welch error, and the Satterthwaite df under equal variances close to n - 2."""
    rng = np.random.default_rng(72)
    y, t = rng.normal(0, 1, 60), np.repeat([0.0, 1.0], 30)
    ours = cluster_robust_difference(y, t, np.arange(60), correction="CR2")
    assert ours.std_error == pytest.approx(welch_test(Moments.from_values(y[:30]), Moments.from_values(y[30:])).std_error, rel=1e-10)
    assert ours.df == pytest.approx(58.0)


def test_means_of_clusters_count_once():
    """Oracle: scipy.stats.ttest_ind on the clusters' means; names of clusters may be text."""
    y, t, cluster = trial()
    means = np.array([[y[cluster == g].mean(), t[cluster == g][0]] for g in np.unique(cluster)])
    oracle = stats.ttest_ind(means[means[:, 1] == 1, 0], means[means[:, 1] == 0, 0], equal_var=False)
    ours = cluster_means_test(y, t, [f"store {g}" for g in cluster])
    assert ours.p_value == pytest.approx(oracle.pvalue, rel=1e-10)
    assert (ours.n_control, ours.n_treatment) == (7, 7)


def test_the_intraclass_correlation_finds_the_truth():
    """2,000 clusters with a correlation of 0.3, within 0.03."""
    y, _, cluster = trial(seed=73, clusters=2000)
    assert intraclass_correlation(y - 0.3 * (cluster % 2), cluster).icc == pytest.approx(0.3, abs=0.03)


@pytest.mark.slow
def test_cr2_keeps_its_size_with_few_clusters_where_ignoring_them_does_not():
    """2,000 null experiments of 12 clusters; exact binomial bounds at 1e-4."""
    robust = naive = 0
    for seed in range(2000):
        y, t, cluster = trial(seed=10_000 + seed, clusters=12)
        y = y - 0.3 * t
        robust += cluster_robust_difference(y, t, cluster, correction="CR2").p_value < 0.05
        naive += welch_test(Moments.from_values(y[t == 0]), Moments.from_values(y[t == 1])).p_value < 0.05
    assert stats.binomtest(robust, 2000, 0.06, alternative="greater").pvalue > 1e-4
    assert stats.binomtest(naive, 2000, 0.06, alternative="greater").pvalue < 1e-6


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda y, t, c: cluster_robust_difference(y, t, c, correction="CR3"), UsageError),
        (lambda y, t, c: cluster_robust_difference(y, t, c[:-1]), UsageError),
        (lambda y, t, c: cluster_robust_difference(y, t[:-1], c), UsageError),
        (lambda y, t, _c: cluster_robust_difference(y, t, t), NotEnoughDataError),
        (lambda y, _t, c: cluster_means_test(y, np.arange(y.size) % 2, c), DataError),
        (lambda y, _t, _c: intraclass_correlation(y, np.zeros(y.size)), NotEnoughDataError),
        (lambda y, _t, c: intraclass_correlation(y * 0, c), DataError),
    ],
)
def test_what_cannot_be_answered_is_refused(call, error):
    with pytest.raises(error):
        call(*trial())
