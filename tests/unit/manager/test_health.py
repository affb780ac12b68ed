from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from queueserver_manager.health import HealthServer
from queueserver_manager.settings.errors import SettingsError


class Truth:
    """What is wrong with the manager."""

    def __init__(self) -> None:
        self.unready = ""
        self.remark = ""


def run(scenario: Callable[[HealthServer, Truth], Coroutine[Any, Any, None]]) -> None:
    async def body() -> None:
        truth = Truth()
        server = HealthServer(lambda: truth.unready, lambda: truth.remark)
        await server.start("127.0.0.1", 0)
        try:
            async with asyncio.timeout(20):
                await scenario(server, truth)
        finally:
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


async def ask(server: HealthServer, request: bytes) -> tuple[bytes, bytes]:
    """Status line and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.splitlines()[0] if head else b"", body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: manager\r\nUser-Agent: kube-probe\r\n\r\n".encode()


def test_a_manager_that_answers_is_alive_and_ready() -> None:
    async def scenario(server: HealthServer, truth: Truth) -> None:
        for path in ("/healthz", "/readyz", "/healthz?verbose"):
            assert await ask(server, get(path)) == (b"HTTP/1.1 200 OK", b"ok\n")
        status, body = await ask(server, b"HEAD /readyz HTTP/1.0\r\n\r\n")
        assert (status, body) == (b"HTTP/1.1 200 OK", b"")

    run(scenario)


def test_a_store_that_is_away_makes_a_manager_unready_and_is_no_reason_to_end_it() -> None:
    async def scenario(server: HealthServer, truth: Truth) -> None:
        truth.unready = truth.remark = "The store is away: connection refused"
        assert await ask(server, get("/readyz")) == (
            b"HTTP/1.1 503 Service Unavailable",
            b"The store is away: connection refused\n",
        )
        assert await ask(server, get("/healthz")) == (b"HTTP/1.1 200 OK", b"The store is away: connection refused\n")

    run(scenario)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/"), b"404"),
        (b"POST /healthz HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\xff\xfe\x00\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_anything_else_is_refused_and_the_next_is_answered(request_: bytes, status: bytes) -> None:
    async def scenario(server: HealthServer, truth: Truth) -> None:
        try:
            line, _ = await ask(server, request_)
            assert line.split()[1] == status
        except ConnectionResetError:
            assert len(request_) > 65536, "what was not read is lost with the connection"
        assert (await ask(server, get("/healthz")))[1] == b"ok\n"

    run(scenario)


def test_a_client_that_goes_before_it_asks_does_no_harm() -> None:
    async def scenario(server: HealthServer, truth: Truth) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
        assert (await ask(server, get("/healthz")))[1] == b"ok\n"

    run(scenario)


def test_an_address_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def start() -> None:
            await HealthServer(lambda: "", lambda: "").start("127.0.0.1", port)

        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}: it is in use; give another"):
            asyncio.run(start())
