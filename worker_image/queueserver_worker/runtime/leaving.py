"""The last things a worker does."""

from __future__ import annotations

import atexit
import logging
import os
from dataclasses import replace
from typing import NoReturn

from queueserver_common import loggers
from queueserver_common.link.messages import EnvironmentPhase
from queueserver_worker.runtime.console import Console
from queueserver_worker.runtime.dead_man import DeadMan
from queueserver_worker.runtime.exit_codes import ExitCode
from queueserver_worker.runtime.link_thread import LinkThread
from queueserver_worker.runtime.packaged_store import stop_store_unless_in_use
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.state import WorkerState

_log = logging.getLogger(loggers.WORKER)

CLEAN_UP_DEADLINE = 5.0
"""Seconds for exit handlers of the startup code and its libraries, ophyd's among them."""

DELIVERY_DEADLINE = 0.5
"""Seconds for the manager to take and store what is still unreported."""


class Leaving:
    """Cleans up and ends the process; in the main thread."""

    def __init__(
        self,
        state: WorkerState,
        reports: Reports,
        console: Console,
        link: LinkThread,
        dead_man: DeadMan,
        packaged_store: str,
    ) -> None:
        self._state = state
        self._reports = reports
        self._console = console
        self._link = link
        self._dead_man = dead_man
        self._packaged_store = packaged_store
        self.exit_code = ExitCode.IN_ORDER

    def by_signal(self) -> None:
        """The end was not the manager's wish: the exit code says so, and a kubelet keeps its reason for the signal."""
        if self.exit_code is ExitCode.IN_ORDER:
            self.exit_code = ExitCode.TERMINATED

    def leave(self) -> NoReturn:
        """Run exit handlers, deliver what is unreported, end the process without Python's slow tear-down."""
        self._state.change(lambda view: replace(view, phase=EnvironmentPhase.CLOSING))
        self._run_exit_handlers()
        self._console.push()
        self._link.finish(DELIVERY_DEADLINE)
        self._reports.close()
        if self._packaged_store and self._link.was_alone:
            stop_store_unless_in_use(self._packaged_store)
        self._console.flush()
        os._exit(self.exit_code)

    def _run_exit_handlers(self) -> None:
        # A handler that does not return is shown by the traceback, and the process ends in spite of it.
        self._dead_man.guard(CLEAN_UP_DEADLINE)
        try:
            atexit._run_exitfuncs()  # noqa: SLF001  # what the interpreter calls in its tear-down, which is left out
        except BaseException:
            _log.exception("An exit handler failed:")
        self._dead_man.release()
