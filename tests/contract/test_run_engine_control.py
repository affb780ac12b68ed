"""Pause, resume, stop, abort, halt, and the runs of the plan in hand (zmq-api 5.8)."""

from __future__ import annotations

import json

import pytest

from contract_manager import COUNT, QUICK, ContractClient, ContractManager, plan


@pytest.mark.method("re_pause")
@pytest.mark.row("zmq-api", "re_pause, re_resume")
@pytest.mark.parametrize("option", [None, "deferred", "immediate"])
def test_a_plan_is_paused_and_resumed(manager: ContractClient, option: str | None) -> None:
    held = manager.start_holding()
    manager.accepted("re_pause", {} if option is None else {"option": option})
    status = manager.wait_status(lambda s: s["manager_state"] == "paused")
    assert (status["re_state"], status["pause_pending"]) == ("paused", False)
    assert status["running_item_uid"] == held.uid
    manager.accepted("re_resume")
    held.wait_running()
    held.end()
    assert [item["result"]["exit_status"] for item in manager.history] == ["completed"]


@pytest.mark.method("re_resume")
def test_a_plan_can_be_paused_again_and_again(manager: ContractClient) -> None:
    held = manager.start_holding()
    for _ in range(5):
        held.pause()
        manager.accepted("re_resume")
        held.wait_running()
    held.end()
    assert len(manager.history[0]["result"]["run_uids"]) == 1


def test_the_queue_goes_on_after_a_plan_that_was_paused(manager: ContractManager) -> None:
    waiting = manager.fill(2)
    held = manager.start_holding()
    held.pause("deferred")
    manager.accepted("re_resume")
    held.end()
    assert [item["item_uid"] for item in manager.history] == [held.uid, *waiting]


@pytest.mark.row("zmq-api", "re_pause: refusals")
def test_a_pause_is_refused_unless_the_run_engine_runs(manager: ContractManager) -> None:
    text = "Run engine can be paused only in 'running' state. Current state: '{}'"
    assert manager.call("re_pause") == {"success": False, "msg": text.format("idle")}
    held = manager.start_holding()
    assert manager.call("re_pause", option="now") == {
        "success": False,
        "msg": "Option 'now' is not supported. Available options: ('deferred', 'immediate')",
    }
    held.pause()
    assert manager.call("re_pause") == {"success": False, "msg": text.format("paused")}
    manager.accepted("re_abort")
    manager.wait_idle()


@pytest.mark.row("zmq-api", "re_resume, re_stop, re_abort, re_halt: refusals")
@pytest.mark.parametrize("method", ["re_resume", "re_stop", "re_abort", "re_halt"])
def test_what_continues_a_plan_needs_a_paused_manager(manager: ContractManager, method: str) -> None:
    assert manager.call(method)["msg"] == "RE Manager is not paused: current state is 'idle'"
    held = manager.start_holding()
    assert manager.call(method)["msg"] == "RE Manager is not paused: current state is 'executing_queue'"
    held.end()


@pytest.mark.row("zmq-api", "after re_halt the next plan runs")
@pytest.mark.parametrize(
    ("method", "exit_status"),
    [
        pytest.param(method, exit_status, marks=pytest.mark.method(method))
        for method, exit_status in (("re_stop", "stopped"), ("re_abort", "aborted"), ("re_halt", "halted"))
    ],
)
def test_after_the_end_of_a_paused_plan_the_next_one_runs_in_the_same_environment(
    manager: ContractClient, method: str, exit_status: str
) -> None:
    held = manager.start_holding()
    held.pause()
    manager.accepted(method)
    status = manager.wait_idle()
    assert status["re_state"] == "idle"
    assert [item["result"]["exit_status"] for item in manager.history] == [exit_status]
    manager.accepted("queue_clear")
    manager.run(COUNT)
    assert manager.history[-1]["result"]["exit_status"] == "completed"


@pytest.mark.row("zmq-api", "re_pause: deferred after the last checkpoint")
def test_a_deferred_pause_after_the_last_checkpoint_lets_the_plan_complete_and_stops_the_queue(
    manager: ContractManager,
) -> None:
    waiting = manager.fill(2)
    held = manager.start_holding("hold_after_last_checkpoint")
    manager.accepted("re_pause", option="deferred")
    assert manager.status()["pause_pending"] is True
    status = held.end()
    assert status["pause_pending"] is False
    assert [item["result"]["exit_status"] for item in manager.history] == ["completed"]
    assert manager.queue_uids == waiting
    manager.run(COUNT)  # the pause that was not reached does not stop the next run of the queue
    assert manager.queue == []


def test_an_immediate_pause_overtakes_a_deferred_one(manager: ContractManager) -> None:
    held = manager.start_holding("hold_after_last_checkpoint")
    manager.accepted("re_pause", option="deferred")
    status = held.pause("immediate")
    assert status["pause_pending"] is False
    manager.accepted("re_resume")
    held.end()
    assert manager.history[0]["result"]["exit_status"] == "completed"


def test_a_deferred_pause_where_there_is_no_checkpoint_waits_for_one_that_never_comes(manager: ContractManager) -> None:
    held = manager.start_holding("hold_without_checkpoint")
    manager.wait_status(lambda _: manager.accepted("re_runs")["run_list"])
    manager.accepted("re_pause", option="deferred")
    assert manager.status()["re_state"] == "running"
    held.end()
    assert manager.history[0]["result"]["exit_status"] == "completed"


# Runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.method("re_runs")
@pytest.mark.row("zmq-api", "re_runs")
def test_the_runs_of_the_plan_in_hand(manager: ContractClient) -> None:
    held = manager.start_holding("hold_in_nested_runs")
    manager.wait_status(lambda _: [r["is_open"] for r in manager.accepted("re_runs")["run_list"]] == [True, False])
    outer, inner = manager.accepted("re_runs", option="active")["run_list"]
    assert outer == {"uid": outer["uid"], "scan_id": outer["scan_id"], "is_open": True, "exit_status": None}
    assert inner == {"uid": inner["uid"], "scan_id": outer["scan_id"] + 1, "is_open": False, "exit_status": "success"}
    assert manager.accepted("re_runs", option="open")["run_list"] == [outer]
    assert manager.accepted("re_runs", option="closed")["run_list"] == [inner]
    held.end()
    assert manager.accepted("re_runs")["run_list"] == []
    result = manager.history[0]["result"]
    assert result["run_uids"] == [outer["uid"], inner["uid"]]
    assert result["scan_ids"] == [outer["scan_id"], inner["scan_id"]]


def test_runs_of_an_aborted_plan_are_in_the_history(manager: ContractManager) -> None:
    held = manager.start_holding()
    manager.wait_status(lambda _: manager.accepted("re_runs")["run_list"])
    held.pause()
    (run,) = manager.accepted("re_runs")["run_list"]
    manager.accepted("re_abort")
    manager.wait_idle()
    assert manager.history[0]["result"]["run_uids"] == [run["uid"]]


def test_a_plan_without_runs_has_none(manager: ContractManager) -> None:
    manager.run(QUICK)
    result = manager.history[0]["result"]
    assert (result["run_uids"], result["scan_ids"]) == ([], [])


@pytest.mark.parametrize("meta", [{"a": 1, "b": 2}, [{"a": 1}, {"b": 2, "a": 3}]])
def test_metadata_of_the_item_is_in_the_start_document(manager: ContractManager, meta: object) -> None:
    path = manager.release_file()
    item = plan("write_start_document", str(path)) | {"meta": meta}
    manager.run(item)
    document = json.loads(path.read_text())
    assert (document["a"], document["b"], document["metadata_key"]) == (1, 2, "metadata_value")
    assert manager.history[0]["meta"] == meta
    assert manager.history[0]["result"]["run_uids"] == [document["uid"]]


def test_scan_ids_count_up(manager: ContractManager) -> None:
    manager.run(COUNT, COUNT, plan("count", ["det"], num=2))
    first, second, third = (item["result"]["scan_ids"][0] for item in manager.history)
    assert (second, third) == (first + 1, first + 2)
