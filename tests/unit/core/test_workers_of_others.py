"""Workers and environments that somebody else than a client makes, ends or takes away."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from queueserver_common.link.messages import (
    CommandResult,
    EnvironmentPhase,
    EnvironmentReady,
    ExitStatus,
    Hello,
    ItemEnded,
    ItemStage,
    Leave,
    LedgerEntry,
    RunItem,
    SetPermissions,
    Snapshot,
)
from queueserver_common.link.messages import EnvironmentState as E
from queueserver_common.permissions import Permissions
from queueserver_manager.core import recovery, termination, worker_events
from queueserver_manager.core.core import Core, CoreSettings
from queueserver_manager.core.effects import (
    DismissWorker,
    Effect,
    FindWorker,
    KillWorker,
    LaunchWorker,
    LeaveManager,
    LetGoOfWorker,
    TellWorker,
    WelcomeWorker,
)
from queueserver_manager.core.model import Environment, EnvironmentStage, LinkState, RunningItem
from queueserver_manager.core.queue import QueuedItem
from queueserver_manager.core.requests import decide
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.writes import StoredState

NOW = 1000.0
ITEM = {"item_type": "plan", "name": "count", "item_uid": "item"}
HANDLE: dict[str, str | int] = {"opening_id": "o", "environment": "qs-o", "pod_uid": ""}
GROUPS = {"user_groups": {"root": {"allowed_plans": [None]}, "primary": {"allowed_plans": [None]}}}
FEWER = {"user_groups": {"root": {"allowed_plans": [None]}}}


def cluster_core(**settings: Any) -> Core:
    numbers = count()
    core = Core(
        lambda: f"uid-{next(numbers)}",
        CoreSettings(secret_openings=False, permissions_from_worker=True, workers_wait=True, **settings),
    )
    recovery.restore(core, StoredState())
    recovery.begin(core, NOW)
    return core


def hello(phase: EnvironmentPhase = EnvironmentPhase.READY, **changes: Any) -> Hello:
    state = Snapshot(E.IDLE, "idle")
    return replace(Hello("o", "", 1, 7, "pod", 0.0, "1", phase, 2, state, acked_seq=1, pod_uid="pod-uid"), **changes)


def of_kind(effects: list[Effect], kind: type) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def opened(**settings: Any) -> Core:
    """A core with an open environment."""
    core = cluster_core(**settings)
    worker_events.environment_applied(core, "o", HANDLE, NOW)
    recovery.worker_hello(core, "o", hello(EnvironmentPhase.LOADING, next_seq=1, acked_seq=0), NOW, frozenset())
    worker_events.worker_event(core, 1, EnvironmentReady(b"{}", b"{}"), NOW)
    worker_events.worker_snapshot(core, Snapshot(E.IDLE, "idle"), NOW)
    assert core.state.manager_state is ManagerState.IDLE
    return core


def running() -> Core:
    """A core with an item in hand."""
    core = opened()
    core.state.running = RunningItem(ITEM, "o", "command", NOW, sent=True, started=True)
    core.state.manager_state = ManagerState.EXECUTING_QUEUE
    core.state.autostart = True
    return core


def last_entry(decision: Any) -> dict[str, Any]:
    return next(json.loads(write.text) for write in decision.writes if type(write).__name__ == "AppendHistory")


# An environment that is applied ---------------------------------------------------------------------------------------


def test_an_applied_environment_is_an_opening_without_a_launch() -> None:
    core = cluster_core()
    d = worker_events.environment_applied(core, "o", HANDLE, NOW)
    assert core.state.manager_state is ManagerState.CREATING_ENVIRONMENT
    assert core.state.environment is not None
    assert core.state.environment.handle == HANDLE
    assert of_kind(d.effects, LaunchWorker) == []


def test_an_applied_environment_beside_an_open_one_changes_nothing() -> None:
    core = opened()
    d = worker_events.environment_applied(core, "other", HANDLE, NOW)
    assert (d.writes, d.effects) == ([], [])
    assert core.state.environment is not None
    assert core.state.environment.opening_id == "o"


def test_an_opening_has_no_secret_where_none_can_be_handed_over() -> None:
    core = cluster_core()
    d = decide(core, "environment_open", {}, NOW)
    (launch,) = of_kind(d.effects, LaunchWorker)
    assert launch.token == ""


# Who a worker is ------------------------------------------------------------------------------------------------------


def test_only_the_pod_of_the_opening_is_taken() -> None:
    core = opened()
    worker_events.launched(core, "o", HANDLE | {"pod_uid": "pod-uid"}, NOW)
    d = recovery.worker_hello(core, "o", hello(pod_uid="another"), NOW, frozenset())
    (dismissed,) = of_kind(d.effects, DismissWorker)
    assert dismissed.reason == "the opening belongs to the pod with uid pod-uid"
    assert of_kind(d.effects, WelcomeWorker) == []
    d = recovery.worker_hello(core, "o", hello(), NOW, frozenset())
    assert of_kind(d.effects, FindWorker) == [FindWorker("o", "pod", 7, "pod-uid")]


def test_a_worker_is_told_the_permissions_when_it_introduces_itself() -> None:
    core = opened()
    core.set_permissions(Permissions.parse(GROUPS))
    d = recovery.worker_hello(core, "o", hello(), NOW, frozenset())
    (told,) = [effect.body for effect in of_kind(d.effects, TellWorker) if isinstance(effect.body, SetPermissions)]
    assert json.loads(told.permissions) == GROUPS


def test_a_worker_that_the_store_does_not_know_is_adopted_with_the_item_in_its_hand() -> None:
    core = cluster_core()
    busy = hello(
        snapshot=Snapshot(E.EXECUTING_PLAN, "running"),
        ledger=(LedgerEntry("item", "command", ItemStage.STARTED, 5.0, json.dumps(ITEM).encode()),),
        next_seq=3,
    )
    recovery.adopt_worker(core, busy, HANDLE)
    d = recovery.worker_hello(core, "o", busy, NOW, frozenset())
    state = core.state
    assert of_kind(d.effects, WelcomeWorker) == [WelcomeWorker("o", 0)]
    assert state.manager_state is ManagerState.EXECUTING_QUEUE
    assert state.running is not None
    assert (state.running.uid, state.stop_pending, state.autostart) == ("item", True, False)


@pytest.mark.parametrize(
    ("phase", "state"),
    [(EnvironmentPhase.READY, ManagerState.IDLE), (EnvironmentPhase.LOADING, ManagerState.CREATING_ENVIRONMENT)],
)
def test_an_adopted_worker_is_where_it_says(phase: EnvironmentPhase, state: ManagerState) -> None:
    core = cluster_core()
    recovery.adopt_worker(core, hello(phase), HANDLE)
    recovery.worker_hello(core, "o", hello(phase), NOW, frozenset())
    assert core.state.manager_state is state
    assert core.state.environment_exists == (phase is EnvironmentPhase.READY)


def test_nothing_is_adopted_beside_an_environment() -> None:
    core = opened()
    d = recovery.adopt_worker(core, hello(opening_id="other"), HANDLE)
    assert (d.writes, d.effects) == ([], [])


# Endings --------------------------------------------------------------------------------------------------------------


def test_a_plan_that_a_deleted_pod_aborted_failed_and_the_history_tells_why() -> None:
    core = running()
    worker_events.worker_ending(core, "o", "the worker's pod was evicted", NOW)
    end = ItemEnded("item", ExitStatus.ABORTED, 1.0, 2.0, ("run",), (3,), "The worker was told to end (SIGTERM)")
    d = worker_events.worker_event(core, 2, end, NOW)
    result = last_entry(d)["result"]
    assert result["exit_status"] == "failed"
    assert result["msg"] == "The RE Worker environment was lost: the worker's pod was evicted; plan aborted cleanly."
    assert result["run_uids"] == ["run"]
    assert len(core.state.queue) == 1
    assert not core.state.autostart


def test_a_plan_that_a_worker_aborted_before_anybody_knows_why_it_ends_failed_too() -> None:
    core = running()
    msg = "The worker was told to end (SIGTERM); plan aborted cleanly"
    end = ItemEnded("item", ExitStatus.ABORTED, 1.0, 2.0, ("run",), (3,), msg, worker_ends=True)
    d = worker_events.worker_event(core, 2, end, NOW)
    result = last_entry(d)["result"]
    assert (result["exit_status"], result["msg"]) == ("failed", msg)
    assert len(core.state.queue) == 1
    assert not core.state.autostart


def test_a_plan_that_completes_in_a_pod_that_is_being_deleted_completed_and_no_other_is_started() -> None:
    core = running()
    core.state.queue.insert(0, [QueuedItem("next", json.dumps(ITEM | {"item_uid": "next"}).encode())])
    worker_events.worker_ending(core, "o", "the worker's pod was deleted", NOW)
    d = worker_events.worker_event(core, 2, ItemEnded("item", ExitStatus.COMPLETED, 1.0, 2.0), NOW)
    assert last_entry(d)["result"]["exit_status"] == "completed"
    assert (core.state.manager_state, len(core.state.queue)) == (ManagerState.IDLE, 1)
    assert [effect for effect in of_kind(d.effects, TellWorker) if isinstance(effect.body, RunItem)] == []


def test_the_next_worker_is_not_ending() -> None:
    core = opened()
    worker_events.worker_ending(core, "o", "the worker's pod was deleted", NOW)
    worker_events.worker_ended(core, "o", "the worker's pod was deleted", (), NOW)
    assert core.state.worker_ending == ""


def test_a_deleted_environment_is_a_destroyed_one() -> None:
    core = running()
    d = worker_events.environment_deleted(core, "o", NOW)
    assert d.urgent
    assert of_kind(d.effects, KillWorker) == [KillWorker("o", 5.0)]
    assert core.state.manager_state is ManagerState.DESTROYING_ENVIRONMENT
    d = worker_events.environment_deleted(core, "o", NOW)
    assert d.effects == [], "that is known"
    d = worker_events.worker_ended(core, "o", "the worker's pod was deleted", (), NOW)
    assert last_entry(d)["result"]["msg"].startswith("RE Worker environment was destroyed")


def test_an_environment_that_is_deleted_while_it_closes_is_ended_and_closed() -> None:
    core = opened()
    decide(core, "environment_close", {}, NOW)
    d = worker_events.environment_deleted(core, "o", NOW)
    assert of_kind(d.effects, KillWorker) == [KillWorker("o", 5.0)]
    assert core.state.manager_state is ManagerState.CLOSING_ENVIRONMENT


def test_an_opening_that_cannot_come_up_fails_with_the_reason_and_nothing_of_it_is_kept() -> None:
    core = cluster_core()
    worker_events.environment_applied(core, "o", HANDLE, NOW)
    d = worker_events.opening_failed(core, "o", "The image cannot be pulled.", NOW)
    assert of_kind(d.effects, KillWorker) == [KillWorker("o", 5.0, keep_remains=False)]
    assert core.state.manager_state is ManagerState.CLOSING_ENVIRONMENT
    worker_events.worker_ended(core, "o", "its WorkerEnvironment was deleted", (), NOW)
    assert core.state.manager_state is ManagerState.IDLE
    assert core.state.environment_error == "The image cannot be pulled."


def test_what_an_opening_waits_for_stands_in_the_status_until_its_worker_comes() -> None:
    core = cluster_core()
    worker_events.environment_applied(core, "o", HANDLE, NOW)
    worker_events.opening_waits(core, "another", "It is not this one.", NOW)
    assert core.state.environment_error == ""
    worker_events.opening_waits(core, "o", "There is no pod.", NOW)
    assert core.state.environment_error == "There is no pod."
    assert core.state.manager_state is ManagerState.CREATING_ENVIRONMENT
    recovery.worker_hello(core, "o", hello(EnvironmentPhase.LOADING, next_seq=1, acked_seq=0), NOW, frozenset())
    assert core.state.environment_error == ""
    worker_events.opening_waits(core, "o", "Its pod has not reported.", NOW)
    assert core.state.environment_error == ""


def test_an_opening_whose_worker_is_attached_does_not_fail_by_word_of_others() -> None:
    core = opened()
    d = worker_events.opening_failed(core, "o", "The deadline has passed.", NOW)
    assert d.effects == []
    assert core.state.environment_exists


def test_a_worker_that_leaves_is_let_go_once_it_has_agreed() -> None:
    core = opened()
    d = decide(core, "environment_close", {}, NOW)
    (told,) = [effect for effect in of_kind(d.effects, TellWorker) if isinstance(effect.body, Leave)]
    d = worker_events.command_result(core, CommandResult(told.command_id, ok=True), NOW)
    assert of_kind(d.effects, LetGoOfWorker) == [LetGoOfWorker("o")]


# The manager's end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_terminate", ["LEAVE", "WAIT"])
def test_a_worker_that_waits_for_the_next_manager_is_left_alone_also_when_it_is_idle(on_terminate: str) -> None:
    core = opened()
    d = termination.terminate(core, on_terminate, NOW)
    assert d.effects == [LeaveManager()]
    assert core.state.environment is not None


# Permissions ----------------------------------------------------------------------------------------------------------


def ready_with(core: Core, groups: dict[str, Any]) -> None:
    core.state.environment = Environment("o", "", stage=EnvironmentStage.OPENING)
    core.state.link = LinkState.ATTACHED
    core.state.worker_seq = 0
    text = json.dumps(groups).encode()
    worker_events.worker_event(core, 1, EnvironmentReady(b"{}", b"{}", text), NOW)


def permissions(core: Core) -> dict[str, Any] | None:
    return None if core.lists.permissions is None else core.lists.permissions.as_mapping()


def test_permissions_are_those_beside_the_startup_code_when_there_are_no_others() -> None:
    core = cluster_core()
    ready_with(core, GROUPS)
    assert permissions(core) == GROUPS


def test_a_file_that_did_not_change_does_not_undo_what_a_client_has_set() -> None:
    core = cluster_core()
    ready_with(core, GROUPS)
    core.set_permissions(Permissions.parse(FEWER))
    ready_with(core, GROUPS)
    assert permissions(core) == FEWER


def test_a_file_that_changed_is_taken() -> None:
    core = cluster_core()
    ready_with(core, GROUPS)
    ready_with(core, FEWER)
    assert permissions(core) == FEWER


def test_a_manager_with_a_source_of_its_own_does_not_take_the_workers() -> None:
    core = cluster_core()
    core.settings = CoreSettings(permissions_from_worker=False)
    ready_with(core, GROUPS)
    assert permissions(core) is None


def test_the_source_is_remembered_by_the_next_manager() -> None:
    core = cluster_core()
    core.state.environment = Environment("o", "", stage=EnvironmentStage.OPENING)
    d = worker_events.worker_event(core, 1, EnvironmentReady(b"{}", b"{}", json.dumps(GROUPS).encode()), NOW)
    (written,) = [write for write in d.writes if getattr(write, "name", "") == "permissions_source"]
    following = cluster_core()
    recovery.restore(following, StoredState(fields={"permissions_source": written.value}))
    assert following.state.permissions_source == core.state.permissions_source != ""
