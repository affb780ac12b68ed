"""What is recorded of a task, a script or function that the worker runs (zmq-api 5.4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from queueserver_common.link.messages import CallFunction, RunScript, TaskEnded
from queueserver_manager.core import items
from queueserver_manager.core.writes import SetField

FIELD = "task:"
"""Names of the stored records begin so."""

_RESULT = "blob:task-result:"


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What is known of a task from its acceptance on."""

    uid: str
    name: str
    """Name of the function; empty for a script."""
    background: bool
    user: str
    """Who asked for it, as far as the request says so."""
    time_start: float
    """Manager's clock when the task was accepted; epoch seconds."""

    def shown(self) -> dict[str, Any]:
        """As `task_list` shows it, without its state."""
        return {
            "task_uid": self.uid,
            "type": "function" if self.name else "script",
            "name": self.name,
            "user": self.user,
            "run_in_background": self.background,
            "time_start": self.time_start,
        }


@dataclass(slots=True)
class Task:
    """A task that was accepted and whose end is not recorded."""

    facts: TaskFacts
    opening_id: str
    command_id: str
    body: RunScript | CallFunction | None = None
    """What this manager told the worker (not stored: a later manager did not)."""
    refusal: str = ""
    """Why the worker does not run it; empty when it did not say so to this manager (not stored)."""

    @property
    def uid(self) -> str:
        """Uid of the task."""
        return self.facts.uid

    def write(self) -> SetField:
        """The record for the store."""
        record = {"facts": asdict(self.facts), "opening_id": self.opening_id, "command_id": self.command_id}
        return SetField(f"{FIELD}{self.uid}", items.encode(record))


@dataclass(frozen=True, slots=True)
class EndedTask:
    """A task whose result is in the store."""

    facts: TaskFacts
    time_stop: float
    success: bool

    def shown(self) -> dict[str, Any]:
        """As `task_list` shows it, without its state."""
        return self.facts.shown() | {"time_stop": self.time_stop, "success": self.success}

    def write(self) -> SetField:
        """The record for the store."""
        record = {"facts": asdict(self.facts), "time_stop": self.time_stop, "success": self.success}
        return SetField(f"{FIELD}{self.facts.uid}", items.encode(record))


def result_name(uid: str) -> str:
    """Name of the stored value that is the result of a task, JSON text (zmq-api 4.4)."""
    return f"{_RESULT}{uid}"


def result_text(end: TaskEnded) -> bytes:
    """The result as JSON text (zmq-api 4.4)."""
    head = items.encode({"task_uid": end.task_uid, "success": end.success, "msg": end.msg, "traceback": end.traceback})
    tail = items.encode({"time_start": end.time_start, "time_stop": end.time_stop})
    return b'%b,"return_value":%b,%b' % (head[:-1], end.return_value, tail[1:])
