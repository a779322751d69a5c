"""Which units an experiment takes: rules about attributes, a pure function of rules and attributes.

A unit is eligible when it meets every rule of `include` and none of `exclude`. A rule
about an attribute that is missing, null or of another kind is not met: an `include`
rule then keeps the unit out, an `exclude` rule does not. Who must be known to be let
in is asked for by an `include` rule with `exists`.

Numbers compare as numbers (1 is 1.0), texts by their characters as they stand, with
no folding of case; true and false are neither numbers nor texts.

| operator                              | value            | as SQL                                   |
| ------------------------------------- | ---------------- | ---------------------------------------- |
| `equals`, `not_equals`                | text, number, bool | `a = v`, `a <> v`                      |
| `in`, `not_in`                        | list of those    | `a IN (..)`, `a NOT IN (..)`             |
| `below`, `at_most`, `at_least`, `above` | number         | `a < v`, `a <= v`, `a >= v`, `a > v`     |
| `starts_with`, `ends_with`, `contains` | text            | `left(a, n) = v`, `right(a, n) = v`, `strpos(a, v) > 0` |
| `exists`                              | none             | `a IS NOT NULL`                          |

In SQL a missing attribute is NULL, so that the whole is
`coalesce(i1, false) AND ... AND NOT coalesce(e1, false) AND ...`, term by term the
rule above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Literal, cast

from pydantic import Field, JsonValue, model_validator

from fairtrial.spec.base import Name, SpecModel

Operator = Literal[
    "equals",
    "not_equals",
    "in",
    "not_in",
    "below",
    "at_most",
    "at_least",
    "above",
    "starts_with",
    "ends_with",
    "contains",
    "exists",
]

MOST_RULES = 50
MOST_VALUES = 1_000
"""Values of one list."""

LARGEST = 2**63
"""Bound of a whole number, so that any engine can hold it."""

Plain = str | bool | int | float
"""What an attribute may hold to be compared."""


class EligibilityRule(SpecModel):
    """One rule about one attribute of a unit."""

    attribute: Name
    """Name of the attribute, as the evaluation context has it."""
    operator: Operator
    """How the attribute is compared with `value`; `exists` asks only that it is there."""
    value: JsonValue = None
    """What it is compared with: a text, number, true or false; a list of those for `in` and `not_in`; none for `exists`."""

    @model_validator(mode="after")
    def _value_fits(self) -> EligibilityRule:
        fits, wanted = _WANTED[self.operator]
        if not fits(self.value):
            raise ValueError(f"operator {self.operator!r} needs {wanted} as value, got {_shown(self.value)}")
        return self

    @cached_property
    def known(self) -> frozenset[tuple[str, Plain]]:
        """The values compared with, each with its kind, so that true is not 1."""
        values = cast("list[Plain]", self.value) if isinstance(self.value, list) else [cast("Plain", self.value)]
        return frozenset((_kind(value), value) for value in values)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of the values compared with."""
        return frozenset(kind for kind, _ in self.known)

    def is_met(self, attributes: Mapping[str, object]) -> bool:
        """Whether a unit with these attributes meets the rule; False where the attribute is missing or of another kind."""
        found = attributes.get(self.attribute)
        return found is not None and _TESTS[self.operator](found, self)


class EligibilitySpec(SpecModel):
    """Which units an experiment takes: those that meet every rule of `include` and none of `exclude`."""

    include: Annotated[tuple[EligibilityRule, ...], Field(max_length=MOST_RULES)] = ()
    """Rules that a unit must meet, all of them."""
    exclude: Annotated[tuple[EligibilityRule, ...], Field(max_length=MOST_RULES)] = ()
    """Rules that keep a unit out, each by itself."""


def is_eligible(rules: EligibilitySpec | None, attributes: Mapping[str, object]) -> bool:
    """Whether an experiment takes a unit.

    Args:
        rules: The rules; None takes everybody.
        attributes: What is known of the unit.
    """
    if rules is None:
        return True
    for rule in rules.include:
        if not rule.is_met(attributes):
            return False
    return not any(rule.is_met(attributes) for rule in rules.exclude) if rules.exclude else True


_KINDS: dict[type, str] = {bool: "bool", str: "text", int: "number", float: "number"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "other")


def _is_number(value: object) -> bool:
    if type(value) is int:
        return abs(value) < LARGEST
    return type(value) is float and math.isfinite(value)


def _is_plain(value: object) -> bool:
    return type(value) in {bool, str} or _is_number(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_list(value: object) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(cast("list[object]", value)) <= MOST_VALUES
        and all(map(_is_plain, cast("list[object]", value)))
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_PLAIN = (_is_plain, "a text, a number, true or false")
_LIST = (_is_list, f"a list of 1 to {MOST_VALUES} texts, numbers, true or false")
_NUMBER = (_is_number, "a number")
_TEXT = (_is_text, "a text")

_WANTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "equals": _PLAIN,
    "not_equals": _PLAIN,
    "in": _LIST,
    "not_in": _LIST,
    "below": _NUMBER,
    "at_most": _NUMBER,
    "at_least": _NUMBER,
    "above": _NUMBER,
    "starts_with": _TEXT,
    "ends_with": _TEXT,
    "contains": _TEXT,
    "exists": (lambda value: value is None, "none"),
}


def _among(found: object, rule: EligibilityRule) -> bool:
    kind = _KINDS.get(type(found))
    return kind is not None and (kind, found) in rule.known


def _not_among(found: object, rule: EligibilityRule) -> bool:
    kind = _KINDS.get(type(found))
    return kind in rule.kinds and (kind, found) not in rule.known


def _numbers(compare: Callable[[float, float], bool]) -> Callable[[object, EligibilityRule], bool]:
    return lambda found, rule: _KINDS.get(type(found)) == "number" and compare(cast("float", found), cast("float", rule.value))


def _texts(compare: Callable[[str, str], bool]) -> Callable[[object, EligibilityRule], bool]:
    return lambda found, rule: isinstance(found, str) and compare(found, cast("str", rule.value))


_TESTS: dict[str, Callable[[object, EligibilityRule], bool]] = {
    "equals": _among,
    "not_equals": _not_among,
    "in": _among,
    "not_in": _not_among,
    "below": _numbers(lambda found, value: found < value),
    "at_most": _numbers(lambda found, value: found <= value),
    "at_least": _numbers(lambda found, value: found >= value),
    "above": _numbers(lambda found, value: found > value),
    "starts_with": _texts(str.startswith),
    "ends_with": _texts(str.endswith),
    "contains": _texts(lambda found, value: value in found),
    "exists": lambda found, rule: rule.value is None and found is not None,
}
