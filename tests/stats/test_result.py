"""What a test returns refuses to hold what is no result."""

import math

import pytest

from fairtrial.errors import UsageError
from fairtrial.stats.result import Interval


@pytest.mark.parametrize("ends", [(math.nan, 1.0), (0.0, math.nan)])
def test_an_interval_has_no_nan_ends(ends):
    with pytest.raises(UsageError, match="NaN"):
        Interval(low=ends[0], high=ends[1])


def test_an_interval_excludes_what_lies_strictly_outside():
    interval = Interval(low=0.0, high=math.inf)
    assert (interval.excludes(-1e-300), interval.excludes(0.0), interval.excludes(1e300)) == (True, False, False)
