"""What the manager asks of a launcher; implemented by a local process and by a pod in a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WorkerHandle:
    """What identifies a launched worker, recorded in the store so that a later manager finds it again."""

    opening_id: str
    host: str
    pid: int
    started: str
    """Start time of the process as the system tells it: with the pid it names one process for ever."""

    def as_mapping(self) -> dict[str, str | int]:
        """JSON form, for the store."""
        return {"opening_id": self.opening_id, "host": self.host, "pid": self.pid, "started": self.started}


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """A worker that is proved to have ended; `cause` is the part of a sentence that says how."""

    opening_id: str
    cause: str
    """For example "the worker process was killed by SIGKILL" or "the worker process ended with exit code 1"."""
    exit_code: int | None = None


class LaunchError(Exception):
    """The worker could not be started; the text is a sentence for the user."""


OnEnd = Callable[[WorkerEnd], None]
"""Called once, in the event loop, when a watched worker is proved to have ended."""


class Launcher(Protocol):
    """Starts, kills and watches workers. All methods are called in the event loop's thread."""

    def prepare(self) -> None:
        """Get ready for a quick next `start` (a warm interpreter); optional work, never fails."""

    def start(self, opening_id: str, token: str, permissions: dict[str, object] | None) -> Awaitable[WorkerHandle]:
        """Start a worker for an opening and watch it; raises `LaunchError`."""

    def adopt(self, handle: WorkerHandle) -> bool | None:
        """Watch a worker that an earlier manager started.

        True: it is alive and watched. False: it is proved to have ended. None: it cannot be told from here
        (another host), so it counts as unreachable.
        """

    def recognise(self, opening_id: str, host: str, pid: int) -> WorkerHandle | None:
        """Watch a worker that says of itself where it runs; None when it is watched already or cannot be.

        One that has ended meanwhile is reported like any other end.
        """

    def kill(self, opening_id: str, grace: float) -> None:
        """End the worker: ask it to abort and leave (SIGTERM), then kill it after `grace` seconds."""

    async def close(self) -> None:
        """Stop watching and drop a prepared interpreter; running workers are left alone."""
