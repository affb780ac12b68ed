"""What names one process for ever, and how a process has ended. Linux: pidfd and /proc."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from queueserver_manager.launch.interface import TERMINATED

_PF_EXITING = 0x4
"""Flag in /proc/<pid>/stat: the process is on its way out."""


class NoProcess(Exception):
    """The process does not exist or has already ended."""


def start_mark(pid: int) -> str:
    """Start time of a process in ticks since boot, with the boot's own id; raises `NoProcess`.

    A pid is used again, and after a reboot with the same ticks: the three together are not.
    """
    fields = _stat_fields(pid)
    # A zombie has ended; only its parent has not taken notice.
    if fields[0] in {"Z", "X"}:
        raise NoProcess(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{fields[19]}"


def is_leaving(pid: int) -> bool:
    """Tell whether a process has ended or is about to (its descriptors may be closed already)."""
    try:
        fields = _stat_fields(pid)
    except NoProcess:
        return True
    return fields[0] in {"Z", "X"} or bool(int(fields[6]) & _PF_EXITING)


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third (state) on; the second, the name, may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise NoProcess(pid) from None
    return text.rpartition(")")[2].split()


def open_pidfd(pid: int, started: str) -> int:
    """A descriptor of exactly the process that was named by pid and start mark; raises `NoProcess`."""
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, ValueError):
        raise NoProcess(pid) from None
    try:
        # Asked after the descriptor was opened: a pid that was used again meanwhile has another mark.
        same = start_mark(pid) == started
    except NoProcess:
        same = False
    if not same:
        os.close(pidfd)
        raise NoProcess(pid)
    return pidfd


def memory_kills() -> int:
    """How many processes the kernel has killed since boot because memory ran out; 0 when it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def how_it_ended(exit_code: int | None, *, memory_ran_out: bool) -> str:
    """Rest of a sentence: "was killed by SIGSEGV". Exit code as subprocess has it; None when nobody can tell."""
    if exit_code is None:
        return "ended"
    if exit_code == TERMINATED:
        return "was ended by SIGTERM"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = " (probably by the kernel, because memory ran out)" if memory_ran_out and name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
