"""Who may dial in: the handler that 0MQ asks about every encrypted connection (ZAP, RFC 27).

0MQ asks one handler for all sockets of a context. A socket that names a domain takes only those whose public key is
admitted to it, and nobody at all when there is no handler; the others (the control socket) are not asked about.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import zmq
from zmq.utils import z85

from queueserver_common import loggers
from queueserver_manager.api.log_limit import LogLimit
from queueserver_manager.api.socket_reader import SocketReader, close_socket, send_now

_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_MECHANISM = b"CURVE"
_REQUEST_FRAMES = 7
"""Version, request id, domain, address, routing id, mechanism, public key of the client."""

_log = logging.getLogger(loggers.LINK)


class Admission:
    """Answers in the running loop; one for each context."""

    def __init__(self, domain: str, keys: Iterable[bytes], context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Admit those with one of the public `keys` (40 Z85 characters) to the sockets of `domain`."""
        self._domain = domain.encode()
        self._keys = frozenset(z85.decode(key) for key in keys)
        self._clock = asyncio.get_running_loop().time
        self._refused = LogLimit()
        self._socket = context.socket(zmq.ROUTER)
        self._socket.bind(_ENDPOINT)
        self._reader = SocketReader(self._socket, self._on_request)

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Let an unbound socket ask this handler; it fails closed."""
        socket.setsockopt(zmq.ZAP_DOMAIN, self._domain)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def close(self) -> None:
        """Answer no more; from then on nobody is admitted."""
        self._reader.close()
        close_socket(self._socket, 0)

    def _on_request(self, frames: list[bytes]) -> None:
        delimiter = frames.index(b"")
        back, request = frames[: delimiter + 1], frames[delimiter + 1 :]
        if len(request) < _REQUEST_FRAMES - 1 or request[0] != _VERSION:
            return
        admitted = self._is_admitted(request)
        status = (b"200", b"OK") if admitted else (b"400", b"this key is not admitted")
        send_now(self._socket, [*back, _VERSION, request[1], *status, b"", b""])
        self._reader.look_again()
        if not admitted and self._refused.passes(self._clock()):
            _log.warning(
                "A connection from %s was refused: its key is not the worker's%s",
                request[3].decode("utf-8", "replace"),
                self._refused.others(),
            )

    def _is_admitted(self, request: list[bytes]) -> bool:
        if request[2] != self._domain:
            return True  # a socket of another domain takes everybody who knows its public key
        return len(request) == _REQUEST_FRAMES and request[5] == _MECHANISM and request[6] in self._keys
