"""Handlers of the methods about scripts, functions and tasks (zmq-api 5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from queueserver_common.link.messages import CallFunction, CancelTask, RunScript
from queueserver_manager.core import items, repeats, tasks
from queueserver_manager.core.control_methods import check_attached, tell_and_wait
from queueserver_manager.core.decision import Decision, Reply, TaskResultQuery, success
from queueserver_manager.core.model import EnvironmentStage
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.submission import check_caller
from queueserver_manager.core.task_records import Task, TaskFacts

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

_BAD = "Incorrect request format: "
_ITEM_TYPES = ("function",)


def script_upload(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Have the worker execute a script in its namespace."""
    digest = repeats.digest_at_once("script_upload", params)
    if (known := repeats.earlier(core, params, digest)) is not None:
        d.repeated = True
        return success(task_uid=known.uids[0], repeated=True)
    background = bool(params.get("run_in_background", False))
    _check_worker(core, background=background, prefixed=False)
    flags = bool(params.get("update_lists", True)), bool(params.get("update_re", False))
    uid = _start_script(core, d, now, params["script"], flags, background=background)
    repeats.remember(core, d, params, digest, (uid,), now)
    return success(task_uid=uid)


def environment_update(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Have the worker look at its namespace again: an empty script that updates everything."""
    background = bool(params.get("run_in_background", False))
    _check_worker(core, background=background, prefixed=False)
    return success(task_uid=_start_script(core, d, now, "", (True, True), background=background))


def _start_script(
    core: Core, d: Decision, now: float, script: str, flags: tuple[bool, bool], *, background: bool
) -> str:
    uid = core.new_uid()
    facts = TaskFacts(uid, "", background, "", now)
    _start(core, d, facts, RunScript(uid, script.encode(), *flags, background))
    return uid


def function_execute(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Have the worker call a function of its namespace."""
    digest = repeats.digest_at_once("function_execute", params)
    if (known := repeats.earlier(core, params, digest)) is not None:
        d.repeated = True
        accepted = _accepted_function(params["item"], params["user"], params["user_group"], known.uids[0])
        return success(item=accepted, task_uid=known.uids[0], repeated=True)
    item = _check_function_item(params)
    try:
        user, group = check_caller(core, params)
        name = _check_function(core, item, group)
    except Refusal as refusal:
        refusal.extra.setdefault("item", item)
        raise
    uid = core.new_uid()
    accepted = _accepted_function(item, user, group, uid)
    background = bool(params.get("run_in_background", False))
    try:
        _check_worker(core, background=background, prefixed=True)
    except Refusal as refusal:
        refusal.extra["item"] = {"item_type": "function"} | accepted
        raise
    facts = TaskFacts(uid, name, background, user, now)
    _start(core, d, facts, CallFunction(facts.uid, items.encode(accepted), background))
    repeats.remember(core, d, params, digest, (uid,), now)
    return success(item=accepted, task_uid=facts.uid)


def _accepted_function(item: Mapping[str, Any], user: str, group: str, uid: str) -> dict[str, Any]:
    """The item as the reply shows it: without its type."""
    return {
        "name": item["name"],
        "args": list(item.get("args", ())),
        "kwargs": dict(item.get("kwargs", {})),
        "user": user,
        "user_group": group,
        "item_uid": uid,
    }


def _check_function_item(params: Params) -> Mapping[str, Any]:
    if "item" not in params:
        raise Refusal(f"{_BAD}request contains no item info", code=Code.MISSING_PARAMETER)
    item = params["item"]
    if not isinstance(item, Mapping):
        text = f"{_BAD}incorrect type ('{type(item)}') of item parameter: item parameter must have type 'dict'"
        raise Refusal(text, code=Code.INVALID_ITEM, item=item)
    if "item_type" not in item:
        raise Refusal(f"{_BAD}'item_type' key is not found", code=Code.INVALID_ITEM, item=item)
    if item["item_type"] not in _ITEM_TYPES:
        text = f"{_BAD}unsupported 'item_type' value: {item['item_type']!r}, supported item types {_ITEM_TYPES}"
        raise Refusal(text, code=Code.INVALID_ITEM, item=item)
    return item


def _check_function(core: Core, item: Mapping[str, Any], group: str) -> str:
    """Name of the function; whether it exists only the worker knows."""
    name, args, kwargs = item.get("name"), item.get("args", []), item.get("kwargs", {})
    if name is None or name == "":
        raise Refusal(f"Function name is not specified: {dict(item)}", code=Code.INVALID_ITEM)
    if not isinstance(name, str):
        raise Refusal(f"Function name must be a string: name={name!r}", code=Code.INVALID_ITEM)
    permissions = core.lists.permissions
    if permissions is None or not permissions.function_allowed(name, group):
        raise Refusal(f"Function '{name}' is not allowed for users from '{group}' group.", code=Code.INVALID_ITEM)
    if not isinstance(args, list | tuple):
        raise Refusal(f"Parameter 'args' is not a tuple or a list: {type(args)}", code=Code.INVALID_ITEM)
    if not isinstance(kwargs, Mapping):
        raise Refusal(f"Parameter 'kwargs' is not a dictionary: {type(kwargs)}", code=Code.INVALID_ITEM)
    return name


def _check_worker(core: Core, *, background: bool, prefixed: bool) -> None:
    state = core.state
    environment = state.environment
    if not state.environment_exists or environment is None or environment.stage is not EnvironmentStage.OPEN:
        raise Refusal("RE Worker environment is not open", code=Code.NO_ENVIRONMENT, prefixed=prefixed)
    if not background and (state.manager_state is not ManagerState.IDLE or state.leaving):
        text = "Failed to start the task: RE Manager must be in idle state. "
        text += f"Current state: '{state.manager_state.value}'"
        raise Refusal(text, code=Code.WRONG_STATE, prefixed=prefixed)
    if not background:
        core.check_kernel("Failed to start the task: ")
    check_attached(core)


def _start(core: Core, d: Decision, facts: TaskFacts, body: RunScript | CallFunction) -> None:
    assert core.state.environment is not None
    tasks.start_task(core, d, Task(facts, core.state.environment.opening_id, core.new_uid(), body))


def task_status(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Status of one task, or of each of several."""
    wanted = params["task_uid"]
    if isinstance(wanted, str):
        return success(task_uid=wanted, status=tasks.status_of(core, wanted, now))
    if isinstance(wanted, list | tuple) and all(isinstance(uid, str) for uid in wanted):
        return success(task_uid=wanted, status={uid: tasks.status_of(core, uid, now) for uid in wanted})
    text = f"'task_uid' must be a string or a list of strings: type(task_uid)={type(wanted)}"
    raise Refusal(text, task_uid=wanted)


def task_result(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Status and result of a task; the result of one that has ended is read from the store."""
    uid = params["task_uid"]
    if not isinstance(uid, str):
        raise Refusal(f"'task_uid' must be a string: type(task_uid)={type(uid)}", task_uid=uid)
    status = tasks.status_of(core, uid, now)
    result: dict[str, Any] = {}
    if status == "running":
        facts = core.state.tasks[uid].facts
        result = {"task_uid": uid, "time_start": facts.time_start, "run_in_background": facts.background}
    elif status == "completed":
        d.reads = TaskResultQuery(uid)
    return success(task_uid=uid, status=status, result=result)


def task_list(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """All tasks that `task_status` knows: running ones, then those that have ended, newest first."""
    running = [task.facts.shown() | {"status": "running"} for task in core.state.tasks.values()]
    ended = [
        task.shown() | {"status": "completed"}
        for task in reversed(core.state.ended_tasks.values())
        if not tasks.is_outdated(core, task, now)
    ]
    return success(tasks=running + ended, task_results_uid=core.state.uids["task_results_uid"])


def task_cancel(core: Core, params: Params, d: Decision, now: float) -> None:
    """Ask the worker to end a background task; what becomes of it is told by its result."""
    uid = params["task_uid"]
    task = core.state.tasks.get(uid) if isinstance(uid, str) else None
    if task is None:
        raise Refusal(f"There is no running task with UID {uid!r}", code=Code.TASK_NOT_FOUND)
    if not task.facts.background:
        raise Refusal(
            "Only a background task can be cancelled; a task in the foreground ends with kernel_interrupt (in IPython "
            "mode) or with its environment (environment_destroy)",
            code=Code.WRONG_STATE,
        )
    check_attached(core)
    tell_and_wait(core, d, CancelTask(uid))
