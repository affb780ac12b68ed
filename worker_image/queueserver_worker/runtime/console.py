"""Standard output and error of the worker: to the original descriptors, and a copy for the manager.

Only Python-level text is copied; what C code writes goes to the descriptor alone. Writing never fails and never
waits for a reader, because a plan must not fail over a full disk or a reader that has gone.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

from queueserver_worker.runtime.console_buffer import ConsoleBuffer
from queueserver_worker.runtime.threads import start_thread

MAX_UNWRITTEN = 8 * 1024 * 1024
"""Bytes that wait for a descriptor whose reader is slow; what comes when they are full is not written to it."""


class Tee(io.RawIOBase):
    """A raw stream that hands bytes to a descriptor's writer and their text to the console buffer."""

    def __init__(self, fd: int, write: Callable[[bytes], None], copy: ConsoleBuffer) -> None:
        super().__init__()
        self._fd = fd
        self._write = write
        self._copy: ConsoleBuffer | None = copy
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def detach_copy(self) -> None:
        """Write to the descriptor only, at once and without any lock; for a forked child."""
        self._write = DirectWriter(self._fd).write
        self._copy = None

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The original descriptor, for programs that the startup code starts."""
        return self._fd

    def write(self, data: object) -> int:
        """Take all of `data`."""
        raw = bytes(cast(memoryview, data))
        self._write(raw)
        if self._copy is not None and (text := self._decoder.decode(raw)):
            self._copy.append(text)
        return len(raw)


class DirectWriter:
    """Writes to a file at once, so that the last line before a crash is in it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        """Write; what the file does not take (full disk) is lost."""
        _write_all(self._fd, data)

    def flush(self, timeout: float) -> None:
        """Nothing waits."""


class ThreadWriter:
    """Writes to a pipe or terminal in a thread of its own, because its reader may not read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._busy = False
        start_thread(f"write-to-descriptor-{fd}", self._run)

    def write(self, data: bytes) -> None:
        """Pass on; dropped when the reader is far behind."""
        with self._changed:
            if self._size <= MAX_UNWRITTEN:
                self._waiting.append(data)
                self._size += len(data)
                self._changed.notify_all()

    def flush(self, timeout: float) -> None:
        """Wait until everything is written, at most `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                data = b"".join(self._waiting)
                self._waiting.clear()
                self._size = 0
                self._busy = True
            _write_all(self._fd, data)


class Console:
    """The worker's standard streams after `install`."""

    def __init__(self) -> None:
        self.buffer = ConsoleBuffer()
        self._writers: list[DirectWriter | ThreadWriter] = []
        self._tees: list[Tee] = []
        self._streams: list[io.TextIOWrapper] = []

    def detach_copies(self) -> None:
        """Leave the manager out of it; for a forked child."""
        for tee in self._tees:
            tee.detach_copy()

    def install(self) -> None:
        """Replace `sys.stdout` and `sys.stderr`."""
        sys.stdout = self._stream(1)
        sys.stderr = self._stream(2)

    def flush(self, timeout: float = 0.2) -> None:
        """Hand over unfinished lines and wait, at most `timeout` seconds each, until the descriptors took them."""
        self.push()
        for writer in self._writers:
            writer.flush(timeout)

    def push(self) -> None:
        """Hand over unfinished lines without waiting."""
        for stream in (sys.stdout, sys.stderr, *self._streams):
            # Startup code may have put anything in their place, or closed them.
            with contextlib.suppress(Exception):
                stream.flush()

    def _stream(self, fd: int) -> io.TextIOWrapper:
        writer: DirectWriter | ThreadWriter = DirectWriter(fd) if _takes_at_once(fd) else ThreadWriter(fd)
        self._writers.append(writer)
        tee = Tee(fd, writer.write, self.buffer)
        self._tees.append(tee)
        return io.TextIOWrapper(
            io.BufferedWriter(tee), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )


def _takes_at_once(fd: int) -> bool:
    try:
        status = os.fstat(fd)
    except OSError:
        return True
    return stat.S_ISREG(status.st_mode) or status.st_rdev == Path(os.devnull).stat().st_rdev


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    # A reader that has gone, a full disk or a closed descriptor: the copy for the manager goes on.
    with contextlib.suppress(OSError):
        while view:
            view = view[os.write(fd, view) :]
