"""The connection to the manager: one DEALER socket, many requests in flight (zmq-api 1).

Each request carries a frame with its number before the empty delimiter. The manager gives all frames before the
request back, so replies find their requests in whatever order they come, and a request that takes long holds up no
other. Nothing is sent while there is no connection: a request then waits for one, and can be refused with the
certainty that the manager never saw it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgpack
import zmq

from queueserver_http.exchange.errors import bad_request, manager_away, manager_silent
from queueserver_http.manager.descriptor import Receiver

_IN_FLIGHT = 200
"""Requests sent and not answered; the manager keeps 256 replies for one connection."""

_MOST_WAITING = 5000
"""Requests that wait for their turn or for a connection."""

_RETRY_S = 0.05
"""Seconds between two attempts to send while there is no connection."""

HEARTBEAT_MS = 1000
SILENT_MS = 5000

CONNECT_TIMEOUT_MS = 1000
"""Without it an attempt to connect to a pod that is gone, which nobody answers, would last two minutes."""


class ManagerClient:
    """Connects in the running loop. `reply_timeout`, `connect_timeout`: seconds. `away_status`: 503 or 408."""

    def __init__(
        self,
        address: str,
        *,
        encoding: str = "json",
        public_key: str | None = None,
        reply_timeout: float = 4.0,
        connect_timeout: float = 2.0,
        away_status: int = 503,
    ) -> None:
        self._msgpack = encoding == "msgpack"
        self._reply_timeout = reply_timeout
        self._connect_timeout = connect_timeout
        self._away_status = away_status
        self._loop = asyncio.get_running_loop()
        self._sent: dict[bytes, _Pending] = {}
        self._waiting: deque[_Pending] = deque()
        self._retry: asyncio.TimerHandle | None = None
        self._number = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._connect(address, public_key)
        self._receiver = Receiver(self._socket, self._received, self._send_waiting)
        self.answered_at = float("-inf")
        """The loop's time of the last reply."""

    def _connect(self, address: str, public_key: str | None) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        for option, value in (
            (zmq.LINGER, 100),
            (zmq.IMMEDIATE, 1),
            (zmq.SNDHWM, 1000),
            (zmq.RCVHWM, 1000),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 1000),
            (zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS),
            (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, SILENT_MS),
        ):
            socket.setsockopt(option, value)
        if public_key:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = public_key.encode()
        socket.connect(address)
        return socket

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> bytes:
        """The reply as JSON text; raises `HttpError` when there is none."""
        request = {"method": method, "params": params or {}}
        if not self._msgpack:
            return await self._exchange(json.dumps(request, separators=(",", ":")).encode())
        try:
            frame = msgpack.packb(request, unicode_errors="surrogatepass")
        except (OverflowError, ValueError) as error:
            raise bad_request(f"The manager speaks msgpack, which cannot express the request: {error}.") from None
        reply = await self._exchange(frame)
        return json.dumps(msgpack.unpackb(reply, strict_map_key=False), separators=(",", ":")).encode()

    async def _exchange(self, frame: bytes) -> bytes:
        self._number += 1
        pending = _Pending(self._number.to_bytes(8), frame, self._loop.create_future())
        if self._waiting or len(self._sent) >= _IN_FLIGHT or not self._send(pending):
            if len(self._waiting) >= _MOST_WAITING:
                raise manager_away(self._away_status, 1)
            self._waiting.append(pending)
            pending.deadline = self._loop.call_later(self._connect_timeout, pending.give_up)
            self._try_again_soon()
        try:
            return await pending.reply
        except TimeoutError:
            raise (manager_silent() if pending.sent else manager_away(self._away_status, 1)) from None
        finally:
            pending.no_deadline()
            self._sent.pop(pending.number, None)

    def _send(self, pending: _Pending) -> bool:
        try:
            self._socket.send_multipart((pending.number, b"", pending.frame), zmq.DONTWAIT)
        except zmq.Again:
            return False
        pending.sent = True
        pending.no_deadline()
        pending.deadline = self._loop.call_later(self._reply_timeout, pending.give_up)
        self._sent[pending.number] = pending
        self._receiver.look_again()
        return True

    def _send_waiting(self) -> None:
        while self._waiting and len(self._sent) < _IN_FLIGHT:
            if not self._waiting[0].reply.done() and not self._send(self._waiting[0]):
                self._try_again_soon()
                return
            self._waiting.popleft()

    def _try_again_soon(self) -> None:
        if self._retry is None:
            self._retry = self._loop.call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._receiver.look_again()  # which sends what waits afterwards

    def _received(self, frames: list[bytes]) -> None:
        self.answered_at = self._loop.time()
        pending = self._sent.pop(frames[0], None)
        if pending is not None and not pending.reply.done():  # one that came too late is dropped
            pending.reply.set_result(frames[-1])

    def close(self) -> None:
        """Close the connection; the last requests have 0.1 s to leave."""
        if self._retry is not None:
            self._retry.cancel()
        self._receiver.close()
        for pending in (*self._sent.values(), *self._waiting):
            pending.give_up()
        self._socket.close()
        self._context.term()


class _Pending:
    """A request without its reply."""

    __slots__ = ("deadline", "frame", "number", "reply", "sent")

    def __init__(self, number: bytes, frame: bytes, reply: asyncio.Future[bytes]) -> None:
        self.number = number
        self.frame = frame
        self.reply = reply
        self.sent = False
        self.deadline: asyncio.TimerHandle | None = None

    def give_up(self) -> None:
        if not self.reply.done():
            self.reply.set_exception(TimeoutError())

    def no_deadline(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
