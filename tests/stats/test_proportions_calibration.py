"""How often the score test errs and its interval misses, over experiments drawn with a known truth.

Each count is judged by the exact binomial law of a procedure whose error lies as
near to alpha as the method's does in these designs: summing over all tables they
are off by at most what the constants below say.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.stats.proportions import ProportionContrast, fisher_exact_p
from fairtrial.stats.srm import srm_test

pytestmark = pytest.mark.slow

ALPHA = 0.05
EXPERIMENTS = 100_000
OFF_TWO_SIDED = {"score": 0.0011, "miettinen-nurminen": 0.0011, "newcombe": 0.0025}
OFF_ONE_SIDED = 0.0074
"""Of the score test; skewness cancels over two tails alone."""
SURPRISE = 1e-6
DESIGNS = [(400, 400, 0.1), (200, 800, 0.05), (5_000, 5_000, 0.02), (900, 100, 0.5)]


def draw(n_control, n_treatment, rate, effect, ci_method="score", seed=20260101):
    rng = np.random.default_rng(seed)
    return ProportionContrast(
        successes_control=rng.binomial(n_control, rate, EXPERIMENTS).astype(float),
        n_control=np.array(float(n_control)),
        successes_treatment=rng.binomial(n_treatment, rate + effect, EXPERIMENTS).astype(float),
        n_treatment=np.array(float(n_treatment)),
        ci_method=ci_method,
    )


def assert_share(count, low, high):
    """The count lies where a share in [low, high] puts it, but for a chance of one in a million."""
    assert stats.binom.ppf(SURPRISE, EXPERIMENTS, low) <= count <= stats.binom.isf(SURPRISE, EXPERIMENTS, high)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_the_score_test_rejects_a_true_null_as_often_as_alpha_says(design, alternative):
    """G-12."""
    p = draw(*design, effect=0.0).p_value(alternative=alternative)
    slack = OFF_TWO_SIDED["score"] if alternative == "two-sided" else OFF_ONE_SIDED
    assert_share((p < ALPHA).sum(), ALPHA - slack, ALPHA + slack)


@pytest.mark.parametrize("method", OFF_TWO_SIDED)
@pytest.mark.parametrize("effect", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_covers_the_true_difference_as_often_as_it_says(design, effect, method):
    """G-12."""
    low, high = draw(*design, effect=effect, ci_method=method).interval(alpha=ALPHA)
    missed = (low > effect) | (high < effect)
    slack = OFF_TWO_SIDED[method]
    assert_share(missed.sum(), ALPHA - slack, ALPHA + slack)


def test_fishers_test_never_errs_more_often_than_alpha():
    """G-12: where counts are small the exact test keeps its level."""
    contrast = draw(60, 30, 0.06, effect=0.0)
    tables, where = np.unique(np.stack([contrast.successes_control, contrast.successes_treatment]), axis=1, return_inverse=True)
    distinct = ProportionContrast(
        successes_control=tables[0], n_control=np.array(60.0), successes_treatment=tables[1], n_treatment=np.array(30.0)
    )
    rejected = fisher_exact_p(distinct)[where.ravel()] < ALPHA
    assert 0 < rejected.sum() <= stats.binom.isf(SURPRISE, EXPERIMENTS, ALPHA)


def test_the_sample_ratio_check_gives_false_alarms_as_often_as_it_says():
    """G-11."""
    rng = np.random.default_rng(7)
    draws = rng.multinomial(20_000, [0.5, 0.3, 0.2], 20_000)
    alarms = sum(srm_test(counts.tolist(), [0.5, 0.3, 0.2]).p_value < 0.01 for counts in draws)
    assert stats.binom.ppf(SURPRISE, 20_000, 0.009) <= alarms <= stats.binom.isf(SURPRISE, 20_000, 0.011)
