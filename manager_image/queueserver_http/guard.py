"""Who may use a route: a dependency for each scope (http-api 3 and 5)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from queueserver_http.credentials import Kind, check_csrf, keep_key_in_cookie, presented
from queueserver_http.errors import HttpError
from queueserver_http.figures import Figures
from queueserver_http.identity import Identity, check_scope
from queueserver_http.principal import Principal
from queueserver_http.routes import PUBLIC


def principal_of(request: Request) -> Principal:
    """Who sends a request, on a route that asks for credentials."""
    principal: Principal = request.state.principal
    return principal


Requester = Annotated[Principal, Depends(principal_of)]
"""The principal, as a parameter of an endpoint."""


class Guard:
    """Makes the dependencies; counts wrong credentials."""

    def __init__(self, identity: Identity, figures: Figures) -> None:
        self._identity = identity
        self._figures = figures

    def admits(self, scope: str) -> Any:
        """A dependency that admits principals with a scope only, and everybody for `PUBLIC`."""

        async def admit(request: Request) -> None:
            await self.admit(request, scope)

        return Depends(admit)

    async def admit(self, request: Request, scope: str) -> None:
        """Note who sends the request; raises `HttpError` when a route with this scope is not for the sender."""
        check_csrf(request)
        if scope == PUBLIC:
            return
        credentials = presented(request)
        try:
            principal = await self._identity.principal(credentials)
        except HttpError as error:
            if error.status_code == 401 and credentials.kind is not Kind.NOTHING:
                self._figures.refused_credentials()
            raise
        check_scope(principal, scope)
        request.state.principal = principal
        if credentials.source == "query":
            keep_key_in_cookie(request, credentials.secret)
