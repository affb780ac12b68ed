"""Who may use a route (http-api 3 and 5)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from queueserver_http.access.credentials import Kind, check_csrf, keep_key_in_cookie, presented
from queueserver_http.access.identity import Identity, check_scope
from queueserver_http.access.principal import Principal
from queueserver_http.exchange.errors import HttpError
from queueserver_http.routes.table import PUBLIC


def principal_of(request: Request) -> Principal:
    """Who sends a request, on a route that asks for credentials."""
    principal: Principal = request.state.principal
    return principal


class Guard:
    """Admits requests to routes; `on_refusal` is told of wrong credentials."""

    def __init__(self, identity: Identity, on_refusal: Callable[[], None]) -> None:
        self._identity = identity
        self._on_refusal = on_refusal

    async def admit(self, request: Request, scope: str) -> None:
        """Note who sends the request; raises `HttpError` when a route with this scope is not for the sender.

        Everybody is admitted to what is `PUBLIC`.
        """
        check_csrf(request)
        if scope == PUBLIC:
            return
        credentials = presented(request)
        try:
            principal = await self._identity.principal(credentials)
        except HttpError as error:
            if error.status_code == 401 and credentials.kind is not Kind.NOTHING:
                self._on_refusal()
            raise
        check_scope(principal, scope)
        request.state.principal = principal
        if credentials.source == "query":
            keep_key_in_cookie(request, credentials.secret)
