"""The tutorials, command by command: what people are told to type, and what they are shown (cli 1 and 2)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract_manager import EMERGENCY_KEY, ContractManager
from programs_of_tests import Programs, uids
from running_manager import SIMULATED_PROFILE

START = Callable[..., ContractManager]
pytestmark = pytest.mark.timeout(180)

COUNT = '{"name": "count", "args": [["det1", "det2"]], "kwargs": {"num": 10, "delay": 0.1}}'
SCAN = '{"name": "scan", "args": [["det1", "det2"], "motor", -1, 1, 10]}'
SHORT_SCAN = '{"name": "scan", "args": [["det1"], "motor", -2, 2, 5]}'
SLOW = '{"name": "count", "args": [["det1", "det2"]], "kwargs": {"num": 6, "delay": 1.5}}'

DONE = {"success": True, "msg": ""}


@pytest.fixture
def qserver(manager: ContractManager) -> Callable[..., dict[str, Any]]:
    """The program, for a manager with an open environment."""
    return Programs(manager).qserver


def test_starting_the_queue_server(closed_manager: ContractManager) -> None:
    status = Programs(closed_manager).qserver("status")
    assert (status["manager_state"], status["worker_environment_exists"]) == ("idle", False)
    assert (status["worker_environment_state"], status["re_state"], status["pause_pending"]) == ("closed", None, False)
    assert status["msg"].startswith("RE Manager")


def test_opening_and_closing_the_environment(closed_manager: ContractManager) -> None:
    qserver = Programs(closed_manager).qserver
    assert qserver("environment", "open") == DONE
    closed_manager.wait_status(lambda s: s["worker_environment_exists"] and s["manager_state"] == "idle")
    status = qserver("status")
    assert (status["worker_environment_state"], status["re_state"]) == ("idle", "idle")
    refused = qserver("environment", "open", code=2)
    assert (refused["success"], refused["msg"]) == (False, "RE Worker environment already exists.")
    assert qserver("environment", "close") == DONE
    closed_manager.wait_status(lambda s: s["worker_environment_state"] == "closed" and s["manager_state"] == "idle")
    assert qserver("environment", "close", code=2)["msg"] == "RE Worker environment does not exist."
    assert qserver("environment", "open") == DONE
    closed_manager.wait_status(lambda s: s["worker_environment_exists"] and s["manager_state"] == "idle")
    assert qserver("environment", "destroy") == DONE
    closed_manager.wait_status(lambda s: s["worker_environment_state"] == "closed" and s["manager_state"] == "idle")


@pytest.mark.row("cli", "a queue")
def test_adding_items_to_the_queue(closed_manager: ContractManager) -> None:
    qserver = Programs(closed_manager).qserver
    assert qserver("allowed", "plans")["plans_allowed"]["count"] == "{...}"
    assert {"det1", "det2", "motor"} <= qserver("allowed", "devices")["devices_allowed"].keys()
    assert qserver("queue", "clear") == DONE
    assert qserver("status")["items_in_queue"] == 0
    empty = qserver("queue", "get")
    assert (empty["items"], empty["running_item"]) == ([], {})
    count = qserver("queue", "add", "plan", COUNT)
    assert (count["qsize"], count["item"]["kwargs"]) == (1, {"num": 10, "delay": 0.1})
    assert (count["item"]["user"], count["item"]["user_group"]) == ("qserver-cli", "primary")
    assert qserver("status")["items_in_queue"] == 1
    scan = qserver("queue", "add", "plan", SCAN)["item"]
    assert uids(qserver("queue", "get")["items"]) == uids([count["item"], scan])
    front = qserver("queue", "add", "plan", "front", SHORT_SCAN)["item"]
    assert uids(qserver("queue", "get")["items"]) == uids([front, count["item"], scan])
    stop = qserver("queue", "add", "instruction", "-2", "queue-stop")
    assert (stop["qsize"], stop["item"]["name"], stop["item"]["item_type"]) == (4, "queue_stop", "instruction")
    assert uids(qserver("queue", "get")["items"]) == uids([front, count["item"], stop["item"], scan])


@pytest.mark.row("cli", "starting and stopping")
def test_starting_and_stopping_the_queue(manager: ContractManager, qserver: Callable[..., dict[str, Any]]) -> None:
    plans = [qserver("queue", "add", "plan", SLOW)["item"] for _ in range(2)]
    assert qserver("history", "clear") == DONE
    status = qserver("status")
    assert (status["items_in_history"], status["items_in_queue"]) == (0, 2)
    assert qserver("queue", "start") == DONE
    shown = qserver("queue", "get")
    assert (uids(shown["items"]), shown["running_item"]["item_uid"]) == (uids(plans[1:]), plans[0]["item_uid"])
    assert qserver("queue", "stop") == DONE
    status = qserver("status")
    assert (status["manager_state"], status["queue_stop_pending"]) == ("executing_queue", True)
    assert qserver("queue", "stop", "cancel") == DONE
    status = qserver("status")
    assert (status["manager_state"], status["queue_stop_pending"]) == ("executing_queue", False)
    assert qserver("queue", "stop") == DONE
    manager.wait_idle()
    status = qserver("status")
    assert (status["items_in_history"], status["items_in_queue"], status["queue_stop_pending"]) == (1, 1, False)


@pytest.mark.row("cli", "the RunEngine")
def test_interacting_with_the_run_engine(manager: ContractManager, qserver: Callable[..., dict[str, Any]]) -> None:
    assert (qserver("status")["re_state"], qserver("status")["pause_pending"]) == ("idle", False)
    for how, ending, exit_status in (
        ("stop", [], "stopped"),
        ("abort", ["immediate"], "aborted"),
        ("halt", [], "halted"),
    ):
        qserver("queue", "add", "plan", SLOW)
        assert qserver("queue", "start") == DONE
        manager.wait_status(lambda s: s["re_state"] == "running")
        assert qserver("re", "pause", *ending) == DONE
        manager.wait_status(lambda s: s["manager_state"] == "paused")
        status = qserver("status")
        assert (status["re_state"], status["pause_pending"]) == ("paused", False)
        assert qserver("re", "resume") == DONE
        manager.wait_status(lambda s: s["re_state"] == "running")
        assert qserver("re", "pause", "immediate") == DONE
        manager.wait_status(lambda s: s["manager_state"] == "paused")
        assert qserver("re", how) == DONE
        manager.wait_idle()
        assert manager.history[-1]["result"]["exit_status"] == exit_status
        qserver("queue", "clear")


@pytest.mark.row("cli", "immediate execution")
def test_immediate_execution_of_plans(manager: ContractManager, qserver: Callable[..., dict[str, Any]]) -> None:
    reply = qserver("queue", "execute", "plan", COUNT)
    assert (reply["success"], reply["qsize"]) == (True, 0)
    manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")
    (entry,) = qserver("history", "get")["items"]
    assert entry["item_uid"] == reply["item"]["item_uid"]
    assert (entry["result"]["exit_status"], len(entry["result"]["run_uids"])) == ("completed", 1)


@pytest.mark.row("cli", "locking")
def test_locking_the_manager(closed_manager: ContractManager) -> None:
    qserver = Programs(closed_manager).qserver
    note = "The environment is locked. Do not unlock environment!"
    assert qserver("status")["lock"] == {"environment": False, "queue": False}
    info = qserver("lock", "info")["lock_info"]
    assert (info["environment"], info["user"], info["time"], info["time_str"]) == (False, None, None, "")

    def with_key(key: str, *words: str, code: int = 0) -> dict[str, Any]:
        return qserver("-k", key, *words, code=code)

    info = with_key("userlockkey", "lock", "environment", note)["lock_info"]
    assert (info["environment"], info["queue"], info["user"], info["note"]) == (True, False, "qserver-cli", note)
    wrong = with_key("someinvalidkey", "lock", "info", code=2)
    assert wrong["msg"].startswith("Error: Invalid lock key: \nRE Manager is locked by qserver-cli at ")
    assert "\nEnvironment is locked: True\nQueue is locked:       False\n" in wrong["msg"]
    assert wrong["msg"].endswith(f"Note: {note}")
    assert with_key("userlockkey", "lock", "info")["success"]
    assert qserver("environment", "open", code=2)["msg"] == wrong["msg"]
    assert with_key("userlockkey", "environment", "open") == DONE
    closed_manager.wait_status(lambda s: s["worker_environment_exists"] and s["manager_state"] == "idle")
    assert with_key("userlockkey", "environment", "close") == DONE
    closed_manager.wait_status(lambda s: s["worker_environment_state"] == "closed" and s["manager_state"] == "idle")
    info = with_key("userlockkey", "lock", "queue")["lock_info"]
    assert (info["environment"], info["queue"], info["note"]) == (False, True, None)
    assert not qserver("queue", "add", "plan", COUNT, code=2)["success"]
    assert with_key("userlockkey", "queue", "add", "plan", COUNT)["success"]
    assert with_key("userlockkey", "lock", "all")["lock_info"]["environment"]
    assert with_key("userlockkey", "unlock")["lock_info"]["time"] is None
    with_key("key-to-forget", "lock", "environment")
    assert with_key(EMERGENCY_KEY, "unlock")["success"]
    assert not qserver("lock", "info")["lock_info"]["environment"]


@pytest.mark.row("cli", "permissions")
def test_changing_user_group_permissions(start_manager: START, tmp_path: Path) -> None:
    manager = start_manager()
    manager.open_environment()
    qserver = Programs(manager).qserver
    assert "grid_scan" in manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    permissions = qserver("permissions", "get")["user_group_permissions"]["user_groups"]
    assert permissions["primary"]["allowed_plans"] == [":.*"]
    permissions["primary"]["forbidden_plans"] = ["grid_scan"]
    file = tmp_path / "new_permissions.yaml"
    file.write_text(yaml.safe_dump({"user_groups": permissions}))
    assert qserver("permissions", "set", str(file)) == DONE
    shown = qserver("permissions", "get")["user_group_permissions"]["user_groups"]["primary"]
    assert shown["forbidden_plans"] == ["grid_scan"]
    assert "grid_scan" not in manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    manager.stop()


def copy_of_the_profile(directory: Path) -> Path:
    """A startup directory as the tutorial has it made: code and permissions, but no list."""
    directory.mkdir()
    for file in (*SIMULATED_PROFILE.glob("*.py"), SIMULATED_PROFILE / "user_group_permissions.yaml"):
        shutil.copy(file, directory)
    return directory


@pytest.mark.row("cli", "--startup-dir")
def test_custom_startup_code(start_manager: START, tmp_path: Path) -> None:
    startup = copy_of_the_profile(tmp_path / "qs_startup")
    lists = startup / "existing_plans_and_devices.yaml"
    manager = start_manager(startup_dir=startup, options=["--existing-plans-devices", str(startup), "--keep-re"])
    assert f"('{lists}') does not exist." in manager.log_text
    assert "--keep-re has no effect" in manager.log_text
    assert Programs(manager).qserver("environment", "open") == DONE
    manager.wait_status(lambda s: s["worker_environment_exists"] and s["manager_state"] == "idle" and lists.is_file())
    assert "count" in yaml.safe_load(lists.read_text())["existing_plans"]
    manager.stop()


@pytest.mark.row("cli", "--startup-profile, --ipython-dir")
def test_startup_code_of_an_ipython_profile(start_manager: START, tmp_path: Path) -> None:
    (tmp_path / "profile_collection").mkdir()
    copy_of_the_profile(tmp_path / "profile_collection" / "startup")
    manager = start_manager(
        startup_files=None, options=["--startup-profile", "collection", "--ipython-dir", str(tmp_path)]
    )
    manager.open_environment()
    assert "count" in manager.accepted("plans_existing")["plans_existing"]
    manager.stop()


@pytest.mark.row("cli", "lists by hand")
def test_generating_lists_by_hand(closed_manager: ContractManager, tmp_path: Path) -> None:
    programs = Programs(closed_manager)
    startup = copy_of_the_profile(tmp_path / "qs_startup")
    lists = startup / "existing_plans_and_devices.yaml"
    for words, folder in (
        (["--startup-dir", str(startup), "--file-dir", str(startup)], tmp_path),
        (["--startup-dir", "."], startup),
    ):
        lists.unlink(missing_ok=True)
        done = programs.run("qserver-list-plans-devices", *words, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "The list of existing plans and devices was created successfully.\n"
        assert "det1" in yaml.safe_load(lists.read_text())["existing_devices"]


@pytest.mark.row("cli", "--console-output")
def test_monitoring_the_console(start_manager: START) -> None:
    manager = start_manager(options=["--console-output", "OFF"])
    monitors = [Programs(manager).start("qserver-console-monitor") for _ in range(2)]
    try:
        texts = ["", ""]
        for number, monitor in enumerate(monitors):
            assert monitor.stdout is not None
            while "Opening the new RE environment" not in texts[number]:
                with suppress(AssertionError):  # until the subscription has arrived something has to be said
                    manager.accepted("environment_open")
                    manager.wait_idle()
                    manager.close_environment()
                texts[number] += monitor.stdout.readline()
        assert "Opening the new RE environment" not in manager.log_text
    finally:
        for monitor in monitors:
            monitor.terminate()
            monitor.communicate()
    manager.stop()
