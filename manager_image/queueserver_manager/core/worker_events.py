"""What the worker and its launcher report: events, snapshots, answers to commands, the end of the process."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from queueserver_common.descriptions import DescriptionError
from queueserver_common.link.messages import (
    CommandResult,
    End,
    EnvironmentFailed,
    EnvironmentReady,
    EventBody,
    ExitStatus,
    Finish,
    ItemEnded,
    ItemStarted,
    Leave,
    ListsChanged,
    Pause,
    Resume,
    Snapshot,
    TaskEnded,
)
from queueserver_common.permissions import Permissions, PermissionsError
from queueserver_manager.core import execution, items, tasks
from queueserver_manager.core.conclude import conclude
from queueserver_manager.core.control_methods import DESTROYED, begin_opening, destroy, token_hash
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.effects import AcknowledgeEvents, AskWorker, KillWorker, LetGoOfWorker
from queueserver_manager.core.model import Environment, EnvironmentStage, LinkState
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.writes import SetField

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

S = ManagerState


def worker_event(core: Core, seq: int, body: EventBody, now: float) -> Decision:
    """Take a durable event; it is acknowledged once everything that follows from it is durable."""
    d = Decision()
    state = core.state
    if state.environment is None:
        return d
    if seq > state.worker_seq:
        state.worker_seq = seq
        if isinstance(body, ItemStarted):
            _item_started(core, body)
            return conclude(core, d, now)  # nothing to store: the acknowledgement waits for the item's end
        if isinstance(body, ItemEnded):
            item_ended(core, d, now, body)
        elif isinstance(body, EnvironmentReady):
            _environment_ready(core, d, body)
        elif isinstance(body, EnvironmentFailed):
            _environment_failed(core, d, body)
        elif isinstance(body, ListsChanged):
            _lists_changed(core, d, body)
        elif isinstance(body, TaskEnded):
            tasks.task_ended(core, d, now, body)
        d.write(SetField("worker_seq", items.encode(seq)))
    d.cause(AcknowledgeEvents(seq))
    return conclude(core, d, now)


def _item_started(core: Core, event: ItemStarted) -> None:
    running = core.state.running
    if running is None or running.uid != event.item_uid:
        return
    running.started = True
    running.time_start = event.time_start
    if core.state.manager_state is S.STARTING_QUEUE:
        core.enter(S.EXECUTING_QUEUE)


def item_ended(core: Core, d: Decision, now: float, end: ItemEnded) -> None:
    """The end of the item in hand; ends of other items are repetitions of what is recorded already."""
    state = core.state
    if state.running is None or state.running.uid != end.item_uid:
        return
    environment = state.environment
    destroying = environment is not None and environment.stage is EnvironmentStage.DESTROYING
    if destroying:
        end = destroyed_end(end)
    elif end.exit_status is ExitStatus.ABORTED and (state.worker_ending or end.worker_ends):
        end = _end_of_lost_worker(end, state.worker_ending)
    elif state.manager_state is S.STARTING_QUEUE:
        core.enter(S.EXECUTING_QUEUE)
    may_continue = not destroying and not state.leaving and core.worker_can_run_plans()
    execution.finish_item(core, d, now, end, may_continue=may_continue)


def destroyed_end(end: ItemEnded) -> ItemEnded:
    """How the history tells an item that ended because its environment was destroyed (zmq-api 5.3)."""
    if end.exit_status is ExitStatus.COMPLETED:
        return end
    runs = f" Runs: {', '.join(end.run_uids)}." if end.run_uids else ""
    return replace(
        end,
        exit_status=ExitStatus.FAILED,
        run_uids=(),
        scan_ids=(),
        msg=f"{DESTROYED}; plan aborted cleanly.{runs}",
    )


def _end_of_lost_worker(end: ItemEnded, cause: str) -> ItemEnded:
    """How the history tells an item that its worker aborted because somebody else ended it.

    `cause` may not be known yet, or never; then the worker's own words stand.
    """
    msg = f"The RE Worker environment was lost: {cause}; plan aborted cleanly." if cause else end.msg
    return replace(end, exit_status=ExitStatus.FAILED, msg=msg)


def _environment_ready(core: Core, d: Decision, event: EnvironmentReady) -> None:
    environment = core.state.environment
    assert environment is not None
    try:
        lists = core.set_existing(event.plans, event.devices)
    except DescriptionError as error:
        _environment_failed(core, d, EnvironmentFailed(f"The worker's lists of plans and devices are damaged: {error}"))
        return
    environment.ready = True
    environment.revision = event.revision
    if environment.stage is EnvironmentStage.OPENING:
        environment.stage = EnvironmentStage.OPEN
    d.write(*lists)
    core.store_environment(d)
    core.state.environment_error = ""
    if core.state.manager_state is S.CREATING_ENVIRONMENT:
        core.enter(S.IDLE)
    if event.permissions is not None and core.settings.permissions_from_worker:
        _permissions_reported(core, d, event.permissions)


def _permissions_reported(core: Core, d: Decision, text: bytes) -> None:
    """The file beside the startup code: taken when there are no permissions yet and when its content has changed."""
    try:
        permissions = Permissions.parse(json.loads(text))
    except (PermissionsError, ValueError) as error:
        core.state.environment_error = f"The permissions beside the startup code cannot be used: {error}"
        return
    if core.lists.permissions is None or permissions.digest() != core.state.permissions_source:
        taken = core.take_permissions_of_source(permissions)
        d.write(*taken.writes)
        d.cause(*taken.effects)


def _lists_changed(core: Core, d: Decision, event: ListsChanged) -> None:
    try:
        d.write(*core.set_existing(event.plans, event.devices))
    except DescriptionError as error:
        core.state.environment_error = f"The worker's new lists of plans and devices are damaged: {error}"


def _environment_failed(core: Core, d: Decision, event: EnvironmentFailed) -> None:
    _fail(core, d, event.message, keep_remains=True)


def _fail(core: Core, d: Decision, reason: str, *, keep_remains: bool) -> None:
    """The environment does not come up; what is left of it is brought to an end."""
    environment = core.state.environment
    assert environment is not None
    environment.failure = reason
    core.state.environment_error = reason
    if environment.stage is EnvironmentStage.OPENING:
        environment.stage = EnvironmentStage.CLOSING
        core.enter(S.CLOSING_ENVIRONMENT)
    core.store_environment(d)
    d.cause(KillWorker(environment.opening_id, core.settings.destroy_grace, keep_remains))


def worker_snapshot(core: Core, snapshot: Snapshot, now: float) -> Decision:
    """Take the worker's state; a plan that pauses or goes on moves the state machine."""
    state = core.state
    d = Decision()
    if state.environment is None:
        return d
    before = state.snapshot
    state.snapshot = snapshot
    if state.running is not None:
        core.set_runs(snapshot.runs)
    was_paused = before is not None and before.re_state == "paused"
    if snapshot.re_state == "paused" and not was_paused:
        state.pause_requested = False
        if state.running is not None and state.manager_state in (S.STARTING_QUEUE, S.EXECUTING_QUEUE):
            core.enter(S.PAUSED)
    elif snapshot.re_state == "running" and was_paused and state.manager_state is S.PAUSED:
        core.enter(S.EXECUTING_QUEUE)
    return conclude(core, d, now)


def command_result(core: Core, result: CommandResult, now: float) -> Decision:
    """The worker's answer to a command."""
    d = Decision()
    state = core.state
    body = core.commands.pop(result.command_id, None)
    environment = state.environment
    if environment is not None and result.command_id == core.leave_command():
        body = Leave()
    if isinstance(body, Pause) and result.ok and state.running is not None and state.re_state != "paused":
        state.pause_requested = True
        state.pause_deferred = body.deferred
    elif isinstance(body, Resume | Finish) and result.ok and state.manager_state is S.PAUSED:
        core.enter(S.EXECUTING_QUEUE)
    elif not result.ok and state.running is not None and result.command_id == state.running.command_id:
        # It may be one that the worker knows by another command: its ledger tells.
        state.running.refusal = result.msg or "The worker does not run the item and gives no reason."
        d.cause(AskWorker(state.running.opening_id))
    elif not result.ok and (task := tasks.refuse_task(core, result.command_id, result.msg)) is not None:
        d.cause(AskWorker(task.opening_id))
    elif isinstance(body, Leave) and result.ok and environment is not None:
        if environment.stage is EnvironmentStage.CLOSING:
            d.cause(LetGoOfWorker(environment.opening_id))
    elif isinstance(body, Leave) and not result.ok and environment is not None and not environment.failure:
        if environment.stage is not EnvironmentStage.CLOSING:
            return conclude(core, d, now)
        environment.stage = EnvironmentStage.OPEN
        core.store_environment(d)
        core.enter(S.IDLE)
    return conclude(core, d, now)


def launched(core: Core, opening_id: str, handle: dict[str, str | int], now: float) -> Decision:
    """The launcher started the worker, or learned more about it; `handle` is what it needs to find it again."""
    d = Decision()
    environment = core.state.environment
    if environment is None or environment.opening_id != opening_id:
        d.cause(KillWorker(opening_id, core.settings.destroy_grace))
        return d
    unrecorded = environment.handle is None
    environment.handle = dict(handle)
    core.store_environment(d)
    if unrecorded and environment.stage is EnvironmentStage.DESTROYING:
        d.cause(KillWorker(opening_id, core.settings.destroy_grace))
    return conclude(core, d, now)


def launch_failed(core: Core, opening_id: str, reason: str, now: float) -> Decision:
    """The worker could not be started."""
    d = Decision()
    environment = core.state.environment
    if environment is not None and environment.opening_id == opening_id:
        if core.state.manager_state is S.CREATING_ENVIRONMENT:
            core.enter(S.CLOSING_ENVIRONMENT)
        execution.forget_environment(core, d, now, reason)
    return conclude(core, d, now)


def opening_waits(core: Core, opening_id: str, reason: str, now: float) -> Decision:
    """No worker has come up for the opening yet; `reason` is a sentence, which stands until one does."""
    if _no_worker_yet(core, opening_id):
        core.state.environment_error = reason
    return conclude(core, Decision(), now)


def opening_failed(core: Core, opening_id: str, reason: str, now: float) -> Decision:
    """No worker will come up for the opening (image, place on a node, instrument); `reason` is a sentence."""
    d = Decision()
    if _no_worker_yet(core, opening_id):
        _fail(core, d, reason, keep_remains=False)
    return conclude(core, d, now)


def _no_worker_yet(core: Core, opening_id: str) -> bool:
    environment = core.state.environment
    return (
        environment is not None
        and environment.opening_id == opening_id
        and environment.stage is EnvironmentStage.OPENING
        and core.state.link is not LinkState.ATTACHED
    )


def worker_ending(core: Core, opening_id: str, cause: str, now: float) -> Decision:
    """Somebody else is ending the worker; its item and its end are told with this cause."""
    environment = core.state.environment
    if environment is not None and environment.opening_id == opening_id:
        core.state.worker_ending = cause
    return conclude(core, Decision(), now)


def environment_deleted(core: Core, opening_id: str, now: float) -> Decision:
    """Somebody deleted the object that stands for the environment: that destroys it."""
    d = Decision()
    environment = core.state.environment
    if environment is None or environment.opening_id != opening_id:
        return d
    if environment.stage is EnvironmentStage.CLOSING:  # it is on its way out, and why is known
        d.cause(KillWorker(opening_id, core.settings.destroy_grace))
    elif environment.stage is not EnvironmentStage.DESTROYING:
        destroy(core, d)
    return conclude(core, d, now)


def environment_applied(core: Core, opening_id: str, handle: dict[str, str | int], now: float) -> Decision:
    """Somebody made the object that stands for an environment: that opens it, when none is open."""
    d = Decision()
    state = core.state
    if state.environment is None and state.manager_state is S.IDLE and not state.leaving:
        begin_opening(core, d, Environment(opening_id, token_hash(""), handle=handle))
    return conclude(core, d, now)


def worker_ended(
    core: Core, opening_id: str, cause: str, spooled: tuple[End, ...], now: float, *, after: str = ""
) -> Decision:
    """The worker is proved to have ended; `spooled` are ends of items and tasks that it wrote down before.

    `after` is added to the error of a failed opening, for example where the worker's output is kept.
    """
    d = Decision()
    state = core.state
    environment = state.environment
    if environment is None or environment.opening_id != opening_id:
        return d
    stage = environment.stage
    for end in spooled:
        if isinstance(end, TaskEnded):
            tasks.end_from_spool(core, d, now, end)
        elif state.running is not None and end.item_uid == state.running.uid:
            taken = destroyed_end(end) if stage is EnvironmentStage.DESTROYING else end
            execution.finish_item(core, d, now, taken, may_continue=False)
    if stage is EnvironmentStage.DESTROYING:
        execution.lose_worker(core, d, now, f"{DESTROYED}; {cause}" if state.running else DESTROYED, error=False)
    elif stage is EnvironmentStage.CLOSING:
        failure = environment.failure
        execution.forget_environment(core, d, now, failure, tasks_end=execution.CLOSED_DURING_TASK)
    else:
        if state.manager_state is S.CREATING_ENVIRONMENT:
            core.enter(S.CLOSING_ENVIRONMENT)
        ended = f"The worker ended while it opened the environment: {cause}.{after}"
        lost = f"The RE Worker environment was lost: {cause}"
        execution.lose_worker(core, d, now, lost if environment.ready else ended, error=True)
    return conclude(core, d, now)


def link_silent(core: Core, now: float) -> Decision:
    """Nothing was heard of the worker for some time: it may still move hardware."""
    if core.state.environment is not None and core.state.link is not LinkState.NONE:
        core.state.link = LinkState.SILENT
    return conclude(core, Decision(), now)


def link_heard(core: Core, now: float) -> Decision:
    """A silent worker is heard again."""
    if core.state.link is LinkState.SILENT and core.state.snapshot is not None:
        core.state.link = LinkState.ATTACHED
    return conclude(core, Decision(), now)
