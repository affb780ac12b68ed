"""A deadline after which the process ends whatever its threads do.

The timer is a C thread of the interpreter (faulthandler): it needs neither the main thread nor the interpreter's lock,
so a plan that hangs inside a C library cannot stop it. There is only one such timer; this module shares it.
"""

from __future__ import annotations

import faulthandler
import threading
import time

from queueserver_worker.runtime.threads import STDERR


class DeadMan:
    """Ends the process with exit code 1, after a traceback of all threads, when a deadline passes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lasting: float | None = None
        """Monotonic time at which the process ends in any case."""

    def end_within(self, seconds: float) -> None:
        """From now on the process has `seconds` left; a later call can only shorten that."""
        with self._lock:
            end = time.monotonic() + seconds
            self._lasting = end if self._lasting is None else min(end, self._lasting)
            self._arm(self._lasting)

    def guard(self, seconds: float) -> None:
        """End the process unless `release` follows within `seconds`."""
        with self._lock:
            end = time.monotonic() + seconds
            self._arm(end if self._lasting is None else min(end, self._lasting))

    def release(self) -> None:
        """What `guard` was called for is over."""
        with self._lock:
            faulthandler.cancel_dump_traceback_later()
            if self._lasting is not None:
                self._arm(self._lasting)

    @staticmethod
    def _arm(end: float) -> None:
        left = max(end - time.monotonic(), 0.001)  # faulthandler takes no 0
        faulthandler.dump_traceback_later(left, exit=True, file=STDERR)
