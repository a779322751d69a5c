"""The smallest effect worth detecting, from what a launch must earn."""

from __future__ import annotations

from fairtrial.stats.power import check_positive


def mde_from_roi(cost: float, annual_revenue: float, *, required_multiple: float = 3.0, payback_years: float = 1.0) -> float:
    """Relative lift of revenue at which a change earns what is demanded of it.

    A higher demand gives a larger effect: what earns less is not worth detecting.

    Args:
        cost: Cost of the change, in money, > 0.
        annual_revenue: Revenue a year that the change touches, in the same money, > 0.
        required_multiple: How many times its cost the change must earn, > 0.
        payback_years: Years in which it must earn that, > 0.

    Returns:
        cost x multiple / (revenue x years), a fraction: 50,000 x 3 / 1,000,000 = 0.15.

    Raises:
        UsageError: An argument is not above 0.
    """
    check_positive("cost", cost)
    check_positive("annual_revenue", annual_revenue)
    check_positive("required_multiple", required_multiple)
    check_positive("payback_years", payback_years)
    return cost * required_multiple / (annual_revenue * payback_years)
