"""What is written of a prediction, and what is left out of it."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec

from fairtrial.errors import UsageError
from fairtrial.spec.serving import Features

Variant = Literal["champion", "challenger"]

SMALLEST_KEY = 16
"""Bytes that a hashing key has at least."""

_encode = msgspec.json.Encoder(order="sorted").encode


def new_prediction_id() -> str:
    """An id that is never used again and sorts by time (UUID version 7, RFC 9562)."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureLog:
    """Which features are logged, and how; all others are left out.

    Attributes:
        allow: Logged as they came.
        hashed: Logged as a keyed hash (BLAKE2b, 128 bits); None: every feature that is not allowed.
        segments: Logged as columns of their own.
        key: Key of the hash, 16 to 64 bytes; needed when anything is hashed.
    """

    allow: tuple[str, ...] = ()
    hashed: tuple[str, ...] | None = ()
    segments: tuple[str, ...] = ()
    key: bytes = b""

    def __post_init__(self) -> None:
        if self.hashed != () and not SMALLEST_KEY <= len(self.key) <= hashlib.blake2b.MAX_KEY_SIZE:
            raise UsageError(
                f"Hashed features need a key of {SMALLEST_KEY} to {hashlib.blake2b.MAX_KEY_SIZE} bytes, got {len(self.key)}.",
                hint="Set FAIRTRIAL_HASH_KEY; without a secret anybody can hash guesses and compare.",
            )

    @classmethod
    def all_hashed(cls) -> FeatureLog:
        """Every feature hashed with a key that is made now and kept nowhere."""
        return cls(hashed=None, key=os.urandom(32))

    def redacted(self, features: object) -> dict[str, Any]:
        """The features that may be logged; features without names have one name, `features`."""
        named = cast("Mapping[str, Any]", features) if isinstance(features, Mapping) else {"features": features}
        kept = {name: named[name] for name in self.allow if name in named}
        hidden = [name for name in named if name not in kept] if self.hashed is None else self.hashed
        return kept | {name: self.digest(named[name]) for name in hidden if name in named}

    def columns(self, features: object) -> dict[str, Any]:
        """The segments among the features; null where one is missing."""
        if not self.segments:
            return {}
        named: Mapping[str, Any] = cast("Mapping[str, Any]", features) if isinstance(features, Mapping) else {}
        return {name: named.get(name) for name in self.segments}

    def digest(self, value: object) -> str:
        """Keyed hash of a value, in hexadecimal."""
        try:
            text = _encode(value)
        except TypeError:
            text = repr(value).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self.key, digest_size=16).hexdigest()


def feature_log(given: Features, key: str) -> FeatureLog:
    """What the spec says of features, with the operator's secret.

    Raises:
        UsageError: Features are to be hashed and there is no secret.
    """
    return FeatureLog(allow=given.allow, hashed=given.hashed, segments=given.segments, key=key.encode() if given.hashed else b"")


def iso(moment: dt.datetime) -> str:
    """An aware time as ISO 8601 in UTC with `Z`."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


@dataclass(slots=True, kw_only=True)
class PredictionEvent:
    """One prediction as it is logged (ML-08): who asked, who was to answer, who did, and how it went.

    Attributes:
        experiment: Name of the experiment.
        assignment_id: `<user>_<experiment>`, or `session_<id>`.
        user_id: Who it is for; None for a session.
        variant: Of the model that was to answer.
        model_name: The model that was to answer: what effects are analysed by.
        served_by: The model whose answer was given.
        prediction: The answer given; None when there was none.
        timestamp: When, aware.
        latency_ms: How long the model that was to answer took, or was waited for.
        error: Whether that model failed or was too late.
        timeout: Whether it was too late.
        propensity: Probability with which this request went to that model.
        stage: Stage of the rollout.
        prediction_id: By which its outcome is found later.
        features: Those that may be logged.
        segments: Columns of their own.
    """

    experiment: str
    assignment_id: str
    user_id: str | None
    variant: Variant
    model_name: str
    served_by: str
    prediction: Any
    timestamp: dt.datetime
    latency_ms: float
    error: bool
    timeout: bool
    propensity: float
    stage: str
    prediction_id: str
    features: Mapping[str, Any]
    segments: Mapping[str, Any]

    @property
    def fallback(self) -> bool:
        """Whether another model answered in its place."""
        return self.served_by != self.model_name

    def as_row(self) -> dict[str, Any]:
        """The event as a row of `experiment_logs`; a segment's name never hides a field."""
        return {
            **self.segments,
            "prediction_id": self.prediction_id,
            "experiment": self.experiment,
            "assignment_id": self.assignment_id,
            "user_id": self.user_id,
            "variant": self.variant,
            "model_name": self.model_name,
            "served_by": self.served_by,
            "prediction": self.prediction,
            "outcome": None,
            "timestamp": iso(self.timestamp),
            "latency_ms": self.latency_ms,
            "error": self.error,
            "timeout": self.timeout,
            "fallback": self.fallback,
            "propensity": self.propensity,
            "stage": self.stage,
            "features": self.features,
        }
