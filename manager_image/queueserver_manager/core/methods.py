"""The method table: each method declared once (zmq-api 6).

Checks, replies to refused requests, the reference page, the command line's lock-key rule and HTTP routes derive
from it. What a method does is the function of its name in one of the modules that `handlers.py` lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from queueserver_manager.core.parameters import IDEMPOTENCY_KEY, LOCK_KEY, Parameter


class Guard(StrEnum):
    """The lock that guards a method (zmq-api 2.1)."""

    QUEUE = "queue"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the control socket."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    prefix: str = ""
    lock: Guard | None = None
    failure: Mapping[str, Any] = field(default_factory=dict)
    """Values besides `success` and `msg` in the reply to a refused request."""
    needs_store: bool = False
    """Refused while the store is away: it changes what is stored."""
    announcement: str = ""
    """What the manager's log says when a request is accepted."""

    @property
    def changes_something(self) -> bool:
        """Whether accepted requests stand in the audit log."""
        return self.lock is not None or self.needs_store


_POS = Parameter("pos", "integer, 'front' or 'back'")
_UID = Parameter("uid", "string")
_BEFORE = Parameter("before_uid", "string")
_AFTER = Parameter("after_uid", "string")
_POS_DEST = Parameter("pos_dest", "integer, 'front' or 'back'")
_ITEM = Parameter("item", "item", required=True)
_USER = Parameter("user", "string", required=True)
_GROUP = Parameter("user_group", "string", required=True)
_EXPECT = Parameter("expect_queue_uid", "string", types=(str,))
_CALLER = (_GROUP, _USER)
_NO_UIDS = "Request does not contain the list of UIDs"
_UIDS = Parameter(
    "uids",
    "list of strings",
    types=(list,),
    missing=_NO_UIDS,
    wrong="Parameter 'uids' must be a list: type(uids) = {type}",
)
_TASK_UID = Parameter("task_uid", "string", missing="Required 'task_uid' parameter is missing in the API call.")
_TASK_UIDS = replace(_TASK_UID, kind="string or list of strings")
_NO_TASK: dict[str, Any] = {"task_uid": None, "status": None}
_SCRIPT = Parameter(
    "script",
    "string",
    types=(str,),
    missing="Required 'script' parameter is is missing in API call.",
    wrong="Type of the 'script' parameter in API call is incorrect.",
)
_ALLOWED_GROUP = Parameter("user_group", "string", missing="Incorrect request format: user group is not specified")

_Q, _E = Guard.QUEUE, Guard.ENVIRONMENT
_ERROR = "Error: "


def _flag(name: str, default: bool) -> Parameter:
    return Parameter(name, "boolean", default, types=(bool,))


def _typed(name: str, kind: str, default: object, *types: type) -> Parameter:
    return Parameter(name, kind, default, types)


def _queue(name: str, summary: str, prefix: str, parameters: tuple[Parameter, ...], **failure: Any) -> Method:
    """A method that edits the queue."""
    return Method(name, summary, (*parameters, LOCK_KEY), prefix, _Q, failure, needs_store=True)


def _edit(name: str, summary: str, prefix: str, parameters: tuple[Parameter, ...], **failure: Any) -> Method:
    """A method that changes what stands in the queue, and does so on request only to the queue that is meant."""
    method = _queue(name, summary, prefix, parameters, **failure)
    return replace(method, parameters=(*method.parameters, _EXPECT))


def _control(name: str, summary: str, *parameters: Parameter, needs_store: bool = True, says: str = "") -> Method:
    """A method that directs environment, queue or RunEngine."""
    parameters = (*parameters, LOCK_KEY)
    return Method(name, summary, parameters, _ERROR, _E, needs_store=needs_store, announcement=says)


def _information(name: str, summary: str, *parameters: Parameter, prefix: str = "", **failure: Any) -> Method:
    """A method that only tells."""
    return Method(name, summary, parameters, prefix, None, failure)


def _task(name: str, summary: str, says: str, *parameters: Parameter, **failure: Any) -> Method:
    """A method that has the worker run something."""
    parameters = (*parameters, _flag("run_in_background", False), LOCK_KEY)
    failure["task_uid"] = None
    return Method(name, summary, parameters, _ERROR, _E, failure, needs_store=True, announcement=says)


def _lock(name: str, summary: str, *parameters: Parameter, needs_store: bool = False) -> Method:
    """A method about the lock."""
    failure: dict[str, Any] = {"lock_info": {}, "lock_info_uid": None}
    return Method(name, summary, parameters, _ERROR, None, failure, needs_store)


def _lists(name: str, summary: str, *parameters: Parameter) -> Method:
    failure: dict[str, Any] = {name: {}, f"{name}_uid": None}
    return Method(name, summary, parameters, "", None, failure)


_TABLE = (
    _information("config_get", "Connection of the IPython kernel.", config={}),
    _information(
        "queue_get", "The queue and the running item.", prefix=_ERROR, items=[], running_item={}, plan_queue_uid=""
    ),
    _lists("plans_allowed", "Plans that a group may submit.", _ALLOWED_GROUP),
    _lists("plans_existing", "All plans of the environment."),
    _lists("devices_allowed", "Devices that a group may use.", _ALLOWED_GROUP),
    _lists("devices_existing", "All devices of the environment."),
    _information("permissions_get", "The user group permissions.", prefix=_ERROR, user_group_permissions={}),
    _queue(
        "permissions_set",
        "Replace the user group permissions.",
        _ERROR,
        (
            Parameter(
                "user_group_permissions",
                "mapping",
                missing="Parameter 'user_group_permissions' is missing",
            ),
        ),
    ),
    _queue(
        "permissions_reload",
        "Read the permissions file again, and if wished the file with existing plans and devices.",
        _ERROR,
        (_flag("restore_plans_devices", False), _flag("restore_permissions", True)),
    ),
    _information(
        "history_get",
        "Items that came to their end, oldest first; all of them, or a page of those that are asked for.",
        _typed("offset", "integer", 0, int),
        _typed("limit", "integer", None, int),
        _flag("newest_first", False),
        _typed("plan", "string", None, str),
        _typed("user", "string", None, str),
        _typed("exit_status", "string", None, str),
        _typed("time_from", "number", None, int, float),
        _typed("time_to", "number", None, int, float),
        _typed("item_uid", "string", None, str),
        prefix=_ERROR,
        items=[],
        plan_history_uid="",
    ),
    _queue(
        "history_clear",
        "Drop history: all, all but the newest `size`, or an item and everything older.",
        _ERROR,
        (Parameter("size", "integer"), Parameter("item_uid", "string")),
    ),
    _control("environment_open", "Start a worker and load the profile.", says="Opening the new RE environment ..."),
    _control("environment_close", "End an idle worker in order.", says="Closing existing RE environment ..."),
    _control(
        "environment_destroy",
        "End the worker whatever it does.",
        needs_store=False,
        says="Destroying current RE environment ...",
    ),
    _task("environment_update", "Look at the worker's namespace again.", "Updating RE environment ..."),
    _task(
        "script_upload",
        "Execute a script in the worker's namespace.",
        "Uploading script to RE environment ...",
        _SCRIPT,
        _flag("update_lists", True),
        _flag("update_re", False),
        IDEMPOTENCY_KEY,
    ),
    _task(
        "function_execute",
        "Call a function of the worker's namespace.",
        "Starting execution of a function ...",
        _ITEM,
        *_CALLER,
        IDEMPOTENCY_KEY,
        item=None,
    ),
    _information("task_status", "How far a task, or each of several, has come.", _TASK_UIDS, prefix=_ERROR, **_NO_TASK),
    _information("task_result", "Status and result of a task.", _TASK_UID, prefix=_ERROR, **_NO_TASK, result=None),
    _information("task_list", "Running tasks, then ended ones, newest first.", prefix=_ERROR, tasks=[]),
    _control("task_cancel", "End a background task.", _TASK_UID, needs_store=False),
    _queue(
        "queue_mode_set",
        "Change `loop` and `ignore_failures`.",
        "Failed to set queue mode: ",
        (Parameter("mode", "mapping or 'default'", missing="Parameter 'mode' is not found in request {params}"),),
    ),
    _edit(
        "queue_item_add",
        "Add an item to the queue.",
        "Failed to add an item: ",
        (*_CALLER, _ITEM, _POS, _BEFORE, _AFTER, IDEMPOTENCY_KEY),
        qsize=None,
        item=None,
    ),
    _edit(
        "queue_item_add_batch",
        "Add items to the queue, all or none.",
        "Failed to add an item: ",
        (
            *_CALLER,
            Parameter(
                "items",
                "list of items",
                types=(list,),
                missing="Invalid request format: the list of items is not found",
                wrong="'{type.__name__}' object is not iterable",
            ),
            _POS,
            _BEFORE,
            _AFTER,
            IDEMPOTENCY_KEY,
        ),
        qsize=None,
        items=[],
        results=[],
    ),
    _edit(
        "queue_item_update",
        "Replace an item at its place.",
        "Failed to add an item: ",
        (*_CALLER, _ITEM, _flag("replace", False)),
        qsize=0,
        item=None,
    ),
    _information("queue_item_get", "Show an item of the queue.", _POS, _UID, prefix="Failed to get an item: ", item={}),
    _edit(
        "queue_item_remove",
        "Remove an item from the queue.",
        "Failed to remove an item: ",
        (_POS, _UID),
        item={},
        qsize=None,
    ),
    _edit(
        "queue_item_remove_batch",
        "Remove items by uid.",
        "Failed to remove a batch of items: ",
        (_UIDS, _flag("ignore_missing", True)),
        items=[],
        qsize=None,
    ),
    _edit(
        "queue_item_move",
        "Move an item within the queue.",
        "Failed to move the item: ",
        (_POS, _UID, _POS_DEST, _BEFORE, _AFTER),
        item={},
        qsize=None,
    ),
    _edit(
        "queue_item_move_batch",
        "Move items by uid to one place.",
        "Failed to move the batch of items: ",
        (_UIDS, _POS_DEST, _BEFORE, _AFTER, _flag("reorder", False)),
        qsize=None,
        items=[],
    ),
    Method(
        "queue_item_execute",
        "Run one item at once, outside of the queue.",
        (*_CALLER, _ITEM, LOCK_KEY, IDEMPOTENCY_KEY),
        "Failed to start execution of the item: ",
        _E,
        {"qsize": None, "item": None},
        needs_store=True,
    ),
    _edit("queue_clear", "Remove all items but the running one.", _ERROR, ()),
    _control("queue_start", "Start taking items from the queue.", says="Starting the queue ..."),
    _control(
        "queue_stop", "Stop the queue after the item in hand.", says="Stopping the queue after the running plan ..."
    ),
    _control("queue_stop_cancel", "Take a request to stop back.", says="The queue is not to be stopped any more."),
    _control(
        "queue_autostart",
        "Switch automatic start of the queue.",
        Parameter(
            "enable",
            "boolean",
            types=(bool,),
            missing="Required 'enable' parameter is missing in 'queue_autostart' API call.",
            wrong="Required 'enable' parameter must be boolean: type(enable)={type}.",
        ),
    ),
    Method(
        "kernel_interrupt",
        "Interrupt what the IPython kernel executes.",
        (_flag("interrupt_task", False), _flag("interrupt_plan", False), LOCK_KEY),
        "Failed to interrupt IPython kernel: ",
        _E,
        announcement="Processing request to interrupt IPython kernel ...",
    ),
    _control(
        "re_pause",
        "Pause the plan.",
        Parameter("option", "'deferred' or 'immediate'", "deferred"),
        needs_store=False,
        says="Pausing the queue (currently running plan) ...",
    ),
    _control("re_resume", "Continue the paused plan.", says="Resuming paused plan ..."),
    _control("re_stop", "End the paused plan as a success.", needs_store=False, says="Stopping paused plan ..."),
    _control("re_abort", "End the paused plan as aborted.", needs_store=False, says="Aborting paused plan ..."),
    _control("re_halt", "End the paused plan without its clean-up.", needs_store=False, says="Halting paused plan ..."),
    _information(
        "re_runs",
        "Runs of the plan in hand.",
        Parameter("option", "'active', 'open' or 'closed'", "active"),
        prefix=_ERROR,
        run_list=[],
        run_list_uid="",
    ),
    _information("re_metadata", "Metadata of the RunEngine.", prefix=_ERROR, re_metadata={}),
    _information(
        "audit_get",
        "Requests that changed something, newest first: when, which, and by whom as they say.",
        _typed("limit", "integer", 100, int),
        _typed("before", "string", None, str),
        prefix=_ERROR,
        entries=[],
    ),
    _information(
        "console_get",
        "Console messages, oldest first: those after the one with the number `after`, else the newest.",
        _typed("after", "integer", None, int),
        _typed("limit", "integer", 1000, int),
        prefix=_ERROR,
        messages=[],
        first_seq=None,
        last_seq=None,
    ),
    _information(
        "validate",
        "Tell whether items could be added to the queue, without adding them.",
        *_CALLER,
        Parameter(
            "items",
            "list of items",
            types=(list,),
            missing="Invalid request format: the list of items is not found",
        ),
        prefix=_ERROR,
        results=[],
    ),
    _lock(
        "lock",
        "Lock environment, queue or both: their methods then need the key.",
        Parameter("lock_key", "string", required=True),
        Parameter("note", "string"),
        _flag("environment", False),
        _flag("queue", False),
        Parameter("user", "string", required=True),
        needs_store=True,
    ),
    _lock("lock_info", "Who has locked what; a key that is given is checked.", Parameter("lock_key", "string")),
    _lock(
        "unlock",
        "Unlock with the key of the lock or the emergency key.",
        Parameter("lock_key", "string", required=True),
        needs_store=True,
    ),
    Method(
        "manager_stop",
        "End the manager.",
        (Parameter("option", "'safe_on' or 'safe_off'", "safe_on"),),
        _ERROR,
        needs_store=True,
    ),
    Method("manager_kill", "Test hook: stop answering.", (), _ERROR),
    Method(
        "manager_test",
        "Test hook: tests of the IPython kernel.",
        (Parameter("test_name", "string"),),
        _ERROR,
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _TABLE}
"""All methods but `ping` and `status`, which check nothing and are answered from the cached status."""
