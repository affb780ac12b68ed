"""The route table becomes the routes of the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette import routing
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from queueserver_http.access.guard import Guard
from queueserver_http.authenticators.external import ProviderAway
from queueserver_http.exchange.errors import HttpError, answer_error, error_reply, provider_away
from queueserver_http.exchange.models import refusal
from queueserver_http.routes.table import WEBSOCKET_ROUTES, Route
from queueserver_http.streams.broadcast import Broadcast
from queueserver_http.streams.websockets import Websockets

Handler = Callable[[Request, Route], Awaitable[Response]]
"""Answers any route of its kind."""


def add_routes(application: FastAPI, routes: Sequence[Route], guard: Guard, handlers: Sequence[object]) -> None:
    """Add all routes, each behind its scope.

    A route's action is the name of a method of one of the `handlers`. The order is the table's: those that are asked
    most come first, because routes are tried one after the other.
    """
    for route in routes:
        endpoint = _guarded(_method(route.action, handlers), route, guard)
        application.router.routes.append(routing.Route(route.path, endpoint, methods=[route.verb]))
    application.router.routes.append(routing.Route("/api", _to_root, methods=["GET"]))


def add_websockets(application: FastAPI, websockets: Websockets, streams: dict[str, Broadcast]) -> None:
    """Add the routes of the streams; `streams`: by the actions of the route table."""
    for route in WEBSOCKET_ROUTES:
        endpoint = websockets.endpoint(route, streams[route.action])
        application.router.routes.append(routing.WebSocketRoute(route.path, endpoint))


def add_error_handlers(application: FastAPI) -> None:
    """Errors have the contract's form, whoever raises them."""
    application.add_exception_handler(HTTPException, answer_error)
    application.add_exception_handler(405, _answer_wrong_method)
    application.add_exception_handler(RequestValidationError, _answer_invalid)
    application.add_exception_handler(ProviderAway, _answer_away)


def _method(name: str, handlers: Sequence[object]) -> Handler:
    [found] = [getattr(one, name) for one in handlers if hasattr(one, name)]
    handler: Handler = found
    return handler


def _guarded(answer: Handler, route: Route, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        request.scope["route"] = route
        await guard.admit(request, route.scope)
        return await answer(request, route)

    return endpoint


async def _to_root(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/api/", 307)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """What FastAPI refuses, in routers of a site."""
    assert isinstance(error, RequestValidationError)
    return error_reply(refusal(error.errors(), skip=1))


async def _answer_away(request: Request, error: Exception) -> Response:
    return error_reply(provider_away())


async def _answer_wrong_method(request: Request, error: Exception) -> Response:
    """Name the methods of all routes with this path; the framework knows those of the first only."""
    there: list[Any] = [one for one in request.app.routes if one.matches(request.scope)[0] is not routing.Match.NONE]
    allowed = ", ".join(sorted({method for one in there for method in getattr(one, "methods", None) or ()})) or "GET"
    return error_reply(HttpError(405, f"Method Not Allowed. Use {allowed}.", {"allow": allowed}))
