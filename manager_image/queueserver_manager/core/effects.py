"""What a decision causes outside of the core, besides its writes.

Effects are carried out in order once the writes of their decision are durable; an `urgent` decision's effects are
carried out first, because they only reduce motion and never need the store.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from queueserver_common.link.messages import CommandBody


@dataclass(frozen=True, slots=True)
class TellWorker:
    """Send a command to the worker of the open environment."""

    command_id: str
    body: CommandBody


@dataclass(frozen=True, slots=True)
class AcknowledgeEvents:
    """Tell the worker that its events up to `seq` are durable."""

    seq: int


@dataclass(frozen=True, slots=True)
class WelcomeWorker:
    """Take the worker that introduced itself; it sends events after `stored_seq` again."""

    peer: str
    stored_seq: int


@dataclass(frozen=True, slots=True)
class DismissWorker:
    """Send a worker away that is not ours."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class AskWorker:
    """Ask the worker of an opening to introduce itself: its ledger tells what became of the item in hand."""

    opening_id: str


@dataclass(frozen=True, slots=True)
class LaunchWorker:
    """Start the worker of an opening."""

    opening_id: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FindWorker:
    """A worker introduced itself: watch it, if that is not so yet, and record what is learned of it."""

    opening_id: str
    host: str
    pid: int
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End the worker of an opening: ask it to abort and leave, after `grace` seconds end it by force."""

    opening_id: str
    grace: float
    keep_remains: bool = False
    """It ends by itself and somebody will want to see why: leave its remains (pod, log) until the next opening."""


@dataclass(frozen=True, slots=True)
class LetGoOfWorker:
    """The worker of an opening is leaving by itself: what stands for it outside of the manager is needed no more."""

    opening_id: str


@dataclass(frozen=True, slots=True)
class PrepareWorker:
    """Get ready for a quick next opening."""


@dataclass(frozen=True, slots=True)
class LeaveManager:
    """End the manager process in order."""


Effect = (
    TellWorker
    | AcknowledgeEvents
    | WelcomeWorker
    | DismissWorker
    | AskWorker
    | LaunchWorker
    | FindWorker
    | KillWorker
    | LetGoOfWorker
    | PrepareWorker
    | LeaveManager
)
