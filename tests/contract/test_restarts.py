"""The end of the manager and what the next one finds (zmq-api 1.6, 5.7, 5.10)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from contract_manager import CALLER, COUNT, QUICK, STOP_INSTRUCTION, ContractManager, Held, plan

LASTING = ("items_in_queue", "items_in_history", "plan_queue_mode")


def _held(manager: ContractManager) -> Held:
    release = manager.release_file()
    held = Held(manager, manager.add(plan("hold", str(release)), pos="front"), release)
    if not manager.status()["queue_autostart_enabled"]:
        manager.start_queue()
    held.wait_running()
    return held


@pytest.mark.method("manager_stop")
@pytest.mark.row("zmq-api", "manager_stop: safe_on")
def test_manager_stop_answers_first_and_ends_in_order(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    assert manager.call("manager_stop") == {"success": True, "msg": ""}
    assert manager.wait_end() == 0
    manager.assert_no_process_left()


@pytest.mark.row("zmq-api", "manager_stop: open idle environment")
def test_an_open_idle_environment_does_not_hinder_an_orderly_end(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    manager.open_environment()
    manager.accepted("manager_stop", option="safe_on")
    assert manager.wait_end() == 0
    manager.assert_no_process_left()


@pytest.mark.row("zmq-api", "manager_stop: safe_off")
def test_safe_off_ends_a_plan_as_destroying_its_environment_does(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    manager.open_environment()
    (waiting,) = manager.fill(1)
    held = _held(manager)
    refused = manager.call("manager_stop", option="safe_on")
    assert refused["msg"] == (
        "Error: Closing RE Manager with option 'safe_on' is allowed only in 'idle' state. "
        "Current state: 'executing_queue'"
    )
    manager.accepted("manager_stop", option="safe_off")
    assert manager.wait_end() == 0
    manager.assert_no_process_left()
    manager.start()
    (entry,) = manager.history
    assert (entry["item_uid"], entry["result"]["exit_status"]) == (held.uid, "failed")
    assert entry["result"]["msg"].startswith("RE Worker environment was destroyed")
    first, second = manager.queue
    assert first["item_uid"] != held.uid
    assert first["result"] == entry["result"]
    assert second["item_uid"] == waiting
    manager.stop()


@pytest.mark.row("zmq-api", "what is persistent")
def test_queue_history_mode_and_lists_outlive_the_application_and_autostart_does_not(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager()
    manager.open_environment()
    manager.run(COUNT, QUICK)
    manager.add(STOP_INSTRUCTION)
    manager.add(plan("count", ["det"], num=7) | {"meta": {"text": "µ 漢字"}})
    manager.accepted("queue_mode_set", mode={"loop": True})
    manager.add(QUICK, pos=1)
    manager.close_environment()
    manager.accepted("queue_autostart", enable=True)
    queue, history, before = manager.queue, manager.history, manager.status()
    lists = (
        manager.accepted("plans_existing")["plans_existing"],
        manager.accepted("devices_existing")["devices_existing"],
    )
    manager.stop()

    manager.start()
    after = manager.status()
    assert (manager.queue, manager.history) == (queue, history)
    assert {name: after[name] for name in LASTING} == {name: before[name] for name in LASTING}
    assert after["queue_autostart_enabled"] is False
    assert after["queue_stop_pending"] is False
    assert after["worker_environment_exists"] is False
    assert lists == (
        manager.accepted("plans_existing")["plans_existing"],
        manager.accepted("devices_existing")["devices_existing"],
    )
    manager.stop()


@pytest.mark.row("zmq-api", "a manager that dies comes back with its plan")
@pytest.mark.parametrize("pause", [False, True])
def test_a_manager_that_is_killed_comes_back_with_its_plan(
    start_manager: Callable[..., ContractManager], pause: bool
) -> None:
    manager = start_manager()
    manager.open_environment()
    (waiting,) = manager.fill(1)
    manager.accepted("queue_autostart", enable=True)
    manager.wait_status(lambda s: s["items_in_history"] == 1)
    held = _held(manager)
    manager.accepted("queue_stop")
    if pause:
        held.pause()
    before, worker = manager.status(), manager.worker_pid
    assert manager.call("manager_stop", option="safe_on")["success"] is False
    assert manager.raw(manager.encode({"method": "manager_kill"}), timeout=0.5) is None
    manager.wait_answer()
    after = manager.wait_status(lambda s: s["worker_link"] == "attached")
    for name in (
        *("manager_state", "running_item_uid", "re_state", "queue_stop_pending", "queue_autostart_enabled"),
        *("worker_environment_exists", "items_in_history"),
    ):
        assert after[name] == before[name], name
    assert manager.worker_pid == worker
    if pause:
        manager.accepted("re_resume")
    held.end()
    assert [(item["item_uid"], item["result"]["exit_status"]) for item in manager.history] == [
        (waiting, "completed"),
        (held.uid, "completed"),
    ]
    manager.stop()


@pytest.mark.method("manager_kill")
@pytest.mark.row("zmq-api", "manager_kill")
def test_a_manager_that_hangs_is_replaced_within_seconds(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    old = manager.manager_pid
    begin = time.monotonic()
    assert manager.raw(manager.encode({"method": "manager_kill"}), timeout=0.5) is None
    manager.wait_answer()
    assert time.monotonic() - begin < 10
    assert manager.manager_pid != old
    manager.stop()


def test_an_immediate_execution_is_finished_by_the_next_manager(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    manager.open_environment()
    release = manager.release_file()
    item = manager.accepted("queue_item_execute", item=plan("hold", str(release)), **CALLER)["item"]
    manager.wait_status(lambda s: s["re_state"] == "running")
    manager.kill(manager.manager_pid)
    manager.wait_answer()
    running = manager.accepted("queue_get")["running_item"]
    assert (running["item_uid"], running["properties"]["immediate_execution"]) == (item["item_uid"], True)
    release.touch()
    manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")
    assert manager.queue == []
    assert manager.history[0]["result"]["exit_status"] == "completed"
    manager.stop()
