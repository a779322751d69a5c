"""What a request says and what an answer says, in both protocols; nothing here waits for anything.

V2 is the Open Inference Protocol (KServe): inputs and outputs are tensors with name, shape, datatype and
flat data. `json` is a body of the models' own, one field of which is the prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from fairtrial.errors import UsageError
from fairtrial.spec.serving import Endpoint, Identity, Reading

BINARY_HEADER = b"inference-header-content-length"
"""Marks V2's binary extension, whose body is not JSON."""

FORM = {
    "v2": 'Such as {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}]}.',
    "json": 'Such as {"user_id": "u1", "features": {"amount": 120.0}}.',
}

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class RefusedError(UsageError):
    """A request that no model is asked about; `status` is what it is answered with."""

    def __init__(self, status: int, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status


class UnreadableAnswerError(Exception):
    """An answer that holds no prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as read.

    Attributes:
        body: As it came; models get it unchanged.
        user: Id of the user; None for a session.
        session: Id of the session; None when the user is known or neither is.
        features: By name.
    """

    body: bytes
    user: str | None
    session: str | None
    features: Mapping[str, Any]


def read_request(body: bytes, headers: Mapping[bytes, bytes], identity: Identity, protocol: str) -> Asked:
    """Read a request.

    Raises:
        RefusedError: It is not JSON, has not the protocol's form, or does not say whom it is for.
    """
    if BINARY_HEADER in headers:
        raise RefusedError(415, "binary_body", "The gateway reads JSON bodies alone, not V2's binary extension.", hint=FORM["v2"])
    try:
        given: Any = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, "malformed_body", f"A request body must be JSON: {error}.", hint=FORM[protocol]) from error
    if not isinstance(given, dict):
        raise RefusedError(422, "malformed_body", f"A request body must be a JSON object, got {type(given).__name__}.", hint=FORM[protocol])
    fields = cast("dict[str, Any]", given)
    features = _tensors(fields) if protocol == "v2" else _named(fields, identity.field)
    user = _header(headers, identity.header) or _identity_field(fields, identity.field, protocol)
    session = None if user else _header(headers, identity.session_header)
    if not user and not session and identity.missing == "refuse":
        raise RefusedError(
            422,
            "no_identity",
            f"A request must say whom it is for: header {identity.header}, field {identity.field!r} or header {identity.session_header}.",
            hint="Or set serving.identity.missing to champion: then such requests stay out of the experiment.",
        )
    return Asked(body=body, user=user, session=session, features=features)


def _header(headers: Mapping[bytes, bytes], name: str) -> str | None:
    raw = headers.get(name.lower().encode("ascii"))
    if not raw:
        return None
    try:
        return raw.decode("utf-8").strip() or None
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip() or None


def _identity_field(fields: Mapping[str, Any], name: str, protocol: str) -> str | None:
    value = fields.get(name)
    if value is None and protocol == "v2":
        parameters = fields.get("parameters")
        value = cast("dict[str, Any]", parameters).get(name) if isinstance(parameters, dict) else None
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RefusedError(422, "no_identity", f"{name} must be a text or a whole number, got {type(value).__name__}.")
    return str(value)


def _tensors(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a V2 request by name; a tensor of one number is that number."""
    inputs = fields.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RefusedError(422, "malformed_body", "A V2 request must have `inputs`, a list that is not empty.", hint=FORM["v2"])
    found: dict[str, Any] = {}
    for tensor in cast("list[Any]", inputs):
        if not isinstance(tensor, dict) or not isinstance(cast("dict[str, Any]", tensor).get("name"), str):
            raise RefusedError(422, "malformed_body", "Each of `inputs` must be an object with a name.", hint=FORM["v2"])
        named = cast("dict[str, Any]", tensor)
        data: Any = named.get("data")
        found[named["name"]] = data[0] if isinstance(data, list) and len(cast("list[Any]", data)) == 1 else data
    parameters = fields.get("parameters")
    return {**cast("dict[str, Any]", parameters), **found} if isinstance(parameters, dict) else found


def _named(fields: Mapping[str, Any], identity_field: str) -> dict[str, Any]:
    """The features of a body of its own: its `features`, else all but who it is for."""
    features = fields.get("features")
    if isinstance(features, dict):
        return cast("dict[str, Any]", features)
    return {name: value for name, value in fields.items() if name != identity_field}


def target_of(name: str, endpoint: Endpoint) -> str:
    """Where a model takes predictions."""
    if endpoint.protocol == "json":
        return endpoint.url + endpoint.path
    return f"{endpoint.url}/v2/models/{endpoint.model or name}/infer"


def readiness_of(name: str, endpoint: Endpoint) -> str | None:
    """Where a model says that it is ready; None where it has no such place."""
    if endpoint.health is not None:
        return endpoint.url + endpoint.health
    return None if endpoint.protocol == "json" else f"{endpoint.url}/v2/models/{endpoint.model or name}/ready"


def body_for(endpoint: Endpoint, features: Mapping[str, Any], *, user: str | None, field: str) -> bytes:
    """A request for a model from features by name.

    Args:
        endpoint: Where it goes: V2 gets one tensor a feature, `json` the features in `features`.
        features: Numbers, texts, booleans, or lists of one of these.
        user: Who it is for; told to `json` models.
        field: Name of the user's field.

    Raises:
        UsageError: A feature can be no tensor.
    """
    if endpoint.protocol == "json":
        return _encoder.encode({"features": features} if user is None else {field: user, "features": features})
    return _encoder.encode({"inputs": [_tensor(name, value) for name, value in features.items()]})


def _tensor(name: str, value: Any) -> dict[str, Any]:
    data: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    kinds: set[type] = {type(item) for item in data}
    datatype = "BOOL" if kinds == {bool} else "BYTES" if kinds == {str} else "FP64" if kinds and kinds <= {int, float} else None
    if datatype is None:
        raise UsageError(f"A feature must be a number, a text, a boolean or a list of one of these, {name!r} is not.")
    return {"name": name, "shape": [1] if not isinstance(value, list) else [1, len(data)], "datatype": datatype, "data": data}


def prediction_in(body: bytes, protocol: str, reading: Reading) -> Any:
    """The prediction in a model's answer.

    Raises:
        UnreadableAnswerError: It is not JSON, or there is no prediction where the spec says.
    """
    try:
        given: Any = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableAnswerError(f"the answer is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise UnreadableAnswerError("the answer is no JSON object")
    fields = cast("dict[str, Any]", given)
    value = _output(fields, reading.output) if protocol == "v2" else _field(fields, reading.output or "prediction")
    return value if reading.position is None else _at(value, reading.position)


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise UnreadableAnswerError(f"the answer has no field {name!r}, it has {list(fields)[:10]}")
    return fields[name]


def _output(fields: Mapping[str, Any], name: str | None) -> Any:
    """A V2 output as its rows; one row, and one number, stand for themselves."""
    outputs = fields.get("outputs")
    if not isinstance(outputs, list) or not outputs:
        raise UnreadableAnswerError("the answer has no outputs")
    tensors = [cast("dict[str, Any]", item) for item in cast("list[Any]", outputs) if isinstance(item, dict)]
    chosen = next((tensor for tensor in tensors if name is None or tensor.get("name") == name), None)
    if chosen is None or not isinstance(chosen.get("data"), list):
        raise UnreadableAnswerError(f"the answer has no output {name!r}" if name else "the answer's first output has no data")
    data = cast("list[Any]", chosen["data"])
    shape: Any = chosen.get("shape")
    width = _width(cast("Sequence[Any]", shape), len(data)) if isinstance(shape, list) else 1
    rows: list[Any] = data if width <= 1 else [data[begin : begin + width] for begin in range(0, len(data), width)]
    return rows[0] if len(rows) == 1 else rows


def _width(shape: Sequence[Any], n: int) -> int:
    """Numbers in a row of flat data of this shape."""
    if len(shape) < 2 or not isinstance(shape[0], int) or shape[0] < 1 or n % shape[0]:
        return 1
    return n // shape[0]


def _at(value: Any, position: int) -> Any:
    """One number of each row."""
    if not isinstance(value, list):
        return value
    items = cast("list[Any]", value)
    if items and isinstance(items[0], list):
        return [_at(row, position) for row in items]
    if not -len(items) <= position < len(items):
        raise UnreadableAnswerError(f"the answer has {len(items)} numbers a row, none at position {position}")
    return items[position]


def as_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None when it is anything else."""
    try:
        given: Any = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return cast("dict[str, Any]", given) if isinstance(given, dict) else None


def encoded(document: Mapping[str, Any]) -> bytes:
    """A document as JSON."""
    return _encoder.encode(document)
