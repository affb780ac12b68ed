"""The one subscription to what the manager publishes; everything that streams is fed from it (zmq-api 1.4)."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgpack
import zmq

from queueserver_http.descriptor import Receiver

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
        on_console: Callable[[bytes], None],
        on_status: Callable[[bytes], None],
    ) -> None:
        self._msgpack = encoding == "msgpack"
        self._handlers = {CONSOLE_TOPIC: on_console, STATUS_TOPIC: on_status}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
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
