"""A limit for the size of frames, and a line in the log about the peer that went beyond it.

0MQ closes the connection of such a peer and says no more than of a peer that left. The difference shows in the
connection itself: a peer that left has closed its end, one that was thrown out is still sending. So a second
descriptor of each connection is kept until 0MQ has reported its end. When a report is read the number in it may mean
something else already; what is not a connection to one of our addresses is let go at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket as sockets
import struct
from collections.abc import Callable, Iterable

import zmq

from queueserver_common import loggers
from queueserver_manager.api.log_limit import LogLimit
from queueserver_manager.api.socket_reader import SocketReader, close_socket

_EVENT = struct.Struct("=Hi")
_MOST_CONNECTIONS = 256
"""Connections that are looked after at a time; of more, an end by an oversized frame is not logged."""

_log = logging.getLogger(loggers.COMMS)


class FrameLimit:
    """Sets the largest frame (bytes) of a socket that is not bound yet, and watches its connections."""

    def __init__(self, socket: zmq.Socket[bytes], max_frame: int, name: str, clock: Callable[[], float]) -> None:
        self._socket = socket
        self._max_frame = max_frame
        self._name = name
        self._clock = clock
        self._connections: dict[int, sockets.socket] = {}
        self._places: set[int | str] = set()
        self._limit = LogLimit()
        socket.setsockopt(zmq.MAXMSGSIZE, max_frame)
        address = f"inproc://frame-limit-{id(self)}"
        socket.monitor(address, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._events: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
        self._events.setsockopt(zmq.RCVHWM, 0)  # a full pipe would hold up 0MQ's own thread
        self._events.connect(address)
        self._reader = SocketReader(self._events, self._on_event)

    def listen(self, addresses: Iterable[str]) -> None:
        """Look after the connections to these addresses, as 0MQ writes them after binding."""
        self._places = {_place(address) for address in addresses}

    def close(self) -> None:
        """Let go of the connections; to be called before the socket is closed."""
        self._reader.close()
        with contextlib.suppress(zmq.ZMQError):
            self._socket.disable_monitor()
        close_socket(self._events, 0)
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _on_event(self, frames: list[bytes]) -> None:
        event, descriptor = _EVENT.unpack(frames[0])
        former = self._connections.pop(descriptor, None)
        if former is not None:
            with contextlib.closing(former):
                if event == zmq.EVENT_DISCONNECTED and _still_sending(former):
                    self._report(former)
        if event == zmq.EVENT_ACCEPTED and len(self._connections) < _MOST_CONNECTIONS:
            connection = self._second_descriptor(descriptor)
            if connection is not None:
                self._connections[descriptor] = connection

    def _second_descriptor(self, descriptor: int) -> sockets.socket | None:
        """None when the connection has ended since, whatever has its number now."""
        try:
            second = os.dup(descriptor)
        except OSError:
            return None
        try:
            connection = sockets.socket(fileno=second)
        except OSError:  # a file, or a descriptor of 0MQ itself
            os.close(second)
            return None
        if _local_place(connection) in self._places:
            return connection
        connection.close()
        return None

    def _report(self, connection: sockets.socket) -> None:
        if self._limit.passes(self._clock()):
            _log.warning(
                "The connection of %s to the %s was closed: it sent a frame of more than %d bytes%s",
                _peer(connection),
                self._name,
                self._max_frame,
                self._limit.others(),
            )


def _place(address: str) -> int | str:
    """The port of a TCP address, or the path of an ipc address."""
    scheme, _, rest = address.partition("://")
    return int(rest.rpartition(":")[2]) if scheme == "tcp" else rest


def _local_place(connection: sockets.socket) -> int | str | None:
    """The port or path of this end of a connection."""
    try:
        name = connection.getsockname()
    except OSError:
        return None
    if isinstance(name, tuple):
        return int(name[1])
    return name if isinstance(name, str) else name.decode(errors="replace").replace("\0", "@", 1)


def _still_sending(connection: sockets.socket) -> bool:
    try:
        return connection.recv(1, sockets.MSG_PEEK | sockets.MSG_DONTWAIT) != b""
    except OSError:
        return False


def _peer(connection: sockets.socket) -> str:
    try:
        name = connection.getpeername()
        if isinstance(name, tuple):
            return f"{name[0]}:{name[1]}"
        credentials = connection.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, struct.calcsize("3i"))
        return f"process {struct.unpack('3i', credentials)[0]}"
    except (OSError, AttributeError):
        return "a client"
