"""What the log of a bandit says: of its arms, and of another policy."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from fairtrial.bandits.adaptive import AdaptiveLog, running_means
from fairtrial.bandits.offpolicy import PolicyContrast, ValueEstimate, compare_policies, evaluate_policy
from fairtrial.bandits.plans import propensities
from fairtrial.bandits.readout import BanditLog, read_bandit
from fairtrial.bandits.weights import FEW, ActionLog
from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.service.bandits.control import allocation, plan_of, spec_of
from fairtrial.service.bandits.schemas import OffPolicyIn, OffPolicyOut, ResultsOut
from fairtrial.service.bandits.updating import ripe_at
from fairtrial.spec.bandit import BanditSpec
from fairtrial.storage.bandits import counts_by_period, get_bandit, list_periods, read_log

NEAR_ONE = 1e-9


def results(session: Session, key: str, *, alpha: float, now: dt.datetime) -> ResultsOut:
    """Arms, contrasts to the control, periods, and which arm is best.

    Raises:
        UnknownNameError: There is no such bandit.
    """
    row = get_bandit(session, key)
    spec = spec_of(row)
    plans = [plan_of(period) for period in list_periods(session, key)]
    log = log_of(session, spec, now=now)
    found = read_bandit(spec, log, capped=dict(plans[-1].capped), alpha=alpha)
    counts = counts_by_period(session, key)
    return ResultsOut(
        key=key,
        status=row.status,  # pyright: ignore[reportArgumentType] - checked by the schema
        reward=spec.reward.model_dump(mode="json"),
        alpha=alpha,
        n=log.n,
        decisions=sum(decisions for by_arm in counts.values() for decisions, _ in by_arm.values()),
        arms={arm: asdict(mean) for arm, mean in found.arms.items()},
        contrasts=[asdict(one) for one in found.contrasts],
        periods=[asdict(one) for one in found.periods],
        best_arm=asdict(found.best),
        allocation=allocation(spec, plans[-1], row.final_arm),
    )


def log_of(session: Session, spec: BanditSpec, *, now: dt.datetime) -> BanditLog:
    """Decisions whose reward is known, with the probability of every arm, in their order."""
    periods = list_periods(session, spec.key)
    of_period = {period.period: propensities(spec, plan_of(period)) for period in periods}
    rows = read_log(session, spec.key, ripe_at(spec, now))
    place = {arm: index for index, arm in enumerate(spec.arms)}
    units = {unit: index for index, unit in enumerate(dict.fromkeys(row["unit"] for row in rows))}
    known = [row["propensities_json"] or of_period[row["period"]] for row in rows]
    return BanditLog(
        actions=np.array([place[row["arm"]] for row in rows], dtype=np.int64),
        rewards=np.array([row["reward"] for row in rows], dtype=np.float64),
        propensities=np.array(known, dtype=np.float64).reshape(len(rows), len(spec.arms)),
        periods=np.array([row["period"] for row in rows], dtype=np.int64),
        fixed=np.array([row["fixed"] for row in rows], dtype=np.bool_),
        units=np.array([units[row["unit"]] for row in rows], dtype=np.int64),
        held={period.period: plan_of(period).capped for period in periods},
    )


def off_policy(session: Session, key: str, body: OffPolicyIn, *, now: dt.datetime) -> OffPolicyOut:
    """The mean reward that fixed shares would have had on the logged decisions.

    Raises:
        UnknownNameError: There is no such bandit or arm.
        UsageError: The shares do not sum to 1.
        NotEnoughDataError: The log cannot answer: too few rewards, or weights that leave too few of them.
        DataError: The log has none of an arm that the policy plays.
    """
    spec = spec_of(get_bandit(session, key))
    for arm in body.shares:
        if arm not in spec.arms:
            raise UnknownNameError.among("arm", arm, spec.arms)
    if abs(sum(body.shares.values()) - 1.0) > NEAR_ONE:
        raise UsageError(f"Shares of a policy must sum to 1, got {sum(body.shares.values()):g}.")
    shares = [body.shares.get(arm, 0.0) for arm in spec.arms]
    log = log_of(session, spec, now=now)
    if log.n < FEW:
        raise NotEnoughDataError(f"Another policy is weighed on {FEW:g} rewards at least, got {log.n}.", code="too_few_rows")
    actions = ActionLog.of(log.actions, log.rewards, log.propensities[np.arange(log.n), log.actions], arms=len(spec.arms))
    model = running_means(AdaptiveLog.of(log.actions, log.rewards, log.propensities, may_be_out=True))
    found = evaluate_policy(actions, shares, outcome_model=model, clip=body.clip, alpha=body.alpha)
    seen = found.diagnostics
    if seen.unseen_arms:
        raise DataError(
            f"The log must have every arm of the policy, it has none of {[spec.arms[arm] for arm in seen.unseen_arms]}.", code="unseen_arms"
        )
    if "few_effective_rows" in seen.concerns:
        raise NotEnoughDataError(
            f"The weighted log must be worth {FEW:g} decisions, it is worth {seen.effective_sample_size:.1f} of {seen.n}; "
            f"the largest weight is {seen.max_weight:.4g}.",
            hint="Ask for a policy nearer to those that were played, or give the arm more traffic.",
            code="few_effective_rows",
        )
    always = [float(arm == spec.control) for arm in spec.arms]
    estimates = {"dr": found.dr, "snips": found.snips, "ips": found.ips, "clipped_ips": found.clipped_ips}
    return OffPolicyOut(
        shares=dict(zip(spec.arms, shares, strict=True)),
        n=log.n,
        estimates={name: _estimate(one) for name, one in estimates.items() if one is not None},
        against_control=_against(actions, shares, always, model, body.alpha),
        diagnostics=asdict(seen),
    )


def _estimate(found: ValueEstimate) -> dict[str, Any]:
    return asdict(found)


def _against(log: ActionLog, shares: list[float], always: list[float], model: Any, alpha: float) -> dict[str, Any]:
    try:
        found: PolicyContrast = compare_policies(log, shares, always, outcome_model=model, alpha=alpha)
    except DataError as error:
        return {"code": error.code, "reason": error.message}
    return asdict(found)
