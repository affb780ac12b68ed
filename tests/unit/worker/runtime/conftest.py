"""A manager's end of the link and real worker processes for the tests of the runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import zmq

from queueserver_common.link.codec import decode, encode
from queueserver_common.link.messages import (
    Command,
    CommandResult,
    Console,
    EnvironmentReady,
    Event,
    EventsStored,
    Heartbeat,
    Hello,
    Introduce,
    ItemEnded,
    Resume,
    Snapshot,
    SnapshotChanged,
    Welcome,
)
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.startup import StartupSource

M = TypeVar("M")

_EVERYTHING = {"allowed_plans": [None], "allowed_devices": [None], "allowed_functions": [None]}
PERMISSIONS: dict[str, Any] = {"user_groups": {"root": _EVERYTHING, "primary": _EVERYTHING}}

PROFILE = """
import os, sys, threading, time
import bluesky.plan_stubs as bps
from bluesky import RunEngine

RE = RunEngine({})

def noop():
    yield from bps.null()

def one_run():
    yield from bps.open_run()
    yield from bps.close_run()

def fails():
    yield from bps.open_run()
    raise ValueError("a deliberate failure")

def points(n: int = 4000, t: float = 0.02):
    yield from bps.open_run()
    for _ in range(n):
        yield from bps.checkpoint()
        yield from bps.sleep(t)
    yield from bps.close_run()
"""


DEADLINE_S = 45.0
"""For what takes well below a second; a loaded machine may take long, and pytest stops a test after a minute."""


class FakeManager:
    """The manager's end of the link: a ROUTER socket that records everything and stores events as it is told."""

    def __init__(self, address: str, epoch: int = 1, stored: int = 0) -> None:
        self.address = address
        self.epoch = epoch
        self.stored = stored
        self.acknowledge = True
        self.welcome = True
        self.hellos: list[Hello] = []
        self.events: list[Event] = []
        self.results: dict[str, CommandResult] = {}
        self.result_count = 0
        self.snapshots: list[Snapshot] = []
        self.console: list[Console] = []
        self.heartbeats = 0
        self.peer = b""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(address)

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()

    def send(self, message: Any) -> None:
        self.send_raw(encode(message))

    def send_raw(self, *frames: bytes) -> None:
        self._socket.send_multipart([self.peer, *frames])

    def step(self, timeout: float) -> bool:
        if not self._socket.poll(max(0, int(timeout * 1000))):
            return False
        peer, frame = self._socket.recv_multipart()
        self._take(peer, decode(frame))
        return True

    def _take(self, peer: bytes, message: Any) -> None:
        if peer != self.peer and not isinstance(message, Hello):
            self._socket.send_multipart([peer, encode(Introduce())])
            return
        match message:
            case Hello():
                self.peer = peer
                self.hellos.append(message)
                self.snapshots.append(message.snapshot)
                if self.welcome:
                    self.send(Welcome(self.epoch, self.stored))
            case Event(seq, _):
                if seq > max((event.seq for event in self.events), default=0):
                    self.events.append(message)
                if self.acknowledge:
                    self.stored = max(self.stored, seq)
                    self.send(EventsStored(self.stored))
            case SnapshotChanged(snapshot):
                self.snapshots.append(snapshot)
            case CommandResult(command_id, _, _):
                self.results[command_id] = message
                self.result_count += 1
            case Console():
                self.console.append(message)
            case Heartbeat():
                self.heartbeats += 1

    def wait(self, condition: Callable[[], M], timeout: float = DEADLINE_S) -> M:
        """Handle messages until `condition` holds; returns what it returned."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                pytest.fail(f"not reached in {timeout} s; events {self.events}, snapshot {self.snapshots[-1:]}")
            self.step(min(remaining, 0.01))
        return found

    def listen(self, seconds: float) -> None:
        """Handle messages for a while, for what must not come."""
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            self.step(remaining)

    def wait_event(self, kind: type[M], timeout: float = DEADLINE_S) -> M:
        """The latest event of a kind, once there is one."""

        def latest() -> M | None:
            return next((event.body for event in reversed(self.events) if isinstance(event.body, kind)), None)

        found = self.wait(latest, timeout)
        assert found is not None
        return found

    def tell(self, body: Any, command_id: str = "") -> CommandResult:
        """Send a command and wait for its result."""
        command_id = command_id or uuid.uuid4().hex
        self.send(Command(command_id, self.epoch, body))
        result = self.wait(lambda: self.results.get(command_id))
        assert result is not None
        return result

    def settle(self) -> None:
        """Return when the worker has taken everything that was sent so far."""
        self.tell(Resume())

    def expect_another_worker(self) -> None:
        """Forget what the last one reported."""
        self.stored = 0
        self.events.clear()
        self.hellos.clear()
        self.snapshots.clear()
        self.console.clear()

    def ends(self, item_uid: str) -> list[ItemEnded]:
        bodies = (event.body for event in self.events if isinstance(event.body, ItemEnded))
        return [body for body in bodies if body.item_uid == item_uid]

    def wait_end(self, item_uid: str, timeout: float = DEADLINE_S) -> ItemEnded:
        return self.wait(lambda: self.ends(item_uid), timeout)[0]

    def wait_state(self, re_state: str | None, timeout: float = DEADLINE_S) -> Snapshot:
        self.wait(lambda: self.snapshots and self.snapshots[-1].re_state == re_state, timeout)
        return self.snapshots[-1]

    def wait_gone(self, worker: Worker, timeout: float = DEADLINE_S) -> int:
        """Exit code of a worker that ends by itself."""
        self.wait(lambda: not worker.alive, timeout)
        return worker.wait_exit()

    @property
    def console_text(self) -> str:
        return "".join(part.text for part in self.console)


class Worker:
    """A real worker process with a directory of its own."""

    def __init__(self, directory: Path, profile: str, **changes: Any) -> None:
        self.directory = directory
        self.profile = directory / "profile"
        self.profile.mkdir(parents=True, exist_ok=True)
        self.startup_file = self.profile / "startup.py"
        self.startup_file.write_text(profile)
        self.spool_dir = str(directory / "spool")
        standard = WorkerConfig(
            link_address=f"ipc://{directory}/link",
            opening_id="opening-1",
            token="secret",
            startup=StartupSource("directory", str(self.profile)),
            spool_dir=self.spool_dir,
            permissions=PERMISSIONS,
        )
        self.config = replace(standard, **changes)
        self.output_file = directory / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(
        self,
        *,
        preload: tuple[str, ...] = (),
        config_text: str | None = None,
        stdin: int = subprocess.PIPE,
        stdout: int | None = None,
        path: str = "",
    ) -> Worker:
        """Start the process; with `preload` its configuration is held back until `send_config`."""
        command = [sys.executable, "-m", "queueserver_worker", "--config", "-"]
        if preload:
            command += ["--preload", *preload]
        search = [entry for entry in (path, *sys.path) if entry]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(search)}
        with self.output_file.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=output if stdout is None else stdout,
                stderr=output,
                start_new_session=True,
                env=environment,
            )
        if not preload:
            self.send_config(config_text)
        return self

    def send_config(self, text: str | None = None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((self.config.to_json() if text is None else text).encode() + b"\n")
        self.process.stdin.close()

    def close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def wait_exit(self, timeout: float = DEADLINE_S) -> int:
        return self.process.wait(timeout)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def output(self) -> str:
        return self.output_file.read_text(errors="replace")

    def kill(self) -> None:
        if self._process is not None:
            self.close_stdin()
            if self.alive:
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class Bench:
    """Makes workers and managers, and takes them down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._workers: list[Worker] = []
        self._managers: list[FakeManager] = []

    @staticmethod
    def item(name: str, /, **kwargs: Any) -> bytes:
        """JSON text of a queue item for a plan."""
        content = {
            "item_type": "plan",
            "name": name,
            "user": "a",
            "user_group": "primary",
            "item_uid": uuid.uuid4().hex,
        }
        return json.dumps(content | ({"kwargs": kwargs} if kwargs else {})).encode()

    @staticmethod
    def uid_of(text: bytes) -> str:
        return str(json.loads(text)["item_uid"])

    def worker(self, added_profile: str = "", *, profile: str = PROFILE, **changes: Any) -> Worker:
        """A worker that is not started yet; its startup code is `profile` with `added_profile`."""
        worker = Worker(self.directory, profile + added_profile, **changes)
        self._workers.append(worker)
        return worker

    def manager(self, epoch: int = 1, stored: int = 0) -> FakeManager:
        manager = FakeManager(f"ipc://{self.directory}/link", epoch, stored)
        self._managers.append(manager)
        return manager

    def drop(self, manager: FakeManager) -> None:
        """The manager goes away."""
        self._managers.remove(manager)
        manager.close()

    def open(self, added_profile: str = "", **changes: Any) -> tuple[FakeManager, Worker]:
        """A manager with an open environment."""
        manager, worker = self.manager(), self.worker(added_profile, **changes).start()
        manager.wait_event(EnvironmentReady)
        manager.settle()
        return manager, worker

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        for manager in self._managers:
            manager.close()


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("w"))  # a short name: paths of ipc sockets have little room
    yield made
    made.close()
