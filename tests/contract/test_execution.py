"""Starting and stopping the queue, autostart, immediate execution, the queue's mode (zmq-api 5.5, 5.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract_manager import CALLER, QUICK, STOP_INSTRUCTION, ContractClient, ContractManager, plan

# Start ----------------------------------------------------------------------------------------------------------


@pytest.mark.row("zmq-api", "queue_start: empty queue")
def test_an_empty_queue_can_be_started(manager: ContractManager) -> None:
    assert manager.call("queue_start") == {"success": True, "msg": ""}
    assert manager.wait_idle()["items_in_history"] == 0


@pytest.mark.row("zmq-api", "environment_close: busy")
def test_what_needs_an_idle_manager_is_refused_while_the_queue_runs_and_while_it_is_paused(
    manager: ContractManager,
) -> None:
    held = manager.start_holding()
    busy = {
        "queue_start": "RE Manager is busy.",
        "environment_open": "RE Worker environment already exists.",
        "environment_close": "Queue execution is in progress.",
        "re_resume": "RE Manager is not paused: current state is 'executing_queue'",
        "manager_stop": "Error: Closing RE Manager with option 'safe_on' is allowed only in 'idle' state. "
        "Current state: 'executing_queue'",
    }
    for method, text in busy.items():
        assert manager.call(method) == {"success": False, "msg": text}
    refused = manager.call("queue_item_execute", item=QUICK, **CALLER)
    assert refused["msg"] == "Failed to start execution of the item: RE Manager is busy."
    held.pause()
    for method, text in (
        ("queue_start", "RE Manager is busy."),
        ("queue_stop", "Failed to pause the queue. Queue is not running. Manager state: MState.PAUSED"),
        ("environment_close", "Manager state is not idle. Current state: paused"),
    ):
        assert manager.call(method) == {"success": False, "msg": text}
    manager.accepted("re_resume")
    held.end()


def test_the_queue_can_be_changed_while_it_runs(manager: ContractManager) -> None:
    held = manager.start_holding()
    uids = [manager.add()["item_uid"] for _ in range(3)]
    manager.accepted("queue_item_move", uid=uids[2], pos_dest="front")
    manager.accepted("queue_item_remove", uid=uids[0])
    held.end()
    assert [item["item_uid"] for item in manager.history] == [held.uid, uids[2], uids[1]]


@pytest.mark.method("queue_clear")
@pytest.mark.row("zmq-api", "queue_clear")
def test_clearing_the_queue_leaves_the_running_item(manager: ContractClient) -> None:
    held = manager.start_holding()
    manager.add()
    manager.accepted("queue_clear")
    assert manager.status()["running_item_uid"] == held.uid
    held.end()
    assert [item["item_uid"] for item in manager.history] == [held.uid]


@pytest.mark.row("zmq-api", "queue_start: refusals")
def test_starting_needs_a_run_engine_in_the_environment(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    assert manager.startup_dir is not None
    (manager.startup_dir / "99-no-engine.py").write_text("del RE\n")
    status = manager.open_environment()
    assert status["re_state"] is None
    text = "Run Engine is not found in the RE Worker environment."
    assert manager.call("queue_start") == {"success": False, "msg": text}
    refused = manager.call("queue_item_execute", item=QUICK, **CALLER)
    assert refused["msg"] == f"Failed to start execution of the item: {text}"
    manager.accepted("queue_item_add", item=QUICK, **CALLER)
    manager.accepted("queue_autostart", enable=True)
    assert manager.status()["manager_state"] == "idle"
    manager.stop()


# Stop -----------------------------------------------------------------------------------------------------------


@pytest.mark.method("queue_stop")
@pytest.mark.row("zmq-api", "queue_stop")
def test_a_pending_stop_takes_effect_after_the_item_in_hand(manager: ContractClient) -> None:
    waiting = manager.fill(2)
    held = manager.start_holding()
    manager.accepted("queue_stop")
    assert manager.status()["queue_stop_pending"] is True
    status = held.end()
    assert status["queue_stop_pending"] is False
    assert manager.queue_uids == waiting
    assert [item["result"]["exit_status"] for item in manager.history] == ["completed"]


@pytest.mark.row("zmq-api", "queue_stop switches autostart off")
def test_a_pending_stop_that_takes_effect_switches_autostart_off(manager: ContractManager) -> None:
    manager.accepted("queue_autostart", enable=True)
    release = manager.release_file()
    manager.add(plan("hold", str(release)))
    manager.add()
    manager.wait_status(lambda s: s["re_state"] == "running")
    manager.accepted("queue_stop")
    assert manager.status()["queue_autostart_enabled"] is True
    release.touch()
    status = manager.wait_idle()
    assert status["queue_autostart_enabled"] is False
    assert status["items_in_queue"] == 1


@pytest.mark.method("queue_stop_cancel")
@pytest.mark.row("zmq-api", "queue_stop_cancel")
def test_a_pending_stop_can_be_taken_back(manager: ContractClient) -> None:
    manager.fill(2)
    held = manager.start_holding()
    manager.accepted("queue_stop")
    manager.accepted("queue_stop_cancel")
    assert manager.status()["queue_stop_pending"] is False
    held.end()
    assert manager.queue == []


@pytest.mark.row("zmq-api", "queue_stop_cancel never refuses")
def test_taking_a_stop_back_that_was_never_asked_for_is_a_success(manager: ContractManager) -> None:
    assert manager.call("queue_stop_cancel") == {"success": True, "msg": ""}


def test_a_pending_stop_survives_a_pause_and_ends_with_the_item(manager: ContractManager) -> None:
    waiting = manager.fill(1)
    held = manager.start_holding()
    manager.accepted("queue_stop")
    held.pause()
    assert manager.status()["queue_stop_pending"] is True
    manager.accepted("re_resume")
    held.end()
    assert manager.queue_uids == waiting


@pytest.mark.row("zmq-api", "queue_stop is cleared at every return to idle")
def test_every_return_to_idle_clears_a_pending_stop(manager: ContractManager) -> None:
    held = manager.start_holding()
    manager.accepted("queue_stop")
    held.pause()
    manager.accepted("re_abort")
    assert manager.wait_idle()["queue_stop_pending"] is False


# The instruction ------------------------------------------------------------------------------------------------


@pytest.mark.row("zmq-api", "instruction queue_stop")
def test_the_instruction_stops_the_queue_and_is_gone(manager: ContractManager) -> None:
    manager.add()
    manager.add(STOP_INSTRUCTION)
    after = manager.add()["item_uid"]
    manager.run()
    assert manager.queue_uids == [after]
    assert [item["name"] for item in manager.history] == ["null"]


@pytest.mark.row("zmq-api", "instruction queue_stop switches autostart off")
def test_the_instruction_switches_autostart_off(manager: ContractManager) -> None:
    manager.add(STOP_INSTRUCTION)
    manager.add()
    manager.accepted("queue_autostart", enable=True)
    status = manager.wait_status(lambda s: s["items_in_queue"] == 1 and s["manager_state"] == "idle")
    assert status["queue_autostart_enabled"] is False


@pytest.mark.row("zmq-api", "mode loop: instructions")
def test_in_loop_mode_the_instruction_goes_to_the_back_with_a_new_uid(manager: ContractManager) -> None:
    instruction = manager.add(STOP_INSTRUCTION)
    waiting = manager.add()["item_uid"]
    manager.accepted("queue_mode_set", mode={"loop": True})
    manager.start_queue()
    manager.wait_idle()
    first, second = manager.queue
    assert first["item_uid"] == waiting
    assert second["item_uid"] != instruction["item_uid"]
    assert second["queued_at"] > instruction["queued_at"]
    assert second == instruction | {key: second[key] for key in ("item_uid", "queued_at")}


# Autostart ------------------------------------------------------------------------------------------------------


@pytest.mark.method("queue_autostart")
@pytest.mark.row("zmq-api", "queue_autostart starts the queue")
def test_autostart_starts_a_queue_that_is_not_empty(manager: ContractClient) -> None:
    manager.fill(2)
    manager.accepted("queue_autostart", enable=True)
    status = manager.wait_status(lambda s: s["items_in_history"] == 2)
    assert status["queue_autostart_enabled"] is True


@pytest.mark.row("zmq-api", "queue_autostart: added items")
@pytest.mark.parametrize("batch", [False, True])
def test_with_autostart_an_added_item_starts_at_once(manager: ContractManager, batch: bool) -> None:
    manager.accepted("queue_autostart", enable=True)
    if batch:
        manager.accepted("queue_item_add_batch", items=[QUICK, QUICK], **CALLER)
    else:
        manager.add()
    assert manager.status()["manager_state"] != "idle" or manager.status()["items_in_history"]
    manager.wait_status(lambda s: s["items_in_history"] == (2 if batch else 1) and s["manager_state"] == "idle")
    assert manager.queue == []


@pytest.mark.row("zmq-api", "queue_autostart: close and open")
def test_autostart_waits_for_an_environment_and_outlives_its_closing(closed_manager: ContractManager) -> None:
    manager = closed_manager
    manager.accepted("queue_autostart", enable=True)
    manager.add()
    assert manager.status()["manager_state"] == "idle"
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")
    manager.close_environment()
    assert manager.status()["queue_autostart_enabled"] is True
    manager.add()
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["items_in_history"] == 2 and s["manager_state"] == "idle")


@pytest.mark.method("environment_destroy")
@pytest.mark.row("zmq-api", "environment_destroy: autostart off", "autostart repeats no plan by itself")
def test_autostart_is_off_after_the_environment_was_destroyed(manager: ContractClient) -> None:
    manager.accepted("queue_autostart", enable=True)
    manager.destroy_environment()
    assert manager.status()["queue_autostart_enabled"] is False


def test_switching_autostart_off_leaves_the_running_queue_alone(manager: ContractManager) -> None:
    manager.accepted("queue_autostart", enable=True)
    release = manager.release_file()
    manager.add(plan("hold", str(release)))
    manager.add()
    manager.wait_status(lambda s: s["re_state"] == "running")
    manager.accepted("queue_autostart", enable=False)
    release.touch()
    manager.wait_status(lambda s: s["items_in_history"] == 2)


@pytest.mark.row("zmq-api", "queue_autostart: idempotent")
def test_autostart_can_be_switched_twice(manager: ContractManager) -> None:
    for enable in (True, True, False, False):
        manager.accepted("queue_autostart", enable=enable)
        assert manager.status()["queue_autostart_enabled"] is enable


@pytest.mark.row("zmq-api", "queue_item_execute: busy")
def test_an_item_cannot_be_executed_at_once_while_autostart_runs_the_queue(manager: ContractManager) -> None:
    manager.accepted("queue_autostart", enable=True)
    release = manager.release_file()
    manager.add(plan("hold", str(release)))
    refused = manager.call("queue_item_execute", item=QUICK, **CALLER)
    assert refused["msg"] == "Failed to start execution of the item: RE Manager is busy."
    release.touch()
    manager.wait_idle()


# Immediate execution --------------------------------------------------------------------------------------------


@pytest.mark.method("queue_item_execute")
@pytest.mark.row("zmq-api", "queue_item_execute: the queue does not follow")
def test_the_queue_does_not_start_after_an_item_that_was_executed_at_once(manager: ContractClient) -> None:
    waiting = manager.fill(2)
    manager.accepted("queue_item_execute", item=QUICK, **CALLER)
    manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")
    assert manager.queue_uids == waiting


@pytest.mark.row("zmq-api", "queue_item_execute: checks")
def test_the_item_of_an_immediate_execution_is_checked_like_any_other(manager: ContractManager) -> None:
    reply = manager.call("queue_item_execute", item=plan("no_such_plan"), **CALLER)
    assert (reply["success"], reply["qsize"], reply["item"]) == (False, None, plan("no_such_plan"))
    assert reply["msg"].startswith("Failed to start execution of the item: Plan validation failed: ")


# Mode -----------------------------------------------------------------------------------------------------------


@pytest.mark.row("zmq-api", "queue_mode_set: merge and default")
@pytest.mark.parametrize(
    ("modes", "loop", "ignore_failures"),
    [
        ([{}], False, False),
        ([{"loop": True}], True, False),
        ([{"ignore_failures": True}], False, True),
        ([{"loop": True}, {"ignore_failures": True}], True, True),
        ([{"loop": True, "ignore_failures": True}, {"loop": False}], False, True),
        ([{"loop": True, "ignore_failures": True}, "default"], False, False),
    ],
)
def test_modes_are_merged(closed_manager: ContractManager, modes: list[Any], loop: bool, ignore_failures: bool) -> None:
    for mode in modes:
        closed_manager.accepted("queue_mode_set", mode=mode)
    assert closed_manager.status()["plan_queue_mode"] == {"loop": loop, "ignore_failures": ignore_failures}


@pytest.mark.row("zmq-api", "queue_mode_set: refusals")
def test_one_bad_key_changes_nothing(closed_manager: ContractManager) -> None:
    closed_manager.call("queue_mode_set", mode={"loop": True, "ignore_failures": 1})
    assert closed_manager.status()["plan_queue_mode"] == {"loop": False, "ignore_failures": False}
