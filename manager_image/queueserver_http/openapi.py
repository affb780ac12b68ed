"""The OpenAPI document, from the route table."""

from __future__ import annotations

from functools import cache
from typing import Any

from queueserver_common import __version__
from queueserver_http.routes import AUTHENTICATED, HTTP_ROUTES, PUBLIC, Field, Route
from queueserver_http.scopes import SCOPES

_TYPES = {"boolean": "boolean", "integer": "integer", "number": "number", "mapping": "object", "list": "array"}
_MEDIA = {"json": "application/json", "form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data"}
_ERRORS = {
    "400": "The request cannot be used: an unknown key, an invalid value, an unknown scheme of authorization.",
    "401": "Credentials are missing, wrong or do not allow the request.",
    "408": "The manager did not answer.",
    "422": "The body is missing or is not a mapping.",
    "503": "There is no connection to the manager; the request was not sent.",
}
_SECURITY: list[dict[str, list[str]]] = [{"apiKeyHeader": []}, {"apiKeyQuery": []}, {"bearer": []}]


@cache
def description(root_path: str = "") -> dict[str, Any]:
    """The document for a server below `root_path`."""
    paths: dict[str, Any] = {}
    for route in HTTP_ROUTES:
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Bluesky queue server",
            "version": __version__,
            "description": (
                "A refusal by the manager is a reply with status 200 and `success: false`. GET takes its parameters "
                "from the query or from a JSON body. Scopes: " + ", ".join(f"`{scope}`" for scope in sorted(SCOPES))
            ),
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKeyHeader": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Apikey SECRET`",
                },
                "apiKeyQuery": {"type": "apiKey", "in": "query", "name": "api_key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {
                "Error": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
            },
        },
    }
    if root_path:
        document["servers"] = [{"url": root_path}]
    return document


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.verb}{route.path}".lower().replace("/", "_").translate({123: None, 125: None}),
        "summary": route.summary,
        "tags": [route.path.split("/")[2] or "status" if route.path.startswith("/api/") else "server"],
        "parameters": [
            {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
            for part in route.path.split("/")
            if part.startswith("{")
        ],
        "responses": {"200": {"description": "Done, or refused by the manager (`success: false`)."}, **_errors(route)},
    }
    if route.scope == PUBLIC:
        operation["security"] = []
    else:
        operation["security"] = _SECURITY
        needed = "valid credentials" if route.scope == AUTHENTICATED else f"the scope `{route.scope}`"
        operation["description"] = f"Needs {needed}."
    if route.verb == "POST" and (route.fields or not route.strict):
        operation["requestBody"] = {
            "required": route.body_required or route.form == "multipart",
            "content": {_MEDIA[route.form]: {"schema": _body(route), **_example(route)}},
        }
    elif route.fields:
        operation["parameters"] += [
            {"name": one.name, "in": "query", "required": one.required, "schema": _schema(one), **_sample(route, one)}
            for one in route.fields
        ]
    return operation


def _errors(route: Route) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    codes = _ERRORS if route.method else {code: text for code, text in _ERRORS.items() if code in ("400", "401", "422")}
    return {code: {"description": text, "content": content} for code, text in codes.items()}


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
