"""Scripts and functions of clients, in the main thread or in threads of their own (zmq-api 5.4)."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from queueserver_common import loggers
from queueserver_common.link.messages import CallFunction, KnownTask, RunScript, TaskEnded
from queueserver_worker.describe import PlanDescriptionError
from queueserver_worker.runtime.acceptance import accept_task
from queueserver_worker.runtime.console import Console
from queueserver_worker.runtime.environment import Environment
from queueserver_worker.runtime.interruption import InterruptedByWorkerError, Interruption
from queueserver_worker.runtime.main_thread import MainThread
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.state import WorkerState, task_finished
from queueserver_worker.runtime.task_outcome import (
    TaskOutcome,
    function_failed,
    interrupted,
    lists_failed,
    returned,
    script_failed,
)
from queueserver_worker.runtime.threads import start_thread

_log = logging.getLogger(loggers.WORKER)

_CANCELLED = "The task was cancelled."


class TaskCancelledError(BaseException):
    """Raised inside a background task that is cancelled; no code that handles ordinary errors should catch it."""


_ENDED_FROM_OUTSIDE = (TaskCancelledError, InterruptedByWorkerError)


@dataclass(frozen=True, slots=True)
class _Task:
    uid: str
    label: str
    work: Callable[[], TaskOutcome]
    time_start: float


class _Thread(threading.Thread):
    """The thread of a background task."""

    def __init__(self, task: _Task) -> None:
        super().__init__(name=f"task-{task.uid}-code", daemon=True)
        self.outcome: TaskOutcome | None = None
        """None when the task was cancelled."""
        self._work = task.work
        self._cancelled = False

    def run(self) -> None:
        """Run the task unless it was cancelled before it began."""
        with contextlib.suppress(TaskCancelledError):
            if not self._cancelled:
                self.outcome = self._work()

    def cancel(self) -> None:
        """Raise TaskCancelledError in the task; it notices between two steps of Python."""
        self._cancelled = True
        if self.ident is not None:
            exception = ctypes.py_object(TaskCancelledError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), exception)


class TaskRunner:
    """Runs tasks and reports their ends."""

    def __init__(
        self,
        environment: Environment,
        state: WorkerState,
        main_thread: MainThread,
        reports: Reports,
        console: Console,
        interruption: Interruption,
        lists_changed: Callable[[], None],
    ) -> None:
        """`lists_changed` is called after the lists of existing plans and devices were reported anew."""
        self._environment = environment
        self._state = state
        self._main_thread = main_thread
        self._reports = reports
        self._console = console
        self._interruption = interruption
        self._lists_changed = lists_changed
        self._in_background: dict[str, _Thread] = {}
        """Background tasks that have not ended."""

    def accept(self, command_id: str, body: RunScript | CallFunction) -> str:
        """Take a task, or say why not; called by the link thread, so nothing here waits."""
        uid, background = body.task_uid, body.background
        if not uid:
            return "The task has no uid."
        if self._reports.knows_task(uid):
            return f"The worker was told to run task '{uid}' before; no task runs twice."
        try:
            label, work = self._script(body) if isinstance(body, RunScript) else self._function(body)
        except (ValueError, RecursionError) as error:
            return f"The task cannot be read: {error}"
        if refusal := self._state.decide(lambda view: accept_task(view, uid, background)):
            return refusal
        task = _Task(uid, label, work, time.time())
        self._reports.task_received(KnownTask(uid, command_id, background, task.time_start))
        if background:
            thread = self._in_background[uid] = _Thread(task)
            start_thread(f"task-{uid}", partial(self._run_in_background, task, thread))
        else:
            self._main_thread.post(partial(self._run_in_foreground, task))
        return ""

    def cancel(self, uid: str) -> str:
        """Have a background task end, or say why not; from any thread."""
        thread = self._in_background.get(uid)
        if thread is None:
            return f"There is no running background task with UID '{uid}'."
        thread.cancel()
        return ""

    # Where tasks run -------------------------------------------------------------------------------------------

    def _run_in_foreground(self, task: _Task) -> None:
        outcomes: list[TaskOutcome] = []
        if ending := self._state.view.ending:
            self._end(task, interrupted(f"{ending}; the task was not started."), background=False)
            return
        _log.info("Starting %s", task.label)
        self._interruption.guard(lambda: outcomes.append(task.work()))
        self._console.push()
        outcome = outcomes[0] if outcomes else interrupted("The worker ends; the task was interrupted.")
        self._end(task, outcome, background=False)

    def _run_in_background(self, task: _Task, thread: _Thread) -> None:
        """In a thread that outlives the task's own: nothing that a task does to its thread can lose its end."""
        _log.info("Starting %s in the background", task.label)
        thread.start()
        thread.join()
        del self._in_background[task.uid]
        self._end(task, thread.outcome or interrupted(_CANCELLED), background=True)

    def _end(self, task: _Task, outcome: TaskOutcome, *, background: bool) -> None:
        ended = TaskEnded(
            task.uid,
            outcome.success,
            task.time_start,
            time.time(),
            outcome.msg,
            outcome.traceback,
            outcome.return_value,
        )
        if outcome.success:
            _log.info("End of %s", task.label)
        else:
            _log.error("End of %s: failed. %s", task.label, outcome.traceback or outcome.msg)
        # The manager decides what follows when it hears of the end; by then its view of the worker is up to date.
        now = time.monotonic()
        self._state.change(lambda view: task_finished(view, now, background=background))
        self._reports.add(ended)

    # What tasks do ---------------------------------------------------------------------------------------------

    def _script(self, body: RunScript) -> tuple[str, Callable[[], TaskOutcome]]:
        text = body.script.decode("utf-8")
        return f"script (task {body.task_uid})", partial(self._run_script, body, text)

    def _run_script(self, body: RunScript, text: str) -> TaskOutcome:
        try:
            self._environment.run_script(text, f"<script {body.task_uid}>", update_re=body.update_re)
        except _ENDED_FROM_OUTSIDE:
            raise
        except BaseException as error:
            return script_failed(error)
        if body.update_lists:
            try:
                # An empty script asks for a look at everything: objects may have changed without being replaced.
                changed = self._environment.update_lists(anew=not text)
            except PlanDescriptionError as error:
                return lists_failed(error)
            if changed is not None:
                self._reports.add(changed)
                self._lists_changed()
        return TaskOutcome(True)

    def _function(self, body: CallFunction) -> tuple[str, Callable[[], TaskOutcome]]:
        item = json.loads(body.item)
        name, args, kwargs, group = str(item["name"]), list(item["args"]), dict(item["kwargs"]), item["user_group"]
        return f"function '{name}' (task {body.task_uid})", partial(self._call, name, group, args, kwargs)

    def _call(self, name: str, group: str, args: list[object], kwargs: dict[str, object]) -> TaskOutcome:
        try:
            value = self._environment.call_function(name, group, args, kwargs)
        except _ENDED_FROM_OUTSIDE:
            raise
        except BaseException as error:
            return function_failed(error)
        return returned(value)
