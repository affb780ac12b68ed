"""The OpenAPI document, from the route table."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from queueserver_common import __version__
from queueserver_http.access.scopes import SCOPES
from queueserver_http.accounts.model import NewKey, Refresh
from queueserver_http.routes.table import AUTHENTICATED, HTTP_ROUTES, PUBLIC, Field, Route

DESCRIPTION = (
    "A refusal by the manager is a reply with status 200 and `success: false`. GET takes its parameters from the query "
    "or from a JSON body. Scopes: " + ", ".join(f"`{scope}`" for scope in sorted(SCOPES))
)
_TYPES = {"boolean": "boolean", "integer": "integer", "number": "number", "mapping": "object", "list": "array"}
_MEDIA = {"json": "application/json", "form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data"}
_ERRORS = {
    400: "The request cannot be used: an unknown key, an invalid value, an unknown scheme of authorization.",
    401: "Credentials are missing, wrong or do not allow the request.",
    408: "The manager did not answer.",
    422: "The body is missing or is not what is expected.",
    503: "There is no connection to the manager; the request was not sent.",
}
_MODELS: dict[str, type[BaseModel]] = {
    "apikey_new": NewKey,
    "principal_apikey_new": NewKey,
    "session_refresh": Refresh,
}
"""Of bodies, by the actions of their routes."""

_SCHEMES = {
    "apiKeyHeader": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Apikey SECRET`"},
    "apiKeyQuery": {"type": "apiKey", "in": "query", "name": "api_key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_SECURITY: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
_ERROR = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}


def description(application: FastAPI, root_path: str) -> dict[str, Any]:
    """The document of a server below `root_path`."""
    paths: dict[str, dict[str, Any]] = {}
    for route in HTTP_ROUTES:
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Bluesky queue server", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, **{one.__name__: one.model_json_schema() for one in _MODELS.values()}},
            "securitySchemes": _SCHEMES,
        },
    }
    of_site = application.openapi()  # FastAPI describes the routers of a site, the table everything else
    paths.update(of_site["paths"])
    document["components"]["schemas"].update(of_site.get("components", {}).get("schemas", {}))
    return {**document, "servers": [{"url": root_path}]} if root_path else document


def _operation(route: Route) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "summary": route.summary,
        "tags": [_tag(route)],
        "operationId": _operation_id(route),
        "responses": _responses(route),
        "security": [] if route.scope == PUBLIC else _SECURITY,
    }
    if route.scope != PUBLIC:
        needed = "valid credentials" if route.scope == AUTHENTICATED else f"the scope `{route.scope}`"
        shown["description"] = f"Needs {needed}."
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _names(route.path)
    ]
    if route.verb == "POST" and (route.fields or not route.strict):
        shown["requestBody"] = {
            "required": route.body_required or route.form != "json",
            "content": {_MEDIA[route.form]: {"schema": _body(route), **_example(route)}},
        }
    else:
        parameters += [
            {"name": one.name, "in": "query", "required": one.required, "schema": _schema(one), **_sample(route, one)}
            for one in route.fields
        ]
    return {**shown, "parameters": parameters} if parameters else shown


def _responses(route: Route) -> dict[str, dict[str, Any]]:
    """What a route may answer."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    codes = _ERRORS if route.method else {code: text for code, text in _ERRORS.items() if code in (400, 401, 422)}
    return {
        "200": {"description": "Done, or refused by the manager (`success: false`)." if route.method else "Done."},
        **{str(code): {"description": text, "content": content} for code, text in codes.items()},
    }


def _names(path: str) -> list[str]:
    """Of the parameters in a path."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _operation_id(route: Route) -> str:
    """A name of an operation that stays the same."""
    return f"{route.verb}{route.path}".lower().replace("/", "_").translate({123: None, 125: None})


def _tag(route: Route) -> str:
    """The group of an operation."""
    return route.path.split("/")[2] or "status" if route.path.startswith("/api/") else "server"


def _body(route: Route) -> dict[str, Any]:
    if model := _MODELS.get(route.action):
        return {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "type": "object",
        "properties": {one.name: _schema(one) for one in route.fields},
        "required": [one.name for one in route.fields if one.required],
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
