"""Starting from the store, and taking a worker that introduces itself (design rules 6 and 7: recovery).

A worker's ledger says what became of every item it was told to run. It overrules a store that lost its last
writes; where it does not know an item that is recorded as running, the worker never received it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queueserver_common.link.messages import (
    End,
    EnvironmentPhase,
    ExitStatus,
    Hello,
    ItemEnded,
    ItemStage,
    Leave,
    LedgerEntry,
    RunItem,
    SetPermissions,
    TaskEnded,
)
from queueserver_manager.core import control_methods, execution, items, repeats, tasks
from queueserver_manager.core.conclude import conclude
from queueserver_manager.core.control_methods import DESTROYED, token_hash
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.effects import DismissWorker, FindWorker, KillWorker, TellWorker, WelcomeWorker
from queueserver_manager.core.locks import Lock
from queueserver_manager.core.model import Environment, EnvironmentStage, LinkState, QueueMode, RunningItem
from queueserver_manager.core.queue import PlanQueue, QueuedItem
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.worker_events import item_ended
from queueserver_manager.core.writes import SetRunning, StoredState

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

S = ManagerState

_TASK_LOST = "The result of the task was lost due to restart of the RE Manager process"


def restore(core: Core, stored: StoredState) -> None:
    """Take the durable part of the state from the store; what the worker reports of itself stays as it is."""
    state = core.state
    fields = stored.fields or {}
    before, in_hand = state.environment, state.running
    state.queue = PlanQueue(stored.items)
    state.running = None if stored.running is None else RunningItem.decode(stored.running)
    if in_hand is not None and state.running is not None and in_hand.command_id == state.running.command_id:
        state.running = in_hand  # it knows what the worker was told and has reported
    state.history_first, state.history_next = stored.history_first, stored.history_next
    state.mode = QueueMode(**json.loads(fields.get("mode", b"{}")))
    state.autostart = json.loads(fields.get("autostart", b"false"))
    state.stop_pending = json.loads(fields.get("stop_pending", b"false"))
    state.worker_seq = json.loads(fields.get("worker_seq", b"0"))
    state.keyed_requests = repeats.restored(fields)
    state.permissions_source = json.loads(fields.get("permissions_source", b'""'))
    if "lock" in fields:
        state.lock, state.uids["lock_info_uid"] = Lock.decode(fields["lock"])
    elif state.lock is not None:  # the store lost it
        state.lock = None
        core.renew("lock_info_uid")
    environment = fields.get("environment")
    state.environment = None if environment is None else Environment.decode(environment)
    if state.environment is None:
        state.link, state.snapshot = LinkState.NONE, None
    else:
        state.link = LinkState.CONNECTING
        if (
            before is not None
            and before.opening_id == state.environment.opening_id
            and before.stage is EnvironmentStage.DESTROYING
        ):
            # Done without the store: the worker is being ended.
            state.environment.stage = before.stage
    state.manager_state = S.INITIALIZING
    tasks.restore_tasks(core, stored)
    core.recorded.clear()
    core.renew("plan_queue_uid", "plan_history_uid", "run_list_uid")


def begin(core: Core, now: float) -> Decision:
    """First decision after `restore` when the stored environment, if any, may still be alive."""
    d = Decision()
    environment = core.state.environment
    if environment is None:
        _application_start(core, d, now)
        core.enter(S.IDLE)
    elif environment.stage is EnvironmentStage.DESTROYING:
        core.enter(S.DESTROYING_ENVIRONMENT)
        d.cause(KillWorker(environment.opening_id, core.settings.destroy_grace))
    return conclude(core, d, now)


def begin_again(core: Core, now: float) -> Decision:
    """First decision after the store was away; a state that was loaded anew waits for the worker's hello."""
    d = Decision()
    state = core.state
    if state.manager_state is S.INITIALIZING and state.environment is None:
        core.enter(S.IDLE)
    elif state.environment is not None and state.environment.stage is EnvironmentStage.DESTROYING:
        core.enter(S.DESTROYING_ENVIRONMENT)
        core.store_environment(d)
        execution.set_autostart(core, d, False)
        execution.set_stop_pending(core, d, False)
    return conclude(core, d, now)


def predecessor_worker_ended(core: Core, opening_id: str, cause: str, spooled: tuple[End, ...], now: float) -> Decision:
    """The worker of a stored environment is proved to have ended, and nobody was there to see it."""
    d = Decision()
    state = core.state
    if state.environment is None or state.environment.opening_id != opening_id:
        return d
    for end in spooled:
        if isinstance(end, TaskEnded):
            tasks.end_from_spool(core, d, now, end)
        elif state.running is not None and end.item_uid == state.running.uid:
            execution.finish_item(core, d, now, end, may_continue=False)
    destroyed = state.environment.stage is EnvironmentStage.DESTROYING
    closing = state.environment.stage is EnvironmentStage.CLOSING
    lost = DESTROYED if destroyed else f"The RE Worker environment was lost: {cause}"
    state.environment.stage = EnvironmentStage.OPEN  # nothing is on its way out any more
    execution.lose_worker(core, d, now, lost, error=not destroyed and not closing)
    _application_start(core, d, now)
    return conclude(core, d, now)


def _application_start(core: Core, d: Decision, now: float) -> None:
    """No environment survived: autostart and a pending stop are those of a new application."""
    state = core.state
    execution.set_autostart(core, d, False)
    execution.set_stop_pending(core, d, False)
    tasks.end_unfinished(core, d, now, _TASK_LOST)
    if state.running is not None:  # a record without any environment: nothing can tell what became of it
        end = ItemEnded(
            state.running.uid,
            ExitStatus.UNKNOWN,
            state.running.time_start,
            now,
            msg="Plan exit status was lost due to restart of the RE Manager process",
        )
        execution.finish_item(core, d, now, end, may_continue=False)


def worker_hello(core: Core, peer: str, hello: Hello, now: float, in_history: frozenset[str]) -> Decision:
    """A worker introduced itself: take it when it is the one of the stored opening, else send it away.

    `in_history` names the items of its ledger that the history holds; it is asked for only when the store lost
    writes (`lost_writes`).
    """
    d = Decision()
    state = core.state
    environment = state.environment
    if environment is None or hello.opening_id != environment.opening_id:
        d.cause(DismissWorker(peer, "this manager knows no environment of this opening"))
        return d
    if token_hash(hello.token) != environment.token_hash:
        d.cause(DismissWorker(peer, "the secret of the opening is wrong"))
        return d
    if reason := _another_pod(environment, hello):
        d.cause(DismissWorker(peer, reason))
        return d
    d.cause(WelcomeWorker(peer, state.worker_seq))
    d.cause(FindWorker(environment.opening_id, hello.host, hello.pid, hello.pod_uid))
    if core.lists.permissions is not None:  # they may have changed since the worker was told
        d.cause(TellWorker(core.new_uid(), SetPermissions(items.encode(core.lists.permissions.as_mapping()))))
    state.link = LinkState.ATTACHED
    if environment.stage is EnvironmentStage.OPENING:
        state.environment_error = ""  # whatever the opening waited for has come
    state.snapshot = hello.snapshot
    lost = lost_writes(core, hello)
    if environment.stage is EnvironmentStage.OPENING and hello.phase is EnvironmentPhase.READY and lost:
        environment.stage, environment.ready = EnvironmentStage.OPEN, True
        core.store_environment(d)
    _reconcile(core, d, now, hello, lost=lost, in_history=in_history)
    tasks.reconcile_tasks(core, d, now, hello)
    _take_state(core, hello)
    if environment.stage is EnvironmentStage.CLOSING and not environment.failure:
        d.cause(TellWorker(core.leave_command(), Leave()))
    elif environment.stage is EnvironmentStage.DESTROYING:
        d.cause(KillWorker(environment.opening_id, core.settings.destroy_grace))
    return conclude(core, d, now)


def _another_pod(environment: Environment, hello: Hello) -> str:
    """Why this is not the one worker of the opening; empty when nothing speaks against it."""
    recorded = (environment.handle or {}).get("pod_uid")
    if recorded and hello.pod_uid != recorded:
        return f"the opening belongs to the pod with uid {recorded}"
    return ""


def adopt_worker(core: Core, hello: Hello, handle: dict[str, str | int]) -> Decision:
    """A worker of ours whose opening the store does not know (it lost its data): the opening is recorded again.

    To be followed by `worker_hello`, in which the worker's own report tells the rest.
    """
    d = Decision()
    state = core.state
    if state.environment is not None or state.manager_state is not S.IDLE:
        return d
    environment = Environment(hello.opening_id, token_hash(hello.token), handle=handle)
    control_methods.begin_opening(core, d, environment)
    if hello.phase is EnvironmentPhase.READY:
        environment.stage, environment.ready = EnvironmentStage.OPEN, True
        core.enter(S.IDLE)
        core.store_environment(d)
    execution.set_autostart(core, d, False)
    return d


def lost_writes(core: Core, hello: Hello) -> bool:
    """Whether the store may not hold (any more) what the worker was told or given.

    Besides an acknowledgement that the store does not know: an item of the ledger that is still queued, one in hand
    or younger than the recorded one, and an end that was not stored though nothing is recorded as running.
    """
    state = core.state
    running = None if state.running is None else state.running.uid
    uids = [entry.item_uid for entry in hello.ledger]
    return (
        hello.acked_seq > state.worker_seq
        or any(uid in state.queue for uid in uids)
        or any(entry.end is None and entry.item_uid != running for entry in hello.ledger)
        or (running in uids and uids[-1] != running)
        or (running is None and bool(uids) and hello.next_seq - 1 > state.worker_seq)
    )


def _reconcile(core: Core, d: Decision, now: float, hello: Hello, *, lost: bool, in_history: frozenset[str]) -> None:
    """Make queue, running item and history agree with the worker's ledger."""
    state = core.state
    recorded = state.running
    for entry in hello.ledger:
        running = state.running
        if running is not None and running.uid == entry.item_uid:
            if entry.end is not None:
                _end_of_running(core, d, now, entry.end, may_continue=not lost)
            else:
                running.started = running.started or entry.stage is ItemStage.STARTED
        elif lost:
            _overrule(core, d, now, entry, in_history)
    if recorded is not None and state.running is recorded and all(e.item_uid != recorded.uid for e in hello.ledger):
        _never_received(core, d, now, recorded)
    if state.running is not None:
        core.set_runs(hello.snapshot.runs)


def _end_of_running(core: Core, d: Decision, now: float, end: ItemEnded, *, may_continue: bool) -> None:
    if may_continue:
        if core.state.manager_state is S.INITIALIZING:
            core.enter(S.EXECUTING_QUEUE)
        item_ended(core, d, now, end)
    else:
        execution.finish_item(core, d, now, end, may_continue=False)


def _overrule(core: Core, d: Decision, now: float, entry: LedgerEntry, in_history: frozenset[str]) -> None:
    """The worker knows an item that the store does not show as running: the ledger wins, the queue stays stopped."""
    state = core.state
    if entry.item_uid in in_history or entry.item_uid in core.recorded or not entry.item:
        return
    queued = state.queue.get(entry.item_uid)
    if queued is not None:
        d.write(*state.queue.remove([queued]))
        core.renew("plan_queue_uid")
    item = items.decode(entry.item)
    execution.set_autostart(core, d, False)
    if entry.end is not None:
        record = execution.record_end(core, d, item, entry.end)
        execution.requeue(core, d, now, item, record, entry.end)
    elif state.running is None and state.environment is not None:
        time_start = now if entry.time_start is None else entry.time_start
        state.running = RunningItem(
            item, state.environment.opening_id, entry.command_id, time_start, sent=True, started=True
        )
        d.write(SetRunning(state.running.encode()))
        execution.set_stop_pending(core, d, True)


def _never_received(core: Core, d: Decision, now: float, running: RunningItem) -> None:
    """The item in hand is unknown to the worker."""
    state = core.state
    if running.started:
        end = ItemEnded(
            running.uid,
            ExitStatus.UNKNOWN,
            running.time_start,
            now,
            msg="The worker does not know the plan that it was told to run; its exit status is lost",
        )
        execution.finish_item(core, d, now, end, may_continue=False)
    elif running.refusal:
        end = ItemEnded(running.uid, ExitStatus.FAILED, running.time_start, now, msg=running.refusal, refused=True)
        _end_of_running(core, d, now, end, may_continue=False)
    elif running.sent:  # the command was lost, or is on its way: its id makes the repetition harmless
        d.cause(TellWorker(running.command_id, RunItem(items.encode(running.item))))
    else:
        state.running = None
        d.write(SetRunning(None))
        if not running.immediate:
            d.write(*state.queue.insert(0, [QueuedItem(running.uid, items.encode(running.item))]))
        core.renew("plan_queue_uid")
        execution.to_idle(core, d)


def _take_state(core: Core, hello: Hello) -> None:
    """Where the manager stands, as the worker tells it."""
    state = core.state
    environment = state.environment
    assert environment is not None
    paused = hello.snapshot.re_state == "paused"
    found = _state_of(core, environment, paused=paused)
    if state.manager_state is S.INITIALIZING:
        state.pause_requested = hello.snapshot.pause_pending
        state.pause_deferred = hello.snapshot.pause_pending
        core.enter(found)
    elif state.manager_state is S.IDLE and state.running is not None:  # taken over from the ledger
        core.enter(S.STARTING_QUEUE)
        core.enter(found)
    elif state.manager_state is S.IDLE and found is S.EXECUTING_TASK:
        core.enter(found)
    elif found is S.PAUSED and state.manager_state in (S.STARTING_QUEUE, S.EXECUTING_QUEUE):  # while the link was down
        state.pause_requested = False
        core.enter(found)
    elif found is S.EXECUTING_QUEUE and state.manager_state is S.PAUSED:
        core.enter(found)


def _state_of(core: Core, environment: Environment, *, paused: bool) -> ManagerState:
    if environment.stage is EnvironmentStage.OPENING:
        return S.CREATING_ENVIRONMENT
    if environment.stage is EnvironmentStage.CLOSING:
        return S.CLOSING_ENVIRONMENT
    if environment.stage is EnvironmentStage.DESTROYING:
        return S.DESTROYING_ENVIRONMENT
    if core.state.running is not None:
        return S.PAUSED if paused else S.EXECUTING_QUEUE
    return S.IDLE if tasks.foreground_task(core) is None else S.EXECUTING_TASK


def attach_overdue(core: Core, now: float) -> Decision:
    """The worker of the stored opening has not introduced itself: the manager answers from the record."""
    state = core.state
    if state.manager_state is S.INITIALIZING and state.environment is not None:
        state.link = LinkState.SILENT
        core.enter(_state_of(core, state.environment, paused=False))
    return conclude(core, Decision(), now)
