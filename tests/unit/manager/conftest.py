"""A launcher with a small program that stands in for the worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.startup import StartupSource
from queueserver_manager.launch.interface import WorkerEnd
from queueserver_manager.launch.process import ProcessLauncher

DEADLINE = 20.0

# Takes the configuration as a worker does, tells about itself, and ends by SIGTERM.
WORKER = """
import json, os, signal, sys, time
folder = sys.argv[1]
def path(name): return os.path.join(folder, name)
if "--preload" in sys.argv:
    print("preloading", *sys.argv[sys.argv.index("--preload") + 1:])
line = b""
while not line.endswith(b"\\n"):
    data = os.read(0, 65536)
    if not data:
        open(path("unused"), "w").close()
        os._exit(0)
    line += data
if "--preload" in sys.argv and os.path.exists(path("stale")):
    os._exit(75)
config = json.loads(line)
if os.path.exists(path("stubborn")):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
null = os.open(os.devnull, os.O_RDONLY)
os.dup2(null, 0)
child = 0
if os.path.exists(path("with child")):
    child = os.fork()
    if child == 0:
        time.sleep(1000)
about = dict(config=config, pid=os.getpid(), sid=os.getsid(0), child=child, environment=dict(os.environ),
             fds=sorted(os.listdir("/proc/self/fd")), warm="--preload" in sys.argv)
with open(path("part"), "w") as file:
    json.dump(about, file)
os.rename(path("part"), path("about-" + config["opening_id"]))
print("working on", config["opening_id"], flush=True)
if os.path.exists(path("fails")):
    sys.exit(3)
while True:
    time.sleep(1000)
"""


class Bench:
    """A launcher and what it reported."""

    def __init__(self, folder: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.folder = folder
        self.loop_factory = loop_factory
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.ends: list[WorkerEnd] = []
        self.script = folder / "worker.py"
        self.script.write_text(WORKER)

    def config(self, opening_id: str, token: str, permissions: dict[str, object] | None) -> WorkerConfig:
        return WorkerConfig(
            link_address="ipc:///link",
            opening_id=opening_id,
            token=token,
            startup=StartupSource("directory", "/startup"),
            spool_dir="/spool",
            permissions=permissions,
        )

    @contextlib.asynccontextmanager
    async def launcher(
        self, *, preload: tuple[str, ...] = (), hidden: frozenset[str] = frozenset(), command: tuple[str, ...] = ()
    ) -> AsyncIterator[ProcessLauncher]:
        launcher = ProcessLauncher(
            self.config,
            self.ends.append,
            log_dir=self.logs,
            preload=preload,
            hidden_variables=hidden,
            command=command or (sys.executable, str(self.script), str(self.folder)),
        )
        try:
            yield launcher
        finally:
            await launcher.close()

    @staticmethod
    async def until(condition: Callable[[], object], what: str) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"timed out waiting for {what}"
            await asyncio.sleep(0.002)

    @staticmethod
    def is_running(pid: int) -> bool:
        """Whether a process exists and is no zombie."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a test in an event loop, with a deadline."""

        async def with_deadline() -> None:
            async with asyncio.timeout(2 * DEADLINE):
                await scenario()

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(with_deadline())

    async def about(self, opening_id: str) -> dict[str, object]:
        """What the worker told about itself once it had its configuration."""
        file = self.folder / f"about-{opening_id}"
        await self.until(file.exists, "the worker")
        content: dict[str, object] = json.loads(file.read_text())
        return content

    async def end(self) -> WorkerEnd:
        """The one end that was reported."""
        await self.until(lambda: self.ends, "the end of the worker")
        assert len(self.ends) == 1
        return self.ends[0]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield Bench(tmp_path, request.param)
    # What a failed test left running.
    for about in tmp_path.glob("about-*"):
        pid = json.loads(about.read_text())["pid"]
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if str(tmp_path) in Path(f"/proc/{pid}/cmdline").read_text():
                os.killpg(pid, signal.SIGKILL)
