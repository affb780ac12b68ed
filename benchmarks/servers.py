"""Starting and stopping the servers under test, each with a store of its own and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zmq

from benchmarks import processes
from benchmarks.samples import Side
from benchmarks.wire import Client, RequestFailedError
from queueserver_manager.store.packaged_server import server_binary

STARTUP = Path(__file__).parent / "startup"
"""A profile with the plans that are measured."""

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 15.0
_PRELOADED = "--preload"
"""Marks the command line of an interpreter that our server keeps ready."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a server is started, beyond its defaults."""

    own_profile: bool = False
    """Load the profile of the benchmark in place of the simulated one."""
    warm: bool = True
    """Ours only: keep an interpreter ready, which is the default."""
    durable: bool = False
    """Ours only: every write is on disk before it is answered (`appendfsync always`)."""
    encrypted: bool = False
    """Ours only: requests and replies are encrypted."""
    fill: Callable[[int], None] | None = None
    """Ours only: writes into the store at this port before the server starts; its history is without limit then."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    side: Side
    address: str
    info_address: str
    root: int
    """The process that was started."""
    port: int
    public_key: str = ""
    """Of a server that encrypts."""

    @property
    def manager(self) -> int:
        """The manager's process."""
        return processes.listener(self.port)

    def settle(self) -> None:
        """Wait until what the server prepares for an opening is ready."""
        waiting = [pid for pid in processes.descendants(self.root) if _PRELOADED in processes.command_line(pid)]
        processes.wait_until_at_rest([self.root, self.manager, *waiting])


@contextmanager
def running(side: Side, programs: Path, setup: Setup) -> Iterator[Server]:
    """Start a server of either side and wait until it answers; it is stopped with all its processes."""
    with (
        tempfile.TemporaryDirectory(prefix="qs-bench-", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(name)
        port, info_port = free_port(), free_port()
        command = [
            str(programs / "start-re-manager"),
            f"--zmq-control-addr=tcp://127.0.0.1:{port}",
            f"--zmq-info-addr=tcp://127.0.0.1:{info_port}",
            "--zmq-publish-console=ON",
        ]
        if setup.own_profile:
            profile = directory / "profile"
            shutil.copytree(STARTUP, profile, ignore=shutil.ignore_patterns("__pycache__"))
            command.append(f"--startup-dir={profile}")
        if side is Side.OURS:
            command += [f"--data-dir={directory / 'data'}", f"--runtime-dir={directory / 'run'}"]
            command += ["--on-terminate=DESTROY", f"--warm-worker={'ON' if setup.warm else 'OFF'}"]
            command += [f"--appendfsync={'always' if setup.durable else 'everysec'}"]
            if setup.fill is not None:
                store = stack.enter_context(_store(directory))
                setup.fill(store)
                command += [f"--redis-addr=localhost:{store}", "--history-limit=0"]
        else:
            command.append(f"--redis-addr=localhost:{stack.enter_context(_store(directory))}")
        public_key, private_key = (key.decode() for key in zmq.curve_keypair()) if setup.encrypted else ("", "")
        environment = _environment(directory)
        if private_key:
            environment["QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER"] = private_key
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=directory
            )
        stack.callback(_stop, process, f"tcp://127.0.0.1:{port}")
        address, info_address = f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{info_port}"
        server = Server(side, address, info_address, process.pid, port, public_key)
        _await_answer(server, process, directory / "log")
        yield server


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(directory: Path) -> dict[str, str]:
    """The environment without settings of Python (cached bytecode is part of a normal start) and of queue servers."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QSERVER", "_QSERVER"))
    } | {"HOME": str(directory), "MPLBACKEND": "agg"}


@contextmanager
def _store(directory: Path) -> Iterator[int]:
    """The same Valkey with the same durability as our packaged server, for a server that brings none."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec"]
    with (directory / "store-log").open("wb") as log:
        process = subprocess.Popen([str(server_binary()), "--port", str(port), *options], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline:
                raise RequestFailedError(f"the Valkey server does not answer on port {port}")
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


def _await_answer(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with Client(server.address, server.public_key) as client, contextlib.suppress(RequestFailedError):
            client("status", timeout=0.5)
            client.wait(lambda status: bool(status["manager_state"] == "idle"), _START_TIMEOUT)
            return
    tail = log.read_text(errors="replace")[-2000:]
    raise RequestFailedError(f"the server ({server.side}) did not start; the end of its log:\n{tail}")


def _stop(process: subprocess.Popen[bytes], address: str) -> None:
    below = processes.descendants(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    processes.end(below)
