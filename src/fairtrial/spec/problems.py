"""Turn a failed validation into one error that a person can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fairtrial.errors import Problem, SpecError, did_you_mean

Loc = tuple[int | str, ...]
AnyModel = TypeVar("AnyModel", bound=BaseModel)

SCALARS = {"str", "int", "float", "bool"}
"""Branches of a union of plain values; one complaint stands for all of them."""

WORDS = (
    ("tuple", "list"),
    ("dictionary or object to extract fields from", "mapping of keys to values"),
    ("dictionary", "mapping of keys to values"),
    (", unable to parse string as a number", ""),
    (", unable to parse string as an integer", ""),
    ("string should have at least 1 character", "must not be empty"),
    ("string should have at most 200 characters", "must have at most 200 characters"),
    (" after validation", ""),
)
"""What pydantic says, in the words of the one who wrote the file."""

SYNONYMS = {
    "conversion": "proportion", "binary": "proportion", "rate": "proportion", "boolean": "proportion", "continuous": "mean",
    "average": "mean", "revenue": "mean", "numeric": "mean", "percentile": "quantile", "median": "quantile",
    "rank-sum": "mann_whitney", "mannwhitney": "mann_whitney", "rank": "mann_whitney", "t": "welch", "ttest": "welch",
    "t-test": "welch", "z": "welch", "winsorized": "trimmed", "main": "primary", "goal": "primary", "oec": "primary",
    "guard": "guardrail", "safety": "guardrail", "lower": "decrease", "down": "decrease", "minimize": "decrease",
    "higher": "increase", "up": "increase", "maximize": "increase", "frequentist": "fixed", "msprt": "always_valid",
    "anytime": "always_valid", "obf": "lan-demets-obrien-fleming", "bh": "benjamini-hochberg", "fdr": "benjamini-hochberg",
    "two_sided": "two-sided", "less": "one-sided", "greater": "one-sided",
}  # fmt: skip
"""What others call a setting; offered where it is one of the values that are allowed."""

EXAMPLES = {
    "arms": "Such as arms: [control, treatment], or arms: {control: 0.9, treatment: 0.1}.",
    "metrics": "Such as metrics: [{key: bought, kind: proportion}].",
    "metric": "Such as {key: bought, kind: proportion}.",
    "data": "Such as data: {source: units.csv, unit: user, arm: variant}.",
    "where": "Such as where: {country: de}.",
    "schedule": "Such as schedule: {start: 2026-03-01, end: 2026-03-29}.",
    "start": "Such as 2026-03-01, or 2026-03-01T12:00:00Z.",
    "key": "Such as key: checkout-button.",
    "q": "Such as q: 0.95.",
    "version": "Such as version: 1.2.0.",
    "config_version": "Such as config_version: 1.2.0.",
}
"""How a setting is written, where what came has another form."""

FORMS = ("string_pattern_mismatch", "missing", "union_tag_not_found", "too_short", "string_too_short")
"""Complaints, beside those of a wrong type, that an example answers."""

UNION_MARKS = ("constrained-str", "function-", "tuple[")
"""How pydantic marks the branch of a union that has no name of its own."""


def validated(model: type[AnyModel], raw: object, *, what: str) -> AnyModel:
    """Build `model` from `raw`, or say everything that is wrong with it.

    Args:
        model: The spec class.
        raw: What came, usually a mapping read from a file.
        what: What is being read, for the message ("spec 'checkout' in catalog.yaml").

    Raises:
        SpecError: One or more rules are broken; all of them are listed.
    """
    if not isinstance(raw, Mapping):
        raise SpecError(f"The {what} must be a mapping of keys to values, got {_short(raw)}.")
    try:
        return model.model_validate(dict(cast("Mapping[str, object]", raw)))
    except ValidationError as error:
        found = [Problem(_describe(model, detail), _place(model, detail)) for detail in _relevant(error.errors())]
        problems = list({problem.text: problem for problem in found}.values())
    raise spec_error(what, problems)


def spec_error(what: str, problems: Sequence[Problem]) -> SpecError:
    """One error for all the rules that `what` breaks, each stated in a sentence, with its line where that is known."""
    said = [problem.text if problem.line is None else f"{problem.text} (line {problem.line})" for problem in problems]
    if len(said) == 1:
        return SpecError(f"The {what} breaks a rule: {said[0]}", problems=problems)
    listed = "".join(f"\n  - {problem}" for problem in said)
    return SpecError(f"The {what} breaks {len(said)} rules:{listed}", problems=problems)


def _relevant(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of a value that may be a name or a mapping, keep the complaint that fits what came."""
    kept: list[ErrorDetails] = []
    for detail in _one_or_several(details):
        loc = detail["loc"]
        as_text = any(isinstance(part, str) and part.startswith(("constrained-str", "str")) for part in loc)
        if as_text and isinstance(detail["input"], Mapping):
            continue
        if "EventValue" in loc and loc[-1] == "EventValue" and not isinstance(detail["input"], Mapping):
            continue
        if detail["type"] == "too_short" and len(details) > 1 and detail["input"]:
            continue  # items that failed are not counted; their own complaints say why
        if loc and loc[-1] in SCALARS and detail["type"].endswith(("_type", "_parsing")):
            if loc[:-1] in {other["loc"] for other in kept}:
                continue
            kept.append(_any_scalar(detail))
            continue
        kept.append(detail)
    return kept or details


def _list_branch(loc: Loc) -> Loc | None:
    """Place of a value that may be one thing or a list of them, where a complaint is of the list; else None."""
    at = next((i for i, part in enumerate(loc) if isinstance(part, str) and part.startswith("tuple[")), None)
    return None if at is None else loc[:at]


def _one_or_several(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of a value that may be one thing or a list of them, the complaints of the branch that fits what came."""
    places = {place for detail in details if (place := _list_branch(detail["loc"])) is not None}
    single = {place for detail in details if detail["type"] == "tuple_type" and (place := _list_branch(detail["loc"])) in places}

    def fits(detail: ErrorDetails) -> bool:
        place = next((place for place in places if detail["loc"][: len(place)] == place), None)
        return place is None or (place in single) != (_list_branch(detail["loc"]) == place)

    return [detail for detail in details if fits(detail)]


def _any_scalar(detail: ErrorDetails) -> ErrorDetails:
    """The complaint of one branch of a union of plain values, said for all of them."""
    merged = detail.copy()
    merged["loc"] = detail["loc"][:-1]
    merged["msg"] = "Input should be text, a number, true or false"
    return merged


def _describe(model: type[BaseModel], detail: ErrorDetails) -> str:
    loc, kind, value = detail["loc"], detail["type"], detail["input"]
    where = _path(model, loc)
    context = cast("dict[str, object]", detail.get("ctx", {}))
    if kind == "extra_forbidden":
        known = sorted(_keys_at(model, loc[:-1]))
        return _sentence(
            f"unknown key {loc[-1]!r} in {_path(model, loc[:-1]) or 'the spec'}; known keys: {known}.", did_you_mean(str(loc[-1]), known)
        )
    if kind == "missing":
        return _sentence(f"{where} is required.", _example(loc, kind))
    if kind in {"literal_error", "union_tag_invalid"}:
        expected = _quoted(str(context.get("expected") or context.get("expected_tags") or ""))
        got = context.get("tag", value)
        tag = str(context.get("discriminator", "")).strip("'")
        name = f"{where}.{tag}" if kind == "union_tag_invalid" else where
        return _sentence(f"{name} must be one of {expected}, got {_short(got)}.", _meant(str(got), expected))
    if kind == "union_tag_not_found":
        tag = str(context.get("discriminator", "")).strip("'")
        typo = _misspelt(tag, value)
        return _sentence(f"{where} needs the key {tag!r}{f', got {typo!r}' if typo else ''}.", _example(loc, kind))
    if kind == "value_error":
        message = str(context.get("error", detail["msg"]))
        return f"{where}: {message}." if where else f"{message}."
    return _sentence(f"{where}: {_plain(detail['msg'])}, got {_short(value)}.", _hint(loc, value) or _example(loc, kind))


def _place(model: type[BaseModel], detail: ErrorDetails) -> tuple[int | str, ...]:
    """The place of a complaint; of a key that is missing and misspelt, that of the wrong one."""
    way = tuple(_walk(model, detail["loc"])[0])
    if detail["type"] != "union_tag_not_found":
        return way
    typo = _misspelt(str(detail.get("ctx", {}).get("discriminator", "")).strip("'"), detail["input"])
    return (*way, typo) if typo else way


def _misspelt(key: str, value: object) -> str | None:
    """The key of a mapping that was probably meant to be `key`."""
    keys = [str(other) for other in cast("Mapping[object, object]", value)] if isinstance(value, Mapping) else []
    return next(iter(difflib.get_close_matches(key, keys, n=1, cutoff=0.5)), None)


def _hint(loc: Loc, value: object) -> str:
    name = loc[-1] if loc else ""
    if isinstance(value, str) and (percent := re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*%\s*", value)):
        return f"Fractions, not percent: write {float(percent[1]) / 100:g}."
    if not isinstance(value, int | float):
        return ""
    if name == "alpha" and 1 < value < 100:
        return f"alpha is an error rate: for {value:g}% confidence write alpha: {1 - value / 100:g}."
    if name in {"power", "allocation", "q", "winsorize"} and 2 <= value <= 100:
        return f"Fractions, not percent: write {value / 100:g}."
    if name == "mde" and value <= 0:
        return "It is the size of an improvement; that lower is better says the metric, by `direction: decrease`."
    return ""


def _example(loc: Loc, kind: str) -> str:
    """How the setting at `loc` is written, where it came in another form."""
    if kind not in FORMS and not kind.endswith(("_type", "_parsing")):
        return ""
    written = [part for part in loc if not (isinstance(part, str) and part.startswith(UNION_MARKS))]
    if len(written) == 2 and written[0] == "metrics" and isinstance(written[1], int):
        return EXAMPLES["metric"]
    return EXAMPLES.get(str(written[-1]), "") if written else ""


def _meant(got: str, expected: Sequence[str]) -> str:
    """What was probably meant: the nearest value, or what others call so."""
    other = SYNONYMS.get(got.strip().lower(), "")
    return did_you_mean(got, expected) or (f"Did you mean {other!r}?" if other in expected else "")


def _path(model: type[BaseModel], loc: Loc) -> str:
    """Place in the spec as its author wrote it: marks that name a branch of a union are left out."""
    text = ""
    for part in _walk(model, loc)[0]:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys_at(model: type[BaseModel], loc: Loc) -> Iterable[str]:
    """Names of the fields that are allowed at a place in the spec."""
    return {name for candidate in _walk(model, loc)[1] for name in candidate.model_fields}


def _walk(model: type[BaseModel], loc: Loc) -> tuple[list[int | str], list[type[BaseModel]]]:
    """The parts of a place that its author wrote, and the models that may stand there."""
    written: list[int | str] = []
    candidates: list[type[BaseModel]] = [model]
    for part in loc:
        named = [c for c in candidates if part == c.__name__ or part in _tags(c)]
        fields = [c.model_fields[part].annotation for c in candidates if isinstance(part, str) and part in c.model_fields]
        if named and not fields:
            candidates = named
        elif not (isinstance(part, str) and part.startswith(UNION_MARKS)):
            written.append(part)
            candidates = [found for annotation in fields for found in _models_in(annotation)] if fields else candidates
    return written, candidates


def _tags(model: type[BaseModel]) -> set[object]:
    tags: set[object] = set()
    for name in ("kind", "shape"):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal:
            tags |= set(get_args(field.annotation))
    return tags


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in {Annotated, Union, UnionType, tuple, list, dict}:
        return [found for argument in get_args(annotation) for found in _models_in(argument)]
    return []


def _quoted(expected: str) -> list[str]:
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",") if part.strip()]


def _sentence(text: str, hint: str) -> str:
    return f"{text} {hint}".rstrip()


def _plain(message: str) -> str:
    """A message of pydantic's in the words of the one who wrote the file."""
    text = message[:1].lower() + message[1:].partition(" or instance of ")[0]
    for theirs, ours in WORDS:
        text = text.replace(theirs, ours)
    return text


def shortened(text: str) -> str:
    """A name in quotes, its middle left out where it is too long to read."""
    return repr(text if len(text) <= 80 else f"{text[:40]}...{text[-20:]}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
