"""What the OpenAPI document says beyond the endpoints' own models, from the route table."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from queueserver_http.routes import AUTHENTICATED, PUBLIC, Field, Route
from queueserver_http.scopes import SCOPES

DESCRIPTION = (
    "A refusal by the manager is a reply with status 200 and `success: false`. GET takes its parameters from the query "
    "or from a JSON body. Scopes: " + ", ".join(f"`{scope}`" for scope in sorted(SCOPES))
)
_TYPES = {"boolean": "boolean", "integer": "integer", "number": "number", "mapping": "object", "list": "array"}
_MEDIA = {"json": "application/json", "form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data"}
_ERRORS: dict[int | str, str] = {
    400: "The request cannot be used: an unknown key, an invalid value, an unknown scheme of authorization.",
    401: "Credentials are missing, wrong or do not allow the request.",
    408: "The manager did not answer.",
    422: "The body is missing or is not what is expected.",
    503: "There is no connection to the manager; the request was not sent.",
}
_SCHEMES = {
    "apiKeyHeader": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Apikey SECRET`"},
    "apiKeyQuery": {"type": "apiKey", "in": "query", "name": "api_key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_SECURITY: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
_ERROR = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}


def description(application: FastAPI, root_path: str) -> dict[str, Any]:
    """The document of a server below `root_path`."""
    document = application.openapi()
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    components.setdefault("schemas", {})["Error"] = _ERROR
    return {**document, "servers": [{"url": root_path}]} if root_path else document


def responses(route: Route) -> dict[int | str, dict[str, Any]]:
    """What a route may answer."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    codes = _ERRORS if route.method else {code: text for code, text in _ERRORS.items() if code in (400, 401, 422)}
    return {
        200: {"description": "Done, or refused by the manager (`success: false`)." if route.method else "Done."},
        **{code: {"description": text, "content": content} for code, text in codes.items()},
    }


def operation(route: Route, *, has_models: bool) -> dict[str, Any]:
    """What the table knows of an operation; `has_models`: its endpoint declares body and parameters itself."""
    shown: dict[str, Any] = {"security": [] if route.scope == PUBLIC else _SECURITY}
    if route.scope != PUBLIC:
        needed = "valid credentials" if route.scope == AUTHENTICATED else f"the scope `{route.scope}`"
        shown["description"] = f"Needs {needed}."
    if has_models and route.fields:
        return shown
    if route.verb == "POST" and (route.fields or not route.strict):
        shown["requestBody"] = {
            "required": route.body_required or route.form == "multipart",
            "content": {_MEDIA[route.form]: {"schema": _body(route), **_example(route)}},
        }
    elif route.fields:
        shown["parameters"] = [
            {"name": one.name, "in": "query", "required": one.required, "schema": _schema(one), **_sample(route, one)}
            for one in route.fields
        ]
    return shown


def operation_id(route: Route) -> str:
    """A name of an operation that stays the same."""
    return f"{route.verb}{route.path}".lower().replace("/", "_").translate({123: None, 125: None})


def tag(route: Route) -> str:
    """The group of an operation."""
    return route.path.split("/")[2] or "status" if route.path.startswith("/api/") else "server"


def _body(route: Route) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {one.name: _schema(one) for one in route.fields},
        "additionalProperties": not route.strict,
    }


def _schema(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": field.kind}
    if field.kind == "file":
        return {**schema, "type": "string", "contentMediaType": "application/octet-stream"}
    if field.kind in ("string", "boolean", "integer"):
        schema["type"] = _TYPES.get(field.kind, "string")
    return schema


def _example(route: Route) -> dict[str, Any]:
    return {"example": route.example} if route.example is not None else {}


def _sample(route: Route, field: Field) -> dict[str, Any]:
    return {"example": route.example[field.name]} if route.example and field.name in route.example else {}
