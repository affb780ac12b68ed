"""Receiving from a 0MQ socket through its descriptor in an asyncio loop.

The descriptor is edge-triggered: once awake everything has to be read, and after each sending the socket has to be
looked at again, for the sending may have taken the notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

import zmq

from queueserver_http import loggers

_MESSAGES_PER_TURN = 100
"""Messages read before other work of the loop gets its turn."""

_log = logging.getLogger(loggers.ZMQ)


class Receiver:
    """Hands every message of a socket to `on_message` in the running loop; `on_event` follows each reading."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        on_message: Callable[[list[bytes]], None],
        on_event: Callable[[], None] | None = None,
    ) -> None:
        self._socket = socket
        self._on_message = on_message
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._descriptor = cast(int, socket.getsockopt(zmq.FD))
        self._next_turn: asyncio.Handle | None = None
        self._open = True
        self._loop.add_reader(self._descriptor, self._read)
        self.look_again()

    def look_again(self) -> None:
        """To be called after the socket was used."""
        if self._open and self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._read)

    def close(self) -> None:
        """Stop receiving; the socket is left to its owner."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._descriptor)
            if self._next_turn is not None:
                self._next_turn.cancel()

    def _read(self) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        for _ in range(_MESSAGES_PER_TURN):
            if not self._open:
                return
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            try:
                self._on_message(frames)
            except Exception:
                _log.exception("A message of the manager could not be handled")
        else:
            self.look_again()
        if self._on_event is not None and self._open:
            self._on_event()
