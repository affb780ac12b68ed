"""Processes as `/proc` shows them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def processes_with(variable: str, directory: Path) -> dict[int, str]:
    """Process ids and command lines of the processes with an environment variable (`NAME=value`).

    A Redis server writes its title over its environment, so those that name the directory count as well.
    """
    found = {}
    mark, path = variable.encode(), os.fsencode(directory)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if not command:  # a zombie
                continue
            if path in command or mark in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = command.replace(b"\0", b" ").decode().strip()
    return found


def waits_on_standard_input(pid: int) -> bool:
    """Whether a worker process has not taken its configuration yet: until then its standard input is a socket."""
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/fd/0").readlink()).startswith("socket:")
    return False


def lives(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
