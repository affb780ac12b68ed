"""What is common to all requests, around the application: limits, headers, figures, access log, the last resort."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queueserver_http import loggers
from queueserver_http.exchange.errors import HttpError, bad_request, error_reply
from queueserver_http.middleware.access_log import AccessLog
from queueserver_http.middleware.figures import Figures

_MOST_QUERY_FIELDS = 100

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_CLOSED_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")

_log = logging.getLogger(loggers.SERVER)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what clients may cost. `body`, `reply`: bytes; `requests`: at once; `body_time`: seconds."""

    body: int = 32 * 1024 * 1024
    reply: int = 300_000_000
    requests: int = 2000
    body_time: float = 30.0


class Envelope:
    """ASGI middleware; only requests concern it, websockets pass."""

    def __init__(self, app: ASGIApp, *, limits: Limits, figures: Figures, access_log: AccessLog) -> None:
        self._app = app
        self._limits = limits
        self._figures = figures
        self._access_log = access_log
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limits)
        self._running += 1
        try:
            if self._running > self._limits.requests:
                raise HttpError(503, "The server has too many requests at the same time.", {"retry-after": "1"})
            if scope["query_string"].count(b"&") >= _MOST_QUERY_FIELDS:
                raise bad_request(f"The query has more than {_MOST_QUERY_FIELDS} parameters.")
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except HTTPException as error:
            await exchange.answer(error)
        except Exception:
            _log.exception("%s %s failed by an error of the server", scope["method"], scope["path"])
            await exchange.answer(HttpError(500, "The request failed by an error of the server, which is in its log."))
        finally:
            self._running -= 1
            self._account(scope, exchange)

    def _account(self, scope: Scope, exchange: _Exchange) -> None:
        status = exchange.status
        route = None if status == 405 else exchange.scope.get("route")
        self._figures.request(scope["method"], route.path if route else "unknown", status, exchange.seconds)
        self._access_log.write(scope, status, exchange.seconds, exchange.size)


class _Exchange:
    """One request and its reply, on their way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self._started = time.perf_counter()
        self._receive = receive
        self._send = send
        self._limits = limits
        self._received = 0
        self._body_due: float | None = None
        self._body_complete = False
        self._refused = False
        # A HEAD is a GET whose body the server keeps back.
        self.scope = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        self.status = 0
        self.seconds = 0.0
        self.size = 0

    async def receive(self) -> Message:
        """The next message of the body; raises `HttpError` when it is too long, too slow or broken off."""
        if self._body_complete:
            return await self._receive()
        if self._body_due is None:
            self._body_due = asyncio.get_running_loop().time() + self._limits.body_time
            announced = Headers(scope=self.scope).get("content-length", "")
            self._check_length(int(announced) if announced.isdigit() else 0)
        try:
            async with asyncio.timeout_at(self._body_due):
                message = await self._receive()
        except TimeoutError:
            raise HttpError(408, f"The body did not arrive within {self._limits.body_time:g} s.") from None
        if message["type"] == "http.disconnect":
            raise bad_request("The connection was closed before the body was complete.")
        self._received += len(message.get("body", b""))
        self._check_length(self._received)
        self._body_complete = not message.get("more_body", False)
        return message

    def _check_length(self, length: int) -> None:
        if length > self._limits.body:
            limit = f"The body is longer than {self._limits.body} bytes, which is the limit of this server."
            raise HttpError(413, limit)

    async def send(self, message: Message) -> None:
        """Pass a message of the reply on; a reply that is too long is replaced by an error."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            length = next((int(value) for name, value in headers if name == b"content-length"), 0)
            if length > self._limits.reply:
                await self.answer(HttpError(413, f"The reply would be longer than {self._limits.reply} bytes."))
                self._refused = True
                return
            self.status = message["status"]
            self.seconds = time.perf_counter() - self._started
            message = {**message, "headers": [*headers, *self._headers(headers)]}
        else:
            self.size += len(message.get("body", b""))
        await self._send(message)

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        added = [(b"server-timing", b"app;dur=%.1f" % (self.seconds * 1000)), *SECURITY_HEADERS]
        added += self.scope.get("state", {}).get("cookies", ())
        if self.scope.get("scheme") == "https":
            added.append(_TLS_ONLY)
        if not any(name == b"content-security-policy" for name, _ in headers):
            added.append(_CLOSED_PAGE)
        return added

    async def answer(self, error: HTTPException) -> None:
        """An error as the reply; nothing when a part of another reply was sent already."""
        if self.status == 0:
            await error_reply(error)(self.scope, self.receive, self.send)
