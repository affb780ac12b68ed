"""Requests to a running plan, made from a helper thread because they block until bluesky's thread is free."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from queueserver_common import loggers
from queueserver_worker.runtime.run_engine import Engine
from queueserver_worker.runtime.state import PAUSED, WorkerState, WorkerView
from queueserver_worker.runtime.threads import start_thread

_log = logging.getLogger(loggers.WORKER)


class Interrupter:
    """Pauses and aborts running plans, one request after the other."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._requests: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pausing = threading.Lock()

    def start(self) -> None:
        """Start the helper thread."""
        start_thread("interrupter", self._run)

    def pause(self, engine: Engine, item_uid: str, deferred: bool) -> None:
        """Ask the plan of an item to pause; nothing happens when it has ended meanwhile."""
        self._requests.put(lambda: self._pause(engine, item_uid, deferred))

    def let_pauses_pass(self) -> None:
        """Wait until no pause is on its way to the RunEngine, so that one for the last plan never hits the next."""
        with self._pausing:
            pass

    def abort(self, engine: Engine, reason: str) -> None:
        """Abort the item in hand while it runs; one that is paused is left to the main thread."""
        self._requests.put(lambda: self._abort(engine, reason))

    def _pause(self, engine: Engine, item_uid: str, deferred: bool) -> None:
        with self._pausing:
            view = self._state.view
            if view.item_uid == item_uid and view.engine_state == "running":
                engine.request_pause(deferred)

    def _abort(self, engine: Engine, reason: str) -> None:
        # A plan that is just starting or pausing cannot be aborted yet, or not from here.
        self._state.wait_for(_settled)
        if self._state.view.engine_state == "running":
            engine.abort_running(reason)

    def _run(self) -> None:
        while True:
            request = self._requests.get()
            try:
                request()
            except Exception as error:
                # The plan ended or changed its state in between, which is what was wanted or tells itself.
                _log.warning("A request to the RunEngine came too late: %s", error)


def _settled(view: WorkerView) -> bool:
    return not view.item_uid or view.engine_state in ("running", PAUSED)
