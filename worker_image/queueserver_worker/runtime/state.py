"""The state of the worker, in one place."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from queueserver_common.link.messages import EnvironmentPhase, EnvironmentState, Run, Snapshot

PAUSED = "paused"
"""State of a paused RunEngine."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerView:
    """Everything that decisions look at, at one moment."""

    phase: EnvironmentPhase = EnvironmentPhase.LOADING
    engine_state: str | None = None
    """State of the RunEngine; None when the namespace holds none."""
    item_uid: str = ""
    """Item in hand, from its acceptance to its end; empty when there is none."""
    task_uid: str = ""
    """Task that has the main thread, from its acceptance to its end; empty when there is none."""
    background_tasks: int = 0
    """Tasks that run in threads of their own."""
    idle_since: float = 0.0
    """Monotonic time since which nothing is in hand; meaningless while something is."""
    pause_pending: bool = False
    """A deferred pause was accepted and is not reached yet."""
    control_pending: bool = False
    """A resume, stop, abort or halt was accepted and has no effect yet."""
    runs: tuple[Run, ...] = ()
    """Runs of the item in hand, in order of opening."""
    kernel_state: str = "disabled"
    """`ip_kernel_state` of the status: disabled (plain Python), starting, idle or busy."""
    kernel_captured: bool = True
    """The worker has the main thread for itself, and not somebody at a console of the kernel."""
    kernel_connection: bytes = b""
    """What clients of the kernel need to connect, JSON text."""
    ending: str = ""
    """Why the worker aborts what it has in hand and ends; empty when it does not."""
    dismissed: str = ""
    """Why the worker ends as soon as it is idle; empty when it does not."""

    @property
    def paused(self) -> bool:
        """The item in hand waits for a resume, stop, abort or halt."""
        return bool(self.item_uid) and self.engine_state == PAUSED

    @property
    def taken_by_person(self) -> bool:
        """The kernel executes what somebody has typed in a console."""
        return self.kernel_state == "busy" and not self.kernel_captured

    @property
    def busy(self) -> bool:
        """An item or a task is in hand."""
        return bool(self.item_uid or self.task_uid or self.background_tasks)

    def snapshot(self) -> Snapshot:
        """The part that the manager shows."""
        return Snapshot(
            _environment_state(self),
            self.engine_state,
            self.pause_pending,
            self.background_tasks,
            self.runs,
            self.kernel_state,
            self.kernel_captured,
            self.kernel_connection,
        )


def _environment_state(view: WorkerView) -> EnvironmentState:
    match view.phase:
        case EnvironmentPhase.LOADING:
            return EnvironmentState.INITIALIZING
        case EnvironmentPhase.FAILED:
            return EnvironmentState.FAILED
        case EnvironmentPhase.CLOSING:
            return EnvironmentState.CLOSING
        case EnvironmentPhase.READY if view.taken_by_person and (view.item_uid or view.task_uid) and not view.paused:
            # What is in hand waits until the kernel has done what somebody typed.
            return EnvironmentState.RESERVED
        case EnvironmentPhase.READY if view.task_uid:
            return EnvironmentState.EXECUTING_TASK
        case EnvironmentPhase.READY:
            # A paused plan does not execute (zmq-api 3.2).
            return EnvironmentState.EXECUTING_PLAN if view.item_uid and not view.paused else EnvironmentState.IDLE


class WorkerState:
    """The current `WorkerView`. Any thread may read it, change it by a pure rule and wait for a change."""

    def __init__(self) -> None:
        self._view = WorkerView()
        self._trail = SnapshotTrail(self._view.snapshot())
        self._changed = threading.Condition()
        self._on_change: Callable[[], None] = lambda: None

    @property
    def view(self) -> WorkerView:
        """The view of this moment."""
        return self._view

    def on_change(self, notify: Callable[[], None]) -> None:
        """Call `notify` after every change."""
        self._on_change = notify

    def decide(self, rule: Callable[[WorkerView], tuple[WorkerView, T]]) -> T:
        """Let a pure rule look at the view, replace it and say something; nobody else changes it meanwhile."""
        with self._changed:
            before = self._view
            self._view, answer = rule(before)
            changed = self._view is not before
            if changed:
                self._trail.add(self._view.snapshot())
                self._changed.notify_all()
        if changed:
            self._on_change()
        return answer

    def change(self, rule: Callable[[WorkerView], WorkerView]) -> None:
        """Replace the view by a pure rule."""
        self.decide(lambda view: (rule(view), None))

    def wait_for(self, condition: Callable[[WorkerView], bool], timeout: float | None = None) -> bool:
        """Wait until the view fulfils `condition`; False when it did not within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self._view), timeout)

    def next_snapshot(self) -> Snapshot | None:
        """The oldest snapshot that the manager has not seen; None when it is up to date."""
        with self._changed:
            return self._trail.next()

    def snapshot_told(self, snapshot: Snapshot) -> None:
        """The manager was told what `next_snapshot` returned."""
        with self._changed:
            self._trail.told(snapshot)

    def tell_view(self) -> WorkerView:
        """The view of this moment, for a manager that is told it as a whole."""
        with self._changed:
            self._trail = SnapshotTrail(self._view.snapshot())
            return self._view


class SnapshotTrail:
    """Snapshots on their way to the manager. Only the latest counts, but a pause or its end is never skipped."""

    def __init__(self, told: Snapshot) -> None:
        self._told = told
        self._waiting: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """The state is now this."""
        latest = self._waiting[-1] if self._waiting else self._told
        if snapshot == latest:
            return
        if self._waiting and (latest.re_state == PAUSED) == (snapshot.re_state == PAUSED):
            self._waiting.pop()
        self._waiting.append(snapshot)

    def next(self) -> Snapshot | None:
        """The oldest one that was not told."""
        return self._waiting[0] if self._waiting else None

    def told(self, snapshot: Snapshot) -> None:
        """One that `next` returned was told, and may have been replaced since."""
        self._told = snapshot
        if self._waiting and self._waiting[0] == snapshot:
            self._waiting.popleft()


# Rules for what happens to the RunEngine ------------------------------------------------------------------------


def engine_changed(view: WorkerView, state: str) -> WorkerView:
    """The RunEngine reports a new state."""
    pending = view.pause_pending and state not in (PAUSED, "idle")
    return replace(
        view, engine_state=state, pause_pending=pending, control_pending=view.control_pending and state == PAUSED
    )


def run_opened(view: WorkerView, uid: str, scan_id: int) -> WorkerView:
    """The plan opened a run."""
    return replace(view, runs=(*view.runs, Run(uid, scan_id, is_open=True, exit_status=None)))


def run_closed(view: WorkerView, uid: str, exit_status: str) -> WorkerView:
    """The plan closed a run."""
    runs = tuple(replace(r, is_open=False, exit_status=exit_status) if r.uid == uid else r for r in view.runs)
    return replace(view, runs=runs)


def control_done(view: WorkerView) -> WorkerView:
    """A resume, stop, abort or halt has returned."""
    return replace(view, control_pending=False)


def item_finished(view: WorkerView, now: float) -> WorkerView:
    """The item in hand came to its end at the monotonic time `now`."""
    return replace(view, item_uid="", idle_since=now, pause_pending=False, control_pending=False, runs=())


def task_finished(view: WorkerView, now: float, *, background: bool) -> WorkerView:
    """A task came to its end at the monotonic time `now`."""
    if background:
        return replace(view, background_tasks=view.background_tasks - 1, idle_since=now)
    return replace(view, task_uid="", idle_since=now)


def engine_replaced(view: WorkerView, state: str | None) -> WorkerView:
    """The namespace holds another RunEngine, or (None) no RunEngine any more."""
    return replace(view, engine_state=state)
