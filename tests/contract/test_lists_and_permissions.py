"""Existing and allowed plans and devices, and the permissions behind them (zmq-api 5.1, 5.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from contract_manager import CALLER, ContractClient, ContractManager, plan
from running_manager import SIMULATED_PROFILE


@pytest.mark.method("permissions_get")
@pytest.mark.row("zmq-api", "permissions_get")
def test_permissions_are_those_of_the_file(closed_manager: ContractClient) -> None:
    groups = closed_manager.accepted("permissions_get")["user_group_permissions"]["user_groups"]
    written = yaml.safe_load((SIMULATED_PROFILE / "user_group_permissions.yaml").read_text())["user_groups"]
    assert set(groups) == set(written) == {"root", "primary", "test_user"}
    assert groups == written


@pytest.mark.method("plans_existing")
@pytest.mark.row("zmq-api", "plans_existing")
def test_descriptions_of_plans_are_served_in_full(closed_manager: ContractClient) -> None:
    existing = closed_manager.accepted("plans_existing")["plans_existing"]
    allowed = closed_manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    for plans in (existing, allowed):
        count = plans["count"]
        assert count["name"] == "count"
        assert count["properties"]["is_generator"] is True
        assert [parameter["name"] for parameter in count["parameters"]][:2] == ["detectors", "num"]
    assert set(allowed) <= set(existing)
    assert "_sim_plan_inner" in existing
    assert "_sim_plan_inner" not in allowed


@pytest.mark.method("devices_existing")
@pytest.mark.row("zmq-api", "devices_existing")
def test_descriptions_of_devices_are_served_in_full(closed_manager: ContractClient) -> None:
    devices = closed_manager.accepted("devices_existing")["devices_existing"]
    motor = devices["motor"]
    assert (motor["is_movable"], motor["is_readable"], motor["is_flyable"]) == (True, True, False)
    assert set(devices["sim_bundle_A"]["components"]) == {"mtrs", "dets"}


@pytest.mark.method("plans_allowed", "devices_allowed")
@pytest.mark.row("zmq-api", "plans_allowed, devices_allowed")
def test_each_group_has_lists_of_its_own(closed_manager: ContractClient) -> None:
    plans = {
        group: set(closed_manager.accepted("plans_allowed", user_group=group)["plans_allowed"])
        for group in ("root", "primary", "test_user")
    }
    assert {"count", "hold", "scan"} <= plans["primary"]
    assert "hold" not in plans["test_user"]
    assert {"count", "scan"} <= plans["test_user"]
    assert "adaptive_scan" not in plans["test_user"]
    assert not any(name.startswith("_") for name in plans["root"])
    devices = set(closed_manager.accepted("devices_allowed", user_group="test_user")["devices_allowed"])
    assert {"det1", "motor", "sim_bundle_A"} <= devices
    assert not devices & {"det3", "motor1", "sim_bundle_B"}


@pytest.mark.row("plans-and-permissions", "unknown or forbidden plan")
@pytest.mark.parametrize(
    ("name", "group", "accepted"),
    [
        ("count", "root", True),
        ("count", "primary", True),
        ("count", "test_user", True),
        ("_sim_plan_inner", "root", False),
        ("_sim_plan_inner", "primary", False),
        ("marked_up_count", "primary", True),
        ("marked_up_count", "test_user", False),
    ],
)
def test_a_group_may_submit_only_its_plans(
    closed_manager: ContractManager, name: str, group: str, accepted: bool
) -> None:
    item = plan(name, ["det"] if "count" in name else 1)
    caller = CALLER | {"user_group": group}
    reply = closed_manager.call("queue_item_add", item=item, **caller)
    assert reply["success"] is accepted
    if not accepted:
        assert f"Plan '{name}' is not in the list of allowed plans" in reply["msg"]


@pytest.mark.row("plans-and-permissions", "a name that is not allowed stays a string")
def test_a_device_that_a_group_may_not_use_stays_a_name(manager: ContractManager) -> None:
    caller = CALLER | {"user_group": "test_user"}
    for device, exit_status in (("det1", "completed"), ("det3", "failed")):
        manager.accepted("history_clear")
        manager.accepted("queue_item_execute", item=plan("count", [device]), **caller)
        manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")
        assert manager.history[0]["result"]["exit_status"] == exit_status


@pytest.mark.row("plans-and-permissions", "the lists file: read at the start")
def test_a_manager_knows_the_lists_of_the_last_opening_before_the_next(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager()
    assert manager.accepted("plans_existing")["plans_existing"] == {}
    manager.open_environment()
    manager.close_environment()
    plans = manager.accepted("plans_existing")["plans_existing"]
    assert len(plans) > 30
    manager.stop()
    manager.start()
    assert manager.accepted("plans_existing")["plans_existing"] == plans
    manager.add()
    manager.stop()


@pytest.mark.row("plans-and-permissions", "root as a submitting group")
def test_clients_may_name_root_unless_that_is_switched_off(
    manager: ContractManager, start_manager: Callable[..., ContractManager]
) -> None:
    as_root = CALLER | {"user_group": "root"}
    assert manager.accepted("queue_item_add", item=plan("count", ["det"]), **as_root)["item"]["user_group"] == "root"
    strict = start_manager(options=["--root-submits", "OFF"])
    strict.open_environment()
    assert strict.accepted("queue_item_add", item=plan("count", ["det"]), **CALLER)
    for method, params in (
        ("queue_item_add", {"item": plan("count", ["det"]), **as_root}),
        ("queue_item_add_batch", {"items": [plan("count", ["det"])], **as_root}),
        ("queue_item_execute", {"item": plan("count", ["det"]), **as_root}),
        ("plans_allowed", {"user_group": "root"}),
        ("devices_allowed", {"user_group": "root"}),
    ):
        assert strict.refusal_code(method, params) == "unknown_user_group"
        assert "Unknown user group: 'root'" in strict.call(method, params)["msg"]
    strict.stop()
