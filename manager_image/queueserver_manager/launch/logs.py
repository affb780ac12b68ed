"""Log files of workers: standard output and error of each opening, the last few of them kept."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

KEPT_LOGS = 10
"""Logs of this many openings are kept."""

MAX_LOG_SIZE = 64 * 2**20
"""Bytes; the log of a running worker that is longer is cut to its last `KEPT_TAIL` bytes."""

KEPT_TAIL = 2**20
"""Bytes."""

_PATTERN = "worker-*.log"


def open_log(directory: Path, name: str) -> tuple[int, Path]:
    """Create the log `worker-<name>.log` and drop the oldest ones; returns its descriptor and path.

    Opened for appending: what is written after `trim` lands at the new end. Raises OSError.
    """
    path = directory / f"worker-{name}.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    # A log that somebody else removes at the same time is gone as well.
    with contextlib.suppress(OSError):
        logs = sorted(directory.glob(_PATTERN), key=lambda log: log.stat().st_mtime, reverse=True)
        for log in logs[KEPT_LOGS:]:
            if log != path:
                log.unlink(missing_ok=True)
    return descriptor, path


def rename_log(path: Path, name: str) -> Path:
    """Give the log of a worker that got its opening later the opening's name; the open file stays the same."""
    new = path.with_name(f"worker-{name}.log")
    with contextlib.suppress(OSError):
        return path.rename(new)
    return path


def trim(path: Path, limit: int = MAX_LOG_SIZE, keep: int = KEPT_TAIL) -> None:
    """Cut a log that is longer than `limit` bytes to its last `keep` ones; what is written meanwhile may be lost."""
    with contextlib.suppress(OSError):
        if path.stat().st_size <= limit:
            return
        with path.open("r+b") as log:
            log.seek(-keep, os.SEEK_END)
            tail = log.read(keep)
            log.truncate(0)
        with path.open("ab") as log:
            log.write(b"[the beginning of this log was dropped]\n" + tail[tail.find(b"\n") + 1 :])


def last_lines(path: Path, count: int) -> str:
    """The last lines of a log, empty when it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 64 * 1024))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])
