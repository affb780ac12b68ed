"""Websockets: the same credentials as everywhere, then one stream (http-api 2.3).

A browser cannot send headers with a websocket. It either makes a ticket first (`?ticket=…`), or asks with
`?auth=message` to send its credentials as the first message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from queueserver_http.cors import Cors
from queueserver_http.credentials import Credentials, Kind, presented
from queueserver_http.errors import HttpError, bad_request, unauthorized
from queueserver_http.http import Receive, Request, Scope, Send
from queueserver_http.identity import Identity, check_scope
from queueserver_http.principal import Principal
from queueserver_http.routes import WEBSOCKET_ROUTES
from queueserver_http.streams.broadcast import Broadcast

_REFUSED = 4001
"""Close code; before the connection is accepted the client sees HTTP 403."""
_TRY_LATER = 1013
_GOING_AWAY = 1001

_FIRST_MESSAGE_S = 5.0
"""Seconds that a client has for its credentials."""
_LONGEST_CREDENTIALS = 16_384
_SLOW_S = 30.0
"""Seconds after which a client that reads nothing is disconnected."""

_log = logging.getLogger("bluesky_httpserver.websockets")


class Websockets:
    """Handles the websocket part of ASGI. `streams`: by the actions of the route table."""

    def __init__(self, streams: Mapping[str, Broadcast], identity: Identity, cors: Cors, limit: int) -> None:
        self._streams = {route.path: (route, streams[route.action]) for route in WEBSOCKET_ROUTES}
        self._identity = identity
        self._cors = cors
        self._limit = limit
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        request = Request(scope, receive, _LONGEST_CREDENTIALS)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path not in self._streams:
            await send({"type": "websocket.close", "code": _REFUSED, "reason": "Not Found"})
            return
        route, stream = self._streams[path]
        if self.open >= self._limit:
            await send({"type": "websocket.close", "code": _TRY_LATER, "reason": "Too many connections"})
            return
        self.open += 1
        accepted = False
        try:
            by_message = request.query.get("auth") == "message"
            if by_message:
                await send({"type": "websocket.accept"})
                accepted = True
            principal = await (self._by_message(receive) if by_message else self._principal(request))
            check_scope(principal, route.scope)
            if not accepted:
                await send({"type": "websocket.accept"})
            await self._run(stream, receive, send)
        except HttpError as error:
            _log.info("%s was refused: %s", route.path, error.detail)
            await send({"type": "websocket.close", "code": _REFUSED, "reason": "Invalid token"})
        except ConnectionError:
            pass  # the client has gone
        finally:
            self.open -= 1

    async def _principal(self, request: Request) -> Principal:
        if (ticket := request.query.get("ticket")) is not None:
            return self._identity.by_ticket(ticket)
        credentials = presented(request)
        if credentials.source == "cookie":
            self._check_origin(request)
        return await self._identity.principal(credentials)

    def _check_origin(self, request: Request) -> None:
        """Cookies travel with the websockets of any page, so the page has to be this server's or an admitted one."""
        origin = request.headers.get(b"origin", b"").decode("latin-1")
        host = request.headers.get(b"host", b"").decode("latin-1")
        if not origin or (urlsplit(origin).netloc != host and origin not in self._cors.origins):
            raise unauthorized("A websocket with a cookie is accepted from pages of this server only.")

    async def _by_message(self, receive: Receive) -> Principal:
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_S):
                message = await receive()
        except TimeoutError:
            raise unauthorized(f"No credentials were sent within {_FIRST_MESSAGE_S:g} s.") from None
        sent = _mapping(message.get("text") or message.get("bytes") or b"")
        match sent:
            case {"ticket": str(ticket)}:
                return self._identity.by_ticket(ticket)
            case {"api_key": str(key)}:
                return await self._identity.principal(Credentials(Kind.API_KEY, key, "message"))
            case {"access_token": str(token)}:
                return await self._identity.principal(Credentials(Kind.TOKEN, token, "message"))
        raise bad_request("The first message must be a mapping with 'api_key', 'access_token' or 'ticket'.")

    async def _run(self, stream: Broadcast, receive: Receive, send: Send) -> None:
        """Send until the client goes, the server ends, or the client does not read."""
        stream.readers += 1
        sender = asyncio.ensure_future(_send_all(stream, send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((sender, gone), return_when=asyncio.FIRST_COMPLETED)
            if sender.done() and not gone.done():
                await send({"type": "websocket.close", "code": sender.result()})
        finally:
            stream.readers -= 1
            for task in (sender, gone):
                task.cancel()
            await asyncio.gather(sender, gone, return_exceptions=True)


async def _send_all(stream: Broadcast, send: Send) -> int:
    """The code to close with."""
    number = stream.last
    while True:
        try:
            number, message = await stream.next(number)
        except EOFError:
            return _GOING_AWAY
        try:
            async with asyncio.timeout(_SLOW_S):
                await send({"type": "websocket.send", "text": message.decode()})
        except TimeoutError:
            return _TRY_LATER


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass  # what a client says on a stream has no meaning


def _mapping(text: Any) -> Any:
    try:
        return orjson.loads(text) if len(text) <= _LONGEST_CREDENTIALS else None
    except orjson.JSONDecodeError:
        return None
