"""Priors and the region of practical equivalence."""

from __future__ import annotations

import math

import pytest

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.posterior import Rope
from fairtrial.stats.bayes.priors import DEFAULT_PRIORS, BetaPrior, GammaPrior, NormalInverseGammaPrior, NormalPrior


def test_every_model_has_a_default_that_prints_what_it_says():
    assert {name: str(prior) for name, prior in DEFAULT_PRIORS.items()} == {
        "beta_binomial": "Beta(1, 1) on each rate: mean 0.5, worth 2 units",
        "gamma_poisson": "Gamma(1, 1) on each event rate: mean 1, worth 1 of exposure",
        "normal": "Normal(0, 0.3) on the lift",
        "normal_inverse_gamma": "Reference prior 1 / variance on each mean and variance: worth no units",
    }
    proper = NormalInverseGammaPrior(mean=1.0, kappa=2.0, alpha=3.0, beta=4.0)
    assert str(proper) == "Normal-inverse-gamma(1, 2, 3, 4) on each mean and variance: worth 2 units"
    assert str(NormalPrior(sd=None, scale="effect")) == "Flat on the effect: improper, no Bayes factor"


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: BetaPrior(alpha=0.0), "0.5, 1e+12"),
        (lambda: BetaPrior(beta=math.nan), "beta"),
        (lambda: BetaPrior(alpha=1e13), "alpha"),
        (lambda: GammaPrior(shape=0.1), "shape"),
        (lambda: GammaPrior(rate=0.0), "rate"),
        (lambda: NormalPrior(mean=math.inf), "mean of a prior"),
        (lambda: NormalPrior(sd=0.0), "pass sd=None"),
        (lambda: NormalPrior(scale="relative"), "'lift' or 'effect'"),
        (lambda: NormalInverseGammaPrior(mean=math.nan), "mean of a prior"),
        (lambda: NormalInverseGammaPrior(kappa=-1.0), "kappa"),
        (lambda: NormalInverseGammaPrior(alpha=-0.6), "alpha"),
        (lambda: NormalInverseGammaPrior(beta=math.inf), "beta"),
        (lambda: Rope(low=0.1, high=0.1), "low < high"),
        (lambda: Rope(low=-math.inf, high=0.1), "finite"),
        (lambda: Rope(low=-1, high=1, scale="percent"), "'lift' or 'effect'"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError) as caught:
        call()
    assert rule in str(caught.value)
