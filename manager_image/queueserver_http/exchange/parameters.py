"""Parameters of a request: keys of a JSON body, and of the query where there is one (http-api 1).

The bodies are the manager's matter: only the names of their keys are checked here, and numbers that JSON or Python's
types cannot hold stay what they are.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from queueserver_http.exchange.errors import bad_request, unprocessable
from queueserver_http.routes.table import Route


async def read_parameters(request: Request, route: Route) -> dict[str, Any]:
    """Keys of the body, and with GET those of the query that the route knows; checked for their names.

    Raises `HttpError`: 422 when the body is missing or no mapping, 400 for a key that the route does not know.
    """
    body = await request.body()
    given = decode_mapping(body) if body and not body.isspace() else None
    parameters = given or {}
    if request.scope["query_string"] and route.verb != "POST":
        query = request.query_params
        known = {one.name: _value(query[one.name], one.kind) for one in route.fields if one.name in query}
        parameters = {**known, **parameters}
    if route.body_required and given is None and not parameters:
        raise unprocessable(f"{route.path} needs a body, which is a JSON mapping.{_keys(route)}")
    if route.strict and parameters and (unknown := parameters.keys() - {one.name for one in route.fields}):
        called = route.method or route.path
        raise bad_request(f"{called} got an unexpected keyword argument '{min(unknown)}'.{_keys(route)}")
    return parameters


def decode_mapping(body: bytes) -> dict[str, Any] | None:
    """The mapping in a body, None for `null`; raises 422 for anything else. NaN and long integers are kept."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise unprocessable("The body is nested too deeply.") from None
    except ValueError as error:
        raise unprocessable(f"The body is not JSON: {error}.") from None
    if value is not None and not isinstance(value, dict):
        raise unprocessable(f"The body must be a JSON mapping, such as {{}}, and not a {type(value).__name__}.")
    return value


def _keys(route: Route) -> str:
    names = ", ".join(one.name for one in route.fields)
    return f" The keys are: {names}." if names else " There are no keys."


def _value(text: str, kind: str) -> Any:
    """A parameter of the query: a text where texts are meant, else JSON, else the text as it is."""
    if kind.startswith("string"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
