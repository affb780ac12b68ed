"""Handlers of the routes by which the server itself is operated: description, health, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from queueserver_http.description.openapi import description
from queueserver_http.description.page import docs_page
from queueserver_http.exchange.errors import HttpError, database_away, not_found
from queueserver_http.exchange.replies import json_reply
from queueserver_http.manager.status_cache import StatusCache
from queueserver_http.middleware.figures import Figures
from queueserver_http.routes.table import Route

if TYPE_CHECKING:  # a server with a single user does without the packages of the database
    from queueserver_http.accounts.accounts import Accounts

_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_PAGE_POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
_READY_S = 1.5
"""Seconds that manager and database each have for their answer before the server says that it is not ready."""


class OperatingHandlers:
    """Open to everybody, but for the metrics."""

    def __init__(
        self,
        status_cache: StatusCache,
        accounts: Accounts | None,
        figures: Figures,
        *,
        metrics: bool,
        stopping: Callable[[], bool],
    ) -> None:
        self._status_cache = status_cache
        self._accounts = accounts
        self._figures = figures
        self._metrics = metrics
        self._stopping = stopping

    async def openapi(self, request: Request, route: Route) -> Response:
        """The OpenAPI document."""
        return json_reply(description(request.app, request.scope.get("root_path", "")))

    async def docs(self, request: Request, route: Route) -> Response:
        """The OpenAPI document as a page that needs nothing from elsewhere."""
        return HTMLResponse(docs_page(), headers=_PAGE_POLICY)

    async def health(self, request: Request, route: Route) -> Response:
        """This process answers."""
        return PlainTextResponse("ok\n")

    async def started(self, request: Request, route: Route) -> Response:
        """The database of accounts was reached once, if there are accounts."""
        if self._accounts is not None and not self._accounts.opened:
            raise database_away()
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request, route: Route) -> Response:
        """The manager and the database of accounts answer, and the server is not about to end."""
        if self._stopping():
            raise HttpError(503, "The server is about to end.")
        try:
            async with asyncio.timeout(_READY_S):
                await self._status_cache.get()
        except (HttpError, TimeoutError):
            raise HttpError(503, "The manager does not answer.", {"retry-after": "1"}) from None
        if self._accounts is not None:
            try:
                async with asyncio.timeout(_READY_S):
                    await self._accounts.check()
            except TimeoutError:
                raise database_away() from None
        return PlainTextResponse("ok\n")

    async def metrics(self, request: Request, route: Route) -> Response:
        """Figures of this server."""
        if not self._metrics:
            raise not_found("Metrics are switched off: metrics/prometheus in the configuration.")
        return Response(self._figures.exposition(), media_type=_METRICS)
