"""Structured logs on stderr: one event a line, with the request's id, never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Literal, TextIO, cast

import structlog

SECRET_WORDS = ("token", "secret", "password", "authorization", "api_key", "apikey", "signature")
SECRET_TEXTS = re.compile(
    r"ft_[0-9a-f]+_[A-Za-z0-9_-]+|(?i:bearer) +[^ \"']+|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+|(?<=://)[^/ @]*:[^/ @]+(?=@)"
)
"""An API key, a header's token, a JWT, the user and password of an address."""
HIDDEN = "[hidden]"


class _Stderr:
    """The standard error of the moment: loggers are kept, and the one that was there at first may be closed by now."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def set_up_logs(level: Literal["debug", "info", "warning", "error"], form: Literal["auto", "json", "text"]) -> None:
    """Send our own lines and those of the libraries to stderr in one form.

    Args:
        level: The least severe line that is written.
        form: `auto` is text on a terminal, else one JSON object a line.
    """
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tail: list[Any] = [structlog.processors.format_exc_info, hide_secrets, renderer]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[meta, *tail]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(getattr(logging, level.upper()), logging.WARNING))
    logging.getLogger("uvicorn.error").setLevel(getattr(logging, level.upper()))


def hide_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what is secret at any depth: values of fields whose name says so, and texts that look like a key or a password."""
    del logger, method
    for name, value in event.items():
        event[name] = _without_secrets(name, value)
    return event


def _without_secrets(name: object, value: object) -> object:
    if any(word in str(name).lower() for word in SECRET_WORDS):
        return HIDDEN
    if isinstance(value, str):
        return SECRET_TEXTS.sub(HIDDEN, value)
    if isinstance(value, Mapping):
        return {key: _without_secrets(key, inner) for key, inner in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_without_secrets("", inner) for inner in cast("Sequence[object]", value)]
    return value
