"""Ending code of the user that runs in the main thread: an exception raised by a signal handler."""

from __future__ import annotations

import contextlib
from collections.abc import Callable


class InterruptedByWorkerError(BaseException):
    """Raised inside a task because the worker ends; no code that handles ordinary errors should catch it."""


class Interruption:
    """Tells signal handlers whether the main thread runs a task, which they may end."""

    def __init__(self) -> None:
        self._running = False

    def interrupt(self) -> None:
        """In a signal handler: raise InterruptedByWorkerError if a task runs."""
        if self._running:
            self._running = False
            raise InterruptedByWorkerError

    def guard(self, task: Callable[[], None]) -> None:
        """Run a task; returns when it ends or is interrupted."""
        with contextlib.suppress(InterruptedByWorkerError):
            self._running = True
            try:
                task()
            finally:
                self._running = False
