"""Routers that a site adds to the server (http-api 6, `custom_routers`).

A module has a FastAPI router named `router`; its paths are below `/api`. Nobody reaches them without credentials, and
a route that needs a scope says so:

    @router.get("/beam/current", dependencies=[requires("read:status")])
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

from queueserver_http.access.guard import Guard, principal_of
from queueserver_http.access.identity import check_scope
from queueserver_http.access.principal import Principal
from queueserver_http.access.scopes import SCOPES
from queueserver_http.configuration.sources import ConfigurationError
from queueserver_http.routes.table import AUTHENTICATED

__all__ = ["CustomRouters", "principal_of", "requires"]

Requester = Annotated[Principal, Depends(principal_of)]
"""The principal, as a parameter of an endpoint."""


def requires(scope: str) -> Any:
    """A dependency that admits principals with a scope only."""
    if scope not in SCOPES:
        raise ValueError(f"there is no scope {scope!r}; the scopes are {sorted(SCOPES)}")

    async def check(requester: Requester) -> None:
        check_scope(requester, scope)

    return Depends(check)


class CustomRouters:
    """The routers of modules; raises `ConfigurationError` for one that has none."""

    def __init__(self, names: Sequence[str]) -> None:
        self._routers = [_router(name) for name in names]

    def include(self, application: FastAPI, guard: Guard) -> None:
        """Add the routers to an application, behind credentials."""

        async def admit(request: Request) -> None:
            await guard.admit(request, AUTHENTICATED)

        for router in self._routers:
            application.include_router(router, prefix="/api", dependencies=[Depends(admit)])


def _router(name: str) -> APIRouter:
    try:
        router = importlib.import_module(name).router
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"custom_routers: '{name}' cannot be used: {error}.") from None
    if not isinstance(router, APIRouter):
        raise ConfigurationError(f"custom_routers: 'router' of '{name}' must be a fastapi.APIRouter.")
    return router
