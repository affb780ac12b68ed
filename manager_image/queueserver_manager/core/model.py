"""The manager's state: one object, changed only by decisions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from queueserver_common.link.messages import Run, Snapshot
from queueserver_manager.core import items
from queueserver_manager.core.items import Item
from queueserver_manager.core.locks import Lock
from queueserver_manager.core.queue import PlanQueue
from queueserver_manager.core.repeats import Accepted
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.task_records import EndedTask, Task


class EnvironmentStage(StrEnum):
    """How far the manager has brought an opening."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    DESTROYING = "destroying"


class LinkState(StrEnum):
    """`worker_link` of the status: an addition to the contract."""

    NONE = "none"
    CONNECTING = "connecting"
    ATTACHED = "attached"
    SILENT = "silent"


@dataclass(slots=True)
class Environment:
    """One opening of the worker environment; stored, so that a later manager finds its worker."""

    opening_id: str
    token_hash: str
    """SHA-256 of the secret that the worker shows in its hello."""
    stage: EnvironmentStage = EnvironmentStage.OPENING
    handle: dict[str, Any] | None = None
    """What the launcher needs to find the worker's process again; None until it was started."""
    failure: str = ""
    """Why the profile could not be loaded."""
    ready: bool = False
    """The worker reported that the profile is loaded."""
    revision: str = ""
    """Revision of the startup code, as the worker reported it."""

    def encode(self) -> bytes:
        """JSON text for the store."""
        return items.encode(asdict(self))

    @classmethod
    def decode(cls, text: bytes) -> Environment:
        """Read what `encode` wrote."""
        values = json.loads(text)
        return cls(**(values | {"stage": EnvironmentStage(values["stage"])}))


_NOT_STORED = frozenset({"sent", "started", "refusal"})


@dataclass(slots=True)
class RunningItem:
    """The item in hand: taken from the queue (or sent for immediate execution), its end not yet recorded."""

    item: Item
    opening_id: str
    command_id: str
    time_start: float
    """Manager's clock when the item was taken; epoch seconds."""
    immediate: bool = False
    sent: bool = False
    """This manager told the worker to run it (not stored: a later manager did not)."""
    started: bool = False
    """The worker reported to this manager that the RunEngine was called (not stored)."""
    refusal: str = ""
    """Why the worker does not run it; empty when it did not say so to this manager (not stored)."""

    @property
    def uid(self) -> str:
        """Uid of the item."""
        uid: str = self.item["item_uid"]
        return uid

    def shown(self) -> Item:
        """The running item as `queue_get` shows it."""
        return items.in_hand(self.item, self.time_start, self.immediate)

    def encode(self) -> bytes:
        """JSON text for the store."""
        return items.encode({name: value for name, value in asdict(self).items() if name not in _NOT_STORED})

    @classmethod
    def decode(cls, text: bytes) -> RunningItem:
        """Read what `encode` wrote."""
        return cls(**json.loads(text))


@dataclass(slots=True)
class QueueMode:
    """`plan_queue_mode` of the status."""

    loop: bool = False
    ignore_failures: bool = False

    def as_mapping(self) -> dict[str, bool]:
        """As the status shows it."""
        return {"loop": self.loop, "ignore_failures": self.ignore_failures}


UID_NAMES = (
    "run_list_uid",
    "plan_queue_uid",
    "plan_history_uid",
    "devices_existing_uid",
    "plans_existing_uid",
    "devices_allowed_uid",
    "plans_allowed_uid",
    "task_results_uid",
    "lock_info_uid",
)
"""Uids of the status besides `status_uid`, in the contract's order (zmq-api 2.2)."""


@dataclass(slots=True)
class State:
    """All of it. The store holds queue, running, mode, autostart, stop_pending, history, tasks, ended_tasks,
    environment, worker_seq, permissions_source and keyed_requests.
    """

    manager_state: ManagerState = ManagerState.INITIALIZING
    queue: PlanQueue = field(default_factory=PlanQueue)
    running: RunningItem | None = None
    mode: QueueMode = field(default_factory=QueueMode)
    autostart: bool = False
    stop_pending: bool = False
    lock: Lock | None = None
    history_first: int = 0
    history_next: int = 0
    keyed_requests: dict[str, Accepted] = field(default_factory=dict)
    """Requests that were carried out, by the key that their client gave them; oldest first."""
    environment: Environment | None = None
    environment_error: str = ""
    """Why the last opening failed or the last environment was lost, or what this one has been waiting for."""
    worker_ending: str = ""
    """How the worker is being ended by somebody else ("the worker's pod was deleted"); not stored."""
    permissions_source: str = ""
    """Digest of the permissions that were last taken from their source."""
    last_exit_status: str = ""
    """How the last item ended; not stored, it stands in the history."""
    worker_seq: int = 0
    """Number of the newest worker event that a decision has taken."""
    link: LinkState = LinkState.NONE
    snapshot: Snapshot | None = None
    """What the worker last reported of itself; None before its first hello."""
    runs: tuple[Run, ...] = ()
    """Runs of the item in hand."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """Tasks that have not ended, by uid."""
    ended_tasks: dict[str, EndedTask] = field(default_factory=dict)
    """Tasks whose results are stored, by uid, in the order of their ends."""
    pause_requested: bool = False
    """A pause was accepted and the plan has neither paused nor ended."""
    pause_deferred: bool = False
    leaving: bool = False
    """`manager_stop` was accepted."""
    tasks_delay_leaving: bool = False
    """A manager that is to leave lets background tasks come to their ends first."""
    uids: dict[str, str] = field(default_factory=dict)

    @property
    def history_size(self) -> int:
        """Number of history entries."""
        return self.history_next - self.history_first

    @property
    def environment_exists(self) -> bool:
        """`worker_environment_exists`: from the moment the worker reported ready until it is gone."""
        return self.environment is not None and self.environment.ready

    @property
    def re_state(self) -> str | None:
        """State of the RunEngine; None without environment or without a RunEngine in it."""
        return self.snapshot.re_state if self.environment_exists and self.snapshot is not None else None
