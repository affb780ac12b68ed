"""The one subscription to what the manager publishes; everything that streams is fed from it (zmq-api 1.4)."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgpack
import zmq

from queueserver_http.manager.client import CONNECT_TIMEOUT_MS, HEARTBEAT_MS, SILENT_MS
from queueserver_http.manager.descriptor import Receiver

CONSOLE_TOPIC = b"QS_Console"
STATUS_TOPIC = b"QS_Info"

_WAITING_MESSAGES = 10_000
"""Messages that 0MQ keeps while the loop is busy."""


class Subscription:
    """Hands the JSON text of each message to the handler of its topic, in the running loop."""

    def __init__(
        self,
        address: str,
        *,
        encoding: str,
        public_key: str | None = None,
        on_console: Callable[[bytes], None],
        on_status: Callable[[bytes], None],
    ) -> None:
        self._msgpack = encoding == "msgpack"
        self._handlers = {CONSOLE_TOPIC: on_console, STATUS_TOPIC: on_status}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, _WAITING_MESSAGES),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 1000),
            (zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS),
            (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, SILENT_MS),
        ):
            self._socket.setsockopt(option, value)
        if public_key:
            self._socket.curve_publickey, self._socket.curve_secretkey = zmq.curve_keypair()
            self._socket.curve_serverkey = public_key.encode()
        for topic in self._handlers:
            self._socket.subscribe(topic)
        self._socket.connect(address)
        self._receiver = Receiver(self._socket, self._received)

    def _received(self, frames: list[bytes]) -> None:
        topic, payload = frames
        handler = self._handlers.get(topic)
        if handler is not None:
            handler(_json(payload) if self._msgpack else payload)

    def close(self) -> None:
        """Unsubscribe."""
        self._receiver.close()
        self._socket.close()
        self._context.term()


def _json(payload: bytes) -> bytes:
    return json.dumps(msgpack.unpackb(payload, strict_map_key=False), separators=(",", ":")).encode()
