"""An HTTP server beside each queue server, and clients that cost little: raw sockets that stay connected."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.samples import Side
from benchmarks.servers import Server, free_port
from benchmarks.wire import RequestFailedError

KEY = "keyofthebenchmark"
_USER = "operator"
_ACCOUNTS = {
    "authentication": {
        "providers": [
            {
                "provider": "site",
                "authenticator": "bluesky_httpserver.authenticators:DictionaryAuthenticator",
                "args": {"users_to_passwords": {_USER: KEY}},
            }
        ],
        "secret_keys": ["a key of the benchmark that signs tokens"],
    },
    "api_access": {
        "policy": "bluesky_httpserver.authorization:DictionaryAPIAccessControl",
        "args": {"users": {_USER: {"roles": ["admin", "expert"]}}},
    },
}
_START_TIMEOUT = 60.0
_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A running HTTP server."""

    side: Side
    port: int
    process: int
    """Its process id."""

    @property
    def resident_mb(self) -> float:
        """Memory of its processes together."""
        return sum(processes.resident_mb(pid) for pid in (self.process, *processes.descendants(self.process)))


@contextmanager
def serving(server: Server, programs: Path, *, accounts: bool = False) -> Iterator[HttpServer]:
    """Start the HTTP server of a side for one of its queue servers.

    `accounts`, which only ours has here: a database and a user with a password.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="qs-bench-http-", ignore_cleanup_errors=True) as name:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "QSERVER"))}
        environment |= {
            "HOME": name,
            "QSERVER_ZMQ_CONTROL_ADDRESS": server.address,
            "QSERVER_ZMQ_INFO_ADDRESS": server.info_address,
            "QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY": KEY,
        }
        command = [str(programs / "start-bluesky-httpserver"), "--host=127.0.0.1", f"--port={port}"]
        if accounts:
            (Path(name) / "accounts.yml").write_text(json.dumps(_ACCOUNTS))
            command.append(f"--config_path={name}/accounts.yml")
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=name)
        try:
            first = "/readyz" if accounts else "/api/status"
            _await_answer(port, process, Path(name) / "log", request("GET", first))
            yield HttpServer(server.side, port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def request(verb: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    """A request as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ApiKey {KEY}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


_FORM = f"username={_USER}&password={KEY}".encode()
LOG_IN = (
    b"POST /api/auth/provider/site/token HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_FORM), _FORM)
"""Request of the user of a server with accounts."""


class Connection:
    """One connection with one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, message: bytes) -> bytes:
        """Send a request and return the body of its reply, which has to be 200."""
        self.socket.sendall(message)
        while (body := self.received()) is None:
            pass
        return body

    def received(self) -> bytes | None:
        """Take what has arrived; the body when the reply is complete."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise RequestFailedError("the server closed a connection")
        self._buffer += part
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        if not head.startswith(b"http/1.1 200"):
            raise RequestFailedError(f"{head[:200]!r}: {body[:200]!r}")
        return body


def rate(port: int, message: bytes, connections: int, seconds: float) -> float:
    """Requests per second of so many connections, each of which asks again as soon as it is answered."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        clients = [stack.enter_context(Connection(port)) for _ in range(connections)]
        for client in clients:
            client.ask(message)
            selector.register(client.socket, selectors.EVENT_READ, client)
        start = time.perf_counter()
        for client in clients:
            client.socket.sendall(message)
        waiting, answered = connections, 0
        while waiting:
            ready = selector.select(_TIMEOUT)
            if not ready:
                raise RequestFailedError(f"no reply within {_TIMEOUT:g} s")
            for key, _ in ready:
                if key.data.received() is None:
                    continue
                answered += 1
                if time.perf_counter() < start + seconds:
                    key.data.socket.sendall(message)
                else:
                    waiting -= 1
        return answered / (time.perf_counter() - start)


def _await_answer(port: int, process: subprocess.Popen[bytes], log: Path, first: bytes) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, RequestFailedError), Connection(port) as client:
            client.ask(first)
            return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:]
    raise RequestFailedError(f"the HTTP server did not start; the end of its log:\n{tail}")
