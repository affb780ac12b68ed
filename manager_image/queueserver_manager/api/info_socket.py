"""The info socket: console text and status for everybody who subscribes (zmq-api 1.4)."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Mapping
from typing import Any

import zmq

from queueserver_manager.api.binding import bind
from queueserver_manager.api.console_stream import ConsoleMessage, ConsoleStream
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.socket_reader import close_socket
from queueserver_manager.api.wire import Encoding, encode_value, pack

CONSOLE_TOPIC = b"QS_Console"
STATUS_TOPIC = b"QS_Info"

_WAITING_MESSAGES = 1000
"""Messages that 0MQ keeps for a subscriber that does not read: at most 64 MB of console text."""


class InfoSocket:
    """Binds and publishes in the running loop; raises `BindError`. A subscriber that does not read loses messages.

    No published client can decrypt what it subscribes to; so there may be two copies of everything, one in clear at
    `address` and one encrypted.
    """

    def __init__(
        self,
        address: str | None,
        encoding: Encoding,
        *,
        encrypted: tuple[str, CurveServerKeys] | None = None,
        console: ConsoleStream | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._encoding = encoding
        self.console = ConsoleStream() if console is None else console
        self._context = context or zmq.Context.instance()
        self._sockets: list[zmq.Socket[bytes]] = []
        self.address = "" if address is None else self._open(address, "info socket", None)
        """Of the copy in clear; empty when there is none."""
        self.encrypted_address = ""
        if encrypted is not None:
            self.encrypted_address = self._open(encrypted[0], "encrypted info socket", encrypted[1])
        self.console.send = self._send_console

    def publish_status(self, status: bytes | Mapping[str, Any], time: float | None = None) -> None:
        """Publish a status (zmq-api 3), a mapping or its JSON text. `time`: epoch seconds, now when left out."""
        stamp = clock.time() if time is None else time
        if self._encoding is Encoding.JSON:
            text = status if isinstance(status, bytes) else encode_value(status)
            payload = b'{"time":%b,"msg":{"status":%b}}' % (encode_value(stamp), text)
        else:
            value = json.loads(status) if isinstance(status, bytes) else status
            payload = pack({"time": stamp, "msg": {"status": value}})
        self._send(STATUS_TOPIC, payload)

    def close(self, linger: float = 0.5) -> None:
        """Publish the text at hand and stop; messages that are on their way have `linger` seconds."""
        self.console.flush()
        self.console.send = lambda _: None
        self._close_sockets(linger)

    def _open(self, address: str, name: str, keys: CurveServerKeys | None) -> str:
        socket = self._context.socket(zmq.PUB)
        self._sockets.append(socket)
        socket.setsockopt(zmq.SNDHWM, _WAITING_MESSAGES)
        try:
            if keys is not None:
                keys.apply(socket)
            return bind(socket, address, name)
        except BaseException:
            self._close_sockets(0)
            raise

    def _close_sockets(self, linger: float) -> None:
        for socket in self._sockets:
            close_socket(socket, linger)

    def _send_console(self, message: ConsoleMessage) -> None:
        payload = message.as_mapping()
        self._send(CONSOLE_TOPIC, encode_value(payload) if self._encoding is Encoding.JSON else pack(payload))

    def _send(self, topic: bytes, payload: bytes) -> None:
        for socket in self._sockets:
            socket.send_multipart([topic, payload], zmq.DONTWAIT)
