"""The published client uploads scripts, calls functions and waits for tasks (zmq-api 5.4)."""

from __future__ import annotations

from uuid import uuid4

import pytest
from bluesky_queueserver_api import BFunc, BPlan
from bluesky_queueserver_api.zmq import REManagerAPI

from published_client import Client

TIMEOUT = 30


@pytest.fixture
def name() -> str:
    """A plan that the environment, which tests share, does not have yet."""
    return f"plan_{uuid4().hex}"


def test_a_script_and_its_result(client: Client, name: str) -> None:
    reply = client.do("script_upload", f"published = 5\n\n\ndef {name}():\n    yield from null()\n")
    client.do("wait_for_completed_task", reply["task_uid"], timeout=TIMEOUT)
    assert client.do("task_status", reply["task_uid"])["status"] == "completed"
    result = client.do("task_result", reply["task_uid"])["result"]
    assert (result["success"], result["return_value"]) == (True, None)
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert client.do("item_add", BPlan(name))["success"]


def test_functions_in_foreground_and_background(client: Client) -> None:
    uids = []
    for background in (False, True):
        reply = client.do("function_execute", BFunc("function_sleep", 0.1), run_in_background=background)
        uids.append(reply["task_uid"])
        client.do("wait_for_completed_task", reply["task_uid"], timeout=TIMEOUT)
        client.do("wait_for_idle", timeout=TIMEOUT)
    assert client.do("task_status", uids)["status"] == dict.fromkeys(uids, "completed")
    assert client.do("task_result", uids[1])["result"]["return_value"] == {"success": True, "time": 0.1}


def test_the_lists_are_updated(client: Client, name: str) -> None:
    script = client.do("script_upload", f"def {name}():\n    yield from null()\n", update_lists=False)
    client.do("wait_for_completed_task", script["task_uid"], timeout=TIMEOUT)
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert name not in client.do("plans_existing", reload=True)["plans_existing"]
    update = client.do("environment_update")
    client.do("wait_for_completed_task", update["task_uid"], timeout=TIMEOUT)
    client.do("wait_for_idle", timeout=TIMEOUT)
    assert name in client.do("plans_existing", reload=True)["plans_existing"]


def test_what_is_refused(client: Client) -> None:
    with pytest.raises(REManagerAPI.RequestFailedError, match="is not allowed for users from 'primary' group"):
        client.do("function_execute", BFunc("forbidden_function"))
    with pytest.raises(REManagerAPI.RequestFailedError, match="RE Manager is not in IPython mode"):
        client.do("kernel_interrupt")
