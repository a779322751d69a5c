"""Calls of ours behind the reference functions of deterministic assignment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from fairtrial.assignment.allocation import Allocation
from fairtrial.assignment.hashing import HASH_SPACE, key_suffix, u, unit_hash, utf8
from fairtrial.assignment.model_traffic import BUCKETS, bucket_ranges, md5_bucket, model_at, user_bucket

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _equal(arms: int) -> Allocation:
    """Arms "0", "1", ... of equal shares."""
    return Allocation.from_shares("equal", {str(index): Fraction(1, arms) for index in range(arms)})


HALVES = _equal(2)
THIRDS = _equal(3)
FIFTH = Allocation.from_shares("uneven", {"0": 0.2, "1": 0.8})
TENTH = Allocation.from_shares("tenth", {"in": 0.1, "out": 0.9})


def _sha256_bucket(inputs: Inputs) -> Outputs:
    unit, experiment, salt = inputs["profile_id"], inputs["experiment_id"], inputs["salt"]
    key = utf8(unit) + key_suffix(experiment, salt)
    value = unit_hash(unit, experiment, salt)
    return {  # the key itself is left out: vectors print it for short keys alone, and its digest proves it
        "sha256_hex": hashlib.sha256(key).hexdigest(),
        "uint64_big_endian": str(value),
        "bucket_unit_interval": u(unit, experiment, salt),
        "bucket_floor_10000": value * BUCKETS // HASH_SPACE,
        "bucket_mod_10000": value % BUCKETS,
        "variant_50_50": int(HALVES.arm_at(value)),
        "variant_20_80": int(FIFTH.arm_at(value)),
        "variant_three_equal": int(THIRDS.arm_at(value)),
        "in_10_percent": TENTH.arm_at(value) == "in",
    }


def _sha256_bucket_histogram(inputs: Inputs) -> Outputs:
    pattern, spread = inputs["profile_id_pattern"].split(" for i in ")
    first, last = (int(end) for end in spread.split(".."))
    bins = _equal(inputs["bins"])
    counts, halves = [0] * inputs["bins"], [0, 0]
    for i in range(first, last + 1):
        value = unit_hash(pattern.format(i=i), inputs["experiment_id"], inputs["salt"])
        counts[int(bins.arm_at(value))] += 1
        halves[int(HALVES.arm_at(value))] += 1
    expected = (last + 1 - first) / inputs["bins"]
    return {"counts": counts, "chi_square": sum((count - expected) ** 2 / expected for count in counts), "half_split": halves}


def _sha256_treatment_assignment(inputs: Inputs) -> Outputs:
    unit, experiment, salt = inputs["profile_id"], inputs["experiment_id"], inputs["salt"]
    allocation = Allocation.holdout("holdout", inputs["treatment_rate"], hash_key=experiment, salt=salt)
    return {"bucket_unit_interval": u(unit, experiment, salt), "treatment": allocation.decide(unit) == "treatment"}


def _md5_mod_10000_bucket(inputs: Inputs) -> Outputs:
    digest = hashlib.md5(utf8(inputs["key"])).hexdigest()
    bucket = md5_bucket(inputs["key"])
    return {
        "md5_hex": digest,
        "full_digest_mod_10000": bucket,
        "first_8_hex_digits_mod_10000": int(digest[:8], 16) % BUCKETS,
        "basis_points": bucket / BUCKETS,
    }


def _md5_traffic_router(inputs: Inputs) -> Outputs:
    user, name, seed = inputs["user"], inputs["experiment_name"], inputs["seed"]
    bucket = user_bucket(user, name, seed)
    return {
        "md5_hex": hashlib.md5(utf8(f"{user}_{name}_{seed}")).hexdigest(),
        "bucket_mod_10000": bucket,
        "bucket": bucket / BUCKETS,
        "arm": model_at(bucket, bucket_ranges(inputs["allocation"])),
    }


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "sha256_bucket": _sha256_bucket,
    "sha256_bucket_histogram": _sha256_bucket_histogram,
    "sha256_treatment_assignment": _sha256_treatment_assignment,
    "md5_mod_10000_bucket": _md5_mod_10000_bucket,
    "md5_traffic_router": _md5_traffic_router,
}
