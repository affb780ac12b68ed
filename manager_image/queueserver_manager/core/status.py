"""The status mapping (zmq-api 3): a pure view of the state."""

from __future__ import annotations

from typing import Any

from queueserver_manager.core.model import UID_NAMES, EnvironmentStage, State
from queueserver_manager.core.states import ManagerState


def status_mapping(state: State, *, version: str, time: str, status_uid: str, store: str) -> dict[str, Any]:
    """All fields of the contract, and after them our own: `worker_link`, `store`, `environment_error`."""
    snapshot = state.snapshot if state.environment is not None else None
    uids = state.uids
    return {
        "msg": f"RE Manager v{version}",
        "time": time,
        "items_in_queue": len(state.queue),
        "items_in_history": state.history_size,
        "running_item_uid": None if state.running is None else state.running.uid,
        "manager_state": state.manager_state.value,
        "queue_stop_pending": state.stop_pending,
        "queue_autostart_enabled": state.autostart,
        "worker_environment_exists": state.environment_exists,
        "worker_environment_state": _environment_state(state),
        "worker_background_tasks": sum(task.facts.background for task in state.tasks.values()),
        "re_state": state.re_state,
        "ip_kernel_state": None if snapshot is None else snapshot.ip_kernel_state,
        "ip_kernel_captured": None if snapshot is None else snapshot.ip_kernel_captured,
        "pause_pending": state.pause_requested and state.pause_deferred,
        "status_uid": status_uid,
        **{name: uids[name] for name in UID_NAMES},
        "plan_queue_mode": state.mode.as_mapping(),
        "lock": _locked(state),
        "worker_link": state.link.value,
        "store": store,
        "environment_error": state.environment_error,
    }


def stored_fields(state: State) -> dict[str, Any]:
    """The fields of the status that follow from the store; shown as they last were while it is away."""
    return {
        "items_in_queue": len(state.queue),
        "items_in_history": state.history_size,
        "running_item_uid": None if state.running is None else state.running.uid,
        "queue_stop_pending": state.stop_pending,
        "queue_autostart_enabled": state.autostart,
        "plan_queue_uid": state.uids["plan_queue_uid"],
        "plan_history_uid": state.uids["plan_history_uid"],
        "lock_info_uid": state.uids["lock_info_uid"],
        "plan_queue_mode": state.mode.as_mapping(),
        "lock": _locked(state),
    }


def _locked(state: State) -> dict[str, bool]:
    lock = state.lock
    return {"environment": lock is not None and lock.environment, "queue": lock is not None and lock.queue}


def _environment_state(state: State) -> str:
    """`worker_environment_state` (zmq-api 3.2); what can be told of a worker that has not introduced itself."""
    environment = state.environment
    if environment is None:
        return "closed"
    if state.snapshot is not None:
        return state.snapshot.environment_state.value
    if environment.stage is EnvironmentStage.OPEN and state.manager_state is ManagerState.EXECUTING_TASK:
        return "executing_task"
    if environment.stage is EnvironmentStage.OPEN:
        return "idle" if state.running is None or state.manager_state is ManagerState.PAUSED else "executing_plan"
    return "closing" if environment.stage is not EnvironmentStage.OPENING else "closed"
