"""Servers of the system as processes of a test."""

from __future__ import annotations

import socket
import subprocess
import time

_DEADLINE = 30.0


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server listens at a port of this machine."""
    deadline = time.monotonic() + _DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "the server ended at its start"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server, in order if it can."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
