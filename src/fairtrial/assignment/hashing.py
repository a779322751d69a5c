"""The one hash by which a unit falls into an experiment (G-9).

    key = "{unit}:{experiment}:{salt}" in UTF-8, the last colon kept when the salt is empty
    hash = first 8 bytes of SHA-256(key), big-endian: an integer in [0, 2^64)

Text is taken as it comes: not normalised, not trimmed, not folded, so the same bytes
give the same arm in every language and in SQL. Decisions compare integers;
`u` is for people, since hashes near the top round to 1.0.
"""

from __future__ import annotations

import hashlib

from fairtrial.errors import UsageError

HASH_SPACE = 2**64
"""Number of values that a hash may take."""
HEX_DIGITS = 16
"""Hex digits of a hash: the first 16 of the digest, comparable as text."""


def unit_hash(unit: str, experiment: str, salt: str = "") -> int:
    """Place of a unit in an experiment, the same in every process and language.

    Args:
        unit: Identity of the unit, any Unicode text.
        experiment: The experiment's stored hash key.
        salt: Separates independent draws of one experiment.

    Returns:
        An integer in [0, 2^64), uniform over units.

    Raises:
        UsageError: An argument is no text or cannot be written as UTF-8.
    """
    digest = hashlib.sha256(utf8(unit) + key_suffix(experiment, salt)).digest()
    return int.from_bytes(digest[:8], "big")


def u(unit: str, experiment: str, salt: str = "") -> float:
    """`unit_hash` as a fraction of the hash space, correctly rounded, for display.

    Returns:
        A number in [0, 1]; 1.0 where the exact fraction rounds up to it.

    Raises:
        UsageError: An argument is no text or cannot be written as UTF-8.
    """
    return unit_hash(unit, experiment, salt) / HASH_SPACE


def key_suffix(experiment: str, salt: str = "") -> bytes:
    """What follows the unit in the hashed key: ":experiment:salt" in UTF-8.

    Raises:
        UsageError: An argument is no text or cannot be written as UTF-8.
    """
    return b":" + utf8(experiment) + b":" + utf8(salt)


def utf8(text: str) -> bytes:
    """The bytes that are hashed: the text as it is.

    Raises:
        UsageError: It is no text, or holds half of a surrogate pair.
    """
    try:
        return text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise UsageError(f"What is hashed must be Unicode text, got {text!r}.", hint="Turn numbers into text first: str(42).") from None
