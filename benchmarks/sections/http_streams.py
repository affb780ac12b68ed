"""Many websockets that follow the console; only ours, because upstream's cannot be asked for as many."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import ExitStack

from benchmarks.bench import Bench
from benchmarks.http_server import KEY, serving
from benchmarks.samples import Side
from benchmarks.servers import Setup
from benchmarks.wire import USER, Client, RequestFailedError, idle, plan

CLIENTS = 500
PER_S = 1000
_SECONDS = 5
_LONGEST_S = 120.0
_MARK = b"LINE "


class Follower:
    """One websocket that counts the lines that it gets."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = "AAAAAAAAAAAAAAAAAAAAAA=="
        self.socket.sendall(
            f"GET /api/console_output/ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: ApiKey {KEY}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.lines = 0
        self._rest = b""
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(4096)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise RequestFailedError(f"a websocket was refused: {answer[:200]!r}")

    def read(self) -> None:
        """Count what has arrived; a mark may come in two parts."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise RequestFailedError("the server closed a websocket")
        data = self._rest + part
        self.lines += data.count(_MARK)
        self._rest = data[-(len(_MARK) - 1) :] if not data.endswith(_MARK) else b""


def measure(bench: Bench) -> None:
    """Lines that the worst of all readers gets, and the memory of the server."""
    with ExitStack() as stack:
        [server] = stack.enter_context(bench.servers(Setup(own_profile=True), sides=[Side.OURS]))
        http = stack.enter_context(serving(server, bench.programs[Side.OURS]))
        manager = stack.enter_context(Client(server.address))
        manager("environment_open")
        manager.wait(lambda status: bool(status["worker_environment_exists"]) and idle(status), 60)
        followers = [Follower(http.port) for _ in range(CLIENTS)]
        for follower in followers:
            stack.callback(follower.socket.close)
        manager("queue_item_add", item=plan("print_steadily", _SECONDS, PER_S), **USER)
        manager("queue_start")
        _follow(followers)
        bench.samples.add("http.websockets", Side.OURS, min(follower.lines for follower in followers))
        bench.samples.add("http.websockets.memory", Side.OURS, http.resident_mb)


def _follow(followers: list[Follower]) -> None:
    """Read until everybody has all lines, or nothing comes any more."""
    deadline = time.monotonic() + _LONGEST_S
    with selectors.DefaultSelector() as selector:
        for follower in followers:
            selector.register(follower.socket, selectors.EVENT_READ, follower)
        while min(follower.lines for follower in followers) < _SECONDS * PER_S and time.monotonic() < deadline:
            for key, _ in selector.select(5):
                key.data.read()
