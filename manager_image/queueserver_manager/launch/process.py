"""Workers as local processes (design of the link: the worker dials, so all that a launcher does is start and watch).

A worker runs in a session of its own with its output in a log file, so it survives the manager that started it; the
next manager finds it by pid and start time (`adopt`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queueserver_common import loggers
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_manager.launch.interface import LaunchError, OnEnd, Record, Sighting, Stranger, WorkerEnd
from queueserver_manager.launch.interpreter import Surroundings, WaitingInterpreter
from queueserver_manager.launch.logs import last_lines, rename_log, trim
from queueserver_manager.launch.process_identity import (
    NoProcess,
    how_it_ended,
    memory_kills,
    open_pidfd,
    start_mark,
)
from queueserver_manager.launch.warm import WarmInterpreter
from queueserver_manager.launch.watch import ProcessWatch

logger = logging.getLogger(loggers.LAUNCH)

# -P: the current directory is no place to import from, a beamline may have any names in it.
WORKER_COMMAND = (sys.executable, "-P", "-m", "queueserver_worker", "--config", "-")

_ACCEPT_TIMEOUT = 30.0
"""Seconds; as long as even a cold interpreter takes to come up on a slow file system."""

_TRIM_PERIOD = 60.0
"""Seconds between two looks at the size of the logs."""

UNRECORDED_TIMEOUT = 10.0
"""Seconds for which a worker is waited for whose process was not recorded (its manager died while it started it)."""

MakeConfig = Callable[[str, str, dict[str, Any] | None], WorkerConfig]
"""Builds the configuration of an opening from its id, its token and the permissions."""


@dataclass(frozen=True, slots=True)
class WorkerHandle:
    """What names a worker's process for ever; `as_record` is what the store keeps."""

    opening_id: str
    host: str
    pid: int
    started: str
    """Start time of the process as the system tells it: with the pid it names one process for ever."""

    def as_record(self) -> Record:
        """JSON form."""
        return {"opening_id": self.opening_id, "host": self.host, "pid": self.pid, "started": self.started}

    @classmethod
    def of_record(cls, record: Record) -> WorkerHandle:
        """Read what `as_record` made."""
        return cls(str(record["opening_id"]), str(record["host"]), int(record["pid"]), str(record["started"]))


@dataclass(slots=True)
class _Worker:
    """A worker that is watched."""

    opening_id: str
    pid: int
    log: Path
    memory_kills: int
    """Processes that the kernel had killed for want of memory when the watch began."""
    process: subprocess.Popen[bytes] | None = None
    """None when an earlier manager started it."""
    watch: ProcessWatch | None = None
    killer: asyncio.TimerHandle | None = None


class ProcessLauncher:
    """Implements `launch.interface.Launcher` with local processes."""

    def __init__(
        self,
        make_config: MakeConfig,
        on_end: OnEnd,
        *,
        log_dir: Path,
        preload: tuple[str, ...] = (),
        hidden_variables: frozenset[str] = frozenset(),
        command: tuple[str, ...] = WORKER_COMMAND,
    ) -> None:
        """`preload`: modules of the interpreter that is kept ready, empty to keep none (`Settings.preload`).

        `hidden_variables` are environment variables that workers do not inherit.
        """
        self._make_config = make_config
        self._on_end = on_end
        self._log_dir = log_dir
        self._hidden = hidden_variables
        self._command = command
        self._host = socket.gethostname()
        self._workers: dict[str, _Worker] = {}
        self._kills_while_starting: dict[str, float | None] = {}
        """Openings whose `start` is under way, with the grace of a `kill` that came meanwhile."""
        self._awaited: dict[str, asyncio.TimerHandle] = {}
        """Openings of an earlier manager whose worker is not recorded and has not introduced itself."""
        self._warm: WarmInterpreter | None = None
        if preload:
            self._warm = WarmInterpreter(lambda: self._interpreter("ready", ("--preload", *preload)))
        self._trimmer: asyncio.TimerHandle | None = None

    def log_path(self, opening_id: str) -> Path:
        """Where the output of an opening's worker goes."""
        return self._log_dir / f"worker-{opening_id}.log"

    def log_tail(self, opening_id: str, lines: int = 20) -> str:
        """The last lines that a worker wrote: what a person wants to see when it ended before it could report."""
        return last_lines(self.log_path(opening_id), lines)

    def prepare(self) -> None:
        """Start an interpreter for the next opening, unless one is ready."""
        if self._warm is not None:
            self._warm.prepare(self._surroundings())

    async def start(self, opening_id: str, token: str, permissions: dict[str, Any] | None) -> Record:
        """Start a worker for an opening and watch it; raises `LaunchError`."""
        self._kills_while_starting[opening_id] = None
        try:
            line = self._make_config(opening_id, token, permissions).to_json().encode() + b"\n"
            interpreter = await self._started_ahead(opening_id, line) or await self._start_cold(opening_id, line)
            handle = self._adopt_child(opening_id, interpreter)
        finally:
            grace = self._kills_while_starting.pop(opening_id)
        if grace is not None:
            self.kill(opening_id, grace)
        return handle.as_record()

    def adopt(self, opening_id: str, record: Record | None) -> bool | None:
        """Watch a worker that an earlier manager started; False when it has ended, None when that cannot be told.

        One that was not recorded is waited for, for a while.
        """
        if record is None:
            self._awaited[opening_id] = asyncio.get_running_loop().call_later(
                UNRECORDED_TIMEOUT, self._never_came, opening_id
            )
            return None
        return self._adopt(WorkerHandle.of_record(record))

    def recognise(self, worker: Sighting) -> Record | None:
        """Watch a worker that says of itself where it runs; None when it is watched already or cannot be.

        One that has ended meanwhile is reported like any other end.
        """
        opening_id = worker.opening_id
        if (awaited := self._awaited.pop(opening_id, None)) is not None:
            awaited.cancel()
        if opening_id in self._workers or opening_id in self._kills_while_starting or worker.host != self._host:
            return None
        watched: bool | None = False
        with contextlib.suppress(NoProcess):
            handle = WorkerHandle(opening_id, worker.host, worker.pid, start_mark(worker.pid))
            if watched := self._adopt(handle):
                return handle.as_record()
        if watched is False:
            end = WorkerEnd(opening_id, "the worker process ended")
            asyncio.get_running_loop().call_soon(self._on_end, end)
        return None

    def identify(self, worker: Sighting) -> Record | Stranger:
        """Every local worker is recorded before its process starts."""
        return Stranger.FOREIGN

    def link_changed(self, opening_id: str) -> None:
        """Nothing follows from it: a process is watched by its descriptor."""

    def let_go(self, opening_id: str) -> None:
        """Nothing but the process stands for a local worker."""

    def _adopt(self, handle: WorkerHandle) -> bool | None:
        if handle.opening_id in self._workers:
            return True
        if handle.host != self._host:
            return None
        try:
            pidfd = open_pidfd(handle.pid, handle.started)
        except NoProcess:
            return False
        except OSError as error:
            logger.warning("Whether the worker process %d lives cannot be told: %s.", handle.pid, error.strerror)
            return None
        self._watch(_Worker(handle.opening_id, handle.pid, self.log_path(handle.opening_id), memory_kills()), pidfd)
        return True

    def _never_came(self, opening_id: str) -> None:
        del self._awaited[opening_id]
        self._on_end(WorkerEnd(opening_id, "its start was interrupted"))

    def kill(self, opening_id: str, grace: float, *, keep_remains: bool = False) -> None:
        """Ask the worker to abort and leave (SIGTERM), and kill it and what it started after `grace` seconds.

        Its remains, the log, are kept in any case.
        """
        if opening_id in self._kills_while_starting:
            self._kills_while_starting[opening_id] = grace
            return
        worker = self._workers.get(opening_id)
        if worker is None or worker.watch is None:
            return
        if worker.killer is not None:
            worker.killer.cancel()
        if grace > 0:
            worker.watch.send(signal.SIGTERM)
        worker.killer = asyncio.get_running_loop().call_later(grace, self._kill_by_force, worker)

    async def close(self) -> None:
        """Stop watching and drop a prepared interpreter; running workers are left alone."""
        for worker in self._workers.values():
            if worker.killer is not None:
                worker.killer.cancel()
            if worker.watch is not None:
                worker.watch.close()
            if worker.process is not None:
                # Not waited for on purpose; subprocess would complain about a child that it believes to be running.
                worker.process.returncode = 0
        self._workers.clear()
        for awaited in self._awaited.values():
            awaited.cancel()
        if self._trimmer is not None:
            self._trimmer.cancel()
        if self._warm is not None:
            await self._warm.close()

    def _surroundings(self) -> Surroundings:
        return Surroundings.now(self._hidden)

    def _interpreter(self, log_name: str, options: tuple[str, ...] = ()) -> WaitingInterpreter:
        return WaitingInterpreter.start((*self._command, *options), self._surroundings(), self._log_dir, log_name)

    async def _started_ahead(self, opening_id: str, line: bytes) -> WaitingInterpreter | None:
        """The prepared interpreter with the configuration taken; None when there is none that can be used."""
        if self._warm is None or (ready := self._warm.take(self._surroundings())) is None:
            return None
        try:
            async with asyncio.timeout(_ACCEPT_TIMEOUT):
                accepted = await ready.accepts(line)
        except TimeoutError:
            accepted = False
        except asyncio.CancelledError:
            self._warm.discard(ready)
            raise
        if accepted:
            ready.log = rename_log(ready.log, opening_id)
            return ready
        logger.info("The prepared interpreter cannot be used any more; a new one is started.")
        self._warm.discard(ready)
        return None

    async def _start_cold(self, opening_id: str, line: bytes) -> WaitingInterpreter:
        interpreter = self._interpreter(opening_id)
        try:
            async with asyncio.timeout(_ACCEPT_TIMEOUT):
                await interpreter.configure(line)
        except (TimeoutError, asyncio.CancelledError) as error:
            interpreter.kill()
            interpreter.process.wait()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise LaunchError(
                f"The worker process did not take its configuration within {_ACCEPT_TIMEOUT:.0f} s; "
                f"its log is {interpreter.log}."
            ) from None
        return interpreter

    def _adopt_child(self, opening_id: str, interpreter: WaitingInterpreter) -> WorkerHandle:
        interpreter.release()
        process = interpreter.process
        before = memory_kills()
        try:
            started = start_mark(process.pid)
        except NoProcess:
            how = how_it_ended(process.wait(), memory_ran_out=False)
            raise LaunchError(f"The worker process {how} at its start; its log is {interpreter.log}.") from None
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            interpreter.kill()
            process.wait()
            raise LaunchError(f"The worker process cannot be watched: {error.strerror}.") from None
        worker = _Worker(opening_id, process.pid, interpreter.log, before, process)
        self._watch(worker, pidfd)
        return WorkerHandle(opening_id, self._host, process.pid, started)

    def _watch(self, worker: _Worker, pidfd: int) -> None:
        loop = asyncio.get_running_loop()
        worker.watch = ProcessWatch(loop, pidfd, lambda: self._ended(worker))
        self._workers[worker.opening_id] = worker
        if self._trimmer is None:
            self._trimmer = loop.call_later(_TRIM_PERIOD, self._trim_logs)

    def _ended(self, worker: _Worker) -> None:
        del self._workers[worker.opening_id]
        if worker.killer is not None:
            worker.killer.cancel()
        exit_code = worker.process.wait() if worker.process is not None else None
        how = how_it_ended(exit_code, memory_ran_out=memory_kills() > worker.memory_kills)
        log = f" (log: {worker.log})" if worker.log.exists() else ""
        self._on_end(WorkerEnd(worker.opening_id, f"the worker process {how}{log}", exit_code))

    def _kill_by_force(self, worker: _Worker) -> None:
        """Kill the worker and all processes of its session's first group, which startup code may have started."""
        if worker.watch is not None and worker.watch.send(signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.pid, signal.SIGKILL)

    def _trim_logs(self) -> None:
        self._trimmer = None
        for worker in self._workers.values():
            trim(worker.log)
        if self._workers:
            self._trimmer = asyncio.get_running_loop().call_later(_TRIM_PERIOD, self._trim_logs)
