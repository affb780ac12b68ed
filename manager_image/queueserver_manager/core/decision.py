"""The result of a decision: writes, effects, the reply, and how long the reply has to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from queueserver_manager.core.effects import Effect
from queueserver_manager.core.refusal import Code
from queueserver_manager.core.writes import Write

Reply = Mapping[str, Any]


@dataclass(slots=True)
class AwaitWorker:
    """The reply waits for the worker's answer to a command, for a bounded time."""

    command_id: str
    accepted: Callable[[bytes], Reply]
    """The reply, from the value in the worker's answer."""
    timed_out: Reply


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Entries of the history that a reply consists of."""

    first: int
    """Number of the oldest entry that counts."""
    following: int
    """Number after that of the newest entry that counts."""
    offset: int = 0
    limit: int | None = None
    newest_first: bool = False
    wanted: Mapping[str, str] = field(default_factory=dict)
    """Values of `plan`, `user` and `exit_status` that the entries have."""
    time_from: float | None = None
    """Epoch seconds of the end, both included."""
    time_to: float | None = None
    item_uid: str | None = None


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Entries of the audit log that a reply consists of, newest first."""

    limit: int
    before: str | None
    """Id of an entry: only older ones count."""


@dataclass(frozen=True, slots=True)
class ConsoleQuery:
    """Console messages that a reply consists of, oldest first."""

    limit: int
    after: int | None
    """Number of a message: only later ones count; None: the newest ones."""


@dataclass(frozen=True, slots=True)
class TaskResultQuery:
    """The result of a task that has ended."""

    uid: str


@dataclass(slots=True)
class Decision:
    """Everything that follows from one input."""

    writes: list[Write] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    reply: Reply | None = None
    awaits: AwaitWorker | None = None
    urgent: bool = False
    """Effects before writes: the decision only reduces motion."""
    reads: HistoryQuery | AuditQuery | TaskResultQuery | ConsoleQuery | None = None
    """The rest of the reply is read from the store, or from what is kept of the console."""
    repeated: bool = False
    """The request was carried out before: this one changes nothing."""
    hang: bool = False
    """`manager_kill`: the process is to stop answering."""

    def write(self, *writes: Write) -> None:
        """Add writes."""
        self.writes.extend(writes)

    def cause(self, *effects: Effect) -> None:
        """Add effects."""
        self.effects.extend(effects)


def success(**values: Any) -> Reply:
    """A reply that begins with `success` and an empty `msg`."""
    return {"success": True, "msg": "", **values}


def failure(msg: str, code: Code, **values: Any) -> Reply:
    """The reply to a refused request."""
    return {"success": False, "msg": msg, **values, "code": code.value}
