"""The sample-ratio check of a reading: one look and any look (G-11)."""

import pytest

from fairtrial.diagnostics.allocation import check_allocation
from fairtrial.stats.sequential.allocation import sequential_srm


@pytest.mark.parametrize(("units", "status"), [((5100, 4900), "ok"), ((5130, 4870), "warning"), ((5200, 4800), "mismatch")])
def test_the_status_is_that_of_a_single_check_and_the_sequential_p_stands_beside(units, status):
    """G-11: mismatch below .001, warning below .01; the always-valid p is never the smaller."""
    check, _ = check_allocation(dict(zip(("a", "b"), units, strict=True)), {"a": 0.5, "b": 0.5}, "fixed")
    assert check.status == status
    assert check.always_valid_p == pytest.approx(float(sequential_srm([units], [0.5, 0.5]).p_value[-1]))
    assert check.always_valid_p >= check.p_value


def test_a_check_that_was_not_made_has_no_p():
    check, _ = check_allocation({"a": 1, "b": 2}, None, "adaptive")
    assert (check.status, check.p_value, check.always_valid_p) == ("skipped", None, None)
