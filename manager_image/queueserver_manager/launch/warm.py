"""An interpreter that is started ahead of time, so that the next environment opens quickly.

Never a fork: it is a process of its own that has only imported modules which read no environment and start no threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from queueserver_common import loggers
from queueserver_manager.launch.interface import LaunchError
from queueserver_manager.launch.interpreter import Surroundings, WaitingInterpreter
from queueserver_manager.launch.watch import ProcessWatch

logger = logging.getLogger(loggers.LAUNCH)


class WarmInterpreter:
    """Holds at most one prepared interpreter and forgets it when it ends by itself."""

    def __init__(self, start: Callable[[], WaitingInterpreter]) -> None:
        self._start = start
        self._ready: WaitingInterpreter | None = None
        self._watches: dict[int, ProcessWatch] = {}
        """Watches of all interpreters that were started here and neither taken nor reaped yet, by pid."""
        self._all_reaped = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process that is ready; None when there is none."""
        return self._ready.process.pid if self._ready else None

    def prepare(self, surroundings: Surroundings) -> None:
        """Have an interpreter ready for these surroundings; when that fails, the next start is merely slower."""
        if self._ready is not None and self._ready.surroundings == surroundings:
            return
        self.drop()
        try:
            ready = self._start()
        except LaunchError as error:
            logger.warning("No interpreter is kept ready. %s", error)
            return
        self._ready = ready
        self._watch(ready)

    def take(self, surroundings: Surroundings) -> WaitingInterpreter | None:
        """Hand the prepared interpreter over to the caller, if there is one that fits; any other is dropped."""
        ready = self._ready
        if ready is None or ready.surroundings != surroundings or ready.process.poll() is not None:
            self.drop()
            return None
        self._ready = None
        self._watches.pop(ready.process.pid).close()
        return ready

    def discard(self, interpreter: WaitingInterpreter) -> None:
        """End an interpreter that cannot be used and reap it when it has gone."""
        if interpreter.process.pid not in self._watches:
            self._watch(interpreter)
        interpreter.kill()

    def drop(self) -> None:
        """End the prepared interpreter."""
        ready, self._ready = self._ready, None
        if ready is not None:
            self.discard(ready)

    async def close(self) -> None:
        """End the prepared interpreter and wait until it and its predecessors are gone."""
        self.drop()
        if self._watches:
            self._all_reaped.clear()
            await self._all_reaped.wait()

    def _watch(self, interpreter: WaitingInterpreter) -> None:
        process = interpreter.process

        def reap() -> None:
            self._watches.pop(process.pid, None)
            code = process.wait()
            interpreter.release()
            if self._ready is interpreter:
                self._ready = None
                logger.warning("The prepared interpreter ended with code %s; its log is %s.", code, interpreter.log)
            if not self._watches:
                self._all_reaped.set()

        pidfd = os.pidfd_open(process.pid)
        self._watches[process.pid] = ProcessWatch(asyncio.get_running_loop(), pidfd, reap)
