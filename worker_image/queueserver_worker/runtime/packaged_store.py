"""Stop the packaged Redis server when the last process that used it leaves (rule: after manager and worker)."""

from __future__ import annotations

import re
import socket

_TIMEOUT = 1.0
_MANAGER = re.compile(rb"(?:^|\s)name=qs-manager")


def stop_store_unless_in_use(path: str) -> bool:
    """Ask the server at a unix socket to stop, unless a manager is connected to it; tells whether it was asked.

    Speaks just enough of the Redis protocol with a plain socket, because the worker has no Redis client.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(path)
            if _MANAGER.search(_client_list(connection)):
                return False
            connection.sendall(b"*1\r\n$8\r\nSHUTDOWN\r\n")
            # The server closes the connection when it goes, and answers only when it refuses.
            return connection.recv(1024) == b""
    except OSError:
        return False


def _client_list(connection: socket.socket) -> bytes:
    connection.sendall(b"*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n")
    reply = b""
    while not _complete(reply):
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        reply += data
    return reply


def _complete(reply: bytes) -> bool:
    """Whether a bulk string (or, as in RESP3, a verbatim string) or an error has arrived in full."""
    head, separator, rest = reply.partition(b"\r\n")
    if not separator:
        return False
    if not head.startswith((b"$", b"=")):
        return True
    return len(rest) >= int(head[1:]) + 2
