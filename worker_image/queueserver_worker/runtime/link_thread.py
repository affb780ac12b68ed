"""The thread that owns the link's socket; nothing else touches it, and it never waits for anything but input."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq
from zmq.utils.monitor import parse_monitor_message

from queueserver_common import loggers
from queueserver_common.link.codec import LinkError, decode
from queueserver_common.link.curve_key import public_key
from queueserver_worker.runtime.conversation import Conversation
from queueserver_worker.runtime.threads import start_thread
from queueserver_worker.runtime.wakeup import WakePipe

_log = logging.getLogger(loggers.WORKER)

RECONNECT_MS = 20
RECONNECT_MAX_MS = 250
CONNECT_TIMEOUT_MS = 1000
"""The address of a manager's pod vanishes with it, without an answer; the next attempt asks for the name's new one."""

HEARTBEAT_MS = 1000
HEARTBEAT_TIMEOUT_MS = 5000
_HIGH_WATER_MARK = 100
_LINGER_MS = 200
_TICK = 1.0
"""Longest wait, seconds: what depends on time alone is looked at this often."""


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """The manager's public key and the worker's private one."""

    server: bytes
    secret: bytes = field(repr=False)

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket that is not connected yet speak to this manager only."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, public_key(self.secret))
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)


class LinkThread:
    """Dials the manager and carries the conversation.

    `on_signal` gets the numbers of signals that arrived at the wake pipe, `on_tick` the monotonic time at least once
    a second; both are called in this thread.
    """

    def __init__(
        self,
        address: str,
        opening_id: str,
        conversation: Conversation,
        wake: WakePipe,
        on_signal: Callable[[int], None],
        on_tick: Callable[[float], None],
        keys: LinkKeys | None = None,
    ) -> None:
        """`keys`: of an encrypted link."""
        self._keys = keys
        self._address = address
        self._opening_id = opening_id
        self._conversation = conversation
        self._wake = wake
        self._on_signal = on_signal
        self._on_tick = on_tick
        self._finish_by: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = start_thread("link", self._run)

    def finish(self, timeout: float) -> None:
        """Deliver what is waiting and have it acknowledged, for at most `timeout` seconds; then hang up."""
        self._finish_by = time.monotonic() + timeout
        self._wake.wake()
        if self._thread is not None:
            self._thread.join(timeout + _LINGER_MS / 1000)

    @property
    def was_alone(self) -> bool:
        """After `finish`: no manager had taken the worker when the link ended."""
        return self._conversation.alone_since is not None

    def _run(self) -> None:
        context = zmq.Context()
        socket = _dialling_socket(context, self._opening_id)
        if self._keys is not None:
            self._keys.apply(socket)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._conversation.started(time.monotonic())
        socket.connect(self._address)
        while True:
            self._read_monitor(monitor)
            self._read(socket)
            for signum in self._wake.clear():
                self._on_signal(signum)
            now = time.monotonic()
            self._on_tick(now)
            congested = self._write(socket, now)
            if self._finished():
                break
            self._wait(socket, monitor, congested)
        socket.disable_monitor()
        monitor.close(0)
        socket.close(_LINGER_MS)
        context.term()

    def _finished(self) -> bool:
        if self._finish_by is None:
            return False
        return self._conversation.delivered or time.monotonic() >= self._finish_by

    def _read_monitor(self, monitor: zmq.Socket[bytes]) -> None:
        while monitor.poll(0):
            event = parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._conversation.connected(time.monotonic())
            else:
                self._conversation.disconnected(time.monotonic())

    def _read(self, socket: zmq.Socket[bytes]) -> None:
        while True:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode(frames[-1])
            except LinkError as error:
                _log.error("The manager sent something that cannot be understood: %s", error)
                continue
            self._conversation.received(message, time.monotonic())

    def _write(self, socket: zmq.Socket[bytes], now: float) -> bool:
        """Send all there is; true when the socket takes no more."""
        if self._finish_by is not None:
            self._conversation.hurry_console()
        while (outgoing := self._conversation.next_outgoing(now)) is not None:
            try:
                socket.send(outgoing.frame, zmq.NOBLOCK)
            except zmq.Again:
                return True
            outgoing.sent()
        self._conversation.gather_console(now)
        return False

    def _wait(self, socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes], congested: bool) -> None:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN | (zmq.POLLOUT if congested else 0))
        poller.register(monitor, zmq.POLLIN)
        poller.register(self._wake.read_fd, zmq.POLLIN)
        now = time.monotonic()
        until = min(now + _TICK, self._finish_by or now + _TICK)
        if not congested:
            until = min(until, self._conversation.wake_at())
        poller.poll(max(0, int((until - now) * 1000) + 1))


def _dialling_socket(context: zmq.Context[zmq.Socket[bytes]], opening_id: str) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, opening_id.encode())
    # Nothing is queued for a manager that is not there: a connection begins with what is true then.
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.SNDHWM, _HIGH_WATER_MARK)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    return socket
