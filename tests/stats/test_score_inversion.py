"""A score interval lies on the side of the null on which its test puts it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.score_inversion import check_margin, inverted_interval


def binomial_error(delta: np.ndarray) -> np.ndarray:
    """Standard error of one rate under 0.5 + delta / 2, 0 at both bounds: 40 units."""
    return np.sqrt(np.maximum(1.0 - delta**2, 0.0) / 40.0)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("alpha", [0.01, 0.3, 0.7])
def test_the_ends_are_z_standard_errors_away_under_themselves(alternative, alpha):
    found = inverted_interval(0.2, binomial_error, margin=0.0, alpha=alpha, alternative=alternative)
    z = -float(special.ndtri(alpha / (2 if alternative == "two-sided" else 1)))
    if alternative != "less":
        assert (0.2 - found.low) / binomial_error(np.array([found.low]))[0] == pytest.approx(z, rel=1e-9, abs=1e-12)
    else:
        assert found.low == -math.inf
    if alternative != "greater":
        assert (found.high - 0.2) / binomial_error(np.array([found.high]))[0] == pytest.approx(z, rel=1e-9, abs=1e-12)
    else:
        assert found.high == math.inf


@pytest.mark.parametrize("margin", [1.0, -1.0, 5.0, math.nan])
def test_a_margin_is_a_difference_of_rates(margin):
    with pytest.raises(UsageError, match="must lie in"):
        check_margin(margin)
