"""Commands of the manager: accepted or refused at once, carried out by the thread that they belong to."""

from __future__ import annotations

import json
import logging
from functools import partial

from queueserver_common import loggers
from queueserver_common.link.messages import (
    CallFunction,
    CancelTask,
    Command,
    CommandResult,
    Finish,
    InterruptKernel,
    Leave,
    Pause,
    ReadMetadata,
    Resume,
    RunItem,
    RunScript,
    SetPermissions,
)
from queueserver_common.permissions import Permissions, PermissionsError
from queueserver_worker.runtime.acceptance import accept_control, accept_item, accept_leave, accept_pause
from queueserver_worker.runtime.environment import Environment
from queueserver_worker.runtime.interrupter import Interrupter
from queueserver_worker.runtime.main_thread import MainThread, Work
from queueserver_worker.runtime.metadata import MetadataReader
from queueserver_worker.runtime.outcome import printable
from queueserver_worker.runtime.plan_runner import PlanRunner, QueueItem
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.state import WorkerState
from queueserver_worker.runtime.tasks import TaskRunner

_log = logging.getLogger(loggers.WORKER)

_WAYS_TO_FINISH = ("stop", "abort", "halt")


class Commands:
    """Answers commands; called by the link thread, so nothing here waits."""

    def __init__(
        self,
        state: WorkerState,
        environment: Environment,
        runner: PlanRunner,
        tasks: TaskRunner,
        main_thread: MainThread,
        interrupter: Interrupter,
        reports: Reports,
        metadata: MetadataReader,
        leave: Work,
    ) -> None:
        self._state = state
        self._environment = environment
        self._runner = runner
        self._tasks = tasks
        self._main_thread = main_thread
        self._interrupter = interrupter
        self._reports = reports
        self._metadata = metadata
        self._leave = leave

    def answer(self, command: Command) -> CommandResult | None:
        """Accept or refuse a command that was not seen before; None: the answer follows when it is found."""
        if isinstance(command.body, ReadMetadata):
            self._metadata.read(command.command_id, command.body.permitted)
            return None
        refusal = self._try(command)
        return CommandResult(command.command_id, not refusal, printable(refusal))

    def _try(self, command: Command) -> str:
        match command.body:
            case RunItem(item):
                return self._run_item(command.command_id, item)
            case Pause(deferred):
                return self._pause(deferred)
            case Resume():
                return self._control("resume", self._runner.resume)
            case Finish(how):
                if how not in _WAYS_TO_FINISH:
                    return f"A paused plan can be ended by one of {', '.join(_WAYS_TO_FINISH)}, not by '{how}'."
                return self._control(how, partial(self._runner.finish, how))
            case Leave():
                return self._accept_leave()
            case SetPermissions(permissions):
                return self._set_permissions(permissions)
            case ReadMetadata():
                raise AssertionError("answered by a thread of its own")
            case RunScript() | CallFunction() as task:
                return self._tasks.accept(command.command_id, task)
            case CancelTask(task_uid):
                return self._tasks.cancel(task_uid)
            case InterruptKernel():
                self._main_thread.interrupt()
                return ""

    def _run_item(self, command_id: str, text: bytes) -> str:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            return f"The item cannot be read: {error}"
        uid = content.get("item_uid") if isinstance(content, dict) else None
        if not isinstance(uid, str) or not uid:
            return "The item is not a mapping with a non-empty 'item_uid'."
        if self._reports.knows_item(uid):
            return f"The worker was told to run item '{uid}' before; no item runs twice."
        if refusal := self._state.decide(lambda view: accept_item(view, uid)):
            return refusal
        self._reports.item_received(uid, command_id, text)
        self._main_thread.post(partial(self._runner.start, QueueItem(uid, content)))
        return ""

    def _pause(self, deferred: bool) -> str:
        refusal, item_uid = self._state.decide(lambda view: accept_pause(view, deferred))
        if not refusal and (engine := self._environment.engine):
            _log.info("Pausing Run Engine ...")
            self._interrupter.pause(engine, item_uid, deferred)
        return refusal

    def _control(self, how: str, work: Work) -> str:
        refusal = self._state.decide(accept_control)
        if not refusal:
            _log.info("Run Engine: %s", how)
            _log.info("Continue plan execution with the option '%s'", how)
            self._main_thread.post(work)
        return refusal

    def _accept_leave(self) -> str:
        refusal = self._state.decide(accept_leave)
        if not refusal:
            self._main_thread.post(self._leave)
        return refusal

    def _set_permissions(self, text: bytes) -> str:
        try:
            self._environment.set_permissions(Permissions.parse(json.loads(text)))
        except (PermissionsError, ValueError, RecursionError) as error:
            return f"The permissions cannot be used: {error}"
        return ""
