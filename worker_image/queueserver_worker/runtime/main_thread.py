"""Work that belongs to the main thread: profile loading, RunEngine calls, the worker's end."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import NoReturn, Protocol

Work = Callable[[], None]
"""Something to do in the main thread; runs to its end before the next one starts."""


class MainThread(Protocol):
    """Where work for the main thread is handed in; the plain worker's queue is one way, a kernel another."""

    def post(self, work: Work) -> None:
        """Do `work` in the main thread after what was posted before; returns at once, from any thread."""

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in what a kernel executes."""


class MainQueue:
    """The main thread of a plain worker: it waits on a queue and does nothing by itself."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Work] = SimpleQueue()

    def post(self, work: Work) -> None:
        """Hand in work; from any thread and from signal handlers."""
        self._queue.put(work)

    def interrupt(self) -> None:
        """Nothing: a plain worker is not interrupted."""

    def serve(self, after_each: Work) -> NoReturn:
        """Do the work, and `after_each` after each piece of it; leaving ends the process."""
        while True:
            self._queue.get()()
            after_each()
