"""Other platforms' bucketing, so that a team that moves here keeps its units in their arms.

GrowthBook's and PlanOut's hashes as their SDKs publish them, and the MD5 buckets of
model traffic, which live in `model_traffic` and are named here too. New experiments
use `Allocation` (one SHA-256 for Python, SQL and HTTP); these are for experiments
that already run elsewhere. None of it is a use of cryptography: only evenness matters.

    GrowthBook  version 1: fnv1a32(value + seed) mod 1000 / 1000
                version 2: fnv1a32(text of fnv1a32(seed + value)) mod 10000 / 10000
    PlanOut     first 15 hex digits of SHA-1("{experiment salt}.{parameter salt}.{unit}")

Sources: GrowthBook SDK test cases (cases.json, specification 0.8.0); FNV-1a:
Fowler, Noll & Vo (1991), offset 2166136261, prime 16777619; PlanOut: Bakshy, Eckles
& Bernstein (2014), WWW '14, and its published test_assignment.py.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, TypeVar

from fairtrial.assignment.hashing import utf8
from fairtrial.assignment.model_traffic import BUCKETS, bucket_ranges, md5_bucket, model_at, session_bucket, user_bucket
from fairtrial.errors import UsageError

__all__ = [
    "BUCKETS",
    "TextUnits",
    "bucket_ranges",
    "equal_weights",
    "growthbook_bucket_ranges",
    "growthbook_choose_variation",
    "growthbook_hash",
    "growthbook_in_namespace",
    "growthbook_variation",
    "md5_bucket",
    "md5_prefix_bucket",
    "model_at",
    "planout_bernoulli",
    "planout_hash",
    "planout_random_integer",
    "planout_uniform",
    "planout_uniform_choice",
    "planout_weighted_choice",
    "session_bucket",
    "user_bucket",
]

TextUnits = Literal["utf-16", "utf-8"]
"""What GrowthBook's FNV walks over: UTF-16 code units (JavaScript; Python too but for emoji) or UTF-8 bytes (Go, PHP, Ruby)."""

Choice = TypeVar("Choice")
Range = tuple[float, float]

FNV_OFFSET, FNV_PRIME = 2166136261, 16777619
PLANOUT_DIGITS = 15
PLANOUT_SCALE = float(16**PLANOUT_DIGITS - 1)
"""What PlanOut divides by: 0xFFFFFFFFFFFFFFF as a double, which is 2^60."""
WEIGHT_SUM = (0.99, 1.01)
"""GrowthBook takes weights whose sum lies outside for a mistake and makes them equal."""


def growthbook_hash(value: str, *, seed: str, version: int = 2, text: TextUnits = "utf-16") -> float:
    """GrowthBook's hash of a unit.

    Args:
        value: The hashed attribute, most often the user's id.
        seed: The experiment's seed, by default its key.
        version: GrowthBook's hash version, 1 (biased when experiments share a range) or 2.
        text: What is hashed of text beyond ASCII; SDKs differ there and agree elsewhere.

    Returns:
        A multiple of 0.001 (version 1) or 0.0001 (version 2) in [0, 1).

    Raises:
        UsageError: The version is neither 1 nor 2, or an argument is no Unicode text.

    References:
        GrowthBook SDK cases.json, "hash".
    """
    if version == 1:
        return _fnv1a32(value + seed, text) % 1000 / 1000
    if version == 2:
        return _fnv1a32(str(_fnv1a32(seed + value, text)), text) % 10000 / 10000
    raise UsageError(
        f"GrowthBook's hash version must be 1 or 2, got {version}.", hint="With another version GrowthBook itself assigns no one."
    )


def equal_weights(variations: int) -> tuple[float, ...]:
    """The same weight for each of some variations; empty for none.

    Raises:
        UsageError: The number is negative.
    """
    if variations < 0:
        raise UsageError(f"The number of variations must be >= 0, got {variations}.")
    return (1.0 / variations,) * variations if variations else ()


def growthbook_bucket_ranges(variations: int, *, coverage: float = 1.0, weights: Sequence[float] | None = None) -> tuple[Range, ...]:
    """GrowthBook's half-open ranges of the hash by variation.

    As its SDKs do, coverage is clamped to [0, 1], and weights of another number than the
    variations, or whose sum is not within 0.01 of 1, are replaced by equal ones.

    Args:
        variations: Number of variations, >= 1.
        coverage: Share of units in the experiment; each variation's range is cut to that share of its width.
        weights: Share of each variation; equal if None.

    Returns:
        (low, high) by variation; a hash h belongs where low <= h < high.

    Raises:
        UsageError: There are no variations, or a weight is negative or not finite, or coverage is NaN.

    References:
        GrowthBook SDK cases.json, "getBucketRange".
    """
    if variations < 1:
        raise UsageError(f"An experiment must have at least one variation, got {variations}.")
    if math.isnan(coverage):
        raise UsageError(f"coverage must be a number, got {coverage}.")
    if weights is not None and not all(math.isfinite(weight) and weight >= 0.0 for weight in weights):
        raise UsageError(f"Weights must be finite and >= 0, got {list(weights)}.")
    covered = min(max(coverage, 0.0), 1.0)
    usable = weights is not None and len(weights) == variations and WEIGHT_SUM[0] <= sum(weights) <= WEIGHT_SUM[1]
    used = tuple(weights) if weights is not None and usable else equal_weights(variations)
    lows = accumulate(used[:-1], initial=0.0)
    return tuple((low, low + covered * weight) for low, weight in zip(lows, used, strict=True))


def growthbook_choose_variation(hashed: float, ranges: Sequence[Range]) -> int | None:
    """Index of the first range that holds a hash, its low end included and its high end not.

    Returns:
        The index, or None where no range holds it (GrowthBook's -1): the unit is not in the experiment.

    Raises:
        UsageError: The hash lies outside [0, 1].
    """
    if not 0.0 <= hashed <= 1.0:
        raise UsageError(f"A hash must lie in [0, 1], got {hashed}.")
    return next((index for index, (low, high) in enumerate(ranges) if low <= hashed < high), None)


def growthbook_in_namespace(user: str, namespace: str, low: float, high: float, *, text: TextUnits = "utf-16") -> bool:
    """Whether a user is in a range of a namespace (GrowthBook's mutual exclusion).

    Args:
        user: The user's id.
        namespace: Name of the namespace.
        low: Start of the range, included.
        high: End of the range, not included.
        text: As in `growthbook_hash`.

    Raises:
        UsageError: The range does not lie in [0, 1], or an argument is no Unicode text.

    References:
        GrowthBook SDK cases.json, "inNamespace": fnv1a32(user + "__" + namespace) mod 1000 / 1000.
    """
    if not 0.0 <= low <= high <= 1.0:
        raise UsageError(f"A namespace's range must satisfy 0 <= low <= high <= 1, got {low} and {high}.")
    return low <= _fnv1a32(f"{user}__{namespace}", text) % 1000 / 1000 < high


def growthbook_variation(
    value: str,
    *,
    seed: str,
    variations: int,
    coverage: float = 1.0,
    weights: Sequence[float] | None = None,
    version: int = 2,
    text: TextUnits = "utf-16",
) -> int | None:
    """The variation that GrowthBook's SDKs give a unit: hash, ranges and choice in one call.

    Args:
        value: The hashed attribute, most often the user's id.
        seed: The experiment's seed, by default its key.
        variations: Number of variations, >= 1.
        coverage: Share of units in the experiment.
        weights: Share of each variation; equal if None.
        version: GrowthBook's hash version, 1 or 2.
        text: As in `growthbook_hash`.

    Returns:
        Index of the variation, or None: the unit is not in the experiment.

    Raises:
        UsageError: As `growthbook_hash` and `growthbook_bucket_ranges`.
    """
    ranges = growthbook_bucket_ranges(variations, coverage=coverage, weights=weights)
    return growthbook_choose_variation(growthbook_hash(value, seed=seed, version=version, text=text), ranges)


def planout_hash(unit: str | Sequence[str], *, experiment_salt: str, parameter_salt: str) -> int:
    """PlanOut's hash of a unit: the first 15 hex digits of SHA-1, an integer below 2^60.

    Args:
        unit: The unit's id; several ids are joined by dots, as PlanOut does.
        experiment_salt: The experiment's salt, by default its name.
        parameter_salt: The parameter's salt, by default its name.

    Raises:
        UsageError: There is no unit, or an argument is no Unicode text.

    References:
        Bakshy, Eckles & Bernstein (2014), WWW '14, section 3.2.
    """
    units = [unit] if isinstance(unit, str) else list(unit)
    if not units:
        raise UsageError("PlanOut hashes at least one unit, got none.")
    key = b".".join(utf8(part) for part in (experiment_salt, parameter_salt, *units))
    return int(hashlib.sha1(key, usedforsecurity=False).hexdigest()[:PLANOUT_DIGITS], 16)


def planout_uniform(unit: str | Sequence[str], *, experiment_salt: str, parameter_salt: str, low: float = 0.0, high: float = 1.0) -> float:
    """PlanOut's uniform number between two bounds: low (1 - h) + high h with h the hash over 2^60.

    Raises:
        UsageError: A bound is not finite, or as `planout_hash`.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"Bounds must be finite, got {low} and {high}.")
    share = planout_hash(unit, experiment_salt=experiment_salt, parameter_salt=parameter_salt) / PLANOUT_SCALE
    return low * (1.0 - share) + high * share


def planout_random_integer(unit: str | Sequence[str], *, experiment_salt: str, parameter_salt: str, low: int, high: int) -> int:
    """PlanOut's integer from `low` to `high`, both included: low + hash mod (high - low + 1).

    Raises:
        UsageError: `high` is below `low`, or as `planout_hash`.
    """
    if high < low:
        raise UsageError(f"The bounds must satisfy low <= high, got {low} and {high}.")
    return low + planout_hash(unit, experiment_salt=experiment_salt, parameter_salt=parameter_salt) % (high - low + 1)


def planout_bernoulli(unit: str | Sequence[str], *, experiment_salt: str, parameter_salt: str, probability: float) -> int:
    """PlanOut's trial: 1 with the given probability, else 0.

    Raises:
        UsageError: The probability lies outside [0, 1], or as `planout_hash`.
    """
    if not 0.0 <= probability <= 1.0:
        raise UsageError(f"A probability must lie in [0, 1], got {probability}.")
    return int(planout_uniform(unit, experiment_salt=experiment_salt, parameter_salt=parameter_salt) <= probability)


def planout_uniform_choice(unit: str | Sequence[str], choices: Sequence[Choice], *, experiment_salt: str, parameter_salt: str) -> Choice:
    """PlanOut's even choice: the one at hash mod the number of choices.

    Raises:
        UsageError: There are no choices, or as `planout_hash`.
    """
    if not choices:
        raise UsageError("There must be at least one choice, got none.")
    return choices[planout_hash(unit, experiment_salt=experiment_salt, parameter_salt=parameter_salt) % len(choices)]


def planout_weighted_choice(
    unit: str | Sequence[str], choices: Sequence[Choice], weights: Sequence[float], *, experiment_salt: str, parameter_salt: str
) -> Choice:
    """PlanOut's weighted choice: the first whose cumulative weight reaches a uniform number below their sum.

    Args:
        unit: The unit's id or ids.
        choices: What may be chosen; a value may occur twice.
        weights: One weight a choice, >= 0, in any unit.
        experiment_salt: The experiment's salt.
        parameter_salt: The parameter's salt.

    Raises:
        UsageError: The lists are empty or differ in length, a weight is negative or not finite, or all are 0.
    """
    if not choices or len(choices) != len(weights):
        raise UsageError(f"Every choice needs a weight, got {len(choices)} choices and {len(weights)} weights.")
    if not all(math.isfinite(weight) and weight >= 0.0 for weight in weights) or sum(weights) <= 0.0:
        raise UsageError(f"Weights must be finite, >= 0 and not all 0, got {list(weights)}.")
    borders = list(accumulate(weights))
    stop = planout_uniform(unit, experiment_salt=experiment_salt, parameter_salt=parameter_salt, high=borders[-1])
    return choices[bisect_left(borders, stop)]


def md5_prefix_bucket(key: str) -> int:
    """The first 8 hex digits of a key's MD5 as an integer, modulo 10,000: the short form of `md5_bucket`.

    Raises:
        UsageError: The key is no Unicode text.
    """
    return int(hashlib.md5(utf8(key), usedforsecurity=False).hexdigest()[:8], 16) % BUCKETS


def _fnv1a32(text: str, units: TextUnits) -> int:
    """The 32-bit FNV-1a hash over a text's UTF-8 bytes or its UTF-16 code units."""
    encoded = utf8(text)
    if units == "utf-16" and len(encoded) != len(text):
        wide = text.encode("utf-16-le")
        walked: Sequence[int] = [wide[i] | wide[i + 1] << 8 for i in range(0, len(wide), 2)]
    elif units in {"utf-8", "utf-16"}:
        walked = encoded
    else:
        raise UsageError(f"text must be 'utf-16' or 'utf-8', got {units!r}.")
    value = FNV_OFFSET
    for unit in walked:
        value = (value ^ unit) * FNV_PRIME % 2**32
    return value
