"""OFREP in the API's document: it is answered in front of the router, which therefore does not know it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fairtrial.service.flags.door import ALL, ONE
from fairtrial.service.flags.schemas import Evaluation, EvaluationFailure, EvaluationRequest, Evaluations
from fairtrial.service.problems import PROBLEM

SHAPES: tuple[type[BaseModel], ...] = (EvaluationRequest, Evaluation, Evaluations, EvaluationFailure)
Node = dict[str, Any]


def add_flag_paths(app: FastAPI) -> None:
    """Let the application's OpenAPI document hold the two paths of OFREP."""
    make = app.openapi

    def openapi() -> Node:
        document = make()
        if ONE not in document["paths"]:
            document["paths"] |= {ONE: {"post": _operation(one=True)}, ALL: {"post": _operation(one=False)}}
            _, found = models_json_schema([(shape, "validation") for shape in SHAPES], ref_template="#/components/schemas/{model}")
            document.setdefault("components", {}).setdefault("schemas", {}).update(found["$defs"])
        return document

    app.openapi = openapi


def _operation(*, one: bool) -> Node:
    shown = Evaluation if one else Evaluations
    responses: Node = {"200": _answer("What the unit gets.", "application/json", shown.__name__)}
    if not one:
        mark = {"schema": {"type": "string"}}
        responses["200"]["headers"] = {"ETag": mark}
        responses["304"] = {"description": "The answer that the caller has is still right.", "headers": {"ETag": mark}}
    responses["400"] = _answer("The body is no JSON or no context, or has no targetingKey.", "application/json", "EvaluationFailure")
    if one:
        responses["404"] = _answer("No such flag in this environment.", "application/json", "EvaluationFailure")
    for status, why in (("401", "No valid token."), ("403", "Not from this origin, or not this environment.")):
        responses[status] = _answer(why, PROBLEM, "Problem")
    for status, why in (("413", "Too long."), ("422", "The query cannot be read."), ("429", "Too many requests."), ("503", "No database.")):
        responses[status] = _answer(why, PROBLEM, "Problem")
    parameters: list[Node] = [
        {"name": "environment", "in": "query", "required": False, "schema": {"type": "string"}, "description": "For a server key."}
    ]
    if one:
        parameters.insert(0, {"name": "key", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}})
    else:
        parameters.append({"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}})
    return {
        "tags": ["flags"],
        "summary": "Evaluate one flag (OFREP)" if one else "Evaluate all flags (OFREP)",
        "operationId": "evaluate_flag" if one else "evaluate_flags",
        "security": [{"HTTPBearer": []}],
        "x-role": "VIEWER",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("EvaluationRequest")}}},
        "responses": responses,
    }


def _answer(description: str, kind: str, shape: str) -> Node:
    return {"description": description, "content": {kind: {"schema": _ref(shape)}}}


def _ref(shape: str) -> Node:
    return {"$ref": f"#/components/schemas/{shape}"}
