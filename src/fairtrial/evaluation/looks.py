"""Looks already taken: what was decided stands.

A fixed plan decides at its first complete read and only there. A sequential plan
decides at the first look that crosses a boundary, or at its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fairtrial.decisions import Decision
from fairtrial.spec.plan import SEQUENTIAL, Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """An earlier read of the same experiment.

    Attributes:
        as_of: When, ISO 8601; None when it was not said.
        complete: Whether the plan was complete then.
        decisions: What was decided, by treatment.
        information: Share of the planned information that had come; None where the plan has no looks.
        futility_bound: Z below which that look gave up for good; None where it held nobody against a bound.
        given_up: Treatments that it found below its futility bound.
    """

    as_of: str | None
    complete: bool
    decisions: Mapping[str, Decision]
    information: float | None = None
    futility_bound: float | None = None
    given_up: tuple[str, ...] = ()


CROSSED = frozenset({"strong", "practical", "small", "harm"})
"""Reasons that an interval's leaving the null gives."""


def standing(looks: Sequence[Look], now: Mapping[str, Decision], *, method: Method = "fixed", binding: bool = False) -> dict[str, Decision]:
    """Decisions in force: those of the look that decided, if there was one.

    Re-reading a fixed interval and deciding anew errs more often than alpha; so does going
    back on a boundary that was crossed. Later reads describe. Invalid data is the
    exception: what is found later still counts.

    Args:
        looks: Earlier looks, oldest first.
        now: Decisions of this look, by treatment.
        method: The plan's: with `fixed` and `bayesian` the first complete read decides, with planned looks
            also a boundary that was crossed, and with `always_valid` nothing but that.
        binding: Whether a treatment that fell below its futility bound once is given up for good.
    """
    kept: dict[str, Decision] = {}
    for treatment, decision in now.items():
        deciding = _deciding(looks, treatment, method, binding=binding)
        if deciding is None or decision.state == "invalid":
            kept[treatment] = decision
            continue
        when = f" of {deciding.as_of}" if deciding.as_of else ""
        which = f"the fixed plan decided at its first complete read{when}" if method == "fixed" else f"the look{when} decided"
        earlier = deciding.decisions[treatment]
        kept[treatment] = replace(earlier, reasoning=(f"{which}; this read only describes", *earlier.reasoning))
    return kept


def _deciding(looks: Sequence[Look], treatment: str, method: Method, *, binding: bool) -> Look | None:
    for look in looks:
        decision = look.decisions.get(treatment)
        if decision is None:
            continue
        crossed = method in SEQUENTIAL and decision.state == "valid" and decision.reason in CROSSED
        given_up = binding and decision.state == "valid" and treatment in look.given_up
        if crossed or given_up or (look.complete and method != "always_valid"):
            return look
    return None
