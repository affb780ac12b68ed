"""What the manager asks of a launcher, and what it hears of one; implemented by local processes and by pods."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from queueserver_common.link.messages import End

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a worker that left because somebody else than the manager told it to by SIGTERM."""

Record = Mapping[str, str | int]
"""What a launcher needs to find a worker again, kept in the store; only `pod_uid` has a meaning to others."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a worker says of itself over the link."""

    opening_id: str
    host: str
    pid: int
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """A worker that is proved to have ended; `cause` is the part of a sentence that says how."""

    opening_id: str
    cause: str
    """For example "the worker process was killed by SIGKILL" or "the worker's container ended with exit code 1"."""
    exit_code: int | None = None
    output: str = ""
    """Last lines that it wrote, where the launcher has them at hand."""
    unreported: tuple[End, ...] = ()
    """Ends of items and tasks that it left behind, besides those in its spool."""


class Stranger(Enum):
    """A launcher's word on a worker that nothing is recorded of."""

    FOREIGN = auto()
    """It was not started for this manager."""
    UNKNOWN = auto()
    """It cannot be told yet."""


class LaunchError(Exception):
    """The worker could not be started; the text is a sentence for the user."""


OnEnd = Callable[[WorkerEnd], None]
"""Called once, in the event loop, when a watched worker is proved to have ended."""


class Launcher(Protocol):
    """Starts, kills and watches workers. All methods are called in the event loop's thread."""

    def prepare(self) -> None:
        """Get ready for a quick next `start` (a warm interpreter); optional work, never fails."""

    def start(self, opening_id: str, token: str, permissions: dict[str, object] | None) -> Awaitable[Record]:
        """Start a worker for an opening and watch it; raises `LaunchError`. To repeat it does no harm."""

    def adopt(self, opening_id: str, record: Record | None) -> bool | None:
        """Watch the worker of an opening that an earlier manager began.

        `record` is None when that manager ended before it could write one. True: the worker is alive and watched.
        False: it is proved to have ended. None: it cannot be told, or not yet; an end is then reported like any other.
        """

    def recognise(self, worker: Sighting) -> Record | None:
        """Watch a worker of the present opening that introduced itself; None when there is nothing new to record.

        One that has ended meanwhile is reported like any other end.
        """

    def identify(self, worker: Sighting) -> Record | Stranger:
        """Whether a worker whose opening the store does not know belongs to this manager all the same."""

    def link_changed(self, opening_id: str) -> None:
        """The worker fell silent, or is heard again: with other evidence that may prove its end."""

    def let_go(self, opening_id: str) -> None:
        """The worker is leaving by itself; its end is still to be proved."""

    def kill(self, opening_id: str, grace: float, *, keep_remains: bool = False) -> None:
        """End the worker: ask it to abort and leave, then end it by force after `grace` seconds.

        `keep_remains`: it ends by itself; leave what tells why until the next opening.
        """

    async def close(self) -> None:
        """Stop watching; running workers are left alone."""


class LaunchReports(Protocol):
    """What a launcher reports; called in the event loop's thread."""

    def worker_found(self, opening_id: str, record: Record) -> None:
        """More is known of a worker than was recorded."""

    def worker_ended(self, end: WorkerEnd) -> None:
        """A watched worker is proved to have ended; called once."""

    def worker_ending(self, opening_id: str, cause: str) -> None:
        """Somebody else is ending the worker."""

    def opening_waits(self, opening_id: str, reason: str) -> None:
        """No worker has come up for some time; `reason` is a sentence."""

    def opening_failed(self, opening_id: str, reason: str) -> None:
        """No worker will come up; `reason` is a sentence. What is left of the opening is to be killed."""

    def environment_deleted(self, opening_id: str) -> None:
        """Somebody deleted the object that stands for the environment."""

    def environment_applied(self, opening_id: str, record: Record) -> None:
        """Somebody made the object that stands for an environment."""

    def is_heard(self, opening_id: str) -> bool:
        """Whether the worker's link is alive."""

    def ask_to_end(self, opening_id: str, grace: float, cause: str) -> None:
        """Ask the worker over its link to abort and end within `grace` seconds; `cause` begins a sentence."""
