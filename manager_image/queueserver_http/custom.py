"""Routers that a site adds to the server (http-api 6, `custom_routers`).

A module has a FastAPI router named `router`; its paths are below `/api`. Nobody reaches them without credentials, and
a route that needs a scope says so:

    @router.get("/beam/current", dependencies=[requires("read:status")])
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request

from queueserver_http.configuration_sources import ConfigurationError
from queueserver_http.errors import HttpError
from queueserver_http.identity import check_scope
from queueserver_http.principal import Principal
from queueserver_http.scopes import SCOPES


def requires(scope: str) -> Any:
    """A dependency that admits principals with a scope only."""
    if scope not in SCOPES:
        raise ValueError(f"there is no scope {scope!r}; the scopes are {sorted(SCOPES)}")

    def check(request: Request) -> None:
        check_scope(principal_of(request), scope)

    return Depends(check)


def principal_of(request: Request) -> Principal:
    """Who sends a request to a custom route."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


def custom_application(names: Sequence[str]) -> FastAPI:
    """An application of all routers; raises `ConfigurationError`."""
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for name in names:
        try:
            router = importlib.import_module(name).router
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"custom_routers: '{name}' cannot be used: {error}.") from None
        if not isinstance(router, APIRouter):
            raise ConfigurationError(f"custom_routers: 'router' of '{name}' must be a fastapi.APIRouter.")
        application.include_router(router, prefix="/api")

    @application.exception_handler(HttpError)
    async def refused(request: Request, error: Exception) -> Any:
        from fastapi.responses import JSONResponse

        assert isinstance(error, HttpError)
        return JSONResponse({"detail": error.detail}, error.status)

    return application
