"""Tasks: scripts and functions that the worker runs for clients, from their start to their result (zmq-api 5.4).

A task is recorded before the worker hears of it, and its result before the worker may forget it. Results stay in the
store for a time and up to a number; of each of them only a summary is held in memory.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queueserver_common.link.messages import Hello, KnownTask, TaskEnded
from queueserver_manager.core import execution
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.effects import TellWorker
from queueserver_manager.core.model import EnvironmentStage
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.task_records import FIELD, EndedTask, Task, TaskFacts, result_name, result_text
from queueserver_manager.core.writes import SetField, StoredState

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

NEVER_SENT = "The manager ended before it sent the task to the worker; it was not executed."


def restore_tasks(core: Core, stored: StoredState) -> None:
    """Take the tasks of the store; what the worker was told stays known."""
    state = core.state
    before = state.tasks
    state.tasks, ended = {}, []
    for name, text in (stored.fields or {}).items():
        if not name.startswith(FIELD):
            continue
        record = json.loads(text)
        facts = TaskFacts(**record["facts"])
        if "time_stop" in record:
            ended.append(EndedTask(facts, record["time_stop"], record["success"]))
            continue
        task = Task(facts, record["opening_id"], record["command_id"])
        known = before.get(task.uid)
        state.tasks[task.uid] = known if known is not None and known.command_id == task.command_id else task
    state.ended_tasks = {task.facts.uid: task for task in sorted(ended, key=lambda task: task.time_stop)}
    core.renew("task_results_uid")


def start_task(core: Core, d: Decision, task: Task) -> None:
    """Record the task and have the worker run it."""
    assert task.body is not None
    core.state.tasks[task.uid] = task
    if not task.facts.background:
        core.enter(ManagerState.EXECUTING_TASK)
    d.write(task.write())
    d.cause(TellWorker(task.command_id, task.body))


def task_ended(core: Core, d: Decision, now: float, end: TaskEnded) -> None:
    """Record the result of a task; an end that is recorded already is a repetition."""
    state = core.state
    if end.task_uid in state.ended_tasks:
        return
    environment = state.environment
    if environment is not None and environment.stage is EnvironmentStage.DESTROYING and not end.success:
        return  # zmq-api 5.3: it is forgotten with its environment
    task = state.tasks.pop(end.task_uid, None)
    # The store may have lost what it knew of the task.
    facts = TaskFacts(end.task_uid, "", True, "", end.time_start) if task is None else task.facts
    ended = EndedTask(facts, end.time_stop, end.success)
    state.ended_tasks[end.task_uid] = ended
    d.write(ended.write(), SetField(result_name(end.task_uid), result_text(end)))
    core.renew("task_results_uid")
    _drop_old_results(core, d, now)
    _leave_state(core, d)


def end_from_spool(core: Core, d: Decision, now: float, end: TaskEnded) -> None:
    """Record the result of a task that a worker left behind; the spool may also hold those of recorded ones."""
    if end.task_uid in core.state.tasks:
        task_ended(core, d, now, end)


def end_unfinished(core: Core, d: Decision, now: float, msg: str) -> None:
    """The worker is gone: no task of it will end by itself any more. Without `msg` they are forgotten (zmq-api 5.3)."""
    for task in tuple(core.state.tasks.values()):
        if msg:
            _fail(core, d, now, task, msg)
        else:
            del core.state.tasks[task.uid]
            d.write(SetField(f"{FIELD}{task.uid}", None))


def refuse_task(core: Core, command_id: str, msg: str) -> Task | None:
    """The worker does not run what it was told by a command; None when that was no task."""
    task = next((task for task in core.state.tasks.values() if task.command_id == command_id), None)
    if task is not None:
        task.refusal = msg or "The worker does not run the task and gives no reason."
    return task


def reconcile_tasks(core: Core, d: Decision, now: float, hello: Hello) -> None:
    """Make the records agree with what the worker knows."""
    state = core.state
    known = {entry.task_uid for entry in hello.tasks}
    for task in tuple(state.tasks.values()):
        if task.uid in known:
            continue
        if task.refusal:
            _fail(core, d, now, task, task.refusal)
        elif task.body is not None:  # the command was lost, or is on its way: its id makes the repetition harmless
            d.cause(TellWorker(task.command_id, task.body))
        else:
            _fail(core, d, now, task, NEVER_SENT)
    for entry in hello.tasks:
        if not entry.ended and entry.task_uid not in state.tasks and entry.task_uid not in state.ended_tasks:
            _adopt(core, d, hello.opening_id, entry)


def foreground_task(core: Core) -> Task | None:
    """The task that has the worker's main thread."""
    return next((task for task in core.state.tasks.values() if not task.facts.background), None)


def status_of(core: Core, uid: str, now: float) -> str:
    """`running`, `completed` or `not_found`."""
    if uid in core.state.tasks:
        return "running"
    ended = core.state.ended_tasks.get(uid)
    return "not_found" if ended is None or is_outdated(core, ended, now) else "completed"


def is_outdated(core: Core, ended: EndedTask, now: float) -> bool:
    """Whether the result need not be kept any longer."""
    return now - ended.time_stop > core.settings.task_results_time


def _adopt(core: Core, d: Decision, opening_id: str, entry: KnownTask) -> None:
    """The store has lost the record of a task that the worker runs."""
    facts = TaskFacts(entry.task_uid, "", entry.background, "", entry.time_start)
    task = Task(facts, opening_id, entry.command_id)
    core.state.tasks[task.uid] = task
    d.write(task.write())


def _fail(core: Core, d: Decision, now: float, task: Task, msg: str) -> None:
    task_ended(core, d, now, TaskEnded(task.uid, False, task.facts.time_start, now, msg))


def _leave_state(core: Core, d: Decision) -> None:
    if core.state.manager_state is ManagerState.EXECUTING_TASK and foreground_task(core) is None:
        execution.to_idle(core, d)


def _drop_old_results(core: Core, d: Decision, now: float) -> None:
    ended = core.state.ended_tasks
    surplus = len(ended) - core.settings.task_results_limit
    old = [uid for number, (uid, task) in enumerate(ended.items()) if number < surplus or is_outdated(core, task, now)]
    for uid in old:
        del ended[uid]
        d.write(SetField(f"{FIELD}{uid}", None), SetField(result_name(uid), None))
