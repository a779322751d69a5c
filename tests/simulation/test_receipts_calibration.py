"""The fast part of the receipts of posteriors, panels, cutoffs, series, bandits, adjustment and other designs (issue 3).

A tenth of the experiments, or a third where one is a fit; the bounds are exact, at level 99%. Cases that are
known to break are named, and must be seen to: a grid in which nothing can break measures nothing.
"""

import math

import numpy as np
import pytest
from scipy import special

from fairtrial.simulation.calibration import run_study, study_named
from fairtrial.simulation.monte_carlo import share_of

pytestmark = pytest.mark.slow

BREAKS = {
    "bernoulli_sequence": set(),
    "exact_lift_sequence": set(),
    "futility_size": set(),
    "futility_power": set(),
    "credible_means": {"lift prior, 100", "narrow prior"},
    "credible_rates": {"strong prior, wrong"},
    "credible_counts": {"overdispersed"},
    "probability_best": set(),
    "paired_t": set(),
    "signed_ranks": {"skewed 50"},
    "mcnemar": set(),
    "factorial": set(),
    "post_stratification": set(),
    "lin": set(),
    "did_2x2": {"1+39, CR1", "clusters ignored"},
    "late_2sls": set(),
    "segmented_regression": {"200, rho 0.6, 20 lags"},
    "bandit_adaptive": set(),
}
"""Studies whose fast part is run, with the cases that break so plainly that few experiments show it."""
MAY_BREAK = {
    "probability_best": {"alike, flat prior"},
    "credible_rates": set(),
    "credible_means": {"flat, 95/5 skewed", "prior effect, 10"},
    "paired_t": {"skewed 20"},
    "did_2x2": {"5+45, CR1"},
    "segmented_regression": {"60, 3 lags"},
    "bandit_adaptive": {"2 batches of 50", "10 batches, floor 1%"},
}
"""Cases that the whole study calls broken, or nearly, and that few experiments may or may not show."""


def share(answers, *, runs):
    """Exact bounds, at level 99.9%, of a share of so many experiments."""
    assert answers.size == runs
    return share_of(answers).exact_bounds(alpha=0.001)


def one_case(method, name, *, runs, seed):
    case = next(case for case in study_named(method).cases if case.name == name)
    return case.simulate(runs, np.random.default_rng(seed))


@pytest.mark.parametrize("method", BREAKS)
def test_the_fast_part_breaks_where_it_is_known_to_and_nowhere_else(method):
    result = run_study(study_named(method), quick=True, rng=np.random.default_rng(11))
    broken = {row.name for row in result.of("broken")}
    assert BREAKS[method] <= broken <= BREAKS[method] | MAY_BREAK.get(method, set())


PRIORS = [
    (method, case.name)
    for method in ("credible_rates", "credible_counts", "credible_means", "credible_lift")
    for case in study_named(method).cases
    if case.name.startswith("prior")
]


@pytest.mark.parametrize(("method", "name"), PRIORS)
def test_averaged_over_its_prior_a_credible_interval_covers_as_it_says(method, name):
    bounds = share(one_case(method, name, runs=1000, seed=12).covered, runs=1000)
    assert bounds.low <= 0.95 <= bounds.high


@pytest.mark.parametrize("name", ["4 rates, 50", "10 rare rates", "95/5", "4 event rates", "6 means", "stopped early"])
def test_probabilities_to_be_best_add_up_as_they_say_even_when_one_stops_early(name):
    bounds = share(one_case("probability_best", name, runs=800, seed=13).covered, runs=800)
    assert bounds.low <= 0.95 <= bounds.high


def test_beta_spending_misses_the_planned_effect_as_often_as_it_says():
    """20% in each family at planned looks, by 40,000 paths each; exact bounds at level 99.9%."""
    rows = {row.name: row for row in run_study(study_named("futility_power"), rng=np.random.default_rng(14), runs=40_000).rows}
    for name in ("2 looks", "5 looks", "5 looks, Pocock", "two-sided", "late first look"):
        bounds = rows[name].coverage.exact_bounds(alpha=0.001)
        assert bounds.low <= 0.8 <= bounds.high, name


def test_alpha_is_spent_whole_where_futility_is_ignored_or_binds():
    rows = {row.name: row for row in run_study(study_named("futility_size"), rng=np.random.default_rng(15), runs=40_000).rows}
    for name in ("5 looks, ignored", "Pocock, ignored", "binding"):
        bounds = rows[name].size.exact_bounds(alpha=0.001)
        assert bounds.low <= 0.05 <= bounds.high, name
    assert rows["binding, ignored"].size.exact_bounds(alpha=0.001).low > 0.05


def test_two_pairs_of_rates_err_as_their_law_says():
    """McNemar's size at 20 pairs of which half differ, summed over the law of the discordant pairs."""
    n, differ = 20, 0.5
    exact = 0.0
    for k in range(1, n + 1):
        chance = math.comb(n, k) * differ**k * (1.0 - differ) ** (n - k)
        ones = np.arange(k + 1)
        rejects = 2.0 * special.ndtr(-np.abs(2.0 * ones - k) / math.sqrt(k)) < 0.05
        exact += chance * float(sum(math.comb(k, int(i)) for i in ones[rejects])) / 2.0**k
    bounds = share(one_case("mcnemar", "20, half differ", runs=2000, seed=16).rejected_null, runs=2000)
    assert bounds.low <= exact <= bounds.high


def test_one_treated_cluster_is_what_a_clustered_error_cannot_bear():
    """MacKinnon & Webb (2018), Econometrics Journal 21, 114-135: with one treated cluster it rejects most true nulls."""
    assert share(one_case("did_2x2", "1+39, CR1", runs=200, seed=17).rejected_null, runs=200).low > 0.5
