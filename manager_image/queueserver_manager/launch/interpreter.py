"""A fresh worker interpreter that waits for the configuration of an opening on its standard input.

Standard input is one end of a socket pair. The worker reads one line, and closes the descriptor when it takes the
configuration; one that was started ahead of time ends instead, with `STALE_EXIT_CODE`, when a file that it has imported
has changed since. The end of the other end (the manager has gone) ends an interpreter that was not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from queueserver_manager.launch.interface import LaunchError
from queueserver_manager.launch.logs import open_log
from queueserver_manager.launch.process_identity import is_leaving

STALE_EXIT_CODE = 75
"""Exit code of a worker that was started ahead of time and holds code that has changed on disk since."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process inherits; an interpreter that was started in others is not used."""

    environment: Mapping[str, str]
    directory: str

    @classmethod
    def now(cls, hidden: frozenset[str]) -> Surroundings:
        """Those of this process, without the variables in `hidden`."""
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        try:
            return cls(environment, str(Path.cwd()))
        except FileNotFoundError:  # somebody removed the directory
            return cls(environment, "/")


class WaitingInterpreter:
    """A started process that waits for its configuration."""

    def __init__(
        self, process: subprocess.Popen[bytes], channel: socket.socket, surroundings: Surroundings, log: Path
    ) -> None:
        self.process = process
        self.surroundings = surroundings
        self.log = log
        self._channel = channel

    @classmethod
    def start(
        cls, command: Sequence[str], surroundings: Surroundings, log_dir: Path, log_name: str
    ) -> WaitingInterpreter:
        """Start it in a session of its own, with its output in a new log; raises `LaunchError`."""
        try:
            log_descriptor, log = open_log(log_dir, log_name)
        except OSError as error:
            raise LaunchError(
                f"The worker's log cannot be created in '{log_dir}': {error.strerror}; "
                "make room or give another directory with --data-dir."
            ) from None
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=log_descriptor,
                stderr=log_descriptor,
                env=surroundings.environment,
                cwd=surroundings.directory,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise LaunchError(f"The worker process cannot be started: {error.strerror}.") from None
        finally:
            theirs.close()
            os.close(log_descriptor)
        ours.setblocking(False)
        return cls(process, ours, surroundings, log)

    async def configure(self, line: bytes) -> None:
        """Hand over the configuration; a process that has ended meanwhile is noticed by whoever watches it."""
        with contextlib.suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(self._channel, line)

    async def accepts(self, line: bytes) -> bool:
        """Hand over the configuration and wait until the process has taken it (true) or ends."""
        await self.configure(line)
        # The process writes nothing: this returns when the other end is closed.
        with contextlib.suppress(ConnectionError):
            await asyncio.get_running_loop().sock_recv(self._channel, 1)
        return not is_leaving(self.process.pid)

    def release(self) -> None:
        """Close the connection to a process that has its configuration."""
        self._channel.close()

    def kill(self) -> None:
        """End a process that was not used; it holds nothing and has talked to nobody."""
        self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
