"""The control socket: requests of clients in, replies out (zmq-api 1.1 and 1.2).

Clients see a REP socket. It is a ROUTER, so that a request that takes long does not keep the others waiting and a
client that has gone or does not read never does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import zmq

from queueserver_common import loggers
from queueserver_manager.api.binding import bind
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.frame_limit import FrameLimit
from queueserver_manager.api.log_limit import LogLimit
from queueserver_manager.api.socket_reader import SocketReader, close_socket, send_now
from queueserver_manager.api.wire import Encoding, Malformed, decode_request, encode_reply, refusal
from queueserver_manager.core.refusal import Code

DEFAULT_MAX_FRAME = 32 * 1024 * 1024
"""Bytes."""

_NAME = "control socket"
_WAITING_REQUESTS = 100
_WAITING_REPLIES = 256
"""Messages that 0MQ keeps for one client in each direction."""

_HEARTBEAT_MS = 1000
_SILENT_MS = 5000

_log = logging.getLogger(loggers.COMMS)


class Request:
    """A request that waits for its reply. `arrived` is the loop's time in seconds."""

    __slots__ = ("answered", "arrived", "client", "method", "params", "socket")

    def __init__(self, method: str, params: Any, client: list[bytes], arrived: float, socket: ReplySocket) -> None:
        self.method = method
        self.params = params
        """As sent, of any type; `{}` when left out."""
        self.client = client
        """The frames before the request: the way back. Equal for requests of one REQ client."""
        self.arrived = arrived
        self.socket = socket
        """Where the reply goes."""
        self.answered = False


class ReplySocket(Protocol):
    """What takes replies."""

    def reply(self, request: Request, payload: bytes | Mapping[str, Any]) -> None:
        """Answer a request of this socket, once."""


class ControlSocket:
    """Binds to one or several addresses and calls `on_request` in the running loop; raises `BindError`.

    Malformed requests are answered here. `max_frame` (bytes): the connection of a client that sends more is closed.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        encoding: Encoding,
        on_request: Callable[[Request], None],
        *,
        max_frame: int = DEFAULT_MAX_FRAME,
        curve: CurveServerKeys | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._encoding = encoding
        self._on_request = on_request
        self._clock = asyncio.get_running_loop().time
        self._unsent = LogLimit()
        self._socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(zmq.ROUTER)
        self._frame_limit = FrameLimit(self._socket, max_frame, _NAME, self._clock)
        try:
            self._set_options(curve)
            self.addresses = tuple(
                bind(self._socket, address, _NAME)
                for address in ([addresses] if isinstance(addresses, str) else addresses)
            )
        except BaseException:
            self._frame_limit.close()
            close_socket(self._socket, 0)
            raise
        self._frame_limit.listen(self.addresses)
        self._reader = SocketReader(self._socket, self._on_message)

    def reply(self, request: Request, payload: bytes | Mapping[str, Any]) -> None:
        """Answer a request, once: with a reply, or with one that is encoded already.

        Never blocks: the reply to a client that has gone or reads too slowly is dropped.
        """
        if request.answered:
            raise RuntimeError(f"a second reply to the same request {request.method!r}")
        frame = payload if isinstance(payload, bytes) else encode_reply(payload, self._encoding)
        request.answered = True
        self._send(request.client, frame)

    def close(self, linger: float = 1.0) -> None:
        """Stop listening; replies that are on their way have `linger` seconds."""
        self._reader.close()
        self._frame_limit.close()
        close_socket(self._socket, linger)

    def _set_options(self, curve: CurveServerKeys | None) -> None:
        for option, value in (
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.ROUTER_HANDOVER, 1),  # a client with a name of its own may come back before its old connection ended
            (zmq.RCVHWM, _WAITING_REQUESTS),
            (zmq.SNDHWM, _WAITING_REPLIES),
            (zmq.LINGER, 0),  # replies to a client that has gone are not kept
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, _SILENT_MS),
        ):
            self._socket.setsockopt(option, value)
        if curve is not None:
            curve.apply(self._socket)

    def _on_message(self, frames: list[bytes]) -> None:
        client, frame = frames[:-1], frames[-1]
        decoded = decode_request(frame, self._encoding)
        if isinstance(decoded, Malformed):
            self._send(client, encode_reply(decoded.reply, self._encoding))
            return
        request = Request(*decoded, client, self._clock(), self)
        try:
            self._on_request(request)
        except Exception as error:
            _log.exception("The request %r failed by an error of the manager", request.method)
            if not request.answered:
                text = f"The request failed by an error of the manager, which is in its log: {error!r}"
                self.reply(request, refusal(text, Code.INTERNAL_ERROR))

    def _send(self, client: list[bytes], frame: bytes) -> None:
        if not send_now(self._socket, [*client, frame]) and self._unsent.passes(self._clock()):
            _log.info("A reply was dropped: its client has gone or does not read%s", self._unsent.others())
        self._reader.look_again()
