"""docs/reference/status.md: the fields of the status and the values that they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from queueserver_common.link.messages import EnvironmentState
from queueserver_manager.core.model import UID_NAMES, LinkState, State
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.status import status_mapping
from reference_pages import markdown
from reference_pages.markdown import code, table

FIELDS = {
    "msg": ("string", "`RE Manager v` and the version."),
    "time": ("string", "When this status was made: ISO 8601, local time of the manager."),
    "items_in_queue": ("integer", "Items that wait; the running one is not among them."),
    "items_in_history": ("integer", "Items in the history."),
    "running_item_uid": ("string or null", "`item_uid` of the item in hand."),
    "manager_state": ("string", "What the manager does, see below."),
    "queue_stop_pending": ("boolean", "`queue_stop` was accepted: the queue stops after the item in hand."),
    "queue_autostart_enabled": ("boolean", "The queue starts by itself whenever it holds items."),
    "worker_environment_exists": ("boolean", "The startup code is loaded. True until the worker is gone."),
    "worker_environment_state": ("string", "What the worker does, see below."),
    "worker_background_tasks": ("integer", "Tasks that run in the background of the worker."),
    "re_state": ("string or null", "State of the RunEngine as bluesky names it; null when there is none."),
    "ip_kernel_state": ("string or null", "`disabled` with a worker, which is a plain Python process; null without."),
    "ip_kernel_captured": ("boolean or null", "Always true with a worker; null without."),
    "pause_pending": ("boolean", "A deferred pause was accepted and the plan has not reached a checkpoint yet."),
    "status_uid": ("string", "New with every status that may differ from the one before."),
    "run_list_uid": ("string", "New when the answer to `re_runs` is another."),
    "plan_queue_uid": ("string", "New when queue or running item are others."),
    "plan_history_uid": ("string", "New when the history is another."),
    "devices_existing_uid": ("string", "New when the answer to `devices_existing` is another."),
    "plans_existing_uid": ("string", "New when the answer to `plans_existing` is another."),
    "devices_allowed_uid": ("string", "New when the answer to `devices_allowed` may be another."),
    "plans_allowed_uid": ("string", "New when the answer to `plans_allowed` may be another."),
    "task_results_uid": ("string", "For results of tasks, which this release does not run."),
    "lock_info_uid": ("string", "For the lock, which this release does not offer."),
    "plan_queue_mode": ("mapping", "`loop` and `ignore_failures`, both boolean."),
    "lock": ("mapping", "`environment` and `queue`, both false in this release."),
    "worker_link": ("string", "Whether the worker is heard, see below. **Addition.**"),
    "store": ("string", "`connected`, or `away` while Redis does not answer. **Addition.**"),
    "environment_error": (
        "string",
        "Why the last opening failed or the last environment was lost, or what a slow opening waits for. **Addition.**",
    ),
}

_MANAGER_STATES = {
    "initializing": "A manager that has just started looks for the worker of its predecessor, for 1.5 s at most.",
    "idle": "Nothing runs.",
    "paused": "The plan in hand is paused.",
    "creating_environment": "A worker is being started and loads the startup code.",
    "starting_queue": "An item was taken from the queue; its plan has not begun yet.",
    "executing_queue": "A plan is running.",
    "executing_task": "A foreground task is running.",
    "closing_environment": "The worker was asked to leave, or failed to open and is being removed.",
    "destroying_environment": "The worker is being ended by force; lasts until its end is proved.",
}
_ENVIRONMENT_STATES = {
    "initializing": "The startup code is being loaded.",
    "idle": "No plan is running; also while one is paused.",
    "failed": "The startup code could not be loaded.",
    "reserved": "Kept for a worker with an IPython kernel.",
    "executing_plan": "The RunEngine runs a plan.",
    "executing_task": "A foreground task is running.",
    "closing": "The worker cleans up and ends.",
    "closed": "There is no worker.",
}
_LINK_STATES = {
    "none": "There is no environment.",
    "connecting": "The worker has not introduced itself yet.",
    "attached": "The worker is heard.",
    "silent": "Nothing was heard of the worker for 5 s. It may still move hardware: nothing else is started.",
}

_INTRODUCTION = """\
`status` and `ping` are answered with the same mapping, which has no `success`. It is also published on the info socket,
under the topic `QS_Info`: on every change, and once a second without one (`--zmq-publish-console ON`).

A client that keeps lists of its own compares uids with those of the status before and asks again for what has changed.

While Redis is away, the fields that follow from stored data show what was last known to be stored."""


def page() -> str:
    """The page; raises ValueError when a field or a value has no description, or a description has no field."""
    fields = status_mapping(State(uids=dict.fromkeys(UID_NAMES, "")), version="", time="", status_uid="", store="")
    _compare("status", fields, FIELDS)
    rows = [(code(name), kind, text) for name, (kind, text) in FIELDS.items()]
    return markdown.page(
        "Status",
        "`queueserver_manager.core.status` and `scripts/reference_pages/status.py`",
        _INTRODUCTION,
        table(["field", "type", "meaning"], rows),
        *_values("manager_state", ManagerState, _MANAGER_STATES),
        "[The state machine](../explanations/state-machine.md) shows which state may follow which.",
        *_values("worker_environment_state", EnvironmentState, _ENVIRONMENT_STATES),
        *_values("worker_link", LinkState, _LINK_STATES),
    )


def _values(field: str, values: type[StrEnum], texts: Mapping[str, str]) -> tuple[str, str]:
    _compare(field, (value.value for value in values), texts)
    return f"## Values of {field}", table(["value", "meaning"], [(code(name), text) for name, text in texts.items()])


def _compare(what: str, real: Iterable[str], described: Iterable[str]) -> None:
    names, texts = list(real), list(described)
    if names != texts:
        raise ValueError(f"scripts/reference_pages/status.py describes {texts} for {what}, but the code has {names}")
