"""Requests about scripts, functions and tasks: what is refused, and what the replies hold (zmq-api 5.4, 4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from contract_manager import CALLER, UID, ContractClient, ContractManager

SLEEP = {"item_type": "function", "name": "function_sleep", "args": [0]}


@pytest.mark.row("zmq-api", "script_upload: refusals")
@pytest.mark.parametrize(
    ("method", "params", "msg"),
    [
        ("script_upload", {}, "Error: Required 'script' parameter is is missing in API call."),
        ("script_upload", {"script": 5}, "Error: Type of the 'script' parameter in API call is incorrect."),
        ("script_upload", {"script": None}, "Error: Type of the 'script' parameter in API call is incorrect."),
        ("script_upload", {"script": "a = 1"}, "RE Worker environment is not open"),
        ("script_upload", {"script": "a = 1", "run_in_background": True}, "RE Worker environment is not open"),
        ("environment_update", {}, "RE Worker environment is not open"),
    ],
)
def test_script_upload_is_refused(
    closed_manager: ContractManager, method: str, params: dict[str, Any], msg: str
) -> None:
    reply = closed_manager.refused(method, params)
    assert reply == {"success": False, "msg": msg, "task_uid": None}


FORMAT = "Error: Incorrect request format: "


@pytest.mark.row("zmq-api", "function_execute: refusals")
@pytest.mark.parametrize(
    ("item", "msg"),
    [
        (5, FORMAT + "incorrect type ('<class 'int'>') of item parameter: item parameter must have type 'dict'"),
        ({"name": "f"}, FORMAT + "'item_type' key is not found"),
        (
            {"item_type": "plan", "name": "f"},
            FORMAT + "unsupported 'item_type' value: 'plan', supported item types ('function',)",
        ),
        ({"item_type": "function"}, "Error: Function name is not specified: {'item_type': 'function'}"),
        (
            {"item_type": "function", "name": "nope"},
            "Error: Function 'nope' is not allowed for users from 'primary' group.",
        ),
        (
            {"item_type": "function", "name": "_hidden"},
            "Error: Function '_hidden' is not allowed for users from 'primary' group.",
        ),
        (SLEEP | {"args": 5}, "Error: Parameter 'args' is not a tuple or a list: <class 'int'>"),
        (SLEEP | {"kwargs": 5}, "Error: Parameter 'kwargs' is not a dictionary: <class 'int'>"),
        (SLEEP | {"name": 5}, "Error: Function name must be a string: name=5"),
    ],
)
def test_function_execute_refuses_an_item_and_returns_it(manager: ContractManager, item: Any, msg: str) -> None:
    reply = manager.refused("function_execute", item=item, **CALLER)
    assert reply == {"success": False, "msg": msg, "item": item, "task_uid": None}


@pytest.mark.row("zmq-api", "function_execute: user and group")
@pytest.mark.parametrize(
    ("caller", "msg"),
    [
        ({"user": "a"}, FORMAT + "user group is not specified"),
        ({"user_group": "primary"}, FORMAT + "user name is not specified"),
        ({"user": "a", "user_group": "x"}, "Error: Unknown user group: 'x'"),
    ],
)
def test_function_execute_wants_to_know_who_asks(manager: ContractManager, caller: dict[str, str], msg: str) -> None:
    reply = manager.refused("function_execute", item=SLEEP, **caller)
    assert (reply["msg"], reply["item"], reply["task_uid"]) == (msg, SLEEP, None)


def test_function_execute_without_item(manager: ContractManager) -> None:
    reply = manager.refused("function_execute", **CALLER)
    assert reply["msg"] == FORMAT + "request contains no item info"
    assert (reply["item"], reply["task_uid"]) == (None, None)


def test_function_execute_without_environment_returns_the_item_with_its_type(closed_manager: ContractManager) -> None:
    reply = closed_manager.refused("function_execute", item=SLEEP, **CALLER)
    assert reply["msg"] == "Error: RE Worker environment is not open"
    assert reply["task_uid"] is None
    assert reply["item"]["item_type"] == "function"
    assert reply["item"]["kwargs"] == {}


@pytest.mark.method("function_execute")
@pytest.mark.row("zmq-api", "function item")
def test_the_item_of_an_accepted_function_has_the_uid_of_the_task_and_no_type(manager: ContractClient) -> None:
    item = SLEEP | {"item_uid": "mine", "meta": {}}
    reply = manager.accepted("function_execute", item=item, **CALLER)
    uid = reply["task_uid"]
    assert UID.fullmatch(uid)
    assert reply["item"] == {"name": "function_sleep", "args": [0], "kwargs": {}, **CALLER, "item_uid": uid}
    assert manager.task_result(uid)["return_value"] == {"success": True, "time": 0}


@pytest.mark.row("zmq-api", "task_status, task_result: refusals")
@pytest.mark.parametrize(
    ("method", "params", "msg"),
    [
        ("task_status", {}, "Error: Required 'task_uid' parameter is missing in the API call."),
        ("task_result", {}, "Error: Required 'task_uid' parameter is missing in the API call."),
        (
            "task_status",
            {"task_uid": 5},
            "Error: 'task_uid' must be a string or a list of strings: type(task_uid)=<class 'int'>",
        ),
        (
            "task_status",
            {"task_uid": ["a", 5]},
            "Error: 'task_uid' must be a string or a list of strings: type(task_uid)=<class 'list'>",
        ),
        ("task_result", {"task_uid": ["a"]}, "Error: 'task_uid' must be a string: type(task_uid)=<class 'list'>"),
    ],
)
def test_task_status_and_result_are_refused(
    closed_manager: ContractManager, method: str, params: dict[str, Any], msg: str
) -> None:
    reply = closed_manager.refused(method, params)
    assert reply["msg"] == msg
    assert reply["task_uid"] == params.get("task_uid")
    assert reply["status"] is None
    assert reply.get("result") is None


@pytest.mark.row("zmq-api", "task_status, task_result: not_found")
def test_tasks_that_nobody_knows(closed_manager: ContractManager) -> None:
    assert closed_manager.accepted("task_status", task_uid="x") == {
        "success": True,
        "msg": "",
        "task_uid": "x",
        "status": "not_found",
    }
    several = closed_manager.accepted("task_status", task_uid=["x", "y"])
    assert (several["task_uid"], several["status"]) == (["x", "y"], {"x": "not_found", "y": "not_found"})
    assert closed_manager.accepted("task_status", task_uid=[])["status"] == {}
    result = closed_manager.accepted("task_result", task_uid="x")
    assert (result["task_uid"], result["status"], result["result"]) == ("x", "not_found", {})
