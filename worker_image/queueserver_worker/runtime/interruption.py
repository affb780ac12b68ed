"""Ending code of the user that runs in the main thread: an exception raised by a signal handler."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable

AGAIN_AFTER = 1.0
"""Seconds after which the signal is sent again."""


class InterruptedByWorkerError(BaseException):
    """Raised inside code of the user because the worker ends; no code for ordinary errors should catch it."""


class Interruption:
    """Ends startup code and tasks from other threads: SIGTERM for the main thread, whose handler calls `heard`."""

    def __init__(self) -> None:
        self._running = False
        self._wanted = False
        self._interrupted = False
        self._due = 0.0

    def request(self) -> None:
        """End what runs, and let nothing begin any more; from any thread."""
        self._wanted = True
        self.repeat(time.monotonic())

    def repeat(self, now: float) -> None:
        """Send the signal if it is time; to be called at least every second.

        Python looks at signals between its steps. One that arrives after the look and before a wait in C begins is
        not seen before the wait is over, but the next one ends the wait.
        """
        if not (self._wanted and self._running and now >= self._due):
            return
        if (main := threading.main_thread().ident) is not None:
            self._due = now + AGAIN_AFTER
            signal.pthread_kill(main, signal.SIGTERM)

    def heard(self) -> None:
        """In the signal handler: raise InterruptedByWorkerError if code of the user runs."""
        if self._running:
            self._running = False
            self._interrupted = True
            raise InterruptedByWorkerError

    def guard(self, work: Callable[[], None]) -> bool:
        """Run code of the user in the main thread; False when it was interrupted, whatever it made of that."""
        self._interrupted = False
        with contextlib.suppress(InterruptedByWorkerError):
            try:
                self._running = True
                if self._wanted:
                    return False
                work()
            except BaseException:
                if not self._interrupted:
                    raise
            finally:
                self._running = False
        return not self._interrupted
