"""Size and coverage by simulation, held to an exact binomial bound.

Each test draws many experiments of known truth from a fixed seed, through the
vectorised core, and asks whether the number of errors could come from the
promised rate (two-sided exact binomial test at 1e-4).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.stats.contrast import BatchMoments, linear_contrast
from fairtrial.stats.lift import lift_interval

pytestmark = pytest.mark.slow

REPLICATES = 20_000
CHUNK = 500
COLUMNS = {"mean": [0], "ratio": [0, 1], "mean_cuped": [0, 2], "ratio_cuped": [0, 1, 2, 3]}


def batch(values, layout):
    """Moments of replicates (r, n, k) over the units."""
    replicates, n, _ = values.shape
    columns = COLUMNS[layout]
    mean, cross = np.tile([0.0, 1.0, 0.0, 1.0], (replicates, 1)), np.zeros((replicates, 4, 4))
    mean[:, columns] = values.mean(axis=1)
    deviations = values - values.mean(axis=1, keepdims=True)
    cross[:, np.array(columns)[:, None], columns] = np.einsum("rni,rnj->rij", deviations, deviations)
    return BatchMoments(n=np.full(replicates, float(n)), mean=mean, cross=cross, present=tuple(i in columns for i in range(4)))


def simulate(draw, layout, seed, judge, **options):
    """Number of replicates for which `judge(contrast)` holds."""
    rng, count = np.random.default_rng(seed), 0
    for _ in range(REPLICATES // CHUNK):
        control, treatment = draw(rng)
        count += int(judge(linear_contrast(batch(control, layout), batch(treatment, layout), **options)).sum())
    return count


def assert_rate(count, rate):
    p_value = stats.binomtest(count, REPLICATES, rate).pvalue
    assert p_value > 1e-4, f"{count} of {REPLICATES} is not a rate of {rate} (p = {p_value:.2g})"


def normal_arms(rng, *, sizes=(12, 40), sds=(3.0, 1.0), effect=0.0):
    return tuple(rng.normal(mean, sd, (CHUNK, n, 1)) for n, sd, mean in zip(sizes, sds, (0.0, effect), strict=True))


def test_welch_keeps_its_size_with_unequal_variances_and_arms():
    """G-12."""
    assert_rate(simulate(normal_arms, "mean", 1, lambda c: c.p_value() < 0.05), 0.05)


def test_student_does_not_keep_its_size_there_and_the_bound_sees_it():
    """The small arm has the large variance: Student's test errs far more often; the check can fail."""
    errors = simulate(normal_arms, "mean", 1, lambda c: c.p_value() < 0.05, variances="equal")
    assert stats.binomtest(errors, REPLICATES, 0.05, alternative="greater").pvalue < 1e-10


def test_a_one_sided_welch_test_keeps_its_size():
    assert_rate(simulate(normal_arms, "mean", 2, lambda c: c.p_value(alternative="greater") < 0.025), 0.025)


def test_welch_intervals_cover():
    def covers(contrast):
        low, high = contrast.interval(alpha=0.1)
        return (low < 0.7) & (high > 0.7)

    assert_rate(simulate(lambda rng: normal_arms(rng, effect=0.7), "mean", 3, covers), 0.9)


def sessions(rng, rate=1.0, n=600):
    """Per unit: sessions, and clicks whose rate per session varies by unit (so sessions are not independent)."""
    visits = 1.0 + rng.poisson(3.0, (CHUNK, n))
    propensity = rng.gamma(4.0, rate / 4.0, (CHUNK, n)) * (1.0 + 0.1 * (visits - 4.0))
    return np.stack([rng.poisson(np.maximum(propensity, 0.0) * visits).astype(float), visits], axis=2)


def test_the_delta_method_keeps_the_size_of_a_ratio():
    draw = lambda rng: (sessions(rng), sessions(rng, n=300))  # noqa: E731
    assert_rate(simulate(draw, "ratio", 4, lambda c: c.p_value() < 0.05), 0.05)


def adjusted_arms(rng, *, base=0.0, factor=1.0, rho=0.8, n=300):
    """Outcome and covariate of correlation `rho`; the treatment multiplies the outcome's mean."""
    arms = []
    for scale in (1.0, factor):
        covariate = rng.normal(0, 1, (CHUNK, n))
        noise = rng.normal(0, np.sqrt(1 - rho * rho), (CHUNK, n))
        arms.append(np.stack([base * scale + rho * covariate + noise, 5.0 + covariate], axis=2))
    return tuple(arms)


def test_cuped_keeps_its_size():
    assert_rate(simulate(adjusted_arms, "mean_cuped", 5, lambda c: c.p_value() < 0.05), 0.05)


@pytest.mark.parametrize(("method", "factor"), [("delta", 1.0), ("delta", 3.0), ("log", 3.0), ("fieller", 3.0)])
def test_lift_intervals_cover_after_adjustment(method, factor):
    """Both adjusted values share the error of the covariate's overall mean; a lift of 200% shows if that is forgotten."""

    def covers(contrast):
        low, high = lift_interval(contrast, alpha=0.1, method=method)
        return (low < factor - 1.0) & (high > factor - 1.0)

    draw = lambda rng: adjusted_arms(rng, base=3.0, factor=factor, rho=0.95)  # noqa: E731
    assert_rate(simulate(draw, "mean_cuped", 6, covers), 0.9)
