"""Routers that a site adds to the server (http-api 6, `custom_routers`).

A module has a FastAPI router named `router`; its paths are below `/api`. Nobody reaches them without credentials, and
a route that needs a scope says so:

    @router.get("/beam/current", dependencies=[requires("read:status")])
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from queueserver_http.configuration_sources import ConfigurationError
from queueserver_http.guard import Guard, Requester, principal_of
from queueserver_http.identity import check_scope
from queueserver_http.routes import AUTHENTICATED
from queueserver_http.scopes import SCOPES

__all__ = ["custom_routers", "include", "principal_of", "requires"]


def requires(scope: str) -> Any:
    """A dependency that admits principals with a scope only."""
    if scope not in SCOPES:
        raise ValueError(f"there is no scope {scope!r}; the scopes are {sorted(SCOPES)}")

    async def check(requester: Requester) -> None:
        check_scope(requester, scope)

    return Depends(check)


def custom_routers(names: Sequence[str]) -> list[APIRouter]:
    """The routers of these modules; raises `ConfigurationError`."""
    routers = []
    for name in names:
        try:
            router = importlib.import_module(name).router
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"custom_routers: '{name}' cannot be used: {error}.") from None
        if not isinstance(router, APIRouter):
            raise ConfigurationError(f"custom_routers: 'router' of '{name}' must be a fastapi.APIRouter.")
        routers.append(router)
    return routers


def include(application: FastAPI, routers: Sequence[APIRouter], guard: Guard) -> None:
    """Add the routers, behind credentials."""
    for router in routers:
        application.include_router(router, prefix="/api", dependencies=[guard.admits(AUTHENTICATED)])
