"""Run queue items in the RunEngine and report how they ended. Everything here happens in the main thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_common import loggers
from queueserver_common.link.messages import ExitStatus, ItemEnded, ItemStarted
from queueserver_worker.prepare import PlanPreparationError, PreparedPlan
from queueserver_worker.runtime.console import Console
from queueserver_worker.runtime.environment import Environment
from queueserver_worker.runtime.interrupter import Interrupter
from queueserver_worker.runtime.outcome import EngineReturn, Outcome, error_text, failure, judge
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.run_engine import Engine
from queueserver_worker.runtime.state import PAUSED, WorkerState, control_done, item_finished

_log = logging.getLogger(loggers.WORKER)


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A queue item as the manager sent it."""

    uid: str
    content: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Words for messages."""
        return f"plan '{self.content.get('name')}' (item {self.uid})"


class PlanRunner:
    """Holds the item in hand from its start until its end, pauses included."""

    def __init__(
        self,
        environment: Environment,
        state: WorkerState,
        interrupter: Interrupter,
        reports: Reports,
        console: Console,
    ) -> None:
        self._environment = environment
        self._state = state
        self._interrupter = interrupter
        self._reports = reports
        self._console = console
        self._item: QueueItem | None = None
        self._time_start = 0.0
        self._requested = False

    def start(self, item: QueueItem) -> None:
        """Prepare and run an item; returns when it has ended or is paused."""
        self._item, self._time_start, self._requested = item, time.time(), False
        try:
            engine, prepared = self._prepare(item)
        except PlanPreparationError as error:
            self._end(Outcome(ExitStatus.FAILED, error_text(error)), refused=True)
        else:
            self._run(item, engine, prepared)

    def resume(self) -> None:
        """Continue the paused item."""
        if engine := self._paused_engine():
            self._returned(engine, engine.resume())

    def finish(self, how: str, reason: str = "") -> None:
        """Stop, abort or halt the paused item."""
        if engine := self._paused_engine():
            self._requested = not reason
            self._returned(engine, engine.finish(how, reason))

    def look_after_person(self) -> None:
        """Somebody at a console is done: end the item in hand if they have brought its plan to an end."""
        engine = self._environment.engine
        if self._item is None or engine is None or engine.state == PAUSED:
            return
        way_out = engine.way_out
        status = ExitStatus.UNKNOWN if way_out is None or way_out[1] == "stopping" else ExitStatus.ABORTED
        self._end(Outcome(status, "The plan is completed outside RE Manager"), by_person=True)

    def _prepare(self, item: QueueItem) -> tuple[Engine, PreparedPlan]:
        if ending := self._state.view.ending:
            raise PlanPreparationError(f"{ending}; the plan was not started")
        if (engine := self._environment.engine) is None:
            raise PlanPreparationError("Run Engine is not found in the RE Worker environment.")
        return engine, self._environment.prepare(item.content)

    def _run(self, item: QueueItem, engine: Engine, prepared: PreparedPlan) -> None:
        self._interrupter.let_pauses_pass()
        _log.info("Starting %s", item.label)
        self._time_start = time.time()
        self._reports.add(ItemStarted(item.uid, self._time_start))
        try:
            plan = prepared.plan_func(*prepared.args, **prepared.kwargs)
        except BaseException as error:
            outcome = failure(error)
            # What a plan raises while it runs is shown by bluesky.
            _log.error("%s", outcome.traceback)
            self._end(outcome)
        else:
            self._returned(engine, engine.call(plan, prepared.meta))

    def _paused_engine(self) -> Engine | None:
        engine = self._environment.engine
        return engine if self._item is not None and engine is not None and engine.state == PAUSED else None

    def _returned(self, engine: Engine, returned: EngineReturn) -> None:
        if engine.state == PAUSED:
            if returned.error is not None:
                _log.error("The plan is still paused: %s", failure(returned.error).traceback)
            self._state.change(control_done)
            self._console.push()
            return
        self._end(judge(returned, engine.way_out, self._requested, self._state.view.ending))

    def _end(self, outcome: Outcome, *, refused: bool = False, by_person: bool = False) -> None:
        item = self._item
        assert item is not None
        runs = self._state.view.runs
        ended = ItemEnded(
            item_uid=item.uid,
            exit_status=outcome.exit_status,
            time_start=self._time_start,
            time_stop=time.time(),
            run_uids=tuple(run.uid for run in runs),
            scan_ids=tuple(run.scan_id for run in runs),
            msg=outcome.msg,
            traceback=outcome.traceback,
            refused=refused,
            worker_ends=bool(self._state.view.ending),
            by_person=by_person,
        )
        _log_end(item, ended)
        self._console.push()
        self._item = None
        # The manager decides what follows when it hears of the end; by then its view of the worker is up to date.
        self._state.change(lambda view: item_finished(view, time.monotonic()))
        self._reports.add(ended)


def _log_end(item: QueueItem, ended: ItemEnded) -> None:
    if ended.msg:
        _log.error("End of %s: %s. %s", item.label, ended.exit_status.value, ended.msg)
    else:
        _log.info("End of %s: %s", item.label, ended.exit_status.value)
