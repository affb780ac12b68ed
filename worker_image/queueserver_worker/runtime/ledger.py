"""What the worker knows of items and commands: the truth when others lost theirs. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from queueserver_common.link.messages import (
    CommandResult,
    EventBody,
    ItemEnded,
    ItemStage,
    ItemStarted,
    KnownTask,
    LedgerEntry,
)

KEPT_ITEMS = 100
KEPT_RESULTS = 1000


class ItemLedger:
    """The last items that the worker was told to run, oldest first."""

    def __init__(self, limit: int = KEPT_ITEMS) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, LedgerEntry] = OrderedDict()

    def received(self, item_uid: str, command_id: str, item: bytes) -> None:
        """The item was accepted."""
        self._entries[item_uid] = LedgerEntry(item_uid, command_id, ItemStage.RECEIVED, item=item)
        self._entries.move_to_end(item_uid)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def note(self, event: EventBody) -> None:
        """Follow the item's start and end."""
        if isinstance(event, ItemStarted) and (entry := self._entries.get(event.item_uid)):
            started = replace(entry, stage=ItemStage.STARTED, time_start=event.time_start)
            self._entries[event.item_uid] = started
        elif isinstance(event, ItemEnded) and (entry := self._entries.get(event.item_uid)):
            ended = replace(entry, stage=ItemStage.ENDED, time_start=event.time_start, end=event)
            self._entries[event.item_uid] = ended

    def knows(self, item_uid: str) -> bool:
        """Whether the worker was told to run this item before."""
        return item_uid in self._entries

    def entries(self) -> tuple[LedgerEntry, ...]:
        """All entries, oldest first."""
        return tuple(self._entries.values())


class TaskLedger:
    """The tasks that the worker was told to run: those that run, and those whose end it can report again."""

    def __init__(self, limit: int = KEPT_RESULTS) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._known: dict[str, KnownTask] = {}
        self._ended: dict[str, int] = {}

    def received(self, task: KnownTask) -> None:
        """The task was accepted."""
        self._known[task.task_uid] = task
        self._seen[task.task_uid] = None
        while len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    def ended(self, task_uid: str, seq: int) -> None:
        """The task's end is the event of this number."""
        if task_uid in self._known:
            self._known[task_uid] = replace(self._known[task_uid], ended=True)
            self._ended[task_uid] = seq

    def forget_ends_before(self, seq: int) -> None:
        """Events of lower numbers cannot be reported again."""
        for uid in [uid for uid, ended in self._ended.items() if ended < seq]:
            del self._ended[uid], self._known[uid]

    def knows(self, task_uid: str) -> bool:
        """Whether the worker was told to run this task before."""
        return task_uid in self._seen or task_uid in self._known

    def entries(self) -> tuple[KnownTask, ...]:
        """What a manager is told."""
        return tuple(self._known.values())


class CommandResults:
    """Results of the last commands, so that a command that comes again is answered and not repeated."""

    def __init__(self, limit: int = KEPT_RESULTS) -> None:
        self._limit = limit
        self._results: OrderedDict[str, CommandResult] = OrderedDict()

    def find(self, command_id: str) -> CommandResult | None:
        """The result of the first time; None for a command that was never seen."""
        return self._results.get(command_id)

    def record(self, result: CommandResult) -> None:
        """Remember a result."""
        self._results[result.command_id] = result
        while len(self._results) > self._limit:
            self._results.popitem(last=False)
