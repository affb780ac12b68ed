"""Who listens on a port of this machine; answered where the system has /proc, otherwise unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"
_LONGEST_COMMAND = 100


def listening_process(port: int) -> str | None:
    """Process id and command of the process that listens on a TCP port; None when it cannot be told."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None
    for process in _PROC.glob("[0-9]*"):
        try:
            if any(str(entry.readlink()) in inodes for entry in (process / "fd").iterdir()):
                return describe_process(int(process.name))
        except OSError:  # it ended, or it belongs to another user
            continue
    return None


def describe_process(pid: int) -> str:
    """For a message: process id and, where known, the command."""
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"process {pid} ({command[:_LONGEST_COMMAND]})" if command else f"process {pid}"


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (_PROC / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"
