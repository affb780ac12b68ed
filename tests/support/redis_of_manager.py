"""The Redis server of a manager under test, and what may happen to it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from faulty_manager import LONG, FaultyManager, wait_until
from queueserver_manager.store.packaged_server import server_binary

ONCE = Retry(NoBackoff(), 0)
"""A client that does not try again by itself."""


class PackagedRedis:
    """The server that the manager started; the manager also starts it again."""

    restarts_by_itself = True

    def __init__(self, manager: FaultyManager) -> None:
        self._manager = manager

    @property
    def pid(self) -> int:
        return self._manager.redis_pid

    def stop(self) -> None:
        """It does not answer any more, but it is there."""
        self._manager.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        self._manager.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._manager.kill(self.pid)

    def shut_down(self) -> None:
        """It ends in order."""
        (path,) = self._manager.runtime_dir.rglob("redis-*.sock")
        pid = self.pid
        with redis.Redis(unix_socket_path=str(path), retry=ONCE) as client:
            client.shutdown()
        wait_until(lambda: pid not in self._manager.processes(), "end of the Redis server")

    def start(self) -> None:
        """The manager does."""


class ExternalRedis:
    """A server that somebody else looks after; every commit is forced to disk."""

    restarts_by_itself = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir()
        self._copy = directory.with_name(f"{directory.name}-copy")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self, *, wait: bool = True) -> None:
        """Start it (again) on the same data."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(self._directory),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
        }
        self._process = subprocess.Popen(
            [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        if wait:
            wait_until(self._answers, "answer of the Redis server")

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self._port, socket_timeout=LONG, retry=ONCE) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
            return False

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._ended()

    def shut_down(self) -> None:
        with redis.Redis(port=self._port, retry=ONCE) as client:
            client.shutdown()
        self._ended()

    def remember(self) -> None:
        """Keep a copy of the data as they are."""
        self.stop()
        shutil.copytree(self._directory, self._copy)
        self.go_on()

    def forget(self) -> None:
        """While it does not run: take the data back to the copy, as a crash of its machine may."""
        shutil.rmtree(self._directory)
        shutil.copytree(self._copy, self._directory)

    def close(self) -> None:
        """End it whatever it does."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait(LONG)


RedisOfManager = PackagedRedis | ExternalRedis


def options_for(server: ExternalRedis | None) -> Sequence[Any]:
    """Command line options of a manager with this server; None for the packaged one."""
    return ("--appendfsync=always",) if server is None else (f"--redis-addr={server.address}",)
