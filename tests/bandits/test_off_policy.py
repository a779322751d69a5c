"""What a log says of a policy that did not run (XC-40, Open Bandit)."""

from __future__ import annotations

import csv
import gzip
import json
import math

import numpy as np
import pytest
from scipy import stats

from fairtrial.bandits.offpolicy import compare_policies, evaluate_policy, policy_scores
from fairtrial.bandits.weights import ActionLog, diagnose_weights, effective_sample_size
from fairtrial.errors import DataError, NotEnoughDataError, UsageError


def simulated(n, seed, *, shift=0.0):
    """Two contexts, three arms, known propensities and mean rewards."""
    rng = np.random.default_rng(seed)
    context = rng.integers(0, 2, n)
    behaviour = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])[context]
    actions = (rng.random(n)[:, None] > np.cumsum(behaviour, axis=1)[:, :-1]).sum(axis=1)
    means = shift + np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.4]])[context]
    rewards = shift + (rng.random(n) < means[np.arange(n), actions] - shift)
    return ActionLog.of(actions, rewards, behaviour[np.arange(n), actions], arms=3), context, means


TARGET = np.array([[0.1, 0.8, 0.1], [0.7, 0.1, 0.2]])
TRUE_VALUE = 0.5 * (0.02 + 0.40 + 0.03) + 0.5 * (0.42 + 0.01 + 0.08)


def test_every_estimator_nears_the_true_value():
    """40,000 rows, four standard errors; the direct method with the true model is exact but for the contexts."""
    log, context, means = simulated(40_000, 1)
    found = evaluate_policy(log, TARGET[context], outcome_model=means, clip=50.0)
    for estimate in (found.ips, found.snips, found.clipped_ips, found.dr):
        assert abs(estimate.value - TRUE_VALUE) < 4 * estimate.std_error
    assert found.direct.value == pytest.approx(TRUE_VALUE, abs=0.005)
    assert found.dr.std_error < found.snips.std_error < found.ips.std_error
    assert found.diagnostics.concerns == ()


def test_doubly_robust_forgives_a_wrong_model_and_self_normalising_an_offset():
    log, context, _ = simulated(40_000, 2, shift=1e6)
    found = evaluate_policy(log, TARGET[context], outcome_model=np.full(3, 1e6 + 0.9))
    assert abs(found.dr.value - 1e6 - TRUE_VALUE) < 4 * found.dr.std_error < 0.1
    assert abs(found.snips.value - 1e6 - TRUE_VALUE) < 4 * found.snips.std_error < 0.1
    assert found.ips.std_error > 1000


def test_on_the_logging_policy_itself_everything_is_the_plain_mean():
    rng = np.random.default_rng(3)
    log = ActionLog.of(rng.integers(0, 4, 300), rng.random(300), np.full(300, 0.25), arms=4)
    found = evaluate_policy(log, np.full(4, 0.25), clip=1.0)
    assert found.ips.value == found.clipped_ips.value == pytest.approx(log.rewards.mean())
    assert found.snips.value == pytest.approx(log.rewards.mean())
    assert found.ips.std_error == pytest.approx(stats.sem(log.rewards))
    assert found.diagnostics.effective_sample_size == pytest.approx(300)


def test_a_contrast_is_paired_row_by_row():
    log, context, means = simulated(5_000, 4)
    found = compare_policies(log, TARGET[context], np.full(3, 1 / 3), outcome_model=means)
    scores = policy_scores(log, TARGET[context], outcome_model=means) - policy_scores(log, np.full(3, 1 / 3), outcome_model=means)
    assert (found.difference, found.std_error) == pytest.approx((scores.mean(), stats.sem(scores)))
    assert found.interval.excludes(0.0) == (found.p_value < 0.05)
    assert compare_policies(log, TARGET[context], np.full(3, 1 / 3)).method == "ips"


def test_a_log_that_cannot_answer_says_so():
    n = 200
    log = ActionLog.of([0] * n, [1.0, 0.0] * (n // 2), [0.5] * n, arms=3)
    unseen = evaluate_policy(log, [0.0, 0.5, 0.5])
    assert unseen.snips is None
    assert (unseen.ips.value, unseen.ips.std_error, unseen.ips.interval) == (0.0, None, None)
    assert unseen.diagnostics.concerns == ("few_effective_rows", "unseen_arms")
    assert (unseen.diagnostics.unseen_arms, unseen.diagnostics.top_share) == ((1, 2), 0.0)
    rng = np.random.default_rng(5)
    wrong = ActionLog.of(rng.integers(0, 2, 4000), rng.random(4000), rng.choice([0.5, 0.9], 4000), arms=2)
    assert "mean_weight_off" in diagnose_weights(wrong, [0.5, 0.5]).concerns


@pytest.mark.parametrize("policy", ["random", "bts"])
def test_the_open_bandit_sample(real_data, policy):
    """Reference: expected/open_bandit_all.json (pandas, numpy); 1e-8. The policy evaluated is the uniform one."""
    wanted = json.loads((real_data / "expected" / "open_bandit_all.json").read_text(encoding="utf-8"))["estimates"][policy]
    with gzip.open(real_data / f"open_bandit_all_{policy}.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = ([float(row[name]) for row in rows] for name in ("item_id", "click", "propensity_score"))
    log = ActionLog.of(*columns, arms=80)
    found = evaluate_policy(log, np.full(80, 1 / 80))
    seen = found.diagnostics
    assert (log.n, log.rewards.sum(), log.rewards.mean()) == (wanted["rows"], wanted["clicks"], pytest.approx(wanted["ctr"]))
    assert found.ips.value == pytest.approx(wanted["ipw_value_of_uniform_policy"], rel=1e-8)
    assert found.ips.std_error == pytest.approx(wanted["ipw_se"], rel=1e-8)
    assert found.snips.value == pytest.approx(wanted["snipw_value_of_uniform_policy"], rel=1e-8)
    assert seen.mean_weight == pytest.approx(wanted["mean_weight"], rel=1e-8)
    assert seen.effective_sample_size == pytest.approx(wanted["effective_sample_size"], rel=1e-8)
    assert seen.smallest_propensity == pytest.approx(wanted["propensity_min"])
    # 10,000 rows of Thompson sampling are worth 340 of the uniform policy, a third of the weight lies on a hundred of them.
    assert seen.concerns == (("heavy_weights",) if policy == "bts" else ())


LOG = ActionLog.of([0, 1], [1.0, 0.0], [0.5, 0.5], arms=2)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ActionLog.of([0], [1.0], [0.5], arms=2), NotEnoughDataError),
        (lambda: ActionLog.of([0, 1], [1.0], [0.5, 0.5], arms=2), UsageError),
        (lambda: ActionLog.of([0, 1], [1.0, math.nan], [0.5, 0.5], arms=2), DataError),
        (lambda: ActionLog.of([0, 1], [1.0, 1.0], [0.5, 0.0], arms=2), UsageError),
        (lambda: LOG.weights([0.2, 0.3, 0.5]), UsageError),
        (lambda: LOG.weights([0.2, 0.3]), UsageError),
        (lambda: LOG.weights([1.2, -0.2]), UsageError),
        (lambda: effective_sample_size([]), UsageError),
        (lambda: effective_sample_size([1.0, -1.0]), UsageError),
        (lambda: evaluate_policy(LOG, [0.5, 0.5], clip=0.0), UsageError),
        (lambda: evaluate_policy(LOG, [0.5, 0.5], outcome_model=[0.1, 0.2, 0.3]), UsageError),
        (lambda: evaluate_policy(LOG, [0.5, 0.5], outcome_model=[0.1, math.nan]), DataError),
        (lambda: evaluate_policy(LOG, [0.5, 0.5], alpha=5), UsageError),
        (lambda: compare_policies(LOG, [0.5, 0.5], [0.5, 0.5]), DataError),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.slow
def test_intervals_cover_the_true_value():
    """1,000 logs of 2,000 rows: IPS, SNIPS and DR (with a wrong model) cover 95% by an exact binomial test at 1e-4."""
    hits = np.zeros(3)
    for seed in range(1000):
        log, context, _ = simulated(2_000, 10_000 + seed)
        found = evaluate_policy(log, TARGET[context], outcome_model=np.array([0.5, 0.2, 0.4]))
        hits += [not estimate.interval.excludes(TRUE_VALUE) for estimate in (found.ips, found.snips, found.dr)]
    for covered in hits.astype(int).tolist():
        assert stats.binomtest(covered, 1000, 0.95).pvalue > 1e-4
