"""A real packaged server for every test of the store."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from queueserver_manager.store.packaged_server import AppendFsync, ensure_packaged_server
from queueserver_manager.store.redis_store import RedisStore

DEADLINE_SECONDS = 10.0
SCENARIO_SECONDS = 50.0


_opened: list[RedisStore] = []


class Server:
    """A packaged server that can be killed and started again on the same data."""

    def __init__(self, base: Path) -> None:
        self.data = base / "data"
        self.runtime = base / "run"
        self.address = ""
        self.appendfsync: AppendFsync = "everysec"

    async def start(self) -> str:
        self.address = await ensure_packaged_server(self.data, self.runtime, self.appendfsync)
        return self.address

    @property
    def pid(self) -> int:
        return int(json.loads((self.data / "server.json").read_text())["pid"])

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the server and wait until it is gone: it holds the lock as long as it lives."""
        with suppress(ProcessLookupError, FileNotFoundError):
            self.signal(signal.SIGKILL)
        self.wait_ended()

    def wait_ended(self) -> None:
        if (self.data / "server.lock").exists():
            with (self.data / "server.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)

    async def connect(self, prefix: str, holder: str = "1@elsewhere", reply_seconds: float = 5.0) -> RedisStore:
        store = await RedisStore.connect(self.address, prefix, holder, reply_seconds=reply_seconds)
        _opened.append(store)
        return store

    async def manager(self, prefix: str, holder: str = "1@elsewhere", reply_seconds: float = 5.0) -> RedisStore:
        """A store that has taken the epoch."""
        store = await self.connect(prefix, holder, reply_seconds)
        await store.take_epoch()
        return store


def _run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        try:
            async with asyncio.timeout(SCENARIO_SECONDS):
                await scenario
        finally:
            # uvloop cannot end with open connections when warnings are errors.
            while _opened:
                await _opened.pop().close()

    uvloop.run(bounded())


@pytest.fixture(scope="session")
def run() -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a scenario in an event loop of the kind that the manager uses, for at most 50 s, and closes its stores."""
    return _run


@pytest.fixture
def place() -> Iterator[Server]:
    """A server that has not been started; short paths, because those of unix sockets are limited."""
    base = Path(tempfile.mkdtemp(prefix="qs-"))
    server = Server(base)
    yield server
    server.kill()
    shutil.rmtree(base)


@pytest.fixture
def server(place: Server) -> Server:
    """A server that forces every commit to disk: a kill takes nothing that was acknowledged."""
    place.appendfsync = "always"
    asyncio.run(place.start())
    return place


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    """A server for tests that keep to prefixes of their own and leave it alive."""
    base = Path(tempfile.mkdtemp(prefix="qs-"))
    server = Server(base)
    asyncio.run(server.start())
    yield server
    server.kill()
    shutil.rmtree(base)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.002)


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Waits until a condition holds; fails after 10 s."""
    return _until
