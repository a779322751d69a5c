"""Checks of the data that a result rests on; each returns findings."""

from fairtrial.diagnostics.allocation import SrmCheck, check_allocation
from fairtrial.diagnostics.finding import Finding, Severity
from fairtrial.diagnostics.intake import check_intake
from fairtrial.diagnostics.outcomes import check_outcomes
from fairtrial.diagnostics.results import check_results

__all__ = ["Finding", "Severity", "SrmCheck", "check_allocation", "check_intake", "check_outcomes", "check_results"]
