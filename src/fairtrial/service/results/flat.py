"""The documented flat results of a holdout (HO-09): a view of the scorecard, no number of its own.

Besides, what the scorecard does not hold: the always-valid look by the mSPRT (whatever
the plan's method, for who looks every night), the effect on those who were reached
(CACE), and contamination.
"""

from __future__ import annotations

import math
from typing import Any

from fairtrial.evaluation import Scorecard
from fairtrial.evaluation.scorecard import Comparison
from fairtrial.service.experiments.holdout import CONVERTED, VALUE
from fairtrial.service.results.always_valid import rate_look
from fairtrial.service.results.reading import SOURCE, Counted
from fairtrial.stats.result import Estimate, Interval
from fairtrial.stats.sequential.msprt import Msprt
from fairtrial.storage.readings import ArmCounts

FEWEST_PROFILES = 10
"""Profiles that each group needs before anything is tested (II.b)."""


AFTER_THE_FACT = "groups were drawn after the end from profiles already treated: an A/A check, not an effect"


def arm_fields(arm: ArmCounts) -> dict[str, Any]:
    """Counts of one group."""
    return {
        "n": arm.n,
        "conversions": arm.converters,
        "conversion_rate": None if arm.n == 0 else arm.converters / arm.n,
        "total_value": arm.total_value,
        "value_per_profile": None if arm.n == 0 else arm.total_value / arm.n,
    }


def insufficient(counted: Counted, fewest: int = FEWEST_PROFILES) -> str | None:
    """Why nothing can be tested yet; None when it can."""
    if min(counted.treatment.n, counted.control.n) < fewest:
        return f"fewer than {fewest} profiles in a group"
    if counted.treatment.converters + counted.control.converters == 0:
        return "nobody converted yet"
    return None


def always_valid_look(counted: Counted) -> Msprt | None:
    """The mSPRT of this moment alone (G-13); None while a group is empty or nobody differs.

    V is the variance of the difference of the two observed rates; tau2 the square of the planned effect.
    """
    found = rate_look(counted.control, counted.treatment, counted.spec.plan)
    return None if found is None else found.look


def flat_results(
    counted: Counted, scorecard: Scorecard | None, *, always_valid_p: float | None, fewest: int = FEWEST_PROFILES
) -> dict[str, Any]:
    """The fields of HO-09.

    Args:
        counted: The experiment's counts.
        scorecard: Of the same counts; None where no unit is assigned yet.
        always_valid_p: Running minimum of the always-valid p over all looks so far.
        fewest: Profiles that each group needs.
    """
    reason = insufficient(counted, fewest)
    estimate, why = (None, reason) if reason else _estimate(scorecard, CONVERTED)
    value, value_why = (None, reason) if reason else _estimate(scorecard, VALUE)
    fields: dict[str, Any] = {
        "experiment_id": counted.row.id,
        "status": counted.row.status,
        "treatment": arm_fields(counted.treatment),
        "control": arm_fields(counted.control),
        **_rates(estimate),
        "insufficient_data": reason is not None,
        "reason": why,
        "significant": _significant(estimate),
        "alpha": counted.spec.plan.alpha,
        "always_valid_p": None if reason else always_valid_p,
        "always_valid_interval": None,
        "value_uplift": _value(value, value_why),
        "plan": _plan(counted),
        "srm": None,
        **_exposure(counted, estimate),
        "backfilled_assignments": counted.treatment.backfilled + counted.control.backfilled,
        "lazy_assigned": counted.counts.left_out.lazy_assigned,
        "causal": counted.counts.after_the_fact == 0,
        "causal_reason": AFTER_THE_FACT if counted.counts.after_the_fact else None,
        "data_source": SOURCE,
    }
    look = None if reason else always_valid_look(counted)
    if look is not None:
        fields["always_valid_interval"] = _ends(look.interval)
    fields["belief"] = None if reason or scorecard is None else _belief(scorecard)
    if scorecard is not None:
        fields["srm"] = {"chi_square": scorecard.srm.chi_square, "p_value": scorecard.srm.p_value, "status": scorecard.srm.status}
        fields["verdict"] = scorecard.decision.verdict
        fields["verdict_state"] = scorecard.decision.state
        fields["findings"] = [{"code": f.code, "severity": f.severity, "message": f.message} for f in scorecard.findings]
    return fields


def _estimate(scorecard: Scorecard | None, metric: str) -> tuple[Estimate | None, str | None]:
    if scorecard is None:
        return None, "no profiles are assigned yet"
    found: Comparison = scorecard.comparison(metric)
    return found.estimate, None if found.unavailable is None else found.unavailable.reason


def _rates(estimate: Estimate | None) -> dict[str, Any]:
    interval = None if estimate is None else _ends(estimate.interval)
    lift = None if estimate is None or estimate.lift_interval is None else _ends(estimate.lift_interval)
    return {
        "uplift_abs": None if estimate is None else estimate.effect,
        "uplift_rel": None if estimate is None else estimate.lift,
        "ci_low": None if interval is None else interval[0],
        "ci_high": None if interval is None else interval[1],
        "p_value": None if estimate is None else estimate.p_value,
        "uplift_rel_ci_low": None if lift is None else lift[0],
        "uplift_rel_ci_high": None if lift is None else lift[1],
        "test": None if estimate is None else estimate.method,
        "ci_method": None if estimate is None else estimate.interval_method,
        "variance_reduction": None if estimate is None else estimate.variance_reduction,
    }


def _belief(scorecard: Scorecard) -> dict[str, float] | None:
    """What a Bayesian plan believes of the rates."""
    held = scorecard.comparison(CONVERTED).posterior
    return None if held is None else {"chance_to_win": held.chance_to_win, "expected_loss": held.expected_loss}


def _significant(estimate: Estimate | None) -> bool | None:
    if estimate is None or estimate.p_value is None:
        return None
    return (estimate.p_value if estimate.p_adjusted is None else estimate.p_adjusted) < estimate.alpha


def _value(estimate: Estimate | None, why: str | None) -> dict[str, Any]:
    if estimate is None:
        return {"difference": None, "ci_low": None, "ci_high": None, "p_value": None, "reason": why}
    low, high = _ends(estimate.interval)
    return {"difference": estimate.effect, "ci_low": low, "ci_high": high, "p_value": estimate.p_value, "reason": None}


def _plan(counted: Counted) -> dict[str, Any]:
    planned = (counted.row.guardrails_json or {}).get("power_plan")
    observed = counted.treatment.n + counted.control.n
    total = None if planned is None else int(planned["total_sample_size"])
    return {"planned_total": total, "observed_total": observed, "complete": total is not None and observed >= total}


def _exposure(counted: Counted, estimate: Estimate | None) -> dict[str, Any]:
    """Contamination, and the effect per profile reached: the ITT effect over the difference in exposure."""
    treatment, control = counted.treatment, counted.control
    fields: dict[str, Any] = {"contamination_rate": None, "exposure_rate": None, "cace": None, "cace_reason": None}
    if control.n:
        fields["contamination_rate"] = control.exposed / control.n
    if treatment.exposed + control.exposed == 0:
        return fields | {"cace_reason": "no exposures are recorded"}
    if treatment.n == 0 or control.n == 0:
        return fields | {"cace_reason": "a group is empty"}
    reached = treatment.exposed / treatment.n, control.exposed / control.n
    fields["exposure_rate"] = {"treatment": reached[0], "control": reached[1]}
    if estimate is None:
        return fields | {"cace_reason": "there is no effect to divide"}
    if reached[0] <= reached[1]:
        return fields | {"cace_reason": "the treatment group was not reached more often than the control"}
    return fields | {"cace": estimate.effect / (reached[0] - reached[1])}


def _ends(interval: Interval) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in (interval.low, interval.high)]
