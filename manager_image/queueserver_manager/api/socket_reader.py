"""Reading a 0MQ socket by its descriptor in an asyncio loop, several times faster than pyzmq's asyncio sockets.

The descriptor of a 0MQ socket does not tell that a message is there. It tells that something happened to the socket
since somebody last looked, and any use of the socket counts as looking. Two rules follow: once awake, read until
nothing is left; and after sending outside of the reader, look again, for the sending may have taken the notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import cast

import zmq

from queueserver_common import loggers

_MESSAGES_PER_TURN = 64
"""Messages read before other work of the loop gets its turn."""

_MOST_FRAMES = 32
"""Frames of one message; more are thrown away, since no peer has a use for them."""

_NOW = int(zmq.DONTWAIT)
_MORE_NOW = int(zmq.SNDMORE | zmq.DONTWAIT)
"""Plain numbers: joining the flags for every frame would cost as much as sending it."""

_log = logging.getLogger(loggers.COMMS)


class SocketReader:
    """Calls `on_message` with the frames of every message that arrives; needs a running loop.

    Exceptions of `on_message` are logged: nothing that a peer sends ends the reading.
    """

    def __init__(self, socket: zmq.Socket[bytes], on_message: Callable[[list[bytes]], None]) -> None:
        self._socket = socket
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._descriptor = cast(int, socket.getsockopt(zmq.FD))
        self._next_turn: asyncio.Handle | None = None
        self._reading = False
        self._open = True
        self._loop.add_reader(self._descriptor, self._read)
        self.look_again()

    def look_again(self) -> None:
        """To be called after every use of the socket outside of `on_message`."""
        if self._open and not self._reading and self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._read)

    def close(self) -> None:
        """Stop reading; the socket is left to its owner."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._descriptor)
        if self._next_turn is not None:
            self._next_turn.cancel()

    def _read(self) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        self._reading = True
        try:
            for _ in range(_MESSAGES_PER_TURN):
                if not self._open:
                    return
                frames = self._receive()
                if frames is None:
                    return
                try:
                    self._on_message(frames)
                except Exception:
                    _log.exception("A message could not be handled")
        finally:
            self._reading = False
        self.look_again()

    def _receive(self) -> list[bytes] | None:
        """Frames of the next message; None when there is none."""
        try:
            frame = self._socket.recv(zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return None
        except zmq.ZMQError as error:
            _log.error("A socket cannot be read any more: %s", error)
            self.close()
            return None
        frames = [frame.bytes]
        while frame.more:
            frame = self._socket.recv(zmq.DONTWAIT, copy=False)
            if len(frames) < _MOST_FRAMES:
                frames.append(frame.bytes)
        return frames


def send_now(socket: zmq.Socket[bytes], frames: list[bytes]) -> bool:
    """Send one message of a ROUTER that refuses unknown peers; False when its peer is gone or reads too slowly.

    Only the first frame, which names the peer, can be refused; the rest of the message then follows it.
    """
    try:
        for frame in frames[:-1]:
            socket.send(frame, _MORE_NOW)
        socket.send(frames[-1], _NOW)
    except zmq.ZMQError:
        return False
    return True


def close_socket(socket: zmq.Socket[bytes], linger: float) -> None:
    """Close a socket; messages that are on their way have `linger` seconds."""
    with contextlib.suppress(zmq.ZMQError):
        socket.close(int(linger * 1000))
