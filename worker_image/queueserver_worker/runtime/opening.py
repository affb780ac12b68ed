"""Opening the environment: the first work of the main thread."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import replace
from types import FrameType

from queueserver_common import loggers
from queueserver_common.link.messages import EnvironmentPhase, EnvironmentReady
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_worker.profile.home import problem_of_home
from queueserver_worker.runtime.environment import Environment, describe_failure
from queueserver_worker.runtime.exit_codes import ExitCode
from queueserver_worker.runtime.instrument_lock import InstrumentLock
from queueserver_worker.runtime.interruption import Interruption
from queueserver_worker.runtime.leaving import Leaving
from queueserver_worker.runtime.lists_update import update_lists_file
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.state import WorkerState
from queueserver_worker.runtime.wakeup import WakePipe

_log = logging.getLogger(loggers.WORKER)


class Opening:
    """Takes the instrument, loads the startup code and reports the environment."""

    def __init__(
        self,
        config: WorkerConfig,
        state: WorkerState,
        environment: Environment,
        reports: Reports,
        leaving: Leaving,
        wake: WakePipe,
        lock: InstrumentLock,
        interruption: Interruption,
    ) -> None:
        self._config = config
        self._state = state
        self._environment = environment
        self._reports = reports
        self._leaving = leaving
        self._wake = wake
        self._lock = lock
        self._interruption = interruption
        self._given_up = False

    def give_up(self, error: Exception) -> None:
        """The environment cannot be opened; the work of opening it, if it was handed in, does nothing."""
        self._given_up = True
        self._fail(error)

    def open(self) -> None:
        """Open the environment or report why it cannot be opened."""
        if self._given_up:
            return
        self._take_signals()
        if problem := problem_of_home():
            _log.warning("%s", problem)
        loaded: list[EnvironmentReady] = []
        try:
            if not self._interruption.guard(lambda: loaded.append(self._load())):
                return
        except BaseException as error:
            self._fail(error)
            return
        # Startup code and its libraries may have put handlers of their own in place.
        self._take_signals()
        now = time.monotonic()
        self._state.change(lambda view: replace(view, phase=EnvironmentPhase.READY, idle_since=now))
        self._reports.add(loaded[0])
        _log.info("The environment is open.")
        self._environment.compile_permissions()
        update_lists_file(self._config, self._environment.plans, self._environment.devices)

    def _load(self) -> EnvironmentReady:
        if self._config.instrument_lock:
            self._lock.take()
        return self._environment.open(self._config)

    def _fail(self, error: BaseException) -> None:
        failed = describe_failure(error)
        if failed.traceback:
            _log.error("%s", failed.traceback)
        _log.error("The environment cannot be opened: %s", failed.message)
        self._leaving.exit_code = ExitCode.ENVIRONMENT_FAILED
        now = time.monotonic()
        self._state.change(lambda view: replace(view, phase=EnvironmentPhase.FAILED, idle_since=now))
        self._reports.add(failed)

    def _take_signals(self) -> None:
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        # The link thread hears of signals by this descriptor even while the main thread is inside C code.
        signal.set_wakeup_fd(self._wake.write_fd, warn_on_full_buffer=False)

    def _on_sigterm(self, signum: int, _: FrameType | None) -> None:
        self._wake.send_signal(signum)
        self._interruption.heard()
