"""Which commands the worker accepts, and what it says to the others. Pure rules for `WorkerState.decide`.

Each rule returns the view after acceptance and an empty text, or the view as it was and the sentence of refusal.
"""

from __future__ import annotations

from dataclasses import replace

from queueserver_common.link.messages import EnvironmentPhase
from queueserver_worker.runtime.state import WorkerView

Decision = tuple[WorkerView, str]


KERNEL_BUSY = "Worker IPython kernel is busy"


def accept_item(view: WorkerView, item_uid: str) -> Decision:
    """Take an item in hand."""
    if view.phase is not EnvironmentPhase.READY:
        return view, f"The environment cannot run plans: it is {view.phase.value}."
    if reason := view.ending or view.dismissed:
        return view, f"The worker takes no more items: {reason}."
    if view.item_uid:
        return view, f"The worker has another item in hand: '{view.item_uid}'."
    if view.task_uid:
        return view, f"The worker has a task in hand: '{view.task_uid}'."
    return replace(view, item_uid=item_uid), ""


def accept_task(view: WorkerView, task_uid: str, background: bool) -> Decision:
    """Take a script or function; one in the foreground needs the main thread for itself."""
    if view.phase is not EnvironmentPhase.READY:
        return view, f"The environment cannot run tasks: it is {view.phase.value}."
    if reason := view.ending or view.dismissed:
        return view, f"The worker takes no more tasks: {reason}."
    if background:
        return replace(view, background_tasks=view.background_tasks + 1), ""
    if view.item_uid:
        return view, f"The worker has an item in hand: '{view.item_uid}'."
    if view.task_uid:
        return view, f"The worker has another task in hand: '{view.task_uid}'."
    return replace(view, task_uid=task_uid), ""


def accept_pause(view: WorkerView, deferred: bool) -> tuple[WorkerView, tuple[str, str]]:
    """Pause the running plan (zmq-api 5.8); the answer is the refusal and the uid of the item to pause."""
    if view.phase is not EnvironmentPhase.READY:
        return view, ("Environment does not exist. Can not pause Run Engine.", "")
    if not view.item_uid or view.engine_state != "running":
        return view, (f"Run engine can be paused only in 'running' state. Current state: '{view.engine_state}'", "")
    return (replace(view, pause_pending=True) if deferred else view), ("", view.item_uid)


def accept_control(view: WorkerView) -> Decision:
    """Resume, stop, abort or halt the paused plan."""
    if not view.paused:
        return view, f"Run Engine is not paused: current state is '{view.engine_state}'"
    if view.control_pending:
        return view, "Run Engine is already being resumed, stopped, aborted or halted."
    return replace(view, control_pending=True), ""


def accept_leave(view: WorkerView) -> Decision:
    """Clean up and end the process."""
    if view.phase is EnvironmentPhase.LOADING:
        return view, "The environment is being opened."
    if view.phase is EnvironmentPhase.CLOSING:
        return view, ""
    if view.item_uid:
        return view, f"The worker has an item in hand: '{view.item_uid}'."
    if view.task_uid:
        return view, f"The worker has a task in hand: '{view.task_uid}'."
    if view.taken_by_person:
        return view, KERNEL_BUSY
    return replace(view, phase=EnvironmentPhase.CLOSING), ""


def begin_ending(view: WorkerView, cause: str) -> tuple[WorkerView, bool]:
    """Abort what is in hand and end; False when that has begun before."""
    if view.ending or (view.phase is EnvironmentPhase.CLOSING):
        return view, False
    return replace(view, ending=cause), True


def dismiss(view: WorkerView, cause: str) -> tuple[WorkerView, bool]:
    """End as soon as nothing is in hand; False when that was known."""
    if view.ending or view.dismissed or view.phase is EnvironmentPhase.CLOSING:
        return view, False
    return replace(view, dismissed=cause), True
