"""Websockets: the same credentials as everywhere, then one stream (http-api 2.3).

A browser cannot send headers with a websocket. It either makes a ticket first (`?ticket=…`), or asks with
`?auth=message` to send its credentials as the first message. A stream ends when its credentials are good no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from queueserver_http import loggers
from queueserver_http.access.credentials import Credentials, Kind, presented
from queueserver_http.access.identity import Identity, check_scope
from queueserver_http.exchange.errors import HttpError, bad_request, unauthorized
from queueserver_http.routes.table import Route
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

_log = logging.getLogger(loggers.WEBSOCKETS)


class Websockets:
    """Makes the endpoints of streams.

    `origins`: pages that may use cookies; `limit`: connections at once; `check_period`: seconds after which the
    credentials of an open one are checked again.
    """

    def __init__(self, identity: Identity, origins: Collection[str], limit: int, check_period: float) -> None:
        self._identity = identity
        self._origins = origins
        self._limit = limit
        self._check_period = check_period
        self.open = 0

    def endpoint(self, route: Route, stream: Broadcast) -> Callable[[WebSocket], Awaitable[None]]:
        """The endpoint of a route that sends one stream."""

        async def serve(websocket: WebSocket) -> None:
            if self.open >= self._limit:
                await websocket.close(_TRY_LATER, "Too many connections")
                return
            self.open += 1
            try:
                credentials = await self._admit(websocket, route)
                await self._run(stream, websocket, partial(self._check, credentials, route))
            except HttpError as error:
                _log.info("%s was refused: %s", route.path, error.detail)
                code, reason = (_TRY_LATER, error.detail) if error.status_code == 503 else (_REFUSED, "Invalid token")
                with contextlib.suppress(WebSocketDisconnect):  # it may have gone meanwhile
                    await websocket.close(code, reason)
            except WebSocketDisconnect:
                pass  # the client has gone
            finally:
                self.open -= 1

        return serve

    async def _admit(self, websocket: WebSocket, route: Route) -> Credentials:
        if websocket.query_params.get("auth") == "message":
            await websocket.accept()
            credentials = await self._by_message(websocket)
            await self._check(credentials, route)
        else:
            credentials = self._presented(websocket)
            await self._check(credentials, route)
            await websocket.accept()
        return credentials

    async def _check(self, credentials: Credentials, route: Route) -> None:
        check_scope(await self._identity.principal(credentials), route.scope)

    def _presented(self, websocket: WebSocket) -> Credentials:
        if (ticket := websocket.query_params.get("ticket")) is not None:
            return self._identity.by_ticket(ticket)
        credentials = presented(websocket)
        if credentials.source == "cookie":
            self._check_origin(websocket)
        return credentials

    def _check_origin(self, websocket: WebSocket) -> None:
        """Cookies travel with the websockets of any page, so the page has to be this server's or an admitted one."""
        origin = websocket.headers.get("origin", "")
        if not origin or (urlsplit(origin).netloc != websocket.headers.get("host") and origin not in self._origins):
            raise unauthorized("A websocket with a cookie is accepted from pages of this server only.")

    async def _by_message(self, websocket: WebSocket) -> Credentials:
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_S):
                message = await websocket.receive()
        except TimeoutError:
            raise unauthorized(f"No credentials were sent within {_FIRST_MESSAGE_S:g} s.") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        match _decoded(message.get("text") or message.get("bytes") or b""):
            case {"ticket": str(ticket)}:
                return self._identity.by_ticket(ticket)
            case {"api_key": str(key)}:
                return Credentials(Kind.API_KEY, key, "message")
            case {"access_token": str(token)}:
                return Credentials(Kind.TOKEN, token, "message")
        raise bad_request("The first message must be a mapping with 'api_key', 'access_token' or 'ticket'.")

    async def _run(self, stream: Broadcast, websocket: WebSocket, check: Callable[[], Awaitable[None]]) -> None:
        """Send until the client goes, the server ends, the client does not read, or `check` refuses it."""
        stream.readers += 1
        sender = asyncio.ensure_future(_send_all(stream, websocket))
        gone = asyncio.ensure_future(_until_gone(websocket))
        try:
            ends = {sender, gone}
            while not (await asyncio.wait(ends, timeout=self._check_period, return_when=asyncio.FIRST_COMPLETED))[0]:
                await _unless_unknown(check)
            if not gone.done():
                await websocket.close(sender.result())
        finally:
            stream.readers -= 1
            for task in (sender, gone):
                task.cancel()
            await asyncio.gather(sender, gone, return_exceptions=True)


async def _unless_unknown(check: Callable[[], Awaitable[None]]) -> None:
    """Credentials that cannot be checked now are taken for good: they were when the websocket was opened."""
    try:
        await check()
    except HttpError as error:
        if error.status_code < 500:
            raise


async def _send_all(stream: Broadcast, websocket: WebSocket) -> int:
    """The code to close with."""
    number = stream.last
    while True:
        try:
            number, message = await stream.next(number)
        except EOFError:
            return _GOING_AWAY
        try:
            async with asyncio.timeout(_SLOW_S):
                await websocket.send_text(message.decode())
        except TimeoutError:
            return _TRY_LATER


async def _until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass  # what a client says on a stream has no meaning


def _decoded(text: Any) -> Any:
    try:
        return orjson.loads(text) if len(text) <= _LONGEST_CREDENTIALS else None
    except orjson.JSONDecodeError:
        return None
