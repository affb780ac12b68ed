"""The manager's end of the worker link: workers dial in, each under its opening id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast, get_args

import zmq

from queueserver_common import loggers
from queueserver_common.link.codec import LinkError, decode_with_version, encode
from queueserver_common.link.messages import Hello, Introduce, ToManager, ToWorker
from queueserver_manager.api.binding import bind
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.log_limit import LogLimit
from queueserver_manager.api.socket_reader import SocketReader, close_socket, send_now
from queueserver_manager.link.admission import Admission

_HEARTBEAT_MS = 1000
_SILENT_MS = 5000
_MAX_FRAME = 256 * 1024 * 1024
"""Bytes; the lists of plans and devices of a large beamline take a few megabytes."""

_WAITING_MESSAGES = 10_000
_INTRODUCTION_PERIOD = 1.0
"""Seconds between two requests for a `Hello` to the same stranger."""

_MOST_STRANGERS = 1000

_log = logging.getLogger(loggers.LINK)

_KINDS = get_args(ToManager)

_DOMAIN = "worker-link"


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """Keys of an encrypted link."""

    server: CurveServerKeys
    worker: bytes
    """Public key of the workers; nobody else is admitted."""


class LinkServer:
    """Binds in the running loop and calls `on_message(peer, message)`; raises `BindError`.

    A peer is the opening id under which a worker dialled in. Before its first `Hello` to this server nothing else of
    it is handed on; instead it is asked for the `Hello`, so that a worker notices a new manager at the same address.
    A worker of the link version before is answered in that version.
    What cannot be decoded is logged, dropped and told to `on_undecodable(peer, reason)`. With `keys` the link is
    encrypted and admits the worker's key only.
    """

    def __init__(
        self,
        address: str,
        on_message: Callable[[str, ToManager], None],
        on_undecodable: Callable[[str, str], None] | None = None,
        *,
        keys: LinkKeys | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        context = context or zmq.Context.instance()
        self._on_message = on_message
        self._on_undecodable = on_undecodable
        self._clock = asyncio.get_running_loop().time
        self._known: dict[str, int] = {}  # the link version of each worker, by its opening id
        self._introductions: dict[str, float] = {}
        self._undecodable = LogLimit()
        self._socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self._admission: Admission | None = None
        for option, value in (
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.ROUTER_HANDOVER, 1),  # a worker that dials again takes its name over from its broken connection
            (zmq.SNDHWM, _WAITING_MESSAGES),
            (zmq.RCVHWM, _WAITING_MESSAGES),
            (zmq.MAXMSGSIZE, _MAX_FRAME),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, _SILENT_MS),
        ):
            self._socket.setsockopt(option, value)
        try:
            if keys is not None:
                keys.server.apply(self._socket)
                self._admission = Admission(_DOMAIN, [keys.worker], context)
                self._admission.guard(self._socket)
            self.address = bind(self._socket, address, "worker link")
        except BaseException:
            self._stop_admitting()
            close_socket(self._socket, 0)
            raise
        self._reader = SocketReader(self._socket, self._on_frames)

    def send(self, peer: str, message: ToWorker) -> bool:
        """Send to a worker; False when it is not connected. True does not tell that it arrives."""
        return self._send(peer, message, self._known.get(peer))

    def _send(self, peer: str, message: ToWorker, version: int | None) -> bool:
        sent = send_now(self._socket, [peer.encode(), encode(message, version)])
        self._reader.look_again()
        return sent

    def forget(self, peer: str) -> None:
        """Treat the peer as a stranger again: its worker has ended."""
        self._known.pop(peer, None)
        self._introductions.pop(peer, None)

    def close(self, linger: float = 1.0) -> None:
        """Stop listening; messages that are on their way have `linger` seconds."""
        self._reader.close()
        self._stop_admitting()
        close_socket(self._socket, linger)

    def _stop_admitting(self) -> None:
        if self._admission is not None:
            self._admission.close()

    def _on_frames(self, frames: list[bytes]) -> None:
        try:
            peer = frames[0].decode()
        except UnicodeDecodeError:
            self._drop(repr(frames[0]), "its name is not UTF-8 text")
            return
        try:
            message, version = decode_with_version(frames[-1])
        except LinkError as error:
            self._drop(peer, str(error))
            return
        if not isinstance(message, _KINDS):
            self._drop(peer, f"{type(message).__name__} is not for a manager")
        elif isinstance(message, Hello) and message.opening_id != peer:
            self._drop(peer, f"it calls itself {message.opening_id!r}")
        elif isinstance(message, Hello) or peer in self._known:
            self._known[peer] = version
            self._introductions.pop(peer, None)
            self._on_message(peer, cast(ToManager, message))
        else:
            self._ask_for_hello(peer, version)

    def _ask_for_hello(self, peer: str, version: int) -> None:
        now = self._clock()
        if now < self._introductions.get(peer, now):
            return
        if len(self._introductions) >= _MOST_STRANGERS:
            self._introductions.clear()
        self._introductions[peer] = now + _INTRODUCTION_PERIOD
        self._send(peer, Introduce(), version)

    def _drop(self, peer: str, reason: str) -> None:
        if self._undecodable.passes(self._clock()):
            _log.warning("Dropped a message of the worker %r: %s%s", peer, reason, self._undecodable.others())
        if self._on_undecodable is not None:
            self._on_undecodable(peer, reason)
