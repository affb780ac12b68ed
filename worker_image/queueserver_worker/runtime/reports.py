"""Durable reports to the manager: spooled, numbered, entered in the ledger."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from queueserver_common import loggers
from queueserver_common.link.messages import End, EventBody, ItemEnded, KnownTask, LedgerEntry, TaskEnded
from queueserver_common.spool import SpoolWriter, TerminationMessage
from queueserver_worker.runtime.ledger import ItemLedger, TaskLedger
from queueserver_worker.runtime.outbox import Outbox, OutboxEntry

_log = logging.getLogger(loggers.WORKER)

_SPOOL_LIMIT = 200
"""Entries after which a spool is emptied, once all of them are stored."""


@dataclass(frozen=True, slots=True)
class ReportsSummary:
    """What a `Hello` tells of the reports."""

    next_seq: int
    acked_seq: int
    ledger: tuple[LedgerEntry, ...]
    tasks: tuple[KnownTask, ...] = ()


class Reports:
    """Outbox, ledger and spool together; the main thread adds, the link thread takes."""

    def __init__(self, spool: SpoolWriter, message: TerminationMessage) -> None:
        self._lock = threading.Lock()
        self._spool = spool
        self._message = message
        self._spooled = 0
        self._outbox = Outbox()
        self._ledger = ItemLedger()
        self._tasks = TaskLedger()
        self._notify: Callable[[], None] = lambda: None

    def on_report(self, notify: Callable[[], None]) -> None:
        """Call `notify` after every new report."""
        self._notify = notify

    def knows_item(self, item_uid: str) -> bool:
        """Whether the worker was told to run this item before, as far as it remembers."""
        with self._lock:
            return self._ledger.knows(item_uid)

    def item_received(self, item_uid: str, command_id: str, item: bytes) -> None:
        """An item was accepted."""
        with self._lock:
            self._ledger.received(item_uid, command_id, item)

    def knows_task(self, task_uid: str) -> bool:
        """Whether the worker was told to run this task before, as far as it remembers."""
        with self._lock:
            return self._tasks.knows(task_uid)

    def task_received(self, task: KnownTask) -> None:
        """A task was accepted."""
        with self._lock:
            self._tasks.received(task)

    def add(self, event: EventBody) -> None:
        """Report an event. The end of an item or task is in the spool before it can be sent, and on disk on return."""
        ended = event if isinstance(event, End) else None
        if ended:
            self._spool_safely(ended, self._write)
        with self._lock:
            self._ledger.note(event)
            seq = self._outbox.append(event)
            if isinstance(event, TaskEnded):
                self._tasks.ended(event.task_uid, seq)
        self._notify()
        if ended:
            # The manager decides what comes next while the disk works, which may take it some milliseconds.
            self._spool_safely(ended, lambda _: self._spool.sync())

    def after(self, seq: int) -> OutboxEntry | None:
        """The first event with a higher number than `seq`."""
        with self._lock:
            return self._outbox.after(seq)

    def welcomed(self, stored_seq: int) -> int:
        """A manager says what it has stored; returns the number after which events are to be sent."""
        with self._lock:
            self._outbox.welcomed(stored_seq)
            return self._outbox.stored_seq

    def stored(self, seq: int) -> None:
        """The manager has stored the events up to `seq`."""
        with self._lock:
            self._outbox.stored(seq)
            self._tasks.forget_ends_before(self._outbox.oldest_seq)
            if self._outbox.unstored == 0:
                with contextlib.suppress(OSError):  # what is left there is a repetition, which does no harm
                    self._message.clear()

    @property
    def any(self) -> bool:
        """Whether anything was reported."""
        return self._outbox.next_seq > 1

    @property
    def unstored(self) -> int:
        """Number of events that the manager has not stored yet."""
        return self._outbox.unstored

    def summary(self) -> ReportsSummary:
        """What a `Hello` tells."""
        with self._lock:
            outbox = self._outbox
            return ReportsSummary(outbox.next_seq, outbox.acked_seq, self._ledger.entries(), self._tasks.entries())

    def close(self) -> None:
        """Drop the spool unless it holds something that the manager has not stored."""
        if self._outbox.unstored == 0:
            self._spool.remove()

    def _write(self, ended: End) -> None:
        if self._spooled >= _SPOOL_LIMIT and self.unstored == 0:
            self._spool.forget()
            self._spooled = 0
        self._spool.write(ended)
        self._message.write(ended)
        self._spooled += 1

    def _spool_safely(self, ended: End, work: Callable[[End], None]) -> None:
        try:
            work(ended)
        except OSError as error:
            # A full disk must not stop the queue: the report still goes over the link.
            _log.error(
                "The end of '%s' cannot be written to the spool: %s. It would be lost if manager and worker ended now.",
                ended.item_uid if isinstance(ended, ItemEnded) else ended.task_uid,
                error,
            )
