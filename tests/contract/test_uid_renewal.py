"""Which uids of the status a request or an event renews, and which it leaves (zmq-api 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract_manager import CALLER, COUNT, QUICK, STOP_INSTRUCTION, UID, ContractManager

LASTING = (
    "plan_queue_uid",
    "plan_history_uid",
    "run_list_uid",
    "plans_existing_uid",
    "devices_existing_uid",
    "plans_allowed_uid",
    "devices_allowed_uid",
    "task_results_uid",
    "lock_info_uid",
)


def renewed(manager: ContractManager, act: Callable[[], Any]) -> set[str]:
    """The names of the uids that differ after an action; `status_uid` is a matter of its own."""
    before = manager.status()
    act()
    after = manager.status()
    assert all(UID.fullmatch(after[name]) for name in LASTING)
    return {name for name in LASTING if before[name] != after[name]}


QUEUE = {"plan_queue_uid"}

QUEUE_CHANGES: list[tuple[str, str, dict[str, Any], set[str]]] = [
    ("an item is added", "queue_item_add", {"item": QUICK, **CALLER}, QUEUE),
    ("a batch is added", "queue_item_add_batch", {"items": [QUICK], **CALLER}, QUEUE),
    ("an empty batch is added", "queue_item_add_batch", {"items": [], **CALLER}, set()),
    ("an item is removed", "queue_item_remove", {}, QUEUE),
    ("a batch is removed", "queue_item_remove_batch", {"uids": [0, 1]}, QUEUE),
    ("a batch of unknown items is removed", "queue_item_remove_batch", {"uids": ["zz"]}, set()),
    ("an item is moved", "queue_item_move", {"pos": 0, "pos_dest": 2}, QUEUE),
    ("an item is moved to where it is", "queue_item_move", {"pos": 1, "pos_dest": 1}, set()),
    ("a batch is moved", "queue_item_move_batch", {"uids": [2, 1], "pos_dest": "front"}, QUEUE),
    ("the queue is cleared", "queue_clear", {}, QUEUE),
    ("an item is shown", "queue_item_get", {}, set()),
    ("the queue is shown", "queue_get", {}, set()),
    ("the mode is changed", "queue_mode_set", {"mode": {"loop": True}}, set()),
    ("autostart is switched", "queue_autostart", {"enable": True}, set()),
    ("the history is cleared when it is empty", "history_clear", {}, set()),
    ("the runs are shown", "re_runs", {}, set()),
]


@pytest.mark.row("zmq-api", "uids that a request renews")
@pytest.mark.parametrize(
    ("method", "params", "names"), [row[1:] for row in QUEUE_CHANGES], ids=[row[0] for row in QUEUE_CHANGES]
)
def test_a_request_renews(
    closed_manager: ContractManager, method: str, params: dict[str, Any], names: set[str]
) -> None:
    uids = closed_manager.fill(3)
    if "uids" in params:
        params = params | {"uids": [uids[uid] if isinstance(uid, int) else uid for uid in params["uids"]]}
    assert renewed(closed_manager, lambda: closed_manager.accepted(method, params)) == names


@pytest.mark.row("zmq-api", "queue_clear renews always")
def test_clearing_an_empty_queue_renews_its_uid(closed_manager: ContractManager) -> None:
    closed_manager.accepted("queue_clear")
    assert renewed(closed_manager, lambda: closed_manager.accepted("queue_clear")) == QUEUE


@pytest.mark.row("zmq-api", "an update without a change renews nothing")
def test_an_update_that_changes_nothing_renews_nothing(closed_manager: ContractManager) -> None:
    item = closed_manager.add()
    assert renewed(closed_manager, lambda: closed_manager.accepted("queue_item_update", item=item, **CALLER)) == set()
    changed = item | {"meta": {"a": 1}}
    assert (
        renewed(closed_manager, lambda: closed_manager.accepted("queue_item_update", item=changed, **CALLER)) == QUEUE
    )
    assert (
        renewed(closed_manager, lambda: closed_manager.accepted("queue_item_update", item=changed, **CALLER)) == set()
    )
    another_user = {"user": "Another", "user_group": "primary"}
    assert (
        renewed(closed_manager, lambda: closed_manager.accepted("queue_item_update", item=changed, **another_user))
        == QUEUE
    )
    assert (
        renewed(
            closed_manager, lambda: closed_manager.accepted("queue_item_update", item=changed, replace=True, **CALLER)
        )
        == QUEUE
    )


@pytest.mark.row("zmq-api", "a refused request renews nothing")
def test_a_refused_request_renews_nothing(closed_manager: ContractManager) -> None:
    closed_manager.fill(2)
    for method, params in (
        ("queue_item_add", {"item": QUICK, "pos": "x", **CALLER}),
        ("queue_item_remove", {"pos": 5}),
    ):
        assert renewed(closed_manager, lambda m=method, p=params: closed_manager.call(m, p)) == set()


def test_the_uids_in_replies_are_those_of_the_status(closed_manager: ContractManager) -> None:
    status = closed_manager.status()
    for method, params in (
        ("queue_get", {}),
        ("history_get", {}),
        ("re_runs", {}),
        ("plans_existing", {}),
        ("devices_existing", {}),
        ("plans_allowed", {"user_group": "primary"}),
        ("devices_allowed", {"user_group": "primary"}),
    ):
        reply = closed_manager.accepted(method, params)
        ((name, uid),) = [(key, value) for key, value in reply.items() if key.endswith("_uid")]
        assert uid == status[name]


@pytest.mark.row("zmq-api", "status_uid")
def test_status_uid_is_renewed_by_a_request_that_changes_something(closed_manager: ContractManager) -> None:
    before = closed_manager.status()["status_uid"]
    closed_manager.add()
    after = closed_manager.status()["status_uid"]
    assert UID.fullmatch(after)
    assert after != before


def test_an_executed_plan_renews_queue_history_and_run_list(manager: ContractManager) -> None:
    manager.add(COUNT)
    assert renewed(manager, lambda: manager.run()) == QUEUE | {"plan_history_uid", "run_list_uid"}


@pytest.mark.row("zmq-api", "plan_queue_uid at start and end of an item")
def test_the_queue_uid_is_renewed_at_the_start_and_at_the_end_of_an_item(manager: ContractManager) -> None:
    waiting = manager.status()["plan_queue_uid"]
    held = manager.start_holding()
    running = manager.status()["plan_queue_uid"]
    held.end()
    assert len({waiting, running, manager.status()["plan_queue_uid"]}) == 3


def test_the_queue_uid_is_renewed_at_start_and_end_of_an_immediate_execution(manager: ContractManager) -> None:
    release = manager.release_file()
    item = {"item_type": "plan", "name": "hold", "args": [str(release)]}
    before = manager.status()["plan_queue_uid"]
    manager.accepted("queue_item_execute", item=item, **CALLER)
    running = manager.wait_status(lambda s: s["re_state"] == "running")["plan_queue_uid"]
    release.touch()
    after = manager.wait_idle()["plan_queue_uid"]
    assert len({before, running, after}) == 3


@pytest.mark.row("zmq-api", "run_list_uid")
def test_the_run_list_uid_is_renewed_when_runs_open_and_close_and_at_the_end(manager: ContractManager) -> None:
    seen = []
    held = manager.start_holding()
    manager.wait_status(lambda _: len(manager.accepted("re_runs")["run_list"]) == 1)
    seen.append(manager.status()["run_list_uid"])
    held.end()
    seen.append(manager.status()["run_list_uid"])
    assert manager.accepted("re_runs")["run_list"] == []
    manager.run(QUICK)  # without a run
    seen.append(manager.status()["run_list_uid"])
    assert len(set(seen)) == 3


@pytest.mark.row("zmq-api", "plan_history_uid")
def test_the_history_uid_is_renewed_by_a_clear_that_drops_something(manager: ContractManager) -> None:
    manager.run(QUICK, QUICK, QUICK)
    first, second, third = (item["item_uid"] for item in manager.history)
    history = {"plan_history_uid"}
    for params, names in (
        ({"size": 3}, set()),
        ({"size": 10}, set()),
        ({"item_uid": "zz"}, set()),
        ({"item_uid": first}, history),
        ({"size": 1}, history),
        ({"item_uid": second}, set()),
        ({}, history),
        ({}, set()),
        ({"size": 0}, set()),
    ):
        assert renewed(manager, lambda p=params: manager.accepted("history_clear", p)) == names, params
    assert third


def test_an_instruction_renews_the_queue_uid_alone(manager: ContractManager) -> None:
    manager.add(STOP_INSTRUCTION)

    def run() -> None:
        manager.start_queue()
        manager.wait_idle()

    assert renewed(manager, run) == QUEUE


@pytest.mark.row("zmq-api", "existing lists: only when they differ")
def test_opening_the_same_environment_again_renews_no_list(manager: ContractManager) -> None:
    def open_again() -> None:
        manager.close_environment()
        manager.open_environment()

    assert renewed(manager, open_again) - {"run_list_uid"} == set()
