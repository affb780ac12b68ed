"""The ASGI application: what a server consists of, and its beginning and end."""

from __future__ import annotations

import importlib
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queueserver_http import loggers
from queueserver_http.access.failed_logins import FailedLogins
from queueserver_http.access.guard import Guard
from queueserver_http.access.identity import Identifier, Identity, SingleUser
from queueserver_http.access.policies import AccessPolicy
from queueserver_http.configuration.class_names import make
from queueserver_http.configuration.settings import Configuration, KubernetesSection, ZmqSection
from queueserver_http.configuration.sources import ConfigurationError
from queueserver_http.custom import CustomRouters
from queueserver_http.handlers.auth import AuthHandlers
from queueserver_http.handlers.console import ConsoleHandlers
from queueserver_http.handlers.legacy import LEGACY_ROUTES, LegacyHandlers
from queueserver_http.handlers.manager import ManagerHandlers
from queueserver_http.handlers.operating import OperatingHandlers
from queueserver_http.handlers.upload import UploadHandlers
from queueserver_http.manager.client import ManagerClient
from queueserver_http.manager.subscription import Subscription
from queueserver_http.middleware.access_log import AccessLog
from queueserver_http.middleware.envelope import Envelope, Limits
from queueserver_http.middleware.figures import Figures
from queueserver_http.registration import add_error_handlers, add_routes, add_websockets
from queueserver_http.routes.table import HTTP_ROUTES
from queueserver_http.streams.console import Console
from queueserver_http.streams.statuses import Statuses
from queueserver_http.streams.websockets import Websockets

if TYPE_CHECKING:  # what few servers need is imported where it is used: it takes memory
    from queueserver_http.access.token_review import TokenReview
    from queueserver_http.accounts.accounts import Accounts

STARTED = "Bluesky HTTP Server started successfully"
"""Tests of clients wait for this line."""

_CORS_METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS")
_CORS_HEADERS = ("authorization", "content-type", "x-csrf", "x-request-id")
_AN_HOUR = 3600

_log = logging.getLogger(loggers.SERVER)


class Application:
    """A server with one configuration, `asgi` for the rest of the world.

    Raises `ConfigurationError` at once for what can be known at once.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.policy: AccessPolicy = make(configuration.api_access.policy, configuration.api_access.args, "api_access")
        self.resources = make(
            configuration.resource_access.policy, configuration.resource_access.args, "resource_access"
        )
        providers = configuration.authentication.providers
        self.authenticators = {
            one.provider: make(one.authenticator, dict(one.args), f"authentication/providers/{one.provider}")
            for one in providers
        }
        if len(self.authenticators) < len(providers):
            raise ConfigurationError("authentication/providers: two providers have the same name.")
        server = configuration.server_configuration
        self.modules = [_module(name) for name in server.custom_modules]
        self.site = CustomRouters(server.custom_routers)
        self.single_user_key = ""
        """The key of a server without providers; made here when none is configured."""
        if not configuration.accounts:
            self.single_user_key = configuration.authentication.single_user_api_key or secrets.token_hex(32)
        self.figures = Figures()
        self.asgi = self._asgi()
        self._running: _Running | None = None

    def _asgi(self) -> FastAPI:
        """The application with what surrounds its routes; they come when the server starts and has its sockets."""
        configuration, server = self.configuration, self.configuration.server_configuration
        application = FastAPI(lifespan=self._lifespan, openapi_url=None)
        application.router.redirect_slashes = False
        add_error_handlers(application)
        if origins := configuration.allow_origins:
            application.add_middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=_CORS_METHODS,
                allow_headers=_CORS_HEADERS,
                allow_credentials="*" not in origins,
                expose_headers=["server-timing"],
                max_age=_AN_HOUR,
            )
        limits = Limits(server.body_limit, server.response_bytesize_limit, server.request_limit, server.body_timeout)
        access_log = AccessLog(enabled=server.access_log)
        application.add_middleware(Envelope, limits=limits, figures=self.figures, access_log=access_log)
        application.add_middleware(_ToldStart)
        return application

    @asynccontextmanager
    async def _lifespan(self, application: FastAPI) -> AsyncIterator[None]:
        await self.policy.start()
        self._running = _Running(self, await _accounts(self))
        _log.info(STARTED)
        yield
        await self._running.close()

    def prepare_stop(self) -> None:
        """Say that the server is not ready any more, and end the streams, which would keep it from ending."""
        if self._running is not None:
            self._running.prepare_stop()


class _ToldStart:
    """ASGI middleware: a configuration with which no start is possible is told in a sentence, not as a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_others(message: Message) -> None:
            if message["type"] != "lifespan.startup.failed":
                await send(message)

        try:
            await self._app(scope, receive, send_others)
        except ConfigurationError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})


class _Running:
    """What lives in the event loop, from the start to the end of the server."""

    def __init__(self, application: Application, accounts: Accounts | None) -> None:
        configuration = application.configuration
        self._policy = application.policy
        self._accounts = accounts
        self._stopping = False
        roles = application.policy.roles
        identifier: Identifier = accounts or SingleUser(application.single_user_key, roles)
        anonymous = configuration.authentication.allow_anonymous_access
        self._token_review = _token_review(configuration.kubernetes, roles)
        identity = Identity(identifier, roles, allow_anonymous=anonymous, token_review=self._token_review)
        self._manager = _manager_client(configuration.qserver_zmq_configuration)
        manager = ManagerHandlers(self._manager, application.resources)
        self._console, self._statuses = Console(), Statuses()
        self._status_cache = manager.status_cache
        self._subscription = Subscription(
            configuration.qserver_zmq_configuration.info_address,
            encoding=configuration.qserver_zmq_configuration.encoding,
            public_key=_info_key(configuration.qserver_zmq_configuration),
            on_console=self._console.add,
            on_status=self._on_status,
        )
        server = configuration.server_configuration
        self.websockets = Websockets(
            identity, configuration.allow_origins, server.websocket_limit, server.websocket_check_period
        )
        self._watch(application.figures)
        routes = (*HTTP_ROUTES, *(LEGACY_ROUTES if server.legacy_endpoints else ()))
        guard = Guard(identity, application.figures.refused_credentials)
        metrics = configuration.metrics.prometheus
        handlers = (
            manager,
            LegacyHandlers(manager),
            ConsoleHandlers(self._console),
            UploadHandlers(manager, application.modules),
            AuthHandlers(identity, application.authenticators, accounts, FailedLogins()),
            OperatingHandlers(
                self._status_cache,
                accounts,
                application.figures,
                metrics=metrics,
                stopping=lambda: self._stopping,
            ),
        )
        add_routes(application.asgi, routes, guard, handlers)
        statuses = self._statuses.messages
        streams = {"console": self._console.messages, "status": statuses, "info": statuses}
        add_websockets(application.asgi, self.websockets, streams)
        application.site.include(application.asgi, guard)

    def _on_status(self, payload: bytes) -> None:
        self._status_cache.changed()
        self._statuses.add(payload)

    def _watch(self, figures: Figures) -> None:
        console, statuses = self._console.messages, self._statuses.messages
        figures.watch("qs_http_websockets", "Open websockets", lambda: self.websockets.open)
        figures.watch("qs_http_console_messages", "Console messages received", lambda: console.last)
        figures.watch(
            "qs_http_lost_messages", "Messages that slow readers missed", lambda: console.lost + statuses.lost
        )

    def prepare_stop(self) -> None:
        """Not ready any more; let the readers of streams go."""
        self._stopping = True
        self._console.close()
        self._statuses.close()

    async def close(self) -> None:
        """Close all connections."""
        self.prepare_stop()
        self._subscription.close()
        self._manager.close()
        if self._accounts is not None:
            await self._accounts.close()
        if self._token_review is not None:
            await self._token_review.close()
        await self._policy.close()


def _token_review(settings: KubernetesSection, roles: dict[str, frozenset[str]]) -> TokenReview | None:
    if not settings.enabled:
        return None
    from queueserver_http.access.token_review import TokenReview

    return TokenReview(settings, roles)


async def _accounts(application: Application) -> Accounts | None:
    """The accounts of a server with providers, with their database; raises `ConfigurationError`."""
    if not application.configuration.accounts:
        return None
    from queueserver_http.accounts.opening import open_accounts

    return await open_accounts(application.configuration, application.policy)


def _manager_client(zmq: ZmqSection) -> ManagerClient:
    return ManagerClient(
        zmq.control_address,
        encoding=zmq.encoding,
        public_key=zmq.public_key,
        reply_timeout=zmq.reply_timeout,
        connect_timeout=zmq.connect_timeout,
        away_status=zmq.away_status,
    )


def _info_key(zmq: ZmqSection) -> str | None:
    return zmq.public_key if zmq.info_encrypted else None


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(f"custom_modules: the module '{name}' cannot be imported: {error}.") from None
