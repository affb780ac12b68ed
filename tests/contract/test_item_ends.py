"""What happens to the running item when it ends, and to the queue (zmq-api 7), and what history tells (4.3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from contract_manager import CALLER, COUNT, QUICK, UID, ContractClient, ContractManager, Held, plan

LOOP, IGNORE, BOTH = {"loop": True}, {"ignore_failures": True}, {"loop": True, "ignore_failures": True}


def complete(manager: ContractManager) -> None:
    _start(manager, COUNT)


def fail(manager: ContractManager) -> None:
    _start(manager, plan("fail", "the shutter is stuck"))


def _paused(manager: ContractManager) -> Held:
    release = manager.release_file()
    held = Held(manager, _start(manager, plan("hold", str(release))), release)
    held.wait_running()
    held.pause()
    return held


def stop(manager: ContractManager) -> None:
    _paused(manager)
    manager.accepted("re_stop")


def abort(manager: ContractManager) -> None:
    _paused(manager)
    manager.accepted("re_abort")


def halt(manager: ContractManager) -> None:
    _paused(manager)
    manager.accepted("re_halt")


def pause_without_checkpoint(manager: ContractManager) -> None:
    release = manager.release_file()
    held = Held(manager, _start(manager, plan("hold_without_checkpoint", str(release))), release)
    held.wait_running()
    manager.wait_status(lambda _: manager.accepted("re_runs")["run_list"])
    manager.accepted("re_pause", option="immediate")


def destroy(manager: ContractManager) -> None:
    release = manager.release_file()
    Held(manager, _start(manager, plan("hold", str(release))), release).wait_running()
    manager.accepted("environment_destroy")


def refuse(manager: ContractManager) -> None:
    manager.accepted("queue_item_execute", item=plan("forget_plan", "remember_start"), **CALLER)
    manager.wait_idle()
    manager.accepted("history_clear")
    _start(manager, plan("remember_start", str(manager.release_file())))


def lose_worker(manager: ContractManager) -> None:
    release = manager.release_file()
    Held(manager, _start(manager, plan("hold", str(release))), release).wait_running()
    manager.wait_status(lambda _: manager.accepted("re_runs")["run_list"])
    manager.kill(manager.worker_pid)


def _start(manager: ContractManager, item: dict[str, Any]) -> dict[str, Any]:
    """Put the item before what is queued and start the queue."""
    starts_itself = manager.status()["queue_autostart_enabled"]
    stored = manager.add(item, pos="front")
    if not starts_itself:
        manager.start_queue()
    return stored


# (name of the row, how it ends, mode, exit_status, where the item goes, queue goes on)
ROWS: list[tuple[str, Callable[[ContractManager], None], dict[str, bool], str, str, bool]] = [
    ("success", complete, {}, "completed", "nowhere", True),
    ("success, loop", complete, LOOP, "completed", "back", True),
    ("exception", fail, {}, "failed", "front", False),
    ("exception, loop", fail, LOOP, "failed", "front", False),
    ("exception, ignore_failures", fail, IGNORE, "failed", "nowhere", True),
    ("exception, ignore_failures and loop", fail, BOTH, "failed", "back", True),
    ("re_stop", stop, {}, "stopped", "nowhere", False),
    ("re_stop, loop", stop, LOOP, "stopped", "back", False),
    ("re_abort", abort, {}, "aborted", "front", False),
    ("re_abort, ignore_failures and loop", abort, BOTH, "aborted", "front", False),
    ("re_halt", halt, {}, "halted", "front", False),
    ("re_halt, ignore_failures", halt, IGNORE, "halted", "front", False),
    ("the worker refuses to start it", refuse, {}, "failed", "front", False),
    ("the worker refuses to start it, ignore_failures", refuse, IGNORE, "failed", "front", False),
    ("environment destroyed", destroy, {}, "failed", "front", False),
    ("environment destroyed, ignore_failures and loop", destroy, BOTH, "failed", "front", False),
    ("worker killed", lose_worker, {}, "failed", "front", False),
    ("paused where the plan has no checkpoint", pause_without_checkpoint, {}, "failed", "front", False),
]


@pytest.mark.row("zmq-api", "every end of a plan")
@pytest.mark.parametrize(
    ("end", "mode", "exit_status", "place", "goes_on"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_the_end_of_an_item(
    manager: ContractManager,
    end: Callable[[ContractManager], None],
    mode: dict[str, bool],
    exit_status: str,
    place: str,
    goes_on: bool,
) -> None:
    # With loop the queue would go on for ever; an instruction stops it after the first round.
    manager.add({"item_type": "instruction", "name": "queue_stop"})
    manager.accepted("queue_mode_set", mode=mode)
    before = time.time()
    end(manager)
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] > 0)
    manager.accepted("queue_mode_set", mode="default")

    (entry,) = manager.history
    result = entry["result"]
    assert result["exit_status"] == exit_status
    contract = {"exit_status", "run_uids", "scan_ids", "time_start", "time_stop", "msg", "traceback"}
    assert set(result) == {*contract, "startup_revision"}
    assert before <= result["time_start"] <= result["time_stop"] <= time.time()
    assert "properties" not in entry

    queue = manager.queue
    instruction = [item["name"] for item in queue].count("queue_stop")
    assert instruction == (0 if goes_on and not mode.get("loop") else 1)
    others = [item for item in queue if item["name"] != "queue_stop"]
    if place == "nowhere":
        assert others == []
        return
    (returned,) = others
    assert queue.index(returned) == (0 if place == "front" or goes_on else 1)
    assert returned["item_uid"] != entry["item_uid"]
    assert UID.fullmatch(returned["item_uid"])
    assert {key: returned.get(key) for key in ("name", "args", "kwargs", "user")} == {
        key: entry.get(key) for key in ("name", "args", "kwargs", "user")
    }
    assert "properties" not in returned
    assert returned.get("result") == (result if place == "front" else None)


@pytest.mark.row("zmq-api", "autostart stays on after a success alone")
@pytest.mark.parametrize(
    ("end", "exit_status"),
    [
        (complete, "completed"),
        (fail, "failed"),
        (stop, "stopped"),
        (abort, "aborted"),
        (halt, "halted"),
        (refuse, "failed"),
        (destroy, "failed"),
        (lose_worker, "failed"),
        (pause_without_checkpoint, "failed"),
    ],
)
def test_autostart_stays_on_after_a_success_alone(
    manager: ContractManager, end: Callable[[ContractManager], None], exit_status: str
) -> None:
    if end is refuse:
        manager.accepted("queue_item_execute", item=plan("forget_plan", "remember_start"), **CALLER)
        manager.wait_idle()
        manager.accepted("history_clear")
    manager.accepted("queue_autostart", enable=True)
    if end is refuse:
        _start(manager, plan("remember_start", str(manager.release_file())))
    else:
        end(manager)
    status = manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] > 0)
    assert [item["result"]["exit_status"] for item in manager.history] == [exit_status]
    assert status["queue_autostart_enabled"] is (exit_status == "completed")


@pytest.mark.method("queue_start")
@pytest.mark.row("zmq-api", "after a success the queue goes on")
def test_after_a_success_the_next_item_is_taken(manager: ContractClient) -> None:
    uids = manager.fill(5)
    manager.run()
    assert [item["item_uid"] for item in manager.history] == uids
    assert manager.queue == []


@pytest.mark.row("zmq-api", "mode ignore_failures")
def test_ignored_failures_do_not_stop_the_queue(manager: ContractManager) -> None:
    manager.accepted("queue_mode_set", mode=IGNORE)
    for item in (QUICK, plan("fail", "one"), QUICK, plan("fail", "two"), QUICK):
        manager.add(item)
    manager.run()
    assert [item["result"]["exit_status"] for item in manager.history] == [
        *("completed", "failed", "completed", "failed"),
        "completed",
    ]
    assert manager.queue == []


@pytest.mark.method("queue_mode_set")
@pytest.mark.row("zmq-api", "mode loop")
def test_in_loop_mode_items_come_round_with_new_uids(manager: ContractClient) -> None:
    uids = manager.fill(3)
    manager.accepted("queue_mode_set", mode=LOOP)
    manager.start_queue()
    manager.wait_status(lambda s: s["items_in_history"] >= 10)
    manager.accepted("queue_stop")
    manager.wait_idle()
    done, waiting = [item["item_uid"] for item in manager.history], manager.queue_uids
    assert done[:3] == uids
    assert len(waiting) == 3
    assert len(set(done + waiting)) == len(done) + 3


# What history tells ---------------------------------------------------------------------------------------------


@pytest.mark.row("zmq-api", "history item: result")
def test_a_completed_plan(manager: ContractManager) -> None:
    item = manager.add(plan("hold", str(manager.release_file()), runs=3) | {"meta": {"sample": "Cu"}})
    (manager.directory / item["args"][0]).touch()
    manager.run()
    (entry,) = manager.history
    result = entry.pop("result")
    assert entry == item
    assert (result["exit_status"], result["msg"], result["traceback"]) == ("completed", "", "")
    assert len(set(result["run_uids"])) == 3
    assert [number - result["scan_ids"][0] for number in result["scan_ids"]] == [0, 1, 2]


@pytest.mark.row("zmq-api", "history item: traceback and runs of a failure")
def test_a_failed_plan_keeps_its_runs_and_the_traceback(manager: ContractManager) -> None:
    manager.run(plan("fail", "the shutter is stuck", runs=2))
    (entry,) = manager.history
    result = entry["result"]
    assert "the shutter is stuck" in result["msg"]
    assert result["traceback"].startswith("Traceback (most recent call last):\n")
    assert "RuntimeError: the shutter is stuck" in result["traceback"]
    assert "queueserver_worker" not in result["traceback"]
    assert len(result["run_uids"]) == len(result["scan_ids"]) == 2


@pytest.mark.row("zmq-api", "environment destroyed")
def test_a_plan_in_a_destroyed_environment_says_so_and_has_no_runs(manager: ContractManager) -> None:
    destroy(manager)
    manager.wait_idle()
    result = manager.history[0]["result"]
    assert result["msg"].startswith("RE Worker environment was destroyed")
    assert (result["run_uids"], result["scan_ids"]) == ([], [])


@pytest.mark.row("zmq-api", "worker killed")
def test_a_lost_worker_is_told_with_its_cause(manager: ContractManager) -> None:
    lose_worker(manager)
    status = manager.wait_status(lambda s: s["items_in_history"] == 1)
    message = manager.history[0]["result"]["msg"]
    assert "was lost" in message
    assert "SIGKILL" in message
    assert "SIGKILL" in status["environment_error"]
    assert status["worker_environment_exists"] is False
    (run,) = manager.history[0]["result"]["run_uids"]
    assert run in message


@pytest.mark.row("zmq-api", "a stale result")
def test_a_returned_item_that_succeeds_later_leaves_the_old_result_behind(manager: ContractManager) -> None:
    manager.run(plan("fail", "first time"))
    (returned,) = manager.queue
    assert returned["result"]["exit_status"] == "failed"
    corrected = QUICK | {"item_uid": returned["item_uid"]}
    manager.accepted("queue_item_update", item=corrected, **CALLER)
    assert "result" not in manager.queue[0]
    manager.run()
    assert [item["result"]["exit_status"] for item in manager.history] == ["failed", "completed"]


@pytest.mark.row("zmq-api", "requeued_from (addition)")
def test_a_returned_item_names_its_history_entry(manager: ContractManager) -> None:
    manager.run(plan("fail", "first time"))
    assert manager.queue[0]["requeued_from"] == manager.history[0]["item_uid"]


@pytest.mark.row("zmq-api", "item: properties")
def test_the_running_item_shows_when_it_started_and_loses_that_when_it_returns(manager: ContractManager) -> None:
    before = time.time()
    held = manager.start_holding()
    running = manager.accepted("queue_get")["running_item"]
    assert running.pop("properties").keys() == {"time_start"}
    assert running == held.item
    assert before <= manager.accepted("queue_get")["running_item"]["properties"]["time_start"] <= time.time()
    held.pause()
    manager.accepted("re_abort")
    manager.wait_idle()
    assert manager.accepted("queue_get")["running_item"] == {}
    assert "properties" not in manager.queue[0]
    assert "properties" not in manager.history[0]


@pytest.mark.row("zmq-api", "other properties stay")
def test_other_properties_of_an_item_stay(manager: ContractManager) -> None:
    manager.add(plan("fail", "text") | {"properties": {"color": "red"}})
    manager.run()
    assert manager.history[0]["properties"] == {"color": "red"}
    assert manager.queue[0]["properties"] == {"color": "red"}


# Immediate execution --------------------------------------------------------------------------------------------


@pytest.mark.row("zmq-api", "queue_item_execute", "immediate execution is never requeued")
@pytest.mark.parametrize(
    ("item", "exit_status"), [(COUNT, "completed"), (plan("fail", "the shutter is stuck"), "failed")]
)
@pytest.mark.parametrize("mode", [{}, BOTH])
def test_an_item_that_is_executed_at_once_never_gets_into_the_queue(
    manager: ContractManager, item: dict[str, Any], exit_status: str, mode: dict[str, bool]
) -> None:
    (waiting,) = manager.fill(1)
    manager.accepted("queue_mode_set", mode=mode)
    reply = manager.accepted("queue_item_execute", item=item, **CALLER)
    assert reply["qsize"] == 1
    assert UID.fullmatch(reply["item"]["item_uid"])
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] == 1)
    (entry,) = manager.history
    assert entry["item_uid"] == reply["item"]["item_uid"]
    assert entry["result"]["exit_status"] == exit_status
    assert "properties" not in entry
    assert manager.queue_uids == [waiting]


@pytest.mark.parametrize("method", ["re_resume", "re_stop", "re_abort", "re_halt"])
def test_an_item_that_is_executed_at_once_can_be_paused_and_ended(manager: ContractManager, method: str) -> None:
    release = manager.release_file()
    item = manager.accepted("queue_item_execute", item=plan("hold", str(release)), **CALLER)["item"]
    held = Held(manager, item, release)
    held.wait_running()
    running = manager.accepted("queue_get")["running_item"]
    assert running["properties"]["immediate_execution"] is True
    held.pause()
    held.release()
    manager.accepted(method)
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] == 1)
    assert manager.queue == []


@pytest.mark.row("zmq-api", "queue_item_execute: instruction")
def test_an_instruction_that_is_executed_at_once_leaves_no_trace_but_switches_autostart_off(
    manager: ContractManager,
) -> None:
    manager.accepted("queue_autostart", enable=True)
    instruction = {"item_type": "instruction", "name": "queue_stop"}
    manager.accepted("queue_item_execute", item=instruction, **CALLER)
    status = manager.wait_idle()
    assert status["queue_autostart_enabled"] is False
    assert (manager.queue, manager.history) == ([], [])
