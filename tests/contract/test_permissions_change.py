"""Permissions that change while the manager runs (zmq-api 5.2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from contract_manager import CALLER, QUICK, ContractClient, ContractManager, plan

ALLOWED = ("plans_allowed_uid", "devices_allowed_uid")
EXISTING = ("plans_existing_uid", "devices_existing_uid")

Permissions = dict[str, Any]


@pytest.fixture
def permissions(manager: ContractClient) -> Iterator[Permissions]:
    """Those of the file; they hold again after the test."""
    manager.accepted("permissions_reload")
    found: Permissions = manager.accepted("permissions_get")["user_group_permissions"]
    yield found
    manager.accepted("permissions_reload")


def renewed(manager: ContractClient, before: dict[str, Any]) -> set[str]:
    after = manager.status()
    return {name for name in after if name.endswith("_uid") and after[name] != before[name] and name != "status_uid"}


def with_plans(permissions: Permissions, *patterns: str) -> Permissions:
    """The same but for the plans of the group `primary`."""
    changed = deepcopy(permissions)
    changed["user_groups"]["primary"]["allowed_plans"] = list(patterns)
    return changed


@pytest.mark.method("permissions_set")
@pytest.mark.row("zmq-api", "permissions_set")
def test_permissions_set_recomputes_the_allowed_lists(manager: ContractClient, permissions: Permissions) -> None:
    before = manager.status()
    narrow = with_plans(permissions, "count", ":^n")
    assert manager.call("permissions_set", user_group_permissions=narrow) == {"success": True, "msg": ""}
    assert renewed(manager, before) == {*ALLOWED, "task_results_uid"}
    before = manager.status()
    manager.accepted("permissions_reload", restore_permissions=False)
    assert renewed(manager, before) == {*ALLOWED, "task_results_uid"}
    assert manager.accepted("permissions_get")["user_group_permissions"] == narrow
    plans = manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    assert "count" in plans
    assert "null" in plans
    assert "scan" not in plans
    text = "Plan 'scan' is not in the list of allowed plans"
    refused = manager.call("queue_item_add", item=plan("scan", ["det"], "motor", -1, 1, 3), **CALLER)
    assert text in refused["msg"]


@pytest.mark.method("permissions_reload")
def test_permissions_reload_brings_those_of_the_file_back(manager: ContractClient, permissions: Permissions) -> None:
    manager.accepted("permissions_set", user_group_permissions=with_plans(permissions, "count"))
    assert set(manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]) == {"count"}
    assert manager.call("permissions_reload") == {"success": True, "msg": ""}
    assert manager.accepted("permissions_get")["user_group_permissions"] == permissions
    assert "scan" in manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]


@pytest.mark.row("zmq-api", "permissions_set: the same")
def test_the_same_permissions_renew_nothing(manager: ContractManager, permissions: Permissions) -> None:
    before = manager.status()
    manager.accepted("permissions_set", user_group_permissions=permissions)
    assert renewed(manager, before) == set()


def test_a_group_that_is_gone_may_submit_nothing(manager: ContractManager, permissions: Permissions) -> None:
    changed = deepcopy(permissions)
    del changed["user_groups"]["primary"]
    manager.accepted("permissions_set", user_group_permissions=changed)
    assert "Unknown user group: 'primary'" in manager.call("queue_item_add", item=QUICK, **CALLER)["msg"]


@pytest.mark.row("zmq-api", "permissions_set: refusals")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "User group permissions: Invalid type '<class 'int'>', must be 'dict'"),
        (None, "User group permissions: Invalid type '<class 'NoneType'>', must be 'dict'"),
        ({}, "'user_groups' is a required property"),
        ({"user_groups": {}}, "User group permissions: Missing required user group: 'root'"),
        ({"user_groups": {"root": {}}, "a": 1}, "Additional properties are not allowed ('a' was unexpected)"),
        ({"user_groups": {"root": {"allowed_plans": 5}}}, "5 is not of type 'array'"),
        ({"user_groups": {"root": {"allowed_plans": [5]}}}, "5 is not of type 'string', 'null'"),
        ({"user_groups": {"root": {"allowed_plans": [":("]}}}, ":("),  # ours: checked
    ],
)
def test_permissions_set_refuses(manager: ContractManager, permissions: Permissions, value: Any, text: str) -> None:
    before = manager.status()
    reply = manager.call("permissions_set", user_group_permissions=value)
    assert reply["success"] is False
    assert reply["msg"].startswith("Error: ")
    assert text in reply["msg"]
    assert renewed(manager, before) == set()
    assert manager.accepted("permissions_get")["user_group_permissions"] == permissions


@pytest.mark.row("zmq-api", "permissions_set: missing")
def test_permissions_set_needs_permissions(manager: ContractManager) -> None:
    assert manager.call("permissions_set") == {
        "success": False,
        "msg": "Error: Parameter 'user_group_permissions' is missing",
    }


@pytest.mark.row("zmq-api", "permissions_set: the worker learns of it")
def test_the_worker_learns_of_new_permissions(manager: ContractManager, permissions: Permissions) -> None:
    """A device that the group may no longer use stays a name, and the plan fails in the worker."""
    changed = deepcopy(permissions)
    changed["user_groups"]["primary"]["allowed_devices"] = ["det1"]
    for expected in ("completed", "failed"):
        manager.accepted("history_clear")
        manager.accepted("queue_item_execute", item=plan("count", ["det2"]), **CALLER)
        manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")
        assert manager.history[0]["result"]["exit_status"] == expected
        manager.accepted("permissions_set", user_group_permissions=changed)


def test_permissions_that_were_set_survive_a_restart_with_an_open_environment(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager(options=["--user-group-permissions-reload=ON_REQUEST"])
    manager.open_environment()
    narrow = with_plans(manager.accepted("permissions_get")["user_group_permissions"], "count")
    manager.accepted("permissions_set", user_group_permissions=narrow)
    manager.close_environment()
    manager.stop()
    manager.start()
    assert manager.accepted("permissions_get")["user_group_permissions"] == narrow
    manager.stop()


@pytest.mark.row("zmq-api", "allowed lists: permissions_set and permissions_reload")
def test_permissions_reload_reads_the_file_again_and_renews_the_allowed_lists_always(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager()
    assert manager.startup_dir is not None
    file = manager.startup_dir / "user_group_permissions.yaml"
    written = yaml.safe_load(file.read_text())
    before = manager.status()
    assert manager.call("permissions_reload") == {"success": True, "msg": ""}
    assert renewed(manager, before) == set(ALLOWED)
    narrow = with_plans(written, "count")
    file.write_text(yaml.safe_dump(narrow))
    before = manager.status()
    manager.accepted("permissions_reload", restore_permissions=False)
    assert renewed(manager, before) == set(ALLOWED)
    assert manager.accepted("permissions_get")["user_group_permissions"] == written
    manager.accepted("permissions_reload")
    assert manager.accepted("permissions_get")["user_group_permissions"] == narrow
    manager.stop()


@pytest.mark.row("zmq-api", "permissions_reload: broken file", "permissions_reload tells of a broken file")
@pytest.mark.parametrize(
    "text", [None, "", "user_groups: {primary: {}}", "user_groups: [", "user_groups: {root: {a: 1}}"]
)
def test_permissions_reload_refuses_a_broken_file(start_manager: Callable[..., ContractManager], text: str) -> None:
    """Ours: the published manager tells success and keeps the old permissions (zmq-api 8.4)."""
    manager = start_manager()
    assert manager.startup_dir is not None
    file = manager.startup_dir / "user_group_permissions.yaml"
    file.unlink() if text is None else file.write_text(text)
    permissions, before = manager.accepted("permissions_get"), manager.status()
    reply = manager.call("permissions_reload", restore_plans_devices=False)
    assert reply["success"] is False
    assert str(file) in reply["msg"]
    assert renewed(manager, before) == set()
    assert manager.accepted("permissions_get") == permissions
    manager.stop()


@pytest.mark.row("zmq-api", "permissions_reload: restore_plans_devices")
def test_permissions_reload_takes_existing_plans_and_devices_from_the_file(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager()
    file = manager.directory / "existing_plans_and_devices.yaml"
    before = manager.status()
    refused = manager.call("permissions_reload", restore_plans_devices=True)
    assert refused["success"] is False
    assert str(file) in refused["msg"]
    assert renewed(manager, before) == set()
    manager.open_environment()
    deadline = time.monotonic() + 20
    while not file.exists():  # the worker writes it once the environment is open
        assert time.monotonic() < deadline
        time.sleep(0.01)
    manager.close_environment()
    plans = manager.accepted("plans_existing")["plans_existing"]
    lists = yaml.safe_load(file.read_text())
    del lists["existing_plans"]["scan"]
    file.write_text(yaml.safe_dump(lists))
    before = manager.status()
    manager.accepted("permissions_reload", restore_plans_devices=True)
    assert renewed(manager, before) == {*ALLOWED, *EXISTING}
    assert set(plans) - set(manager.accepted("plans_existing")["plans_existing"]) == {"scan"}
    assert "scan" not in manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    before = manager.status()
    manager.accepted("permissions_reload", restore_plans_devices=True)
    assert renewed(manager, before) == {*ALLOWED, *EXISTING}
    manager.stop()


@pytest.mark.row("zmq-api", "permissions_reload: NEVER")
@pytest.mark.row("cli", "--user-group-permissions-reload")
def test_permissions_are_not_read_from_disk_where_that_is_switched_off(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager(options=["--user-group-permissions-reload=NEVER"])
    before = manager.status()
    assert manager.call("permissions_reload") == {
        "success": False,
        "msg": "Error: Restoring user group permissions from disk is not allowed",
    }
    assert renewed(manager, before) == set()
    manager.accepted("permissions_reload", restore_permissions=False)
    assert renewed(manager, before) == set(ALLOWED)
    manager.stop()


@pytest.mark.row("zmq-api", "types of parameters are checked")
@pytest.mark.parametrize("name", ["restore_plans_devices", "restore_permissions"])
def test_flags_of_permissions_reload_are_boolean(manager: ContractManager, name: str) -> None:
    reply = manager.call("permissions_reload", {name: 5})
    assert reply == {
        "success": False,
        "msg": f"Error: Parameter '{name}' must be boolean: type({name}) = <class 'int'>",
    }


@pytest.mark.method("manager_test")
@pytest.mark.row("zmq-api", "manager_test")
@pytest.mark.parametrize("name", [None, "x", 5])
def test_manager_test_knows_one_test(closed_manager: ContractClient, name: Any) -> None:
    text = f"Error: Unknown test: {name!r}. Known tests: ['reserve_kernel']"
    assert closed_manager.call("manager_test", test_name=name) == {"success": False, "msg": text}
    assert closed_manager.call("manager_test", test_name="reserve_kernel") == {
        "success": False,
        "msg": "Error: IPython kernel mode is not enabled",
    }
