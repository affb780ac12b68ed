"""Running items: start of the queue, end of an item, what comes next, loss of the worker (zmq-api 5.7 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queueserver_common.link.messages import ExitStatus, ItemEnded, RunItem
from queueserver_manager.core import items, tasks
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.effects import PrepareWorker, TellWorker
from queueserver_manager.core.history import keep_within_limit
from queueserver_manager.core.items import Item
from queueserver_manager.core.model import EnvironmentStage, LinkState, RunningItem
from queueserver_manager.core.queue import QueuedItem
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.writes import AppendHistory, SetField, SetRunning

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

CLOSED_DURING_TASK = "The RE Worker environment was closed while the task was running."
"""Message of a background task that did not end before its environment."""

RETURNED = (ExitStatus.FAILED, ExitStatus.ABORTED, ExitStatus.HALTED)
"""Ends after which an item goes back to the front of the queue."""


def start_queue(core: Core, d: Decision, now: float) -> None:
    """From idle: take the first item, or return to idle when there is none."""
    core.enter(ManagerState.STARTING_QUEUE)
    set_stop_pending(core, d, False)
    start_next(core, d, now)


def start_next(core: Core, d: Decision, now: float) -> None:
    """Take the next item of the queue in hand; idle when there is none or it is a `queue_stop` instruction."""
    queue = core.state.queue
    if not len(queue) or core.state.leaving:
        to_idle(core, d)
        return
    first = queue.at(0)
    item = items.decode(first.text)
    d.write(*queue.remove([first]))
    core.renew("plan_queue_uid")
    if item["item_type"] == "instruction":
        obey_instruction(core, d, now, item, repeat=core.state.mode.loop)
        return
    take_in_hand(core, d, now, item, first.text)


def obey_instruction(core: Core, d: Decision, now: float, item: Item, *, repeat: bool) -> None:
    """The only instruction is `queue_stop`: the queue stops and autostart goes off; history does not mention it."""
    if repeat:
        _append(core, d, items.repeated(item, core.new_uid(), now))
    set_autostart(core, d, False)
    to_idle(core, d)


def take_in_hand(core: Core, d: Decision, now: float, item: Item, text: bytes, *, immediate: bool = False) -> None:
    """Record the item as running and tell the worker to run it, once the record is durable."""
    assert core.state.environment is not None
    running = RunningItem(item, core.state.environment.opening_id, core.new_uid(), now, immediate=immediate, sent=True)
    core.state.running = running
    core.set_runs(())
    core.renew("run_list_uid")
    d.write(SetRunning(running.encode()))
    d.cause(TellWorker(running.command_id, RunItem(text)))


def finish_item(core: Core, d: Decision, now: float, end: ItemEnded, *, may_continue: bool = True) -> None:
    """The item in hand ended: history, requeueing, and whether the queue goes on."""
    state = core.state
    running = state.running
    assert running is not None
    entry = record_end(core, d, running.item, end)
    state.running = None
    d.write(SetRunning(None))
    core.renew("plan_queue_uid", "run_list_uid")
    core.set_runs(())

    ignored = end.exit_status is ExitStatus.FAILED and state.mode.ignore_failures and not end.refused and may_continue
    if not running.immediate:
        requeue(core, d, now, running.item, entry, end, ignored=ignored)

    good = end.exit_status is ExitStatus.COMPLETED or (ignored and not running.immediate)
    paused_too_late = state.pause_requested
    if not good or paused_too_late or not may_continue:
        set_autostart(core, d, False)
    if state.stop_pending:
        set_autostart(core, d, False)
        to_idle(core, d)
    elif not good or paused_too_late or not may_continue or running.immediate:
        to_idle(core, d)
    else:
        state.pause_requested = False
        core.enter(ManagerState.EXECUTING_QUEUE)
        start_next(core, d, now)


def record_end(core: Core, d: Decision, item: Item, end: ItemEnded) -> Item:
    """Write the history entry of an item."""
    state = core.state
    entry = items.history_entry(item, items.result_of(end, state.environment.revision if state.environment else ""))
    d.write(AppendHistory(state.history_next, entry["item_uid"], end.time_stop, items.encode(entry)))
    state.history_next += 1
    keep_within_limit(core, d)
    core.recorded.append(entry["item_uid"])
    state.last_exit_status = end.exit_status.value
    core.renew("plan_history_uid")
    return entry


def requeue(
    core: Core, d: Decision, now: float, item: Item, entry: Item, end: ItemEnded, *, ignored: bool = False
) -> None:
    """Put the item back where its end says (zmq-api 7)."""
    if (end.exit_status in RETURNED or end.by_person) and not ignored:
        uid = core.new_uid()
        back = QueuedItem(uid, items.encode(items.returned_after_failure(entry, uid, now)))
        d.write(*core.state.queue.insert(0, [back]))
    elif core.state.mode.loop:
        _append(core, d, items.repeated(item, core.new_uid(), now))


def lose_worker(core: Core, d: Decision, now: float, cause: str, *, error: bool) -> None:
    """The worker is proved to have ended: the item in hand failed, the queue stops, the environment is gone."""
    state = core.state
    if state.running is not None:
        finish_item(core, d, now, _end_unreported(core, state.running, cause, now), may_continue=False)
    if error:
        set_autostart(core, d, False)
    # zmq-api 5.3: nothing is known any more of the tasks of an environment that was destroyed.
    destroyed = cause.startswith("RE Worker environment was destroyed")
    tasks_end = "" if destroyed else f"{cause}{'' if cause.endswith('.') else '.'} The task did not report its result."
    forget_environment(core, d, now, cause if error else "", tasks_end=tasks_end)


def forget_environment(core: Core, d: Decision, now: float, error: str, *, tasks_end: str = "") -> None:
    """No environment any more; the manager is idle. `tasks_end`: what becomes of tasks, empty: they are forgotten."""
    state = core.state
    tasks.end_unfinished(core, d, now, tasks_end)
    state.environment = None
    state.environment_error = error
    state.worker_ending = ""
    state.snapshot = None
    state.link = LinkState.NONE
    state.worker_seq = 0
    d.write(SetField("environment", None), SetField("worker_seq", None))
    d.cause(PrepareWorker())
    to_idle(core, d)


def _end_unreported(core: Core, running: RunningItem, cause: str, now: float) -> ItemEnded:
    destroyed = cause.startswith("RE Worker environment was destroyed")
    runs = core.state.runs
    opened = ", ".join(run.uid for run in runs if run.is_open) or "none"
    closed = ", ".join(run.uid for run in runs if not run.is_open) or "none"
    told = (
        "" if destroyed and not runs else f" The outcome was not reported. Runs left open: {opened}; closed: {closed}."
    )
    return ItemEnded(
        running.uid,
        ExitStatus.FAILED,
        running.time_start,
        now,
        # zmq-api 5.3: a destroyed environment records no runs; a lost worker's runs are facts worth keeping.
        run_uids=() if destroyed else tuple(run.uid for run in runs),
        scan_ids=() if destroyed else tuple(run.scan_id for run in runs),
        msg=f"{cause}{'' if cause.endswith('.') or not told else '.'}{told}",
    )


def evaluate_autostart(core: Core, d: Decision, now: float) -> None:
    """Start the queue when autostart is on and nothing stands against it (zmq-api 5.7)."""
    state = core.state
    if (
        state.autostart
        and state.manager_state is ManagerState.IDLE
        and len(state.queue)
        and core.worker_can_run_plans()
        and not (state.snapshot is not None and state.snapshot.taken_by_person)
        and not state.leaving
    ):
        start_queue(core, d, now)


def set_autostart(core: Core, d: Decision, enable: bool) -> None:
    """Switch autostart."""
    if core.state.autostart != enable:
        core.state.autostart = enable
        d.write(SetField("autostart", items.encode(enable)))


def set_stop_pending(core: Core, d: Decision, pending: bool) -> None:
    """Ask for, or take back, a stop after the item in hand."""
    if core.state.stop_pending != pending:
        core.state.stop_pending = pending
        d.write(SetField("stop_pending", items.encode(pending)))


def to_idle(core: Core, d: Decision) -> None:
    """Return to idle (unless the environment is on its way out); a pending stop and an unmet pause are over."""
    set_stop_pending(core, d, False)
    core.state.pause_requested = False
    environment = core.state.environment
    if environment is None or environment.stage not in (EnvironmentStage.CLOSING, EnvironmentStage.DESTROYING):
        core.enter(ManagerState.IDLE)


def _append(core: Core, d: Decision, item: Item) -> None:
    queue = core.state.queue
    d.write(*queue.insert(len(queue), [QueuedItem(item["item_uid"], items.encode(item))]))
