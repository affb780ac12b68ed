"""Writing to the terminal without ever waiting for it.

A terminal can stand still (Ctrl-S, a full pipe) or go away; neither may hold up the manager. Text is written by a
thread of its own from a bounded queue.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from time import monotonic

STDOUT = 1
STDERR = 2

_MOST_WAITING = 8_000_000
"""Characters that may wait; what comes on top is counted and left out."""

_LARGEST_WRITE = 65_536


class TerminalWriter:
    """Writes text to descriptors in the order of the calls; safe to call from any thread. Never raises."""

    def __init__(self, most_waiting: int = _MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, str]] = deque()
        self._size = 0
        self._left_out = 0
        self._writing = False
        self._ending = False
        self._gone: set[int] = set()
        self._moved = monotonic()
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()

    def write(self, descriptor: int, text: str) -> None:
        """Have the text written; returns at once."""
        if not text or descriptor in self._gone:
            return
        with self._changed:
            if self._size + len(text) > self._most_waiting:
                self._left_out += len(text)
                return
            if self._left_out:
                text = f"\n[{self._left_out} characters were left out here: the terminal did not take them]\n{text}"
                self._left_out = 0
            self._waiting.append((descriptor, text))
            self._size += len(text)
            self._changed.notify_all()

    def flush(self, patience: float = 2.0, most: float = 10.0) -> bool:
        """Wait until all text is written; returns whether it is.

        Gives up when the terminal took nothing for `patience` seconds, and after `most` seconds in any case.
        """
        begun = monotonic()
        with self._changed:
            while self._waiting or self._writing:
                remaining = min(max(begun, self._moved) + patience, begun + most) - monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(remaining)
            return True

    def close(self, patience: float = 2.0) -> None:
        """Flush and end the thread; a terminal that stands still is left to itself."""
        written = self.flush(patience)
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if written:
            self._thread.join(patience)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                descriptor, text = self._take()
                self._writing = True
            self._put(descriptor, text.encode(errors="backslashreplace"))

    def _take(self) -> tuple[int, str]:
        """All text that waits for the same descriptor."""
        descriptor = self._waiting[0][0]
        parts = []
        while self._waiting and self._waiting[0][0] == descriptor:
            parts.append(self._waiting.popleft()[1])
        text = "".join(parts)
        self._size -= len(text)
        return descriptor, text

    def _put(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view and descriptor not in self._gone:
            try:
                view = view[os.write(descriptor, view[:_LARGEST_WRITE]) :]
                self._moved = monotonic()
            except BlockingIOError:
                select.select([], [descriptor], [])
            except OSError:  # the terminal was closed, or the reader of the pipe has gone
                self._gone.add(descriptor)
                self._moved = monotonic()
