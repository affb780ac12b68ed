"""The worker process: its parts, put together."""

from __future__ import annotations

import os
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

from queueserver_common.link.curve_key import KeyFileError, KeyFormatError, check_key, read_key
from queueserver_common.link.messages import EnvironmentPhase
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.permissions import Permissions, PermissionsError
from queueserver_common.spool import SpoolWriter, TerminationMessage
from queueserver_worker.runtime.acceptance import begin_ending
from queueserver_worker.runtime.commands import Commands
from queueserver_worker.runtime.console import Console
from queueserver_worker.runtime.conversation import Conversation, Identity
from queueserver_worker.runtime.dead_man import DeadMan
from queueserver_worker.runtime.ending import Ending
from queueserver_worker.runtime.environment import Environment
from queueserver_worker.runtime.instrument_lock import InstrumentLock
from queueserver_worker.runtime.interrupter import Interrupter
from queueserver_worker.runtime.interruption import Interruption
from queueserver_worker.runtime.kernel import KernelMain, KernelUnavailableError
from queueserver_worker.runtime.late_answers import LateAnswers
from queueserver_worker.runtime.leaving import Leaving
from queueserver_worker.runtime.link_thread import LinkKeys, LinkThread
from queueserver_worker.runtime.lists_update import update_lists_file
from queueserver_worker.runtime.main_thread import MainQueue
from queueserver_worker.runtime.metadata import MetadataReader
from queueserver_worker.runtime.opening import Opening
from queueserver_worker.runtime.orphan import OrphanAction, orphan_action
from queueserver_worker.runtime.plan_runner import PlanRunner
from queueserver_worker.runtime.release import release
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.state import WorkerState
from queueserver_worker.runtime.tasks import TaskRunner
from queueserver_worker.runtime.wakeup import WakePipe

POD_UID_VARIABLE = "POD_UID"
"""Environment variable with the uid of the pod (downward API)."""


class ConfigurationError(Exception):
    """The worker cannot run with this configuration; the text is a sentence."""


class WorkerProcess:
    """One worker: one environment, one RunEngine, one link."""

    def __init__(self, config: WorkerConfig, console: Console) -> None:
        self._config = config
        self._wake = WakePipe()
        self._state = WorkerState()
        self._reports = Reports(
            SpoolWriter(config.spool_dir, config.opening_id), TerminationMessage(config.termination_message)
        )
        self._dead_man = DeadMan()
        self._main: MainQueue | KernelMain = (
            MainQueue() if config.kernel is None else KernelMain(config.kernel, self._state)
        )
        self._interrupter = Interrupter(self._state)
        environment = Environment(_permissions(config), self._state)
        runner = PlanRunner(environment, self._state, self._interrupter, self._reports, console)
        late_answers = LateAnswers()
        self._interruption = Interruption()
        tasks = TaskRunner(
            environment, self._state, self._main, self._reports, console, self._interruption, self._lists_changed
        )
        commands = Commands(
            self._state,
            environment,
            runner,
            tasks,
            self._main,
            self._interrupter,
            self._reports,
            MetadataReader(environment, late_answers),
            self._leave,
        )
        self._ending = Ending(
            self._state, environment, runner, self._main, self._interrupter, self._interruption, self._leave
        )
        self._conversation = Conversation(
            _identity(config),
            self._state,
            self._reports,
            console.buffer,
            commands.answer,
            lambda reason: self._ending.leave_when_idle(f"The manager does not take this worker: {reason}"),
            self._terminate,
            late_answers,
        )
        self._link = LinkThread(
            config.link_address,
            config.opening_id,
            self._conversation,
            self._wake,
            self._on_signal,
            self._on_tick,
            _link_keys(config),
        )
        self._leaving = Leaving(
            self._state, self._reports, console, self._link, self._dead_man, config.packaged_store_socket
        )
        self._lock = InstrumentLock(config.instrument_lock)
        self._console = console
        self._environment = environment
        self._runner = runner
        self._opening = Opening(
            config, self._state, environment, self._reports, self._leaving, self._wake, self._lock, self._interruption
        )
        self._failure_reported = False
        self._state.on_change(self._wake.wake)
        self._reports.on_report(self._wake.wake)
        late_answers.on_answer(self._wake.wake)
        console.buffer.on_text(self._wake.wake)

    def run(self) -> NoReturn:
        """Open the environment and do what the manager says until the worker leaves."""
        os.register_at_fork(after_in_child=self._become_a_child)
        self._interrupter.start()
        self._link.start()
        self._main.post(self._opening.open)
        after_each = self._ending.leave_if_due
        if isinstance(self._main, MainQueue):
            self._main.serve(after_each)
        self._main.person_is_done = self._runner.look_after_person
        try:
            self._main.serve(after_each, self._kernel_ended)
        except KernelUnavailableError as error:
            self._opening.give_up(error)
            self._main.serve_without_kernel(after_each)

    def _kernel_ended(self) -> None:
        """`quit` in a console ends the kernel, and the worker with it."""
        cause = "The IPython kernel was ended by one of its clients"
        if self._state.decide(partial(begin_ending, cause=cause)):
            self._runner.finish("abort", cause)
        self._leave()

    def _become_a_child(self) -> None:
        """A plan forked (multiprocessing does): the child must not be taken for the worker, nor the other way round."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._wake.forsake()
        self._lock.forsake()
        self._console.detach_copies()

    def _lists_changed(self) -> None:
        if self._config.update_lists == "ALWAYS":
            update_lists_file(self._config, self._environment.plans, self._environment.devices)

    def _leave(self) -> None:
        self._leaving.leave()

    def _on_signal(self, signum: int) -> None:
        if signum == signal.SIGTERM:
            self._ending.abort_and_leave("The worker was told to end (SIGTERM)", self._leaving.by_signal)

    def _terminate(self, grace: float, cause: str) -> None:
        self._dead_man.end_within(grace)
        self._ending.abort_and_leave(cause)

    def _on_tick(self, now: float) -> None:
        self._interruption.repeat(now)
        view = self._state.view
        # The state comes first, then the report: in between nothing is unstored, and nothing was told.
        told = self._reports.any and self._reports.unstored == 0
        if view.phase is EnvironmentPhase.FAILED and told and not self._failure_reported:
            self._failure_reported = True
            self._main.post(self._leave)
        alone_since, config = self._conversation.alone_since, self._config
        action = orphan_action(
            view, alone_since, self._reports.unstored, now, config.orphan_timeout, config.busy_orphan_timeout
        )
        if action is OrphanAction.LEAVE:
            self._ending.leave_when_idle(f"No manager for {config.orphan_timeout:g} s")
        elif action is OrphanAction.ABORT_AND_LEAVE:
            self._ending.abort_and_leave(f"No manager for {config.busy_orphan_timeout:g} s")


def _permissions(config: WorkerConfig) -> Permissions | None:
    if config.permissions is None:
        return None
    try:
        return Permissions.parse(config.permissions)
    except PermissionsError as error:
        raise ConfigurationError(f"The permissions of the worker's configuration cannot be used: {error}") from error


def _identity(config: WorkerConfig) -> Identity:
    return Identity(
        config.opening_id,
        config.token,
        os.getpid(),
        socket.gethostname(),
        time.time(),
        release(),
        os.environ.get(POD_UID_VARIABLE, ""),
    )


def _link_keys(config: WorkerConfig) -> LinkKeys | None:
    if not config.link_server_public_key:
        return None
    try:
        server = check_key(config.link_server_public_key)
        return LinkKeys(server, read_key(Path(config.link_key_file)))
    except KeyFileError as error:
        raise ConfigurationError(str(error)) from None
    except KeyFormatError:
        raise ConfigurationError(
            "The public key of the manager's link in the worker's configuration is not a CURVE key."
        ) from None
