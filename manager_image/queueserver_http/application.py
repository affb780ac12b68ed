"""The ASGI application: what a server consists of, and its beginning and end."""

from __future__ import annotations

import importlib
import logging
import secrets
from collections.abc import Sequence
from types import ModuleType

from queueserver_http.access.policies import AccessPolicy
from queueserver_http.access_log import AccessLog
from queueserver_http.accounts.accounts import Accounts
from queueserver_http.auth_handlers import AuthHandlers
from queueserver_http.class_names import make
from queueserver_http.configuration import Configuration, ZmqSection
from queueserver_http.configuration_sources import ConfigurationError
from queueserver_http.console_handlers import ConsoleHandlers
from queueserver_http.cors import Cors
from queueserver_http.figures import Figures
from queueserver_http.gateway import Application as ASGIApplication
from queueserver_http.gateway import Gateway, Handler, Limits
from queueserver_http.http import Receive, Scope, Send
from queueserver_http.identity import Identifier, Identity, SingleUser
from queueserver_http.legacy import LEGACY_ROUTES, LegacyHandlers
from queueserver_http.limits import FailedLogins
from queueserver_http.manager_client import ManagerClient
from queueserver_http.manager_handlers import ManagerHandlers
from queueserver_http.operating_handlers import OperatingHandlers
from queueserver_http.routes import HTTP_ROUTES, Route
from queueserver_http.streams.console import Console
from queueserver_http.streams.statuses import Statuses
from queueserver_http.subscription import Subscription
from queueserver_http.token_review import TokenReview
from queueserver_http.upload_handlers import UploadHandlers
from queueserver_http.websockets import Websockets

STARTED = "Bluesky HTTP Server started successfully"
"""Tests of clients wait for this line."""

_log = logging.getLogger("bluesky_httpserver")


class Application:
    """A server with one configuration. Raises `ConfigurationError` at once for what can be known at once."""

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
        self.modules = [_module(name) for name in configuration.server_configuration.custom_modules]
        self.single_user_key = ""
        """The key of a server without providers; made here when none is configured."""
        if not configuration.accounts:
            self.single_user_key = configuration.authentication.single_user_api_key or secrets.token_hex(32)
        self._running: _Running | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._running is None:
            raise RuntimeError("the server was not started: its ASGI lifespan has to be run")
        elif scope["type"] == "http":
            await self._running.gateway(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._running.websockets(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.policy.start()
            self._running = _Running(self, await _accounts(self))
        except ConfigurationError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        _log.info(STARTED)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._running.close()
        await send({"type": "lifespan.shutdown.complete"})

    def prepare_stop(self) -> None:
        """Say that the server is not ready any more, and end the streams, which would keep it from ending."""
        if self._running is not None:
            self._running.prepare_stop()


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
        kubernetes = configuration.authentication.kubernetes
        self._token_review = TokenReview(kubernetes, roles) if kubernetes.enabled else None
        identity = Identity(identifier, roles, allow_anonymous=anonymous, token_review=self._token_review)
        self._manager = _manager_client(configuration.qserver_zmq_configuration)
        manager = ManagerHandlers(self._manager, application.resources)
        self._console, self._statuses = Console(), Statuses()
        self._status_cache = manager.status_cache
        self._subscription = Subscription(
            configuration.qserver_zmq_configuration.info_address,
            encoding=configuration.qserver_zmq_configuration.encoding,
            on_console=self._console.add,
            on_status=self._on_status,
        )
        cors = Cors(configuration.allow_origins)
        statuses = self._statuses.messages
        streams = {"console": self._console.messages, "status": statuses, "info": statuses}
        server = configuration.server_configuration
        self.websockets = Websockets(streams, identity, cors, server.websocket_limit)
        figures = Figures()
        self._watch(figures)
        metrics = configuration.metrics.prometheus
        routes = (*HTTP_ROUTES, *(LEGACY_ROUTES if server.legacy_endpoints else ()))
        handlers = _handlers(
            routes,
            manager,
            LegacyHandlers(manager),
            ConsoleHandlers(self._console),
            UploadHandlers(manager, application.modules),
            AuthHandlers(identity, accounts, application.authenticators, FailedLogins()),
            OperatingHandlers(self._status_cache, figures, metrics=metrics, stopping=lambda: self._stopping),
        )
        self.gateway = Gateway(
            handlers,
            identity,
            cors=cors,
            figures=figures,
            access_log=AccessLog(enabled=server.access_log),
            limits=Limits(server.body_limit, server.response_bytesize_limit, server.request_limit),
            routes=routes,
            custom=_custom_application(server.custom_routers),
        )

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


async def _accounts(application: Application) -> Accounts | None:
    """The accounts of a server with providers, with their database; raises `ConfigurationError`."""
    if not application.configuration.accounts:
        return None
    # Imported here: a server with a single user does without the database's 20 MB.
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


def _handlers(routes: Sequence[Route], *groups: object) -> dict[str, Handler]:
    """The handlers of all actions of the route table: methods of the same names."""
    found: dict[str, Handler] = {}
    for action in {route.action for route in routes}:
        [found[action]] = [getattr(group, action) for group in groups if hasattr(group, action)]
    return found


def _custom_application(names: Sequence[str]) -> ASGIApplication | None:
    if not names:
        return None
    from queueserver_http.custom import custom_application  # FastAPI takes memory that few servers need

    return custom_application(names)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(f"custom_modules: the module '{name}' cannot be imported: {error}.") from None
