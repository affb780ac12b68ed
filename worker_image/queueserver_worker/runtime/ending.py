"""The worker's end by its own decision: SIGTERM, dismissal, left alone."""

from __future__ import annotations

import logging
from functools import partial

from queueserver_common import loggers
from queueserver_worker.runtime.acceptance import begin_ending, dismiss
from queueserver_worker.runtime.environment import Environment
from queueserver_worker.runtime.interrupter import Interrupter
from queueserver_worker.runtime.interruption import Interruption
from queueserver_worker.runtime.main_thread import MainThread, Work
from queueserver_worker.runtime.plan_runner import PlanRunner
from queueserver_worker.runtime.state import WorkerState

_log = logging.getLogger(loggers.WORKER)


class Ending:
    """Ends the worker from any thread; the process itself ends in the main thread."""

    def __init__(
        self,
        state: WorkerState,
        environment: Environment,
        runner: PlanRunner,
        main_thread: MainThread,
        interrupter: Interrupter,
        interruption: Interruption,
        leave: Work,
    ) -> None:
        self._state = state
        self._environment = environment
        self._runner = runner
        self._main_thread = main_thread
        self._interrupter = interrupter
        self._interruption = interruption
        self._leave = leave

    def abort_and_leave(self, cause: str, begun: Work | None = None) -> None:
        """Abort what is in hand, let it clean up, report it and leave. `cause` is the beginning of a sentence.

        `begun` is called first, unless the worker was ending already.
        """
        if not self._state.decide(partial(begin_ending, cause=cause)):
            return
        if begun is not None:
            begun()
        _log.warning("%s; the worker ends.", cause)
        if engine := self._environment.engine:
            self._interrupter.abort(engine, cause)
        self._interruption.request()
        # Reached at once when a plan is paused or nothing is in hand, and after a running plan has been aborted.
        self._main_thread.post(partial(self._finish_paused, cause))

    def leave_when_idle(self, cause: str) -> None:
        """Take no more items and leave as soon as nothing is in hand."""
        if self._state.decide(partial(dismiss, cause=cause)):
            _log.warning("%s; the worker ends as soon as nothing is in hand.", cause)
            self._main_thread.post(self.leave_if_due)

    def leave_if_due(self) -> None:
        """In the main thread, after every end of an item: leave when that was decided. Does not return then."""
        view = self._state.view
        if view.item_uid or view.task_uid:
            return
        if view.ending or (view.dismissed and not view.background_tasks):
            self._leave()

    def _finish_paused(self, cause: str) -> None:
        self._runner.finish("abort", cause)
        self.leave_if_due()
