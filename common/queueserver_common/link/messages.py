"""Messages of the worker link, declared once for both ends.

The worker dials the manager (DEALER to ROUTER). Two kinds of report travel towards the manager:

* **events** are durable. They are numbered from 1, kept by the worker until the manager acknowledges them
  and sent again after every reconnect, so a manager that was away misses nothing.
* **snapshots** and **console text** are the latest state and a lossy stream; nobody waits for them.

Commands travel towards the worker. Each has an id and is idempotent: a worker that sees an id again answers
with the result of the first time and does nothing else.

Queue items travel as encoded JSON text (`bytes`), never as decoded values: integers of any size, NaN and
infinities arrive as they were submitted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

PROTOCOL_VERSION = 1
"""Version of this link format; a manager speaks to workers of its own and of the previous version."""

HEARTBEAT_PERIOD = 1.0
"""Seconds between two heartbeats of the worker's link thread."""

SILENT_AFTER = 5.0
"""Seconds without any message after which the manager calls the link silent."""


class EnvironmentPhase(StrEnum):
    """How far an opening has come, as its worker sees it."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    CLOSING = "closing"


class EnvironmentState(StrEnum):
    """`worker_environment_state` of the status (zmq-api 3.2)."""

    INITIALIZING = "initializing"
    IDLE = "idle"
    FAILED = "failed"
    RESERVED = "reserved"
    EXECUTING_PLAN = "executing_plan"
    EXECUTING_TASK = "executing_task"
    CLOSING = "closing"
    CLOSED = "closed"


class ItemStage(StrEnum):
    """What a worker knows of an item it was told to run."""

    RECEIVED = "received"
    STARTED = "started"
    ENDED = "ended"


class ExitStatus(StrEnum):
    """`result.exit_status` of a history item (zmq-api 4.3)."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    ABORTED = "aborted"
    HALTED = "halted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Run:
    """One Bluesky run of the plan in hand (`re_runs`, zmq-api 5.8)."""

    uid: str
    scan_id: int
    is_open: bool
    exit_status: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of the worker that a status shows; sent whenever it changes."""

    environment_state: EnvironmentState = EnvironmentState.INITIALIZING
    re_state: str | None = None
    """State of the RunEngine; None when the namespace holds none."""
    pause_pending: bool = False
    background_tasks: int = 0
    runs: tuple[Run, ...] = ()
    """All runs of the plan in hand, in order of opening; empty between plans."""
    ip_kernel_state: str | None = "disabled"
    ip_kernel_captured: bool | None = True
    kernel_connection: bytes = b""
    """JSON text of what a client of the IPython kernel needs to connect, its key included; empty without a kernel."""

    @property
    def taken_by_person(self) -> bool:
        """The kernel executes what somebody has typed in a console."""
        return self.ip_kernel_state == "busy" and not self.ip_kernel_captured


# Events: durable reports of the worker -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnvironmentReady:
    """The profile is loaded. `plans` and `devices` are the existing lists as JSON text (plans-and-permissions 2)."""

    plans: bytes
    devices: bytes
    permissions: bytes | None = None
    """JSON text of the permissions file beside the startup code, when the manager could not read it itself."""
    revision: str = ""
    """Revision of the profile source, when it has one."""


@dataclass(frozen=True, slots=True)
class EnvironmentFailed:
    """The profile could not be loaded; the worker leaves after this event is acknowledged."""

    message: str
    """One sentence: exception type and text, with file and line where known."""
    exception: str = ""
    file: str = ""
    line: int = 0
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class ItemStarted:
    """The RunEngine was called with the item's plan at `time_start` (worker's clock, epoch seconds)."""

    item_uid: str
    time_start: float


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """The item came to its end. `refused`: it never started (preparation failed or no RunEngine).

    `worker_ends`: nobody asked for the item's end; the worker ends and therefore brought it to an end.
    `by_person`: somebody at a console finished the paused plan.
    """

    item_uid: str
    exit_status: ExitStatus
    time_start: float
    time_stop: float
    run_uids: tuple[str, ...] = ()
    scan_ids: tuple[int, ...] = ()
    msg: str = ""
    traceback: str = ""
    refused: bool = False
    worker_ends: bool = False
    by_person: bool = False


@dataclass(frozen=True, slots=True)
class ListsChanged:
    """The existing plans or devices of an open environment changed; JSON text of both lists."""

    plans: bytes
    devices: bytes


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the worker knows of one item: the truth when Redis lost its last writes.

    A worker keeps the entries of its last 100 items, oldest first.
    """

    item_uid: str
    command_id: str
    stage: ItemStage
    time_start: float | None = None
    item: bytes = b""
    """JSON text of the item as it was sent with `RunItem`."""
    end: ItemEnded | None = None
    """The end, once the stage is `ended`."""


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A script or function came to its end (`task_result`, zmq-api 4.4)."""

    task_uid: str
    success: bool
    time_start: float
    time_stop: float
    msg: str = ""
    traceback: str = ""
    return_value: bytes = b"null"
    """JSON text of what the function returned."""


@dataclass(frozen=True, slots=True)
class KnownTask:
    """A task that runs in the worker, or that has ended and whose end the worker can report again."""

    task_uid: str
    command_id: str
    background: bool
    time_start: float
    ended: bool = False


EventBody = EnvironmentReady | EnvironmentFailed | ItemStarted | ItemEnded | ListsChanged | TaskEnded

End = ItemEnded | TaskEnded
"""What a worker also writes down, for a manager that finds it gone."""


# Worker to manager ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of every connection, and the answer to `Introduce`."""

    opening_id: str
    token: str
    """Secret of this opening, given to the worker by its launcher."""
    epoch_seen: int
    """Highest manager epoch that this worker has obeyed; lower ones are refused."""
    pid: int
    host: str
    started_at: float
    version: str
    """Release of the worker's software."""
    phase: EnvironmentPhase
    next_seq: int
    """Sequence number of the next event; `next_seq - 1` is the newest."""
    snapshot: Snapshot = field(default_factory=Snapshot)
    ledger: tuple[LedgerEntry, ...] = ()
    acked_seq: int = 0
    """Highest number that any `EventsStored` or `Welcome` named: more than the store knows means lost writes."""
    pod_uid: str = ""
    """Uid of the worker's pod; empty outside of a cluster."""
    tasks: tuple[KnownTask, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A durable report: kept by the worker until `EventsStored` covers its number."""

    seq: int
    body: EventBody


@dataclass(frozen=True, slots=True)
class SnapshotChanged:
    """The worker's state changed."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Console:
    """Console text in the order of writing; `dropped` counts characters lost before it because nobody read."""

    time: float
    text: str
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker's link thread is alive."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The worker accepted (`ok`) or refused a command; `msg` says why it was refused."""

    command_id: str
    ok: bool
    msg: str = ""
    value: bytes = b""
    """JSON text of what the command asked for."""


# Manager to worker ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Introduce:
    """Ask for a `Hello`: the manager does not know the sender (it is new, or it lost its state)."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The manager of `epoch` takes the worker; events up to `stored_seq` are durable, later ones are to be sent again.

    A worker sends what it still has of them: the events of a store that lost its last writes may have gaps.
    """

    epoch: int
    stored_seq: int


@dataclass(frozen=True, slots=True)
class Dismiss:
    """The manager does not take this worker (`reason`); the worker ends once it is idle."""

    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Abort what is in hand, clean up and end within `grace` seconds; afterwards the process ends by force.

    Where no signal reaches the worker, this does what SIGTERM and SIGKILL do to a local process. A worker of a release
    that does not know the message logs it and is ended by what comes after it.
    """

    epoch: int
    grace: float
    cause: str
    """Beginning of a sentence, for the worker's log and the history."""


@dataclass(frozen=True, slots=True)
class EventsStored:
    """Events up to `seq` are durable; the worker forgets them."""

    seq: int


@dataclass(frozen=True, slots=True)
class RunItem:
    """Run a queue item (JSON text of the item as queued, zmq-api 4.1)."""

    item: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the running plan; `deferred` waits for the next checkpoint."""

    deferred: bool


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue the paused plan."""


@dataclass(frozen=True, slots=True)
class Finish:
    """End the paused plan: `how` is "stop", "abort" or "halt" (RunEngine methods of the same names)."""

    how: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Clean up and end the process (environment_close). Refused while a plan or a foreground task is in hand."""


@dataclass(frozen=True, slots=True)
class SetPermissions:
    """New user group permissions as JSON text; used from the next item on."""

    permissions: bytes


@dataclass(frozen=True, slots=True)
class ReadMetadata:
    """Answer with the metadata of the RunEngine, limited to what lies below the paths `permitted` ("/": all)."""

    permitted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunScript:
    """Execute a script in the namespace of the environment; the task ends with a `TaskEnded` of the same uid."""

    task_uid: str
    script: bytes
    """UTF-8 text."""
    update_lists: bool
    """Report the existing plans and devices afterwards, if they have changed."""
    update_re: bool
    """Let the script replace `RE` and `db`; otherwise they are afterwards what they were before."""
    background: bool
    """In a thread of its own; otherwise in the main thread, which must be free."""


@dataclass(frozen=True, slots=True)
class CallFunction:
    """Call a function of the environment's namespace; the task ends with a `TaskEnded` of the same uid."""

    task_uid: str
    item: bytes
    """JSON text of a mapping with `name`, `args`, `kwargs` and `user_group`."""
    background: bool


@dataclass(frozen=True, slots=True)
class CancelTask:
    """Raise an exception in the thread of a background task; it ends when its code lets it."""

    task_uid: str


@dataclass(frozen=True, slots=True)
class InterruptKernel:
    """Raise KeyboardInterrupt in what the IPython kernel executes, as Ctrl-C in a console does."""


CommandBody = (
    RunItem
    | Pause
    | Resume
    | Finish
    | Leave
    | SetPermissions
    | ReadMetadata
    | RunScript
    | CallFunction
    | CancelTask
    | InterruptKernel
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the manager of `epoch`; the worker refuses epochs lower than one it has seen."""

    command_id: str
    epoch: int
    body: CommandBody


ToManager = Hello | Event | SnapshotChanged | Console | Heartbeat | CommandResult
ToWorker = Introduce | Welcome | Dismiss | Terminate | EventsStored | Command
Message = ToManager | ToWorker
