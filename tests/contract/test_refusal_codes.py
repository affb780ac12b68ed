"""`code` beside each `msg` of a refusal, and edits of the queue that is meant (additions to the contract)."""

from __future__ import annotations

from typing import Any

import pytest

from contract_manager import CALLER, QUICK, ContractManager, plan
from queueserver_manager.core.refusal import Code

SCAN = plan("scan", "too", "few")


@pytest.mark.row("zmq-api", "code of a refusal (addition)")
@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("no_such_method", {}, "unknown_method"),
        ("queue_get", {"x": 1}, "unsupported_parameter"),
        ("queue_item_add", {}, "missing_parameter"),
        ("queue_item_add", {"item": QUICK}, "missing_parameter"),
        ("queue_mode_set", {}, "missing_parameter"),
        ("queue_mode_set", {"mode": 5}, "invalid_parameter"),
        ("queue_item_add", {"lock_key": 5}, "invalid_parameter"),
        ("queue_item_add", {"item": QUICK, **CALLER, "pos": "some"}, "invalid_parameter"),
        ("queue_item_add", {"item": 5, **CALLER}, "invalid_item"),
        ("queue_item_add", {"item": plan("no_such_plan"), **CALLER}, "invalid_item"),
        ("queue_item_add", {"item": SCAN, **CALLER}, "invalid_item"),
        ("queue_item_add", {"item": QUICK, "user": "a", "user_group": "nobody"}, "unknown_user_group"),
        ("plans_allowed", {"user_group": "nobody"}, "unknown_user_group"),
        ("queue_item_add_batch", {"items": [SCAN], **CALLER}, "invalid_batch"),
        ("queue_item_get", {"pos": 50}, "item_not_found"),
        ("queue_item_get", {"uid": "zz"}, "item_not_found"),
        ("queue_item_remove", {"uid": "zz"}, "item_not_found"),
        ("queue_item_move", {"uid": "zz", "pos_dest": 0}, "item_not_found"),
        ("queue_item_remove_batch", {"uids": ["zz"], "ignore_missing": False}, "item_not_found"),
        ("queue_item_update", {"item": {**QUICK, "item_uid": "zz"}, **CALLER}, "item_not_found"),
        ("queue_start", {}, "no_environment"),
        ("queue_item_execute", {"item": QUICK, **CALLER}, "no_environment"),
        ("environment_close", {}, "no_environment"),
        ("environment_destroy", {}, "no_environment"),
        ("re_pause", {}, "no_environment"),
        ("re_resume", {}, "wrong_state"),
        ("queue_stop", {}, "wrong_state"),
        ("permissions_set", {"user_group_permissions": {}}, "invalid_parameter"),
        ("lock", {"user": "a"}, "missing_parameter"),
        ("history_get", {"limit": -1}, "invalid_parameter"),
        ("script_upload", {"script": ""}, "no_environment"),
        ("function_execute", {"item": {"item_type": "function"}, **CALLER}, "invalid_item"),
        ("task_result", {}, "missing_parameter"),
        ("task_cancel", {"task_uid": "x"}, "task_not_found"),
    ],
)
def test_the_code_of_a_refusal(closed_manager: ContractManager, method: str, params: dict[str, Any], code: str) -> None:
    closed_manager.fill(1)
    assert closed_manager.refusal_code(method, params) == code


def test_codes_of_refused_items_in_a_batch(closed_manager: ContractManager) -> None:
    request = {"method": "queue_item_add_batch", "params": {"items": [QUICK, SCAN, 5], **CALLER}}
    reply = closed_manager.decode(closed_manager.raw(closed_manager.encode(request)) or b"")
    assert [result.get("code") for result in reply["results"]] == [None, "invalid_item", "invalid_item"]


def test_codes_of_a_locked_manager(closed_manager: ContractManager) -> None:
    closed_manager.accepted("lock", user="a", lock_key="key", queue=True)
    assert closed_manager.refusal_code("queue_clear") == "invalid_lock_key"
    assert closed_manager.refusal_code("unlock", lock_key="x") == "invalid_lock_key"
    assert closed_manager.refusal_code("lock", user="b", lock_key="x", queue=True) == "locked"


def test_codes_while_an_item_runs(manager: ContractManager) -> None:
    held = manager.start_holding()
    assert manager.refusal_code("queue_item_remove", uid=held.uid) == "item_is_running"
    assert manager.refusal_code("queue_item_get", uid=held.uid) == "item_is_running"
    assert manager.refusal_code("queue_item_add", item=QUICK, **CALLER, before_uid=held.uid) == "item_is_running"
    assert manager.refusal_code("queue_start") == "wrong_state"
    assert manager.refusal_code("environment_open") == "environment_exists"
    held.end()


def test_each_code_has_a_meaning() -> None:
    assert all(code.meaning.endswith(".") for code in Code)


EDITS: list[tuple[str, dict[str, Any]]] = [
    ("queue_item_add", {"item": QUICK, **CALLER}),
    ("queue_item_add_batch", {"items": [QUICK] * 3, **CALLER}),
    ("queue_item_update", {"item": {**plan("count", ["det"]), "item_uid": 0}, **CALLER}),
    ("queue_item_remove", {}),
    ("queue_item_remove_batch", {"uids": [0]}),
    ("queue_item_move", {"pos": "front", "pos_dest": "back"}),
    ("queue_item_move_batch", {"uids": [0], "pos_dest": "back"}),
    ("queue_clear", {}),
]


@pytest.mark.row("zmq-api", "expect_queue_uid (addition)")
@pytest.mark.parametrize(("method", "params"), EDITS)
def test_an_edit_is_made_only_to_the_queue_that_is_meant(
    closed_manager: ContractManager, method: str, params: dict[str, Any]
) -> None:
    (first, _) = closed_manager.fill(2)
    if "uids" in params:
        params = {**params, "uids": [first]}
    elif method == "queue_item_update":
        params = {**params, "item": {**params["item"], "item_uid": first}}
    before = closed_manager.accepted("queue_get")
    for other in ("", "another", closed_manager.status()["plan_history_uid"]):
        assert closed_manager.refusal_code(method, params, expect_queue_uid=other) == "queue_changed"
    assert closed_manager.refusal_code(method, params, expect_queue_uid=5) == "invalid_parameter"
    assert closed_manager.accepted("queue_get") == before
    closed_manager.accepted(method, params, expect_queue_uid=before["plan_queue_uid"])
    after = closed_manager.accepted("queue_get")
    assert after["plan_queue_uid"] != before["plan_queue_uid"]
    assert closed_manager.refusal_code("queue_clear", expect_queue_uid=before["plan_queue_uid"]) == "queue_changed"
    assert closed_manager.accepted("queue_get") == after
