"""What to do with a challenger: a report of a model experiment into a rollout plan.

A report with a verdict is mapped by the decision table; one with the bare figures (ML-15)
is read by rules 1, 2 and 4 to 7 of the same table, from the interval and never from the
point estimate alone. What the report does not tell is listed as unchecked: no data on a
guardrail is not a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from fairtrial.decisions.decision import GuardrailState, Risk
from fairtrial.decisions.guardrails import SEVERITY, worst
from fairtrial.errors import UsageError, did_you_mean

RolloutDecision = Literal["full_rollout", "gradual_rollout", "keep_champion", "extend_test", "rollback"]

MAX_DAYS = 14
"""Longest run, where the report does not tell."""
PRACTICAL, STRONG = 0.05, 0.20
"""Lifts worth a rollout and worth a full one, where the report does not tell."""

FULL_STEPS = ("Update routing to 100% challenger in steps 25/50/100", "Archive champion model as v1_backup", "Update monitoring dashboards")
GRADUAL_STEPS = ("Week 1: Increase to 25% traffic", "Week 2: Increase to 50% traffic", "Week 3: Increase to 100% if stable")
SMALL_STEPS = ("Consider cost/benefit of model complexity", "Test on high-value user segments only")
NO_DIFFERENCE_STEPS = ("Consider testing larger changes", "Analyze per-segment performance")
HARM_STEPS = ("Immediately route 100% to champion", "Investigate why challenger underperformed", "Retrain with more recent data")
GUARDRAIL_STEPS = ("Immediately route 100% to champion", "Investigate which requests violate the guardrail", "Retest in shadow mode")
DATA_STEPS = ("Fix the data first: no figure of this report can be trusted", "Analyze again once assignment and labels are sound")
BLIND_STEPS = ("Collect data for every guardrail metric", "Decide again once each guardrail can be read")

_VERDICTS = ("STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "EXTEND_TEST", "NO_LAUNCH", "ROLLBACK")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """What to do with the challenger.

    Attributes:
        decision: `full_rollout` and `gradual_rollout` raise its traffic step by step, never at once.
        reason: One sentence.
        next_steps: What to do now, in order.
        risk_level: Risk of the situation.
        unchecked: What the report did not tell (`guardrails`, `srm`), so that nobody has checked it.
    """

    decision: RolloutDecision
    reason: str
    next_steps: tuple[str, ...]
    risk_level: Risk
    unchecked: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The plan as plain JSON."""
        return {
            "decision": self.decision,
            "reason": self.reason,
            "next_steps": list(self.next_steps),
            "risk_level": self.risk_level,
            "unchecked": list(self.unchecked),
        }


def make_rollout_decision(experiment_report: Mapping[str, Any]) -> RolloutPlan:
    """Decide what becomes of the challenger (ML-20 to ML-23).

    Args:
        experiment_report: As `ExperimentAnalyzer.generate_report` returns it. The keys `duration_days` and
            `primary_metric` (with `champion`, `relative_lift`, `confidence_interval` and
            `significant`) are enough; `verdict`, `verdict_reason`, `state`, `srm`, `guardrails`, `planned`,
            `max_duration_days`, `practical_threshold`, `strong_threshold` and the metric's `direction` are used
            where they are given.

    Returns:
        The plan. A guardrail in `ALERT` ends in a rollback whatever else the report says.

    Raises:
        UsageError: A key is missing, or a figure is no finite number.
    """
    facts = _read(experiment_report)
    if facts.guardrails == "ALERT":
        named = ", ".join(facts.violated) or "one or more guardrails"
        return facts.plan("rollback", f"Guardrail violated: {named}", GUARDRAIL_STEPS, "critical")
    if facts.invalid:
        return facts.plan("extend_test", f"Data not valid: {facts.invalid}", DATA_STEPS, "high")
    return _by_verdict(facts) if facts.verdict is not None or facts.state is not None else _by_interval(facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The report, read and checked; improvement is positive whatever the metric's direction."""

    verdict: str | None
    verdict_reason: str | None
    state: str | None
    invalid: str
    days: float
    max_days: float
    champion: float
    lift: float | None
    low: float
    high: float
    significant: bool
    practical: float
    strong: float
    guardrails: GuardrailState | None
    proven: bool
    violated: tuple[str, ...]
    challenger_size: int | None
    unchecked: tuple[str, ...]

    def plan(self, decision: RolloutDecision, reason: str, steps: Sequence[str], risk: Risk) -> RolloutPlan:
        """The plan, with what was not checked."""
        return RolloutPlan(decision=decision, reason=reason, next_steps=tuple(steps), risk_level=risk, unchecked=self.unchecked)

    @property
    def better(self) -> bool:
        """Whether the interval lies above 0 and the test agrees."""
        return self.significant and self.low > 0.0

    @property
    def relative_low(self) -> float | None:
        """Lower bound of the lift; None where the champion's value gives none."""
        return self.low / self.champion if self.champion > 0.0 else None


def _by_interval(f: _Facts) -> RolloutPlan:
    """Rules 2 and 4 to 7 of the table, for a report without a verdict."""
    if f.significant and f.high < 0.0:
        return _harm(f)
    if not f.better:
        return _extend(f) if f.days < f.max_days else _no_difference(f)
    if f.guardrails == "UNAVAILABLE":
        return _blind(f)
    floor = f.relative_low
    if floor is not None and floor > f.strong and f.guardrails in {None, "PASS"} and f.proven:
        return _full(f)
    if f.lift is not None and f.lift >= f.practical:
        return _gradual(f)
    return _too_small(f)


def _by_verdict(f: _Facts) -> RolloutPlan:
    """The table's own mapping of verdicts."""
    if f.verdict is None:
        return f.plan("keep_champion", f"Not enough data after {_days(f)} days", NO_DIFFERENCE_STEPS, "low")
    if f.verdict == "ROLLBACK" or (f.verdict == "NO_LAUNCH" and _stopped(f)):
        return _harm(f)
    if f.verdict_reason == "guardrail_unavailable":
        return _blind(f, at_end=f.verdict == "NO_LAUNCH")
    plans = {"STRONG_LAUNCH": _full, "LAUNCH": _gradual, "CONSIDER_LAUNCH": _too_small, "EXTEND_TEST": _extend, "NO_LAUNCH": _no_difference}
    return plans[f.verdict](f)


def _stopped(f: _Facts) -> bool:
    return f.verdict_reason in {"harm", "guardrail"} or (f.verdict_reason is None and f.significant and f.high < 0.0)


def _harm(f: _Facts) -> RolloutPlan:
    if f.verdict_reason == "guardrail":
        return f.plan("rollback", "Guardrail violated", GUARDRAIL_STEPS, "critical")
    return f.plan("rollback", "Challenger performed worse than champion", HARM_STEPS, "critical")


def _full(f: _Facts) -> RolloutPlan:
    return f.plan("full_rollout", f"Large significant improvement ({_percent(f.lift)} lift)", FULL_STEPS, "low")


def _gradual(f: _Facts) -> RolloutPlan:
    return f.plan("gradual_rollout", f"Moderate improvement ({_percent(f.lift)} lift)", GRADUAL_STEPS, "medium")


def _too_small(f: _Facts) -> RolloutPlan:
    if f.lift is None:
        reason = "Improvement has no relative size to justify change (the champion's value is not positive)"
        return f.plan("keep_champion", reason, SMALL_STEPS, "low")
    return f.plan("keep_champion", f"Improvement too small to justify change ({_percent(f.lift)})", SMALL_STEPS, "low")


def _extend(f: _Facts) -> RolloutPlan:
    reason = "Plan not complete, need more data" if f.better else "Not yet significant, need more data"
    wanted = "the planned number of" if f.challenger_size is None else str(f.challenger_size)
    return f.plan("extend_test", reason, (f"Continue test until {wanted} challenger samples", "Monitor for seasonal effects"), "low")


def _no_difference(f: _Facts) -> RolloutPlan:
    return f.plan("keep_champion", f"No significant difference after {_days(f)} days", NO_DIFFERENCE_STEPS, "low")


def _blind(f: _Facts, *, at_end: bool | None = None) -> RolloutPlan:
    over = f.days >= f.max_days if at_end is None else at_end
    return f.plan("keep_champion" if over else "extend_test", "A guardrail could not be read", BLIND_STEPS, "medium")


def _days(f: _Facts) -> str:
    return f"{min(f.days, f.max_days):g}"


def _percent(lift: float | None) -> str:
    return "unknown" if lift is None else f"{lift:.1%}"


def _read(report: Mapping[str, Any]) -> _Facts:
    primary = report.get("primary_metric")
    if not isinstance(primary, Mapping):
        raise UsageError(
            "A report must hold primary_metric as a mapping of figures.", hint="Make it with ExperimentAnalyzer.generate_report."
        )
    figures = cast("Mapping[str, Any]", primary)
    verdict = report.get("verdict")
    if verdict is not None and verdict not in _VERDICTS:
        raise UsageError(f"No verdict {verdict!r}. Known: {list(_VERDICTS)}.", hint=did_you_mean(str(verdict), _VERDICTS))
    sign = -1.0 if figures.get("direction") == "decrease" else 1.0
    # A verdict without figures (nothing could be estimated) is mapped by itself.
    silent = "state" in report and figures.get("confidence_interval") is None
    low, high = (0.0, 0.0) if silent else _bounds(figures)
    champion = 0.0 if silent else _number(figures, "champion")
    lift = None if figures.get("relative_lift") is None else sign * _number(figures, "relative_lift")
    states = _guardrails(report)
    srm = report.get("srm")
    return _Facts(
        verdict=verdict,
        verdict_reason=report.get("verdict_reason"),
        state=report.get("state"),
        invalid=_invalid(report, srm),
        days=_number(report, "duration_days"),
        max_days=_number(report, "max_duration_days", MAX_DAYS),
        champion=champion,
        lift=lift,
        low=min(sign * low, sign * high),
        high=max(sign * low, sign * high),
        significant=bool(figures.get("significant")),
        practical=_number(report, "practical_threshold", PRACTICAL),
        strong=_number(report, "strong_threshold", STRONG),
        guardrails=worst([state for state, _ in states.values()]),
        proven=all(proven for _, proven in states.values()),
        violated=tuple(name for name, (state, _) in states.items() if state == "ALERT" and name != "_overall"),
        challenger_size=_challenger_size(report),
        unchecked=tuple(name for name in ("guardrails", "srm") if report.get(name) is None),
    )


def _invalid(report: Mapping[str, Any], srm: object) -> str:
    if isinstance(srm, Mapping) and cast("Mapping[str, Any]", srm).get("status") in {"mismatch", "invalid"}:
        return "the arms do not have their planned shares"
    return str(report.get("invalid_reason") or "a check of the data failed") if report.get("state") == "invalid" else ""


def _guardrails(report: Mapping[str, Any]) -> dict[str, tuple[GuardrailState, bool]]:
    """State of each guardrail and whether it is proven within its margin, from a report's or a monitor's words."""
    raw: object = report.get("guardrails")
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise UsageError(f"guardrails must be a mapping by metric, got {type(raw).__name__}.")
    table = cast("Mapping[str, Any]", raw)
    states: dict[str, tuple[GuardrailState, bool]] = {}
    if table.get("has_violations") is True:
        states["_overall"] = ("ALERT", False)
    rows = cast("Mapping[str, Any]", table["metrics"]) if isinstance(table.get("metrics"), Mapping) else table
    for name, row in rows.items():
        if isinstance(row, Mapping):
            states[name] = _guardrail(cast("Mapping[str, Any]", row), overall=name == "_overall")
        elif row in SEVERITY:
            states[name] = (row, row == "PASS")
    return states


def _guardrail(row: Mapping[str, Any], *, overall: bool) -> tuple[GuardrailState, bool]:
    status = row.get("status")
    if row.get("violated") is True or status in {"ALERT", "violated"}:
        return "ALERT", False
    proven = overall or row.get("non_inferior") is True
    if status in {"PASS", "WARNING"}:
        return status, proven
    if status == "ok" and row.get("violated") is False:
        return "PASS", proven
    return "UNAVAILABLE", False


def _challenger_size(report: Mapping[str, Any]) -> int | None:
    """Planned samples of the challenger: by its name, else of the scarcest arm but the champion's."""
    planned: object = report.get("planned")
    if not isinstance(planned, Mapping) or not planned:
        return None
    sizes = {str(name): int(n) for name, n in cast("Mapping[str, Any]", planned).items() if n is not None}
    named = report.get("challenger_model")
    return sizes.get(str(named)) if named is not None else min(sizes.values(), default=None)


def _bounds(figures: Mapping[str, Any]) -> tuple[float, float]:
    raw = figures.get("confidence_interval")
    if not isinstance(raw, Sequence) or isinstance(raw, str) or len(cast("Sequence[object]", raw)) != 2:
        raise UsageError(f"confidence_interval must be a pair of numbers, got {raw!r}.")
    low, high = cast("Sequence[Any]", raw)
    # An end of a one-sided interval is null in JSON.
    return (
        -math.inf if low is None else _number({"confidence_interval[0]": low}, "confidence_interval[0]"),
        math.inf if high is None else _number({"confidence_interval[1]": high}, "confidence_interval[1]"),
    )


def _number(table: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = table.get(name, default)
    if value is None and default is not None:
        return float(default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(
            f"{name} of a report must be a finite number, got {value!r}.", hint="Make it with ExperimentAnalyzer.generate_report."
        )
    return float(value)
