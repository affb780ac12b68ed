"""The tutorials on functions and scripts, command by command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract_manager import ContractManager
from programs_of_tests import Programs

pytestmark = pytest.mark.timeout(180)

SLEEP = '{"name": "function_sleep", "args": [4], "kwargs": {}}'

SCRIPT = """
# Add a simple plan
def count_test(detectors, *, num=1, delay=1):
    yield from count(detectors, num=num, delay=delay)


# Wait for some time to emulate the script with longer execution time
ttime.sleep(3)
"""


@pytest.fixture
def qserver(manager: ContractManager) -> Callable[..., dict[str, Any]]:
    """The program, for a manager with an open environment."""
    return Programs(manager).qserver


@pytest.mark.row("cli", "functions")
def test_executing_functions(manager: ContractManager, qserver: Callable[..., dict[str, Any]]) -> None:
    started = qserver("function", "execute", SLEEP)
    uid = started["task_uid"]
    assert started["item"] == {
        "name": "function_sleep",
        "args": [4],
        "kwargs": {},
        "user": "qserver-cli",
        "user_group": "primary",
        "item_uid": uid,
    }
    status = qserver("status")
    assert (status["manager_state"], status["worker_environment_state"]) == ("executing_task", "executing_task")
    assert status["worker_background_tasks"] == 0
    assert qserver("task", "status", uid)["status"] == "running"
    manager.wait_idle()
    assert qserver("task", "status", uid)["status"] == "completed"
    told = qserver("task", "result", uid)
    assert (told["status"], told["task_uid"]) == ("completed", uid)
    assert told["result"]["return_value"] == {"success": True, "time": 4}
    assert (told["result"]["success"], told["result"]["msg"], told["result"]["traceback"]) == (True, "", "")
    for number in (1, 2):
        assert qserver("function", "execute", SLEEP, "background")["success"]
        status = manager.wait_status(lambda s, wanted=number: s["worker_background_tasks"] == wanted)  # type: ignore[misc]
        assert (status["manager_state"], status["worker_environment_state"]) == ("idle", "idle")
    manager.wait_status(lambda s: s["worker_background_tasks"] == 0)


@pytest.mark.row("cli", "scripts")
def test_uploading_scripts(manager: ContractManager, qserver: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "test_script.py"
    file.write_text(SCRIPT)

    def allowed() -> dict[str, Any]:
        plans: dict[str, Any] = manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
        return plans

    assert "count_test" not in allowed()
    uid = qserver("script", "upload", str(file))["task_uid"]
    status = qserver("status")
    assert (status["manager_state"], status["worker_environment_state"]) == ("executing_task", "executing_task")
    assert qserver("task", "status", uid)["status"] == "running"
    manager.wait_idle()
    assert qserver("task", "status", uid)["status"] == "completed"
    result = qserver("task", "result", uid)["result"]
    assert (result["success"], result["msg"], result["traceback"], result["return_value"]) == (True, "", "", None)
    assert "count_test" in allowed()
    manager.accepted("environment_close")  # what a script added is gone with the environment
    manager.wait_status(lambda s: s["worker_environment_state"] == "closed" and s["manager_state"] == "idle")
    manager.open_environment()
    assert "count_test" not in allowed()
