"""Wake the link thread out of its wait."""

from __future__ import annotations

import contextlib
import os


class WakePipe:
    """A pipe that other threads and signal handlers write to and that the link thread waits on.

    `signal.set_wakeup_fd` may use `write_fd` too: a signal then arrives as a byte with its number even while the
    main thread is inside C code that does not return.
    """

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        os.set_blocking(self.write_fd, False)
        self._signalled = False

    def wake(self) -> None:
        """Wake the waiting thread; costs nothing when it has been woken and did not look yet."""
        if not self._signalled:
            self._signalled = True
            self._write(b"\0")

    def send_signal(self, signum: int) -> None:
        """Report a signal; safe inside a signal handler."""
        self._write(bytes((signum,)))

    def clear(self) -> set[int]:
        """Take what was written; returns the numbers of the signals that were reported."""
        signals: set[int] = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.read_fd, 4096):
                signals.update(data)
        # Only now: a wake in between finds the flag set, but what it announced is looked at after this call.
        self._signalled = False
        return signals - {0}

    def forsake(self) -> None:
        """Close this process's ends and wake nobody any more; for a forked child."""
        self._signalled = True
        os.close(self.read_fd)
        os.close(self.write_fd)

    def _write(self, data: bytes) -> None:
        # A full pipe wakes its reader just as well.
        with contextlib.suppress(BlockingIOError):
            os.write(self.write_fd, data)
