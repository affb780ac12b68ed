"""Durable events of the worker, kept until the manager has stored them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from queueserver_common.link.codec import encode
from queueserver_common.link.messages import EnvironmentReady, Event, EventBody, ListsChanged

KEPT_WHEN_STORED = 100
"""Stored events that are kept for a manager whose store lost its last writes."""

KEPT_BYTES = 8 * 2**20
"""Bytes of stored events that are kept at most, but for the newest."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One event as it goes over the link."""

    seq: int
    frame: bytes
    keep: bool
    """Kept whatever comes: the report of the opened environment, and the newest of its lists."""
    replaceable: bool = False
    """A newer event of its kind says all that it says."""


class Outbox:
    """Numbers events from 1 and remembers which of them are stored."""

    def __init__(self) -> None:
        self._entries: list[OutboxEntry] = []
        self._next_seq = 1
        self._stored = 0
        self._acked = 0
        self._bytes = 0

    @property
    def oldest_seq(self) -> int:
        """Number from which on all events are kept."""
        return next((entry.seq for entry in self._entries if not entry.keep), self._next_seq)

    @property
    def next_seq(self) -> int:
        """Number of the next event."""
        return self._next_seq

    @property
    def stored_seq(self) -> int:
        """All events up to this number are stored by the manager, as far as it last said."""
        return self._stored

    @property
    def acked_seq(self) -> int:
        """Highest number that was ever reported as stored."""
        return self._acked

    @property
    def unstored(self) -> int:
        """How many events the manager has not stored yet."""
        return self._next_seq - 1 - self._stored

    def append(self, body: EventBody) -> int:
        """Add an event and return its number."""
        seq = self._next_seq
        frame = encode(Event(seq, body))
        if isinstance(body, ListsChanged):
            self._entries = [replace(e, keep=False) if e.keep and e.replaceable else e for e in self._entries]
        keep = isinstance(body, EnvironmentReady | ListsChanged)
        self._entries.append(OutboxEntry(seq, frame, keep, isinstance(body, ListsChanged)))
        self._bytes += len(frame)
        self._next_seq += 1
        return seq

    def welcomed(self, stored_seq: int) -> None:
        """A manager says what its store holds: possibly less than an earlier one said, when writes were lost."""
        self._stored = min(max(stored_seq, 0), self._next_seq - 1)
        self._acked = max(self._acked, self._stored)

    def stored(self, seq: int) -> None:
        """The manager has stored the events up to `seq`."""
        self._stored = max(self._stored, min(seq, self._next_seq - 1))
        self._acked = max(self._acked, self._stored)
        if len(self._entries) > self.unstored + 2 * KEPT_WHEN_STORED or self._bytes > KEPT_BYTES:
            self._drop_old()

    def _drop_old(self) -> None:
        oldest_kept = self._stored - KEPT_WHEN_STORED
        kept: list[OutboxEntry] = []
        size = 0
        for entry in reversed(self._entries):
            size += len(entry.frame)
            within = entry.seq > oldest_kept and (size <= KEPT_BYTES or entry.seq == self._stored)
            if entry.seq > self._stored or entry.keep or within:
                kept.append(entry)
        self._entries = kept[::-1]
        self._bytes = sum(len(entry.frame) for entry in kept)

    def after(self, seq: int) -> OutboxEntry | None:
        """The first kept event with a higher number than `seq`; None when there is none."""
        if seq >= self._next_seq - 1:
            return None
        # New events are asked for far more often than old ones, and stand at the end.
        index = len(self._entries)
        while index > 0 and self._entries[index - 1].seq > seq:
            index -= 1
        return self._entries[index]
