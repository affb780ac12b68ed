"""What the worker says over its link and when: everything but the socket.

A connection begins with a `Hello`; after the manager's `Welcome` follow the events that its store lacks, the latest
snapshot and console text. A new connection begins anew, so nothing that was lost on the way matters.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from queueserver_common import loggers
from queueserver_common.link.codec import encode
from queueserver_common.link.messages import (
    HEARTBEAT_PERIOD,
    Command,
    CommandResult,
    Console,
    Dismiss,
    EventsStored,
    Heartbeat,
    Hello,
    Introduce,
    Message,
    SnapshotChanged,
    Terminate,
    Welcome,
)
from queueserver_worker.runtime.console_buffer import ConsoleBuffer
from queueserver_worker.runtime.late_answers import LateAnswers
from queueserver_worker.runtime.ledger import CommandResults
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.state import WorkerState

_log = logging.getLogger(loggers.WORKER)

CONSOLE_PERIOD = 0.02
"""Seconds between two deliveries of console text: many lines go together, and nobody notices the delay."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a worker says of itself in every `Hello`."""

    opening_id: str
    token: str
    pid: int
    host: str
    started_at: float
    version: str
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A frame for the socket; `sent` is to be called once the socket has taken it."""

    frame: bytes
    sent: Callable[[], None]


class Conversation:
    """The worker's part of the conversation; owned by the link thread."""

    def __init__(
        self,
        identity: Identity,
        state: WorkerState,
        reports: Reports,
        console: ConsoleBuffer,
        answer: Callable[[Command], CommandResult | None],
        dismissed: Callable[[str], None],
        terminated: Callable[[float, str], None],
        late_answers: LateAnswers,
    ) -> None:
        """`terminated` gets the seconds that are left and the cause."""
        self._identity = identity
        self._state = state
        self._reports = reports
        self._console = console
        self._answer = answer
        self._dismissed = dismissed
        self._terminated = terminated
        self._late_answers = late_answers
        self._results = CommandResults()
        self._epoch_seen = 0
        self._connected = False
        self._welcomed = False
        self._alone_since: float | None = 0.0
        self._sent_seq = 0
        self._out: deque[bytes] = deque()
        self._console_due = 0.0
        self._heartbeat_due = 0.0

    @property
    def alone_since(self) -> float | None:
        """Monotonic time since which no manager has taken the worker; None while one has."""
        return self._alone_since

    @property
    def delivered(self) -> bool:
        """Nothing waits: there is no manager, or it has everything and stored every event."""
        return not self._welcomed or (not self._out and self._reports.unstored == 0 and not self._console)

    def started(self, now: float) -> None:
        """The link begins to dial."""
        self._alone_since = now

    def connected(self, now: float) -> None:
        """There is a connection to a manager that may be a new one."""
        self._connected = True
        self._unwelcome(now)
        self._out.clear()
        self._introduce()
        self._heartbeat_due = now + HEARTBEAT_PERIOD

    def disconnected(self, now: float) -> None:
        """The connection is gone."""
        self._connected = False
        self._unwelcome(now)
        self._out.clear()

    def received(self, message: Message, now: float) -> None:
        """Handle a message of the manager."""
        match message:
            case Introduce():
                self._unwelcome(now)
                self._introduce()
            case Welcome(epoch, stored_seq):
                if self._obey(epoch):
                    self._welcomed, self._alone_since = True, None
                    self._sent_seq = self._reports.welcomed(stored_seq)
            case Dismiss(epoch, reason):
                if self._obey(epoch):
                    self._dismissed(reason)
            case Terminate(epoch, grace, cause):
                if self._obey(epoch):
                    self._terminated(grace, cause)
            case EventsStored(seq):
                self._reports.stored(seq)
            case Command():
                if (result := self._result_of(message)) is not None:
                    self._out.append(encode(result))
            case _:
                _log.error("The manager sent a message that only a worker sends: %s", type(message).__name__)

    def next_outgoing(self, now: float) -> Outgoing | None:
        """What to send now; None when there is nothing to say. The same one again until its `sent` is called."""
        if not self._connected:
            return None
        while (answer := self._late_answers.take()) is not None:
            self._out.append(encode(answer))
        if not self._out and self._welcomed:
            if (report := self._report()) is not None:
                return report
            if now >= self._console_due and (batch := self._console.take()) is not None:
                self._out.append(encode(Console(batch.time, batch.text, batch.dropped)))
        if self._out:
            return Outgoing(self._out[0], self._out_sent)
        if now >= self._heartbeat_due:
            return Outgoing(encode(Heartbeat()), partial(self._heartbeat_sent, now))
        return None

    def gather_console(self, now: float) -> None:
        """All has been said: let console text gather for a moment."""
        if now >= self._console_due:
            self._console_due = now + CONSOLE_PERIOD

    def hurry_console(self) -> None:
        """Let console text wait no longer."""
        self._console_due = 0.0

    def wake_at(self) -> float:
        """Monotonic time at which there may be something to say without anything having happened; `inf`: never."""
        if not self._connected:
            return math.inf
        if self._welcomed and self._console:
            return min(self._heartbeat_due, self._console_due)
        return self._heartbeat_due

    def _report(self) -> Outgoing | None:
        # The event is looked up first and sent last: a state that was reached before it is always told before it,
        # so a manager that hears of an item's end knows already that the RunEngine is idle.
        entry = self._reports.after(self._sent_seq)
        if (snapshot := self._state.next_snapshot()) is not None:
            return Outgoing(encode(SnapshotChanged(snapshot)), partial(self._state.snapshot_told, snapshot))
        return None if entry is None else Outgoing(entry.frame, partial(self._event_sent, entry.seq))

    def _event_sent(self, seq: int) -> None:
        self._sent_seq = seq

    def _out_sent(self) -> None:
        self._out.popleft()

    def _heartbeat_sent(self, now: float) -> None:
        self._heartbeat_due = now + HEARTBEAT_PERIOD

    def _result_of(self, command: Command) -> CommandResult | None:
        if known := self._results.find(command.command_id):
            return known
        if not self._obey(command.epoch):
            # Not recorded: the command is void, and its manager is to give up.
            reason = f"A manager of epoch {self._epoch_seen} has taken over from the one of epoch {command.epoch}."
            return CommandResult(command.command_id, ok=False, msg=reason)
        result = self._answer(command)
        if result is not None:
            self._results.record(result)
        return result

    def _obey(self, epoch: int) -> bool:
        if epoch < self._epoch_seen:
            _log.warning("A manager of epoch %s is refused: epoch %s has taken over.", epoch, self._epoch_seen)
            return False
        self._epoch_seen = epoch
        return True

    def _unwelcome(self, now: float) -> None:
        if self._welcomed or self._alone_since is None:
            self._alone_since = now
        self._welcomed = False

    def _introduce(self) -> None:
        me, view, summary = self._identity, self._state.tell_view(), self._reports.summary()
        hello = Hello(
            opening_id=me.opening_id,
            token=me.token,
            epoch_seen=self._epoch_seen,
            pid=me.pid,
            host=me.host,
            started_at=me.started_at,
            version=me.version,
            phase=view.phase,
            next_seq=summary.next_seq,
            snapshot=view.snapshot(),
            ledger=summary.ledger,
            acked_seq=summary.acked_seq,
            pod_uid=me.pod_uid,
            tasks=summary.tasks,
        )
        self._out.append(encode(hello))
