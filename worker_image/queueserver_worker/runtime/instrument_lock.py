"""The claim on an instrument: one worker on this machine at a time (design: local instrument claim)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class InstrumentTakenError(Exception):
    """Another process holds the instrument; the text is a sentence that names it."""


class InstrumentLock:
    """A lock on a file, held until the process ends in whatever way."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lock; raises InstrumentTakenError, and OSError when the file cannot be used."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 200, 0).decode("utf-8", "replace").strip() or "unknown"
            os.close(fd)
            raise InstrumentTakenError(
                f"The instrument is in use: process {holder} holds '{self._path}'. "
                "Close the environment that it belongs to, then open this one again."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd = fd

    def forsake(self) -> None:
        """Leave the lock to the worker alone; for a forked child, which would hold it beyond the worker's end."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
