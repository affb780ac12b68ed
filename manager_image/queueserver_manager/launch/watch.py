"""Noticing at once, in the event loop, that a process has ended; it need not be a child of this one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable


class ProcessWatch:
    """Calls `on_end` once when the process behind a pidfd has ended; owns the descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pidfd: int, on_end: Callable[[], None]) -> None:
        self._loop = loop
        self._pidfd: int | None = pidfd
        self._on_end = on_end
        loop.add_reader(pidfd, self._ended)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to exactly this process; false when it has ended."""
        if self._pidfd is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)
            return True
        return False

    def close(self) -> None:
        """Stop watching; the process is left alone."""
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _ended(self) -> None:
        self.close()
        self._on_end()
