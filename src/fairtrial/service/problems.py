"""Errors over HTTP: one body, `application/problem+json` with code, detail and hint (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from fairtrial.errors import (
    AccessError,
    ConflictError,
    ConnectorError,
    DataError,
    FairtrialError,
    StorageError,
    UnknownNameError,
    UsageError,
)

PROBLEM = "application/problem+json"

STATUS_OF: dict[type[FairtrialError], int] = {
    UsageError: 422,
    DataError: 422,
    ConflictError: 409,
    AccessError: 403,
    ConnectorError: 502,
    StorageError: 503,
}
"""Nearest ancestor wins; `status_of` knows the exceptions."""

STATUS_OF_CODE = {
    "unauthenticated": 401,
    "unknown_experiment": 404,
    "unknown_model_experiment": 404,
    "unknown_bandit": 404,
    "unknown_version": 404,
    "not_found": 404,
    "too_large": 413,
    "rate_limited": 429,
}
"""Codes with a status of their own."""

FORMS = {"body", "holdout-form", "spec-form"}
"""Where a field stands when it stands at the top of a body."""

log = structlog.get_logger("fairtrial.service")


class Problem(BaseModel):
    """Body of every error."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""


class NotFoundError(UnknownNameError):
    """What the path names does not exist."""

    default_code = "not_found"


class UnauthenticatedError(AccessError):
    """No token, or one that is not valid."""

    default_code = "unauthenticated"


def status_of(error: FairtrialError) -> int:
    """HTTP status of an error of the tree."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)


def problem(status: int, code: str, detail: str, hint: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    """A response with the one error body."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, code=code, detail=detail, hint=hint)
    return JSONResponse(body.model_dump(), status_code=status, media_type=PROBLEM, headers=headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error with the one body; what nobody foresaw is logged and says nothing of itself."""

    @app.exception_handler(FairtrialError)
    def known(request: Request, error: FairtrialError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        del request
        status = status_of(error)
        if status >= 500:
            log.error("request failed", code=error.code, detail=error.message)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else None
        return problem(status, error.code, error.message, error.hint, headers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        del request
        first: dict[str, Any] = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in FORMS)
        said = str(first["msg"]).removeprefix("Value error, ")
        return problem(422, "invalid", f"{place}: {said}" if place else said, "See /openapi.json for what the request takes.")

    @app.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        if error.status_code == 400 and isinstance(error.__cause__, UnicodeDecodeError):
            return problem(
                422, "invalid", "The body must be JSON in UTF-8, it holds other bytes.", "See /openapi.json for what the request takes."
            )
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "http")
        detail = f"No such address: {request.url.path}." if error.status_code == 404 else str(error.detail)
        return problem(error.status_code, code, detail, headers=dict(error.headers or {}) or None)

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        log.error("unforeseen error", path=request.url.path, exc_info=error)
        return problem(500, "internal", "The service made a mistake; it is logged under the request id.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status in (401, 403, 404, 409, 413, 422, 429, 503)
}
"""Declared of every route, so that the OpenAPI document tells the truth."""
