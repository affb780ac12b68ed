"""The simulated Redis: what it holds, and whether it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from queueserver_manager.core import writes as w
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.task_records import FIELD, result_name


@dataclass
class Disk:
    """What Redis holds."""

    items: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    running: bytes | None = None
    history: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    first: int = 0
    next: int = 0
    fields: dict[str, bytes] = field(default_factory=dict)

    def apply(self, writes: list[w.Write]) -> None:
        for write in writes:
            match write:
                case w.PutItems(items):
                    self.items |= {uid: (rank, text) for uid, rank, text in items}
                case w.RemoveItems(uids):
                    for uid in uids:
                        del self.items[uid]
                case w.MoveItems(ranks):
                    for uid, rank in ranks:
                        self.items[uid] = rank, self.items[uid][1]
                case w.ClearQueue():
                    self.items.clear()
                case w.SetRunning(record):
                    self.running = record
                case w.AppendHistory(seq, uid, _, text):
                    assert seq == self.next, "history numbers are consecutive"
                    self.history[seq] = uid, text
                    self.next += 1
                case w.AppendAudit():
                    pass  # read by clients only
                case w.TrimHistory(first):
                    self.first = first
                case w.SetField(name, None):
                    self.fields.pop(name, None)
                case w.SetField(name, value):
                    self.fields[name] = value

    def load(self) -> w.StoredState:
        ordered = sorted(self.items.items(), key=lambda entry: entry[1][0])
        assert len({rank for rank, _ in self.items.values()}) == len(self.items), "two items share a rank"
        return w.StoredState(
            tuple((uid, rank, text) for uid, (rank, text) in ordered),
            self.running,
            self.first,
            self.next,
            dict(self.fields),
        )

    @property
    def queue(self) -> list[str]:
        return [uid for uid, _, _ in self.load().items]

    @property
    def task_uids(self) -> set[str]:
        return {name.removeprefix(FIELD) for name in self.fields if name.startswith(FIELD)}

    def result_of_task(self, uid: str) -> dict[str, Any] | None:
        text = self.fields.get(result_name(uid))
        return None if text is None else json.loads(text)

    @property
    def running_uid(self) -> str | None:
        return None if self.running is None else json.loads(self.running)["item"]["item_uid"]

    @property
    def history_uids(self) -> list[str]:
        return [uid for _, (uid, _) in sorted(self.history.items())]


class StoreState(Enum):
    """What the manager has of its store."""

    ANSWERS = auto()
    STALLS = auto()
    AWAY = auto()


Done = Callable[[bool], None]


@dataclass
class Commit:
    """A decision that waits for the store."""

    decision: Decision
    done: Done
    applied: bool | None = None
    """None as long as it has neither been carried out nor lost."""


def ignore(_: bool) -> None:
    """Nobody waits for the outcome."""
