"""Changes that a decision makes to the stored state; carried out by the store, in order, in one commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PutItems:
    """Put items into the queue or replace them: (uid, rank, JSON text). Ranks order the queue, lowest first."""

    items: tuple[tuple[str, int, bytes], ...]


@dataclass(frozen=True, slots=True)
class RemoveItems:
    """Take items out of the queue."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MoveItems:
    """Give items of the queue new ranks: (uid, rank)."""

    ranks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ClearQueue:
    """Take all items out of the queue."""


@dataclass(frozen=True, slots=True)
class SetRunning:
    """The item in hand as JSON text (`RunningItem.encode`), or None when there is none."""

    record: bytes | None


@dataclass(frozen=True, slots=True)
class AppendHistory:
    """Add an entry at the end of the history: its number, the item's uid, the time of its end and its JSON text."""

    seq: int
    uid: str
    time_stop: float
    text: bytes


@dataclass(frozen=True, slots=True)
class TrimHistory:
    """Drop all history entries with a number below `first_seq`."""

    first_seq: int


@dataclass(frozen=True, slots=True)
class SetField:
    """Set (or with None delete) one named value of the manager's state, JSON text."""

    name: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class AppendAudit:
    """Add an entry, JSON text, to the audit log and drop the oldest beyond `limit` entries."""

    limit: int
    text: bytes


Write = (
    PutItems | RemoveItems | MoveItems | ClearQueue | SetRunning | AppendHistory | TrimHistory | SetField | AppendAudit
)


@dataclass(frozen=True, slots=True)
class StoredState:
    """Everything the store holds but the history's content; what a manager starts from."""

    items: tuple[tuple[str, int, bytes], ...] = ()
    """Queue in order: (uid, rank, JSON text)."""
    running: bytes | None = None
    history_first: int = 0
    """Number of the oldest history entry; equal to `history_next` when the history is empty."""
    history_next: int = 0
    fields: dict[str, bytes] | None = None
