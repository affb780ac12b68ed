"""The published client opens environments and runs plans: every method, blocking and asyncio."""

from __future__ import annotations

import pytest
from bluesky_queueserver_api import BFunc, BInst, BPlan
from bluesky_queueserver_api.zmq import REManagerAPI

from contract_manager import ContractManager
from published_client import Client

TIMEOUT = 20


def _hold(client: Client, manager: ContractManager) -> BPlan:
    """Start the queue with a plan that waits, and return when it runs."""
    release = manager.release_file()
    client.do("item_add", BPlan("hold", str(release)))
    client.do("queue_start")
    client.do("wait_for_condition", lambda status: status["re_state"] == "running", timeout=TIMEOUT)
    return release


def _exit_statuses(client: Client) -> list[str]:
    return [item["result"]["exit_status"] for item in client.do("history_get", reload=True)["items"]]


def test_environment_close_open_and_destroy(client: Client) -> None:
    client.do("environment_close")
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert client.do("status", reload=True)["worker_environment_exists"] is False
    with pytest.raises(REManagerAPI.RequestFailedError, match="RE Worker environment does not exist"):
        client.do("queue_start")
    client.do("environment_open")
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert client.do("status", reload=True)["worker_environment_exists"] is True
    client.do("environment_destroy")
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert client.do("status", reload=True)["worker_environment_exists"] is False


def test_queue_start_runs_the_queue_and_history_get_tells(client: Client) -> None:
    client.do("item_add_batch", [BPlan("count", ["det"], num=2), BPlan("null"), BInst("queue_stop"), BPlan("null")])
    client.do("queue_start")
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert _exit_statuses(client) == ["completed", "completed"]
    assert len(client.do("queue_get", reload=True)["items"]) == 1


def test_item_execute(client: Client) -> None:
    reply = client.do("item_execute", BPlan("count", ["det"]))
    client.do("wait_for_idle", timeout=TIMEOUT)
    (item,) = client.do("history_get", reload=True)["items"]
    assert item["item_uid"] == reply["item"]["item_uid"]


def test_script_upload_and_task_result(client: Client) -> None:
    reply = client.do("script_upload", "def func_for_test_add(a, b):\n    return a + b")
    client.do("wait_for_completed_task", reply["task_uid"], timeout=TIMEOUT)
    assert client.do("task_status", reply["task_uid"])["status"] == "completed"
    assert client.do("task_result", reply["task_uid"])["result"]["success"] is True
    assert client.do("environment_update", run_in_background=True)["success"] is True


@pytest.mark.parametrize("background", [False, True])
def test_function_execute_and_task_status(client: Client, background: bool) -> None:
    function = BFunc("function_sleep", 0.05)
    reply = client.do("function_execute", function, run_in_background=background)
    uid = reply["task_uid"]
    assert reply["item"]["item_uid"] == uid
    client.do("wait_for_completed_task", uid, timeout=TIMEOUT)
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert client.do("task_status", [uid, "x"])["status"] == {uid: "completed", "x": "not_found"}
    assert client.do("task_result", uid)["result"]["return_value"] == {"success": True, "time": 0.05}
    with pytest.raises(REManagerAPI.RequestFailedError, match="is not allowed for users from 'primary' group"):
        client.do("function_execute", BFunc("no_such_function"))


@pytest.mark.parametrize("option", ["deferred", "immediate"])
def test_re_pause_and_re_resume(client: Client, manager: ContractManager, option: str) -> None:
    release = _hold(client, manager)
    client.do("re_pause", option)
    client.do("wait_for_idle_or_paused", timeout=TIMEOUT)
    assert client.do("status", reload=True)["manager_state"] == "paused"
    client.do("re_resume")
    release.touch()
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert _exit_statuses(client) == ["completed"]


@pytest.mark.parametrize(
    ("method", "exit_status"), [("re_stop", "stopped"), ("re_abort", "aborted"), ("re_halt", "halted")]
)
def test_re_stop_re_abort_and_re_halt(client: Client, manager: ContractManager, method: str, exit_status: str) -> None:
    _hold(client, manager)
    client.do("re_pause")
    client.do("wait_for_idle_or_paused", timeout=TIMEOUT)
    client.do(method)
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert _exit_statuses(client) == [exit_status]


def test_re_runs(client: Client, manager: ContractManager) -> None:
    release = _hold(client, manager)
    manager.wait_status(lambda _: manager.accepted("re_runs")["run_list"])
    client.do("status", reload=True)
    (run,) = client.do("re_runs")["run_list"]
    assert (run["is_open"], run["exit_status"]) == (True, None)
    assert client.do("re_runs", "open")["run_list"] == [run]
    assert client.do("re_runs", "closed")["run_list"] == []
    release.touch()
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert client.do("re_runs")["run_list"] == []


def test_queue_stop_and_queue_stop_cancel(client: Client, manager: ContractManager) -> None:
    release = _hold(client, manager)
    client.do("item_add", BPlan("null"))
    client.do("queue_stop")
    assert client.do("status", reload=True)["queue_stop_pending"] is True
    client.do("queue_stop_cancel")
    assert client.do("status", reload=True)["queue_stop_pending"] is False
    client.do("queue_stop")
    release.touch()
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert len(client.do("queue_get", reload=True)["items"]) == 1


def test_queue_autostart(client: Client) -> None:
    client.do("queue_autostart", True)
    client.do("item_add", BPlan("null"))
    client.do("wait_for_condition", lambda status: status["items_in_history"] == 1, timeout=TIMEOUT)
    client.do("queue_autostart", False)
    assert client.do("status", reload=True)["queue_autostart_enabled"] is False


def test_history_clear(client: Client) -> None:
    uids = [client.do("item_add", BPlan("null"))["item"]["item_uid"] for _ in range(5)]
    client.do("queue_start")
    client.do("wait_for_idle", timeout=TIMEOUT)

    def left() -> list[str]:
        return [item["item_uid"] for item in client.do("history_get", reload=True)["items"]]

    assert left() == uids
    client.do("history_clear", size=4)
    assert left() == uids[1:]
    client.do("history_clear", item_uid=uids[2])
    assert left() == uids[3:]
    client.do("history_clear")
    assert left() == []


def test_wait_for_idle_or_running(client: Client, manager: ContractManager) -> None:
    release = _hold(client, manager)
    client.do("wait_for_idle_or_running", timeout=TIMEOUT)
    with pytest.raises(REManagerAPI.WaitTimeoutError):
        client.do("wait_for_idle", timeout=0.2)
    release.touch()
    client.do("wait_for_idle", timeout=TIMEOUT)
