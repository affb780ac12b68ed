"""Ports of this machine that a test has for itself."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from file_lock import locked

_FIRST_PORT, _LAST_PORT = 12_000, 29_000


def default_ports() -> AbstractContextManager[None]:
    """The ports that a manager takes when nobody chose others.

    Nobody else who asks has them meanwhile, in any process of any run of tests on this machine.
    """
    return locked(Path(tempfile.gettempdir()) / "queueserver-tests-default-ports")


def free_ports(number: int) -> list[int]:
    """TCP ports of this machine that nobody listens at, and that nobody else who asks gets soon.

    They are below those that systems give to outgoing connections, which could take them before they are used.
    """
    last = Path(tempfile.gettempdir()) / f"queueserver-tests-last-port-{os.geteuid()}"
    with locked(last.with_suffix(".lock")):
        last.touch()
        port = int(last.read_text() or _FIRST_PORT)  # empty also when another was killed while it wrote
        found: list[int] = []
        while len(found) < number:
            port = port + 1 if port < _LAST_PORT else _FIRST_PORT
            if _is_free(port):
                found.append(port)
        last.write_text(str(port))
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
