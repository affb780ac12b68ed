"""The route table becomes the routes of a FastAPI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from queueserver_http.errors import HttpError, answer_error, answer_invalid, error_reply
from queueserver_http.guard import Guard
from queueserver_http.openapi import operation, operation_id, responses, tag
from queueserver_http.routes import HTTP_ROUTES, WEBSOCKET_ROUTES, Route
from queueserver_http.streams.broadcast import Broadcast
from queueserver_http.websockets import Websockets

Operation = Callable[[Request, Route], Awaitable[Response]]
"""Answers any route of its kind with bytes; nothing is read from or written to models."""


def add_routes(
    application: FastAPI,
    routes: Sequence[Route],
    guard: Guard,
    *,
    operations: Sequence[object],
    endpoints: Sequence[object],
) -> None:
    """Add all routes, each behind its scope.

    A route's action is the name of a method: one of `operations` takes the request and the route, one of `endpoints`
    declares what it takes as FastAPI endpoints do. The order is the table's: those that are asked most come first,
    because routes are tried one after the other.
    """
    for route in routes:
        generic = _method(route.action, operations)
        endpoint = _guarded(generic, route, guard) if generic else _method(route.action, endpoints)
        assert endpoint is not None, route
        application.router.add_api_route(
            route.path,
            endpoint,
            methods=[route.verb],
            dependencies=None if generic else [guard.admits(route.scope)],
            route_class_override=_BytesRoute if generic else None,
            response_model=None,
            summary=route.summary,
            tags=[tag(route)],
            operation_id=operation_id(route),
            responses=responses(route),
            openapi_extra=operation(route, has_models=generic is None),
            include_in_schema=route in HTTP_ROUTES,
        )
    application.add_route("/api", _to_root, methods=["GET"], include_in_schema=False)


def add_websockets(application: FastAPI, websockets: Websockets, streams: dict[str, Broadcast]) -> None:
    """Add the routes of the streams; `streams`: by the actions of the route table."""
    for route in WEBSOCKET_ROUTES:
        application.router.add_websocket_route(route.path, websockets.endpoint(route, streams[route.action]))


def add_error_handlers(application: FastAPI) -> None:
    """Errors have the contract's form, whoever raises them."""
    application.add_exception_handler(HTTPException, answer_error)
    application.add_exception_handler(RequestValidationError, answer_invalid)
    application.add_exception_handler(405, _answer_wrong_method)


def _method(name: str, groups: Sequence[object]) -> Callable[..., Any] | None:
    return next((getattr(group, name) for group in groups if hasattr(group, name)), None)


class _BytesRoute(APIRoute):
    """A route whose endpoint takes a request and gives a response: FastAPI solves no dependencies for it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


def _guarded(answer: Operation, route: Route, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        await guard.admit(request, route.scope)
        return await answer(request, route)

    return endpoint


async def _to_root(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/api/", 307)


async def _answer_wrong_method(request: Request, error: Exception) -> Response:
    """Name the methods of all routes with this path; the framework knows those of the first only."""
    asked = request.scope["route"].path
    routes = [one for one in request.app.routes if isinstance(one, APIRoute) and one.path == asked]
    allowed = ", ".join(sorted({method for one in routes for method in one.methods or ()})) or "GET"
    return error_reply(HttpError(405, f"Method Not Allowed. Use {allowed}.", {"allow": allowed}))
