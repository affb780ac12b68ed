"""Processes of the servers as the system shows them (/proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"
_TICKS = os.sysconf("SC_CLK_TCK")


def listener(port: int) -> int:
    """The process that listens on a TCP port; of several that share it (after a fork) the youngest."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    holders = [pid for pid in all_processes() if inodes & _descriptors(pid)]
    if not holders:
        raise LookupError(f"no process listens on port {port}")
    return max(holders)


def all_processes() -> list[int]:
    """All process ids."""
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _descriptors(pid: int) -> set[str]:
    targets = set()
    with contextlib.suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                targets.add(str(entry.readlink()))
    return targets


def resident_mb(pid: int) -> float:
    """Resident memory, in units of 1024 × 1024 bytes as upstream's figures are."""
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no memory: it has ended")


def command_line(pid: int) -> str:
    """The command line; empty for a process that has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def cpu_seconds(pid: int) -> float:
    """CPU time that the process has used so far; 0 for one that has ended."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _parent(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def descendants(pid: int) -> list[int]:
    """Children, their children and so on."""
    children: dict[int, list[int]] = {}
    for process in all_processes():
        children.setdefault(_parent(process), []).append(process)
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def wait_until_at_rest(pids: list[int], timeout: float = 10.0) -> None:
    """Wait until processes use no CPU any more, for example an interpreter that imports modules ahead of time."""
    deadline = time.monotonic() + timeout
    used, since = sum(map(cpu_seconds, pids)), time.monotonic()
    while time.monotonic() - since < 0.5 and time.monotonic() < deadline:
        time.sleep(0.05)
        now = sum(map(cpu_seconds, pids))
        if now - used > 0.02:
            used, since = now, time.monotonic()


def end(pids: list[int]) -> None:
    """Kill those of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
