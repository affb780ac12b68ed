"""The ASGI application: finds the route, checks who asks, calls the handler, answers every failure as JSON."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from queueserver_http.access_log import AccessLog
from queueserver_http.cors import Cors
from queueserver_http.credentials import Kind, check_csrf, keep_key_in_cookie, presented
from queueserver_http.errors import HttpError, not_found
from queueserver_http.figures import Figures
from queueserver_http.http import (
    JSON,
    AnyReply,
    Message,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    StreamReply,
    error_reply,
)
from queueserver_http.identity import Identity, check_scope
from queueserver_http.routes import AUTHENTICATED, HTTP_ROUTES, PUBLIC, Route

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Handler = Callable[[Request], Awaitable[AnyReply]]

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_CLOSED_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")

_log = logging.getLogger("bluesky_httpserver")


_CUSTOM = Route("GET", "custom", AUTHENTICATED, "custom")
"""Stands for the routes that a site added. Nobody gets there without credentials; scopes are checked there."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what one client may cost. `body`, `reply`: bytes; `requests`: at once."""

    body: int = 32 * 1024 * 1024
    reply: int = 300_000_000
    requests: int = 2000


class Gateway:
    """Handles the HTTP part of ASGI. `handlers`: by the actions of the route table. `other`: takes unknown paths."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        identity: Identity,
        *,
        cors: Cors,
        figures: Figures,
        access_log: AccessLog,
        limits: Limits,
        routes: Sequence[Route] = HTTP_ROUTES,
        custom: Application | None = None,
    ) -> None:
        self._custom = custom
        self._identity = identity
        self._cors = cors
        self._figures = figures
        self._access_log = access_log
        self._limits = limits
        self._running = 0
        self._fixed: dict[str, dict[str, tuple[Route, Handler]]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, tuple[Route, Handler]]]] = []
        for route in routes:
            self._add(route, handlers[route.action])
        self._fixed["/api"] = {}

    def _add(self, route: Route, handler: Handler) -> None:
        if "{" not in route.path:
            self._fixed.setdefault(route.path, {})[route.verb] = (route, handler)
            return
        pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path)))
        known = next((table for one, table in self._patterns if one.pattern == pattern.pattern), None)
        if known is None:
            known = {}
            self._patterns.append((pattern, known))
        known[route.verb] = (route, handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request = Request(scope, receive, self._limits.body)
        route: Route | None = None
        self._running += 1
        try:
            if self._running > self._limits.requests:
                raise HttpError(503, "The server has too many requests at the same time.", [(b"retry-after", b"1")])
            preflight = self._cors.preflight(request)
            if preflight is None:
                route, handler = self._find(request)
                reply = await self._answer(request, route, handler)
                if isinstance(reply, Reply) and len(reply.body) > self._limits.reply:
                    raise HttpError(413, f"The reply would be longer than {self._limits.reply} bytes.")
            else:
                reply = preflight
        except HttpError as error:
            reply = error_reply(error)
        except Exception:
            _log.exception("%s %s failed by an error of the server", request.verb, scope["path"])
            reply = error_reply(HttpError(500, "The request failed by an error of the server, which is in its log."))
        finally:
            self._running -= 1
        seconds = time.perf_counter() - started
        size = await self._send(request, reply, seconds, send)
        status = reply.status if isinstance(reply, Reply) else 200
        self._figures.request(request.verb, route.path if route else "unknown", status, seconds)
        principal = getattr(request, "principal", None)
        self._access_log.write(request, principal, status, seconds, size)

    def _find(self, request: Request) -> tuple[Route, Handler]:
        path = request.scope["path"]
        if root := request.scope.get("root_path"):
            path = path.removeprefix(root)
        table = self._fixed.get(path)
        if table is None:
            for pattern, known in self._patterns:
                if match := pattern.fullmatch(path):
                    request.path_values, table = match.groupdict(), known
                    break
            else:
                if self._custom is None:
                    raise not_found()
                return _CUSTOM, self._pass_on
        if path == "/api":
            raise HttpError(307, "The path is /api/.", [(b"location", f"{root or ''}/api/".encode("latin-1"))])
        verb = "GET" if request.verb == "HEAD" else request.verb
        if verb not in table:
            allowed = ", ".join(sorted(table))
            raise HttpError(405, f"Method Not Allowed. Use {allowed}.", [(b"allow", allowed.encode())])
        return table[verb]

    async def _answer(self, request: Request, route: Route, handler: Handler) -> AnyReply:
        request.route = route
        check_csrf(request)
        if route.scope != PUBLIC:
            credentials = presented(request)
            try:
                request.principal = await self._identity.principal(credentials)
            except HttpError:
                if credentials.kind is not Kind.NOTHING:
                    self._figures.refused_credentials()
                raise
            check_scope(request.principal, route.scope)
            if credentials.source == "query":
                keep_key_in_cookie(request, credentials.secret)
        return await handler(request)

    async def _pass_on(self, request: Request) -> AnyReply:
        """The reply of a route that the site added."""
        assert self._custom is not None
        request.scope.setdefault("state", {})["principal"] = request.principal
        collected = _Collected(self._limits.reply)
        await self._custom(request.scope, request.receive, collected.send)
        return collected.reply()

    async def _send(self, request: Request, reply: AnyReply, seconds: float, send: Send) -> int:
        """Send a reply; returns the bytes of its body."""
        headers = [
            (b"content-type", reply.media),
            (b"server-timing", b"app;dur=%.1f" % (seconds * 1000)),
            *SECURITY_HEADERS,
            *request.reply_headers,
        ]
        if self._cors.origins:
            headers += self._cors.headers(request)
        if request.secure:
            headers.append(_TLS_ONLY)
        if isinstance(reply, StreamReply):
            headers.append(_CLOSED_PAGE)
            return await self._send_stream(request, reply, headers, send)
        headers += reply.headers
        if not any(name == b"content-security-policy" for name, _ in reply.headers):
            headers.append(_CLOSED_PAGE)
        headers.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        body = b"" if request.verb == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})
        return len(reply.body)

    async def _send_stream(
        self, request: Request, reply: StreamReply, headers: list[tuple[bytes, bytes]], send: Send
    ) -> int:
        size = 0
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.ensure_future(request.disconnected())
        try:
            while True:
                part = asyncio.ensure_future(anext(reply.parts, None))
                await asyncio.wait((part, gone), return_when=asyncio.FIRST_COMPLETED)
                if not part.done():
                    part.cancel()
                    return size
                if (text := part.result()) is None:
                    break
                size += len(text)
                await send({"type": "http.response.body", "body": text, "more_body": True})
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})
        return size


class _Collected:
    """Takes the reply of another application as a whole."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if len(self._body) > self._limit:
                raise HttpError(413, f"The reply would be longer than {self._limit} bytes.")

    def reply(self) -> Reply:
        media = next((value for name, value in self._headers if name == b"content-type"), JSON)
        others = [one for one in self._headers if one[0] not in (b"content-type", b"content-length")]
        return Reply(bytes(self._body), self._status, media, others)
