"""Requests and replies on top of ASGI, as small as they can be: the status is read thousands of times a second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import orjson

from queueserver_http.errors import HttpError, bad_request, unprocessable
from queueserver_http.principal import Principal
from queueserver_http.routes import Route

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
_MOST_QUERY_FIELDS = 100
_BODY_TIME_S = 30.0
"""Seconds that a client has to send the body."""


class Request:
    """One request. `path_values`: the parts of the path that its route has names for."""

    __slots__ = (
        "_body_due",
        "_cookies",
        "_query",
        "_receive",
        "body_limit",
        "headers",
        "path_values",
        "principal",
        "reply_headers",
        "route",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, body_limit: int) -> None:
        self.scope = scope
        self._receive = receive
        self.body_limit = body_limit
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, str] | None = None
        self._cookies: dict[str, str] | None = None
        self._body_due = 0.0
        self.path_values: Mapping[str, str] = {}
        self.reply_headers: list[tuple[bytes, bytes]] = []
        """Headers that the reply gets whatever the handler answers."""
        self.route: Route
        self.principal: Principal

    @property
    def receive(self) -> Receive:
        """The messages of the body, for another application."""
        return self._receive

    @property
    def verb(self) -> str:
        verb: str = self.scope.get("method", "GET")
        return verb

    @property
    def client(self) -> str:
        """Address of the client, as far as the server or a trusted proxy tells."""
        client = self.scope.get("client")
        return str(client[0]) if client else "unknown"

    @property
    def secure(self) -> bool:
        """Whether the client speaks TLS."""
        return self.scope.get("scheme") in ("https", "wss")

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the query; the last of duplicates counts."""
        if self._query is None:
            text = self.scope.get("query_string", b"")
            try:
                pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_QUERY_FIELDS)
            except ValueError:
                raise bad_request(f"The query has more than {_MOST_QUERY_FIELDS} parameters.") from None
            self._query = dict(pairs) if text else {}
        return self._query

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name."""
        if self._cookies is None:
            header = self.headers.get(b"cookie")
            self._cookies = {}
            if header:
                try:
                    self._cookies = {name: one.value for name, one in SimpleCookie(header.decode("latin-1")).items()}
                except CookieError:
                    self._cookies = {}
        return self._cookies

    async def body(self) -> bytes:
        """The whole body; raises `HttpError` when it is too long, too slow or broken off."""
        if self._announced_length() > self.body_limit:
            raise self._too_long()
        message = await self._next()
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > self.body_limit:
                raise self._too_long()
            return body
        parts = [body, *[part async for part in self.stream(len(body))]]
        return b"".join(parts)

    async def stream(self, received: int = 0) -> AsyncGenerator[bytes, None]:
        """The (rest of the) body in pieces, with the same limits."""
        if self._announced_length() > self.body_limit:
            raise self._too_long()
        more = True
        while more:
            message = await self._next()
            part: bytes = message.get("body", b"")
            received += len(part)
            if received > self.body_limit:
                raise self._too_long()
            more = message.get("more_body", False)
            yield part

    async def disconnected(self) -> None:
        """Return when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self) -> Message:
        if self._body_due == 0.0:
            self._body_due = asyncio.get_running_loop().time() + _BODY_TIME_S
        try:
            async with asyncio.timeout_at(self._body_due):
                message = await self._receive()
        except TimeoutError:
            raise HttpError(408, f"The body did not arrive within {_BODY_TIME_S:g} s.") from None
        if message["type"] == "http.disconnect":
            raise HttpError(400, "The connection was closed before the body was complete.")
        return message

    def _announced_length(self) -> int:
        length = self.headers.get(b"content-length", b"0")
        return int(length) if length.isdigit() else 0

    def _too_long(self) -> HttpError:
        return HttpError(413, f"The body is longer than {self.body_limit} bytes, which is the limit of this server.")

    async def parameters(self) -> dict[str, Any]:
        """Keys of the body, and with GET and DELETE those of the query that the route knows; checked for their names.

        Raises `HttpError`: 422 when the body is missing or no mapping, 400 for a key that the route does not know.
        """
        route = self.route
        body = await self.body()
        given = decode_mapping(body) if body and not body.isspace() else None
        parameters = given or {}
        if self.verb != "POST" and self.query:
            parameters = {**self._from_query(route), **parameters}
        if route.body_required and given is None and not parameters:
            raise unprocessable(f"{route.path} needs a body, which is a JSON mapping.{_keys(route)}")
        if route.strict and parameters and (unknown := parameters.keys() - {one.name for one in route.fields}):
            called = route.method or route.path
            raise bad_request(f"{called} got an unexpected keyword argument '{min(unknown)}'.{_keys(route)}")
        return parameters

    def _from_query(self, route: Route) -> dict[str, Any]:
        query = self.query
        return {one.name: _value(query[one.name], one.kind) for one in route.fields if one.name in query}


class Reply:
    """A complete reply."""

    __slots__ = ("body", "headers", "media", "status")

    def __init__(self, body: bytes, status: int = 200, media: bytes = JSON, headers: Headers = ()) -> None:
        self.body = body
        self.status = status
        self.media = media
        self.headers = headers


class StreamReply:
    """A reply without an end of its own."""

    __slots__ = ("media", "parts")

    def __init__(self, parts: AsyncIterator[bytes], media: bytes) -> None:
        self.parts = parts
        self.media = media


AnyReply = Reply | StreamReply


def json_reply(value: Any, status: int = 200, headers: Headers = ()) -> Reply:
    """A reply of our own making, which holds ordinary values only."""
    return Reply(orjson.dumps(value), status, headers=headers)


def error_reply(error: HttpError) -> Reply:
    """The reply of the contract's form."""
    if error.plain:
        return Reply(error.detail.encode(), error.status, TEXT, error.headers)
    body = json.dumps({"detail": error.detail}).encode()  # a detail may quote any text, unpaired surrogates too
    return Reply(body, error.status, headers=error.headers)


def decode_mapping(body: bytes) -> dict[str, Any] | None:
    """The mapping in a body, None for `null`; raises 422 for anything else. NaN and long integers are kept."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise unprocessable("The body is nested too deeply.") from None
    except ValueError as error:
        raise unprocessable(f"The body is not JSON: {error}.") from None
    if value is not None and not isinstance(value, dict):
        raise unprocessable(f"The body must be a JSON mapping, such as {{}}, and not a {type(value).__name__}.")
    return value


def _keys(route: Route) -> str:
    names = ", ".join(one.name for one in route.fields)
    return f" The keys are: {names}." if names else " There are no keys."


def _value(text: str, kind: str) -> Any:
    """A parameter of the query: a text where texts are meant, else JSON, else the text as it is."""
    if kind.startswith("string"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
