"""Stopping on expected loss, and its measured false-positive rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.beta_binomial import beta_binomial_ab, beta_binomial_batch
from fairtrial.stats.bayes.normal_posterior import normal_posterior
from fairtrial.stats.bayes.priors import NormalPrior
from fairtrial.stats.bayes.stopping import LossRule, simulate_loss_stopping
from fairtrial.stats.proportion_intervals import wilson_interval

LOOKS = 0.05 / np.sqrt(np.arange(1, 21) / 20) / math.sqrt(20)
"""Standard errors of the lift at 20 looks, the last 0.0112."""
RULE = LossRule(threshold=0.0025)


def test_the_rule_chooses_the_arm_whose_loss_is_small():
    posterior = beta_binomial_ab(100, 1000, 140, 1000)
    assert LossRule(threshold=0.001).choice(posterior).item() == 1
    assert LossRule(threshold=0.001).choice(posterior, direction="decrease").item() == -1
    assert LossRule(threshold=1e-9).choice(posterior).item() == 0
    assert LossRule(threshold=0.001, chance=0.9999).choice(posterior).item() == 0
    assert LossRule(threshold=1.0).choice(beta_binomial_ab(140, 1000, 100, 1000)).item() == -1


def test_a_rule_goes_on_where_there_is_no_posterior():
    batch = beta_binomial_batch([100, 0], [1000, 0], [140, 1], [1000, 3])
    assert LossRule(threshold=0.001).choice(batch).tolist() == [1, 0]


def cutoff(error, prior, threshold):
    """Estimate at which the treatment's loss is the threshold, by bisection."""

    def excess(estimate):
        return normal_posterior(estimate, error, prior=prior).shortfall.item() - threshold

    return optimize.brentq(excess, -0.5, 0.5)


def test_one_look_errs_as_the_formula_says():
    """One look has a closed answer: P(estimate > cutoff); 4 standard errors of 40,000 runs."""
    error, prior = 0.02, NormalPrior()
    expected = special.ndtr(-cutoff(error, prior, 0.0025) / error)
    got = simulate_loss_stopping(RULE, effect=0.0, std_errors=[error], rng=np.random.default_rng(1), runs=40_000)
    assert got.chose_treatment == pytest.approx(expected, abs=4 * math.sqrt(expected / 40_000))
    assert got.chose_treatment + got.chose_control + got.undecided == pytest.approx(1.0)
    assert (got.runs, got.looks, got.mean_looks) == (40_000, 1, 1.0)
    assert got.chose_treatment_interval == wilson_interval(round(got.chose_treatment * 40_000), 40_000)


def test_estimates_of_successive_looks_are_those_of_growing_samples():
    """With all looks but the last useless (huge errors), the last one alone decides: the closed answer again."""
    prior = NormalPrior(sd=0.05)
    rule = LossRule(threshold=0.002)
    expected = special.ndtr((0.01 - cutoff(0.02, prior, 0.002)) / 0.02)
    got = simulate_loss_stopping(rule, effect=0.01, std_errors=[30.0, 20.0, 0.02], rng=np.random.default_rng(2), prior=prior, runs=40_000)
    assert got.chose_treatment == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 40_000))


def test_a_seed_gives_the_same_receipt_and_directions_mirror():
    one, again = (simulate_loss_stopping(RULE, effect=0.01, std_errors=LOOKS, rng=np.random.default_rng(3), runs=500) for _ in range(2))
    assert one == again
    down = simulate_loss_stopping(RULE, effect=0.01, std_errors=LOOKS, rng=np.random.default_rng(3), runs=500, direction="decrease")
    assert (down.chose_treatment, down.chose_control) == (one.chose_control, one.chose_treatment)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: LossRule(threshold=0.0), "threshold"),
        (lambda: LossRule(threshold=math.inf), "threshold"),
        (lambda: LossRule(threshold=0.1, chance=95), "[0, 1)"),
        (lambda: simulate_loss_stopping(RULE, effect=0.0, std_errors=[], rng=np.random.default_rng()), "falling"),
        (lambda: simulate_loss_stopping(RULE, effect=0.0, std_errors=[0.1, 0.2], rng=np.random.default_rng()), "falling"),
        (lambda: simulate_loss_stopping(RULE, effect=0.0, std_errors=[0.1, math.nan], rng=np.random.default_rng()), "falling"),
        (lambda: simulate_loss_stopping(RULE, effect=math.nan, std_errors=[0.1], rng=np.random.default_rng()), "true effect"),
        (lambda: simulate_loss_stopping(RULE, effect=0.0, std_errors=[0.1], rng=np.random.default_rng(), runs=10), "100 runs"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError) as caught:
        call()
    assert rule in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("chance", "least", "most"), [(0.0, 0.45, 0.55), (0.95, 0.10, 0.35)])
def test_looking_often_makes_false_launches_frequent_and_the_receipt_says_so(chance, least, most):
    """XC-39, V: no error rate is promised; measured over 20 looks without an effect, 20,000 runs. 95% at one look would be 5%."""
    rule = LossRule(threshold=0.0025, chance=chance)
    got = simulate_loss_stopping(rule, effect=0.0, std_errors=LOOKS, rng=np.random.default_rng(7), runs=20_000)
    assert least < got.chose_treatment < most
    once = simulate_loss_stopping(rule, effect=0.0, std_errors=LOOKS[-1:], rng=np.random.default_rng(7), runs=20_000)
    assert got.chose_treatment + got.chose_control > once.chose_treatment + once.chose_control


@pytest.mark.slow
def test_under_the_prior_the_loss_at_the_stop_is_what_the_posterior_said():
    """Stopping does not bias a posterior whose prior is true: mean loss of what was chosen stays below the threshold (Deng et al. 2016)."""
    rng, prior, runs = np.random.default_rng(9), NormalPrior(sd=0.02), 20_000
    effect = rng.normal(0, 0.02, runs)
    information = 1 / LOOKS**2
    score = np.cumsum(np.sqrt(np.diff(information, prepend=0.0)) * rng.standard_normal((runs, LOOKS.size)), axis=1)
    posterior = normal_posterior(effect[:, None] + score / information, LOOKS, prior=prior)
    choices = RULE.choice(posterior)
    stopped = (choices != 0).any(axis=1)
    final = choices[np.arange(runs), (choices != 0).argmax(axis=1)]
    loss = np.where(final > 0, np.maximum(-effect, 0), np.maximum(effect, 0))[stopped]
    assert stopped.mean() > 0.5
    assert loss.mean() < RULE.threshold
    assert stats.ttest_1samp(loss, RULE.threshold).pvalue < 1e-6
