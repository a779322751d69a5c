"""Policies by name, so that a spec chooses one: `policy: thompson` and its options.

A new policy is a class with `propensities` and a builder here; registering a name twice raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from fairtrial.bandits.policies import (
    BetaFamily,
    EpsilonGreedy,
    Exp3,
    Family,
    Fixed,
    Floored,
    KlUcb,
    LinearThompson,
    LinUcb,
    NormalFamily,
    Policy,
    Thompson,
    TopTwoThompson,
    Ucb1,
)
from fairtrial.errors import UnknownNameError, UsageError

AnyPolicy = Policy[Any]
"""Of `BanditState`, or of `LinearState` for contextual policies."""
Plain = Fixed | Ucb1 | KlUcb | EpsilonGreedy | Exp3 | LinUcb | LinearThompson
Made = TypeVar("Made", Plain, Thompson | TopTwoThompson, Family)
Builder = Callable[[Mapping[str, Any]], AnyPolicy]

_BUILDERS: dict[str, Builder] = {}

FAMILIES: dict[str, type[Family]] = {"beta": BetaFamily, "normal": NormalFamily}
ALIASES = {"thompson_sampling": "thompson"}
"""Names of the service's interface (IN-32) that mean the same."""


def builds(name: str) -> Callable[[Builder], Builder]:
    """Register the builder of a policy; registering twice raises."""

    def register(builder: Builder) -> Builder:
        if name in _BUILDERS:
            raise UsageError(f"A policy has one builder; {name!r} has one already.")
        _BUILDERS[name] = builder
        return builder

    return register


def known_policies() -> tuple[str, ...]:
    """Names that `build_policy` takes."""
    return (*_BUILDERS, *ALIASES)


def build_policy(name: str, options: Mapping[str, Any] | None = None, *, floor: float = 0.0) -> AnyPolicy:
    """Make a policy ready to be asked.

    Args:
        name: One of `known_policies()`.
        options: The policy's own options by name, as a spec gives them; for Thompson's also `family`
            (`beta` or `normal`) and that family's.
        floor: Smallest share of an arm; 0 for none.

    Raises:
        UnknownNameError: No policy, family or option has this name.
        UsageError: An option is missing.
    """
    known = ALIASES.get(name, name)
    if known not in _BUILDERS:
        raise UnknownNameError.among("policy", name, known_policies())
    policy = _BUILDERS[known](dict(options or {}))
    return policy if floor == 0.0 else Floored(policy=policy, floor=floor)


def _make(kind: type[Made], options: Mapping[str, Any]) -> Made:
    """An object from options by name; lists become tuples."""
    known = [field.name for field in fields(kind)]
    for option in options:
        if option not in known:
            raise UnknownNameError.among("option", option, known)
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in options]
    if missing:
        raise UsageError(f"A policy's options must be complete, {missing} is missing among {list(options)}.")
    given: dict[str, Any] = {key: tuple(options[key]) if isinstance(options[key], list) else options[key] for key in options}
    return kind(**given)


def _register_plain(name: str, kind: type[Plain]) -> None:
    builds(name)(lambda options: _make(kind, options))


def _register_with_family(name: str, kind: type[Thompson | TopTwoThompson]) -> None:
    def build(options: Mapping[str, Any]) -> AnyPolicy:
        family = options.get("family", "beta")
        if family not in FAMILIES:
            raise UnknownNameError.among("family", family, FAMILIES)
        chosen = FAMILIES[family]
        of_family = {field.name for field in fields(chosen)}
        own = {key: value for key, value in options.items() if key in of_family}
        rest = {key: value for key, value in options.items() if key not in of_family and key != "family"}
        return _make(kind, {**rest, "family": _make(chosen, own)})

    builds(name)(build)


for _name, _kind in (
    ("fixed", Fixed),
    ("ucb1", Ucb1),
    ("kl_ucb", KlUcb),
    ("epsilon_greedy", EpsilonGreedy),
    ("exp3", Exp3),
    ("linucb", LinUcb),
    ("linear_thompson", LinearThompson),
):
    _register_plain(_name, _kind)
for _name, _kind in (("thompson", Thompson), ("top_two_thompson", TopTwoThompson)):
    _register_with_family(_name, _kind)
