"""Scripts, functions and tasks: results, states, lists, additions (zmq-api 5.4, 4.4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from contract_manager import CALLER, QUICK, ContractClient, ContractManager, ReleaseFile, plan
from manager_client import Status

SLEEP = {"item_type": "function", "name": "function_sleep", "args": [0]}


def hold(release: ReleaseFile, then: str = "") -> str:
    """A script that waits for a file."""
    return f"import pathlib, time\nwhile not pathlib.Path({str(release)!r}).exists(): time.sleep(0.005)\n{then}"


def wait_idle_tasks(manager: ContractClient) -> Status:
    return manager.wait_status(lambda s: s["manager_state"] == "idle" and not s["worker_background_tasks"])


@pytest.fixture
def release(manager: ContractClient) -> Iterator[ReleaseFile]:
    """What lets scripts of `hold` go on; it is there at the end in any case."""
    file = manager.release_file()
    yield file
    file.touch()
    wait_idle_tasks(manager)


# Results ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("zmq-api", "task result")
def test_the_result_of_a_script(manager: ContractManager) -> None:
    before = time.time()
    uid = manager.accepted("script_upload", script="print('a script prints')")["task_uid"]
    result = manager.task_result(uid)
    assert list(result) == [
        "task_uid",
        "success",
        "msg",
        "traceback",
        "return_value",
        "time_start",
        "time_stop",
    ]
    assert result | {"time_start": 0, "time_stop": 0} == {
        "task_uid": uid,
        "success": True,
        "msg": "",
        "traceback": "",
        "return_value": None,
        "time_start": 0,
        "time_stop": 0,
    }
    assert before <= result["time_start"] <= result["time_stop"] <= time.time()


@pytest.mark.row("zmq-api", "script_upload: a bad script")
@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("a = 1\n1/0", "division by zero"),
        ("raise SystemExit(3)", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def x(:", "invalid syntax"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
@pytest.mark.parametrize("background", [False, True])
def test_a_script_that_fails(manager: ContractManager, script: str, text: str, background: bool) -> None:
    result = manager.upload(script, run_in_background=background)
    assert result["success"] is False
    # The misspelt word is what clients look for.
    assert result["msg"].startswith(f"Error occurred while executing 'Load script': Failed to execute stript: {text}")
    assert result["traceback"].endswith(result["msg"].removeprefix("Error occurred while executing 'Load script': "))
    assert script.splitlines()[-1] in result["traceback"]
    assert wait_idle_tasks(manager)["worker_environment_state"] == "idle"


@pytest.mark.row("zmq-api", "function_execute: an unknown function")
def test_a_function_that_does_not_exist_fails_in_the_worker(manager: ContractManager) -> None:
    result = manager.execute("func_for_test_that_is_not_there")
    assert result["success"] is False
    assert "Function 'func_for_test_that_is_not_there' is not found in the worker namespace" in result["msg"]


def test_a_function_that_raises_or_is_called_wrongly(manager: ContractManager) -> None:
    manager.upload("def func_for_test_raise():\n    raise RuntimeError('a deliberate failure')")
    result = manager.execute("func_for_test_raise")
    assert result["msg"] == "Error occurred while executing 'Execute function': a deliberate failure"
    assert "in func_for_test_raise" in result["traceback"]
    assert "takes 0 positional arguments" in manager.execute("func_for_test_raise", 1)["msg"]
    manager.upload("func_for_test_raise = 5")
    assert "is not a function: it is a int" in manager.execute("func_for_test_raise")["msg"]


@pytest.mark.row("zmq-api", "function_execute: return values")
@pytest.mark.parametrize("value", [1, "text ä\u2713", [1, {"a": None}], 1.5, True, 10**30, float("inf")])
def test_return_values_arrive_unchanged(manager: ContractManager, value: Any) -> None:
    manager.upload("def func_for_test_echo(value):\n    return value")
    result = manager.execute("func_for_test_echo", value)
    assert (result["success"], result["return_value"]) == (True, value)


@pytest.mark.row("zmq-api", "function_execute: a value that is no JSON")
@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("object()", "The return value cannot be expressed in JSON: Object of type object"),
        ("{(1, 2): 3}", "The return value cannot be expressed in JSON: keys must be str"),
        ("'x' * 20_000_000", "The return value has 20000002 bytes as JSON; the limit is 16 MiB."),
        ("nested(200)", "The return value is nested more than 90 levels deep."),
        ("nested(100_000)", "The return value cannot be expressed in JSON: "),
    ],
)
def test_a_return_value_that_cannot_be_told(manager: ContractManager, expression: str, text: str) -> None:
    nested = "def nested(n):\n    v = []\n    for _ in range(n): v = [v]\n    return v\n"
    manager.upload(f"{nested}def func_for_test_value():\n    return {expression}", update_lists=False)
    result = manager.execute("func_for_test_value")
    assert (result["success"], result["return_value"]) == (False, None)
    assert result["msg"].startswith(f"Error occurred while executing 'Execute function': {text}")


@pytest.mark.row("zmq-api", "task_results_uid")
def test_task_results_uid_changes_when_a_task_ends_and_not_when_it_starts(
    manager: ContractManager, release: ReleaseFile
) -> None:
    before = manager.status()["task_results_uid"]
    uid = manager.accepted("script_upload", script=hold(release))["task_uid"]
    manager.wait_status(lambda s: s["worker_environment_state"] == "executing_task")
    assert manager.status()["task_results_uid"] == before
    release.touch()
    manager.task_result(uid)
    assert manager.status()["task_results_uid"] != before


# States ----------------------------------------------------------------------------------------------------------


@pytest.mark.method("task_result")
@pytest.mark.row("zmq-api", "foreground")
def test_a_task_in_the_foreground_has_the_manager_for_itself(manager: ContractClient, release: ReleaseFile) -> None:
    uid = manager.accepted("script_upload", script=hold(release))["task_uid"]
    status = manager.wait_status(lambda s: s["worker_environment_state"] == "executing_task")
    assert status["manager_state"] == "executing_task"
    assert status["worker_background_tasks"] == 0
    reply = manager.accepted("task_result", task_uid=uid)
    assert reply["status"] == "running"
    assert set(reply["result"]) == {"task_uid", "time_start", "run_in_background"}
    assert reply["result"]["run_in_background"] is False

    busy = "Failed to start the task: RE Manager must be in idle state. Current state: 'executing_task'"
    assert manager.refused("script_upload", script="")["msg"] == busy
    assert manager.refused("environment_update")["msg"] == busy
    assert manager.refused("function_execute", item=SLEEP, **CALLER)["msg"] == f"Error: {busy}"
    assert manager.refused("queue_start")["msg"] == "RE Manager is busy."
    assert manager.refused("queue_item_execute", item=QUICK, **CALLER)["msg"].endswith("RE Manager is busy.")
    assert manager.refused("environment_close")["msg"] == "Foreground task execution is in progress."
    assert manager.refused("manager_stop")["msg"].endswith("Current state: 'executing_task'")
    assert manager.execute("function_sleep", 0, run_in_background=True)["success"] is True
    release.touch()
    assert manager.task_result(uid)["success"] is True
    assert manager.wait_idle()["worker_environment_state"] == "idle"


@pytest.mark.method("task_status")
@pytest.mark.row("zmq-api", "background")
def test_a_task_in_the_background_goes_on_beside_plans(manager: ContractClient, release: ReleaseFile) -> None:
    uid = manager.accepted("script_upload", script=hold(release), run_in_background=True)["task_uid"]
    status = manager.status()
    assert (status["manager_state"], status["worker_background_tasks"]) == ("idle", 1)
    assert manager.accepted("task_result", task_uid=uid)["result"]["run_in_background"] is True
    assert manager.run(QUICK)["items_in_history"] == 1
    held = manager.start_holding()
    other = manager.execute("function_sleep", 0, run_in_background=True)
    assert other["success"] is True
    assert "executing_queue" in manager.refused("script_upload", script="")["msg"]
    held.end()
    assert manager.accepted("task_status", task_uid=[uid])["status"] == {uid: "running"}
    release.touch()
    assert manager.task_result(uid)["success"] is True


def test_autostart_waits_for_a_task(manager: ContractManager, release: ReleaseFile) -> None:
    uid = manager.accepted("script_upload", script=hold(release))["task_uid"]
    manager.accepted("queue_autostart", enable=True)
    manager.add(QUICK)
    assert manager.status()["items_in_queue"] == 1
    release.touch()
    manager.task_result(uid)
    manager.wait_status(lambda s: s["items_in_history"] == 1)


@pytest.mark.row("zmq-api", "environment_close with background tasks")
def test_closing_the_environment_ends_background_tasks(manager: ContractManager, release: ReleaseFile) -> None:
    uid = manager.accepted("script_upload", script=hold(release), run_in_background=True)["task_uid"]
    manager.close_environment()
    result = manager.task_result(uid)
    assert result["success"] is False
    assert "The RE Worker environment was closed" in result["msg"]


@pytest.mark.row("zmq-api", "environment_destroy forgets running tasks")
def test_destroying_the_environment_forgets_running_tasks(manager: ContractManager, release: ReleaseFile) -> None:
    done = manager.accepted("script_upload", script="")["task_uid"]
    manager.task_result(done)
    uid = manager.accepted("script_upload", script=hold(release))["task_uid"]
    manager.accepted("environment_destroy")
    manager.wait_status(lambda s: s["manager_state"] == "idle" and not s["worker_environment_exists"])
    assert manager.accepted("task_status", task_uid=[uid, done])["status"] == {uid: "not_found", done: "completed"}


# Namespace and lists ---------------------------------------------------------------------------------------------


@pytest.mark.method("script_upload")
@pytest.mark.row("zmq-api", "script_upload: update_lists")
def test_a_script_adds_plans_and_devices_to_the_lists(manager: ContractClient) -> None:
    names = ("plans_existing_uid", "plans_allowed_uid", "devices_existing_uid", "devices_allowed_uid")
    before = [manager.status()[name] for name in names]
    result = manager.upload(
        "import ophyd.sim\ndef added_plan(n: int = 1):\n    yield from []\nadded = ophyd.sim.SynSignal(name='added')"
    )
    assert result["success"] is True, result
    after = manager.status()
    assert [name for name, uid in zip(names, before, strict=True) if after[name] == uid] == []
    assert "added_plan" in manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    assert "added" in manager.accepted("devices_existing")["devices_existing"]
    assert manager.run(plan("added_plan"))["items_in_history"] == 1
    assert manager.history[-1]["result"]["exit_status"] == "completed"

    before = [manager.status()[name] for name in names]
    manager.upload("unlisted = 5")
    assert [manager.status()[name] for name in names] == before

    manager.upload("del added_plan, added")
    assert "added_plan" not in manager.accepted("plans_existing")["plans_existing"]
    assert manager.refused("queue_item_add", item=plan("added_plan"), **CALLER)


@pytest.mark.method("environment_update")
@pytest.mark.row("zmq-api", "environment_update")
def test_a_script_may_keep_the_lists_and_environment_update_brings_them_up_to_date(manager: ContractClient) -> None:
    manager.upload("def quiet_plan():\n    yield from []", update_lists=False)
    assert "quiet_plan" not in manager.accepted("plans_existing")["plans_existing"]
    uid = manager.accepted("environment_update")["task_uid"]
    assert manager.task_result(uid)["success"] is True
    assert "quiet_plan" in manager.accepted("plans_existing")["plans_existing"]
    manager.upload("del quiet_plan", update_lists=False)
    uid = manager.accepted("environment_update", run_in_background=True)["task_uid"]
    assert manager.task_result(uid)["success"] is True
    assert "quiet_plan" not in manager.accepted("plans_existing")["plans_existing"]


def test_a_plan_that_cannot_be_described_fails_the_script_and_leaves_the_lists(manager: ContractManager) -> None:
    before = manager.accepted("plans_existing")["plans_existing"]
    result = manager.upload("class Odd: pass\ndef odd_plan(a=Odd()):\n    yield from []")
    assert result["success"] is False
    assert "odd_plan" in result["msg"]
    assert manager.accepted("plans_existing")["plans_existing"] == before
    assert manager.upload("del odd_plan")["success"] is True


@pytest.mark.row("zmq-api", "script_upload: update_re")
def test_a_script_replaces_the_run_engine_only_when_it_is_asked_to(manager: ContractManager) -> None:
    manager.upload("RE = None")
    assert manager.status()["re_state"] == "idle"
    manager.upload("kept_RE = RE\nRE = None", update_re=True)
    manager.wait_status(lambda s: s["re_state"] is None)
    assert manager.refused("queue_start")["msg"] == "Run Engine is not found in the RE Worker environment."
    manager.upload("RE = kept_RE", update_re=True)
    manager.wait_status(lambda s: s["re_state"] == "idle")
    assert manager.run(QUICK)["items_in_history"] == 1


def test_the_run_engine_is_not_replaced_under_a_plan(manager: ContractManager) -> None:
    held = manager.start_holding()
    result = manager.upload("RE = None", update_re=True, run_in_background=True)
    assert "'RE' cannot be replaced while a plan is in hand" in result["msg"]
    held.end()
    assert manager.history[-1]["result"]["exit_status"] == "completed"


# Additions -------------------------------------------------------------------------------------------------------


@pytest.mark.method("task_list")
def test_task_list_tells_of_running_and_ended_tasks(manager: ContractClient, release: ReleaseFile) -> None:
    ended = manager.execute("function_sleep", 0)
    uid = manager.accepted("script_upload", script=hold(release), run_in_background=True)["task_uid"]
    running, newest = manager.accepted("task_list")["tasks"][:2]
    assert running | {"time_start": 0} == {
        "task_uid": uid,
        "type": "script",
        "name": "",
        "user": "",
        "run_in_background": True,
        "time_start": 0,
        "status": "running",
    }
    assert newest | {"time_start": 0} == {
        "task_uid": ended["task_uid"],
        "type": "function",
        "name": "function_sleep",
        "user": CALLER["user"],
        "run_in_background": False,
        "time_start": 0,
        "time_stop": ended["time_stop"],
        "success": True,
        "status": "completed",
    }


@pytest.mark.method("task_cancel")
@pytest.mark.row("zmq-api", "task_list, task_cancel (additions)")
def test_task_cancel_ends_a_background_task(manager: ContractClient, release: ReleaseFile) -> None:
    uid = manager.accepted("script_upload", script=hold(release), run_in_background=True)["task_uid"]
    manager.accepted("task_cancel", task_uid=uid)
    result = manager.task_result(uid)
    assert (result["success"], result["msg"]) == (False, "The task was cancelled.")
    assert manager.refused("task_cancel", task_uid=uid)["msg"] == f"Error: There is no running task with UID '{uid}'"
    assert manager.refused("task_cancel", task_uid=5)["msg"] == "Error: There is no running task with UID 5"


def test_task_cancel_leaves_the_foreground_alone(manager: ContractManager, release: ReleaseFile) -> None:
    uid = manager.accepted("script_upload", script=hold(release))["task_uid"]
    assert "Only a background task can be cancelled" in manager.refused("task_cancel", task_uid=uid)["msg"]


def test_results_are_kept_up_to_a_number(start_manager: Any) -> None:
    manager = start_manager(options=["--task-results-limit=2"])
    manager.open_environment()
    uids = [manager.upload("")["task_uid"] for _ in range(4)]
    assert (
        list(manager.accepted("task_status", task_uid=uids)["status"].values()) == ["not_found"] * 2 + ["completed"] * 2
    )
    assert manager.accepted("task_result", task_uid=uids[0])["result"] == {}


@pytest.mark.row("zmq-api", "results are kept")
def test_results_are_kept_for_a_time(start_manager: Any) -> None:
    manager = start_manager(options=["--task-results-time=0.2"])
    manager.open_environment()
    uid = manager.accepted("script_upload", script="")["task_uid"]
    manager.wait_status(lambda _: manager.accepted("task_status", task_uid=uid)["status"] == "not_found")
    assert manager.accepted("task_list")["tasks"] == []
