"""Who holds the data: managers name themselves `<pid>@<host>` in the name of their connection to Redis."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from queueserver_manager.store.keys import Keys, names_a_holder

_HOLDER = re.compile(r"(?P<pid>\d+)@(?P<host>.+)")


def this_process() -> str:
    """`<pid>@<host>` of this process."""
    return f"{os.getpid()}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class Holder:
    """A connection to Redis that belongs to a manager which holds the data of a prefix."""

    name: str
    """`<pid>@<host>`"""
    connection_id: int
    seconds: int
    """Age of the connection."""

    def has_ended(self) -> bool:
        """Whether the process is known not to exist any more; a process on another host is never known to be gone.

        A process with our own pid and host can only be a predecessor in a container of the same name.
        """
        match = _HOLDER.fullmatch(self.name)
        if match is None or match["host"] != socket.gethostname():
            return False
        pid = int(match["pid"])
        return pid == os.getpid() or not _runs(pid)

    def sentence(self, since: str | None) -> str:
        """Who holds the data since when: as the holder itself recorded it, else the connection's age is told."""
        match = _HOLDER.fullmatch(self.name)
        who = f"process {match['pid']} on host {match['host']}" if match else repr(self.name)
        when = f"since {since}" if since else f"connected for {self.seconds} s"
        return f"a manager that is still connected, {who}, {when}"


def other_holders(client_list: str, keys: Keys, own_connection: int) -> list[Holder]:
    """Holders of the data of a prefix other than the own connection, from the reply to CLIENT LIST."""
    holders = []
    for line in client_list.splitlines():
        client = _fields(line)
        name = keys.holder_in(client.get("name", ""))
        if name is not None and int(client["id"]) != own_connection:
            holders.append(Holder(name, int(client["id"]), int(client.get("age", "0"))))
    return holders


def count_holders(client_list: str) -> int:
    """How many managers hold data of whatever prefix, from the reply to CLIENT LIST."""
    return sum(names_a_holder(_fields(line).get("name", "")) for line in client_list.splitlines())


def _fields(line: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in line.split())


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in ("Z", "X")  # killed, but not reaped by its parent yet
