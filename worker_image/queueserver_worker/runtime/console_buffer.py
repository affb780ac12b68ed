"""Console text on its way to the manager: bounded, never in anybody's way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

MAX_BUFFERED = 8 * 1024 * 1024
"""Characters kept for a manager that does not read; older text is dropped first."""

MAX_BATCH = 64 * 1024
"""Characters of one batch; text that was written in one piece stays in one piece."""


class Batch(NamedTuple):
    """Text in the order of writing, when it was handed out, and how many characters before it were dropped."""

    time: float
    """Epoch seconds."""
    text: str
    dropped: int


class ConsoleBuffer:
    """Takes text from any thread without waiting; hands it out in batches to one reader."""

    def __init__(self, limit: int = MAX_BUFFERED) -> None:
        self._limit = limit
        # Reentrant: a finalizer that prints may run while its thread is in here.
        self._lock = threading.RLock()
        self._chunks: deque[str] = deque()
        self._size = 0
        self._dropped = 0
        self._on_text: Callable[[], None] = lambda: None

    def on_text(self, notify: Callable[[], None]) -> None:
        """Call `notify` whenever text arrives in an empty buffer."""
        self._on_text = notify
        notify()

    def append(self, text: str) -> None:
        """Add text; never waits for a reader."""
        with self._lock:
            was_empty = not self._chunks
            self._chunks.append(text)
            self._size += len(text)
            while self._size > self._limit:
                lost = len(self._chunks.popleft())
                self._size -= lost
                self._dropped += lost
        if was_empty:
            self._on_text()

    def take(self, limit: int = MAX_BATCH) -> Batch | None:
        """The oldest text, at most `limit` characters unless it was written in one piece; None when there is none."""
        with self._lock:
            if not self._chunks and not self._dropped:
                return None
            taken: list[str] = []
            size = 0
            while self._chunks and (not taken or size + len(self._chunks[0]) <= limit):
                taken.append(self._chunks.popleft())
                size += len(taken[-1])
            self._size -= size
            dropped, self._dropped = self._dropped, 0
        return Batch(time.time(), "".join(taken), dropped)

    def __bool__(self) -> bool:
        return bool(self._chunks) or self._dropped > 0
