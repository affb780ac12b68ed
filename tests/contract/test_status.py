"""The status: its fields, their types, and the sequences that clients follow (zmq-api 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pytest

from contract_manager import QUICK, UID, ContractClient, ContractManager, plan

NO_TEXT = type(None)

FIELDS: dict[str, tuple[type, ...]] = {
    "msg": (str,),
    "time": (str,),
    "items_in_queue": (int,),
    "items_in_history": (int,),
    "running_item_uid": (str, NO_TEXT),
    "manager_state": (str,),
    "queue_stop_pending": (bool,),
    "queue_autostart_enabled": (bool,),
    "worker_environment_exists": (bool,),
    "worker_environment_state": (str,),
    "worker_background_tasks": (int,),
    "re_state": (str, NO_TEXT),
    "ip_kernel_state": (str, NO_TEXT),
    "ip_kernel_captured": (bool, NO_TEXT),
    "pause_pending": (bool,),
    "status_uid": (str,),
    "run_list_uid": (str,),
    "plan_queue_uid": (str,),
    "plan_history_uid": (str,),
    "devices_existing_uid": (str,),
    "plans_existing_uid": (str,),
    "devices_allowed_uid": (str,),
    "plans_allowed_uid": (str,),
    "task_results_uid": (str,),
    "lock_info_uid": (str,),
    "plan_queue_mode": (dict,),
    "lock": (dict,),
}
"""The 27 fields of the contract."""


@pytest.mark.row("zmq-api", "all fields and their types")
@pytest.mark.parametrize("method", [pytest.param(name, marks=pytest.mark.method(name)) for name in ("ping", "status")])
def test_every_field_of_the_contract_is_there(closed_manager: ContractClient, method: str) -> None:
    status = closed_manager.call(method)
    for name, types in FIELDS.items():
        assert type(status[name]) in types, name
    assert len(FIELDS) == 27
    assert set(status) - set(FIELDS) == {"worker_link", "store", "environment_error"}
    assert all(UID.fullmatch(value) for name, value in status.items() if name.endswith("_uid") and value is not None)
    assert abs(datetime.fromisoformat(status["time"]) - datetime.now()) < timedelta(minutes=1)


def _of(status: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(status[name] for name in names)


WORKER = (
    "worker_environment_exists",
    "worker_environment_state",
    "re_state",
    "ip_kernel_state",
    "ip_kernel_captured",
)


@pytest.mark.row("zmq-api", "fields without an environment")
def test_without_an_environment(closed_manager: ContractManager) -> None:
    status = closed_manager.status()
    assert status["manager_state"] == "idle"
    assert _of(status, *WORKER) == (False, "closed", None, None, None)
    assert _of(status, "items_in_queue", "items_in_history", "running_item_uid") == (0, 0, None)
    assert status["plan_queue_mode"] == {"loop": False, "ignore_failures": False}
    assert status["lock"] == {"environment": False, "queue": False}


@pytest.mark.row("zmq-api", "fields with an environment")
def test_with_an_open_environment(manager: ContractManager) -> None:
    status = manager.status()
    assert _of(status, *WORKER) == (True, "idle", "idle", "disabled", True)


@pytest.mark.row("zmq-api", "fields while a plan runs and while it is paused")
def test_while_a_plan_runs_and_while_it_is_paused(manager: ContractManager) -> None:
    manager.add()
    held = manager.start_holding()
    status = manager.status()
    assert _of(status, "manager_state", *WORKER) == (
        *("executing_queue", True, "executing_plan", "running", "disabled"),
        True,
    )
    assert _of(status, "items_in_queue", "running_item_uid") == (1, held.uid)
    status = held.pause()
    assert _of(status, "manager_state", "worker_environment_state", "re_state") == ("paused", "idle", "paused")
    assert status["running_item_uid"] == held.uid
    manager.accepted("re_abort")
    manager.wait_idle()


def _sequence(manager: ContractManager, *names: str) -> list[tuple[Any, ...]]:
    """What was published of some fields, without repetitions."""
    return [values for values, _ in groupby(_of(status, *names) for status in manager.all_statuses())]


def _contains_in_order(sequence: Iterable[object], expected: Iterable[object]) -> bool:
    """Whether all that is expected was seen, in this order; states of some milliseconds are published together."""
    rest = iter(sequence)
    return all(values in rest for values in expected)


STATES = ("manager_state", "worker_environment_state", "worker_environment_exists")


@pytest.mark.row("zmq-api", "states: open and close")
def test_the_sequence_of_opening_and_closing(closed_manager: ContractManager) -> None:
    manager = closed_manager
    manager.watch()
    manager.open_environment()
    manager.close_environment()
    sequence = _sequence(manager, *STATES)
    assert _contains_in_order(
        sequence,
        [
            ("creating_environment", "initializing", False),
            ("idle", "idle", True),
            ("closing_environment", "closing", True),
            ("idle", "closed", False),
        ],
    ), sequence
    known = {
        ("idle", "closed", False),
        ("creating_environment", "closed", False),
        ("creating_environment", "initializing", False),
        ("creating_environment", "idle", False),
        ("idle", "idle", True),
        ("closing_environment", "idle", True),
        ("closing_environment", "closing", True),
        ("closing_environment", "closed", True),
    }
    assert set(sequence) <= known


@pytest.mark.row("zmq-api", "states: an opening that fails")
def test_the_sequence_of_an_opening_that_fails(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    assert manager.startup_dir is not None
    (manager.startup_dir / "99-broken.py").write_text("print('nearly there')\n1 / 0\n")
    manager.watch()
    manager.accepted("environment_open")
    status = manager.wait_idle()
    assert _of(status, *STATES) == ("idle", "closed", False)
    sequence = _sequence(manager, *STATES)
    assert _contains_in_order([values[0] for values in sequence], ["creating_environment", "idle"]), sequence
    assert {values[0] for values in sequence} <= {"creating_environment", "closing_environment", "idle"}
    assert not any(values[2] for values in sequence)
    error = status["environment_error"]
    assert "ZeroDivisionError" in error
    assert "99-broken.py" in error
    assert "line 2" in error or ":2" in error
    (manager.startup_dir / "99-broken.py").unlink()
    assert manager.open_environment()["environment_error"] == ""
    manager.stop()


@pytest.mark.row("zmq-api", "states: a plan")
def test_the_sequence_of_a_plan(manager: ContractManager) -> None:
    manager.watch()
    manager.start_holding().end()
    sequence = _sequence(manager, "manager_state", "items_in_queue", "items_in_history", "re_state")
    whole = [
        ("idle", 0, 0, "idle"),
        ("idle", 1, 0, "idle"),
        ("starting_queue", 0, 0, "idle"),
        ("executing_queue", 0, 0, "idle"),
        ("executing_queue", 0, 0, "running"),
        ("executing_queue", 0, 0, "idle"),
        ("idle", 0, 1, "idle"),
    ]
    assert _contains_in_order(whole, sequence), sequence
    assert whole[-3] in sequence
    assert sequence[-1] == whole[-1]


def test_a_client_that_asks_after_the_reply_never_sees_the_state_before_the_request(manager: ContractManager) -> None:
    manager.accepted("environment_close")
    assert manager.status()["manager_state"] != "idle" or not manager.status()["worker_environment_exists"]
    manager.wait_idle()
    manager.accepted("environment_open")
    assert manager.status()["manager_state"] == "creating_environment"
    manager.wait_idle()
    release = manager.release_file()
    manager.add(plan("hold", str(release)))
    manager.start_queue()
    assert manager.status()["manager_state"] in ("starting_queue", "executing_queue")
    manager.wait_status(lambda s: s["re_state"] == "running")
    manager.accepted("re_pause", option="immediate")
    manager.wait_status(lambda s: s["manager_state"] == "paused")
    manager.accepted("re_resume")
    assert manager.status()["manager_state"] == "executing_queue"
    release.touch()
    manager.wait_idle()


@pytest.mark.row("zmq-api", "states: an empty queue")
def test_starting_an_empty_queue_returns_to_idle(manager: ContractManager) -> None:
    manager.start_queue()
    assert manager.status()["manager_state"] == "idle"
    assert manager.history == []


@pytest.mark.row("zmq-api", "states: a deferred pause")
def test_the_sequence_of_a_deferred_pause(manager: ContractManager) -> None:
    held = manager.start_holding()
    manager.watch()
    held.pause("deferred")
    sequence = _sequence(manager, "pause_pending", "re_state", "manager_state")
    assert _contains_in_order(sequence, [(True, "running", "executing_queue"), (False, "paused", "paused")]), sequence
    manager.accepted("re_resume")
    held.end()
    assert manager.history[0]["result"]["exit_status"] == "completed"


@pytest.mark.row("zmq-api", "states: after a pause")
@pytest.mark.parametrize("method", ["re_resume", "re_stop", "re_abort", "re_halt"])
def test_after_a_pause_the_manager_executes_until_the_plan_has_ended(manager: ContractManager, method: str) -> None:
    held = manager.start_holding()
    held.pause()
    manager.watch()
    held.release()
    manager.accepted(method)
    manager.wait_idle()
    sequence = _sequence(manager, "manager_state")
    assert _contains_in_order([("paused",), ("executing_queue",), ("idle",)], sequence), sequence
    assert sequence[-1] == ("idle",)


def test_immediate_pause_is_not_pending(manager: ContractManager) -> None:
    held = manager.start_holding()
    manager.watch()
    held.pause("immediate")
    manager.accepted("re_abort")
    manager.wait_idle()
    assert {status["pause_pending"] for status in manager.all_statuses()} == {False}


@pytest.mark.row("zmq-api", "numbers of items")
def test_numbers_of_items_follow_queue_and_history(manager: ContractManager) -> None:
    manager.fill(3)
    assert _of(manager.status(), "items_in_queue", "items_in_history") == (3, 0)
    manager.run()
    assert _of(manager.status(), "items_in_queue", "items_in_history") == (0, 3)
    manager.add(QUICK)
    assert _of(manager.status(), "items_in_queue", "items_in_history") == (1, 3)
