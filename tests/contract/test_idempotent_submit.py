"""Requests that are sent again under the key that their client gave them (addition to the contract)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract_manager import CALLER, COUNT, QUICK, STOP_INSTRUCTION, ContractManager, plan
from queueserver_manager.core.repeats import LONGEST_KEY, MOST_REQUESTS


def without_marks(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply without what tells a repeated request from the first one."""
    return {name: value for name, value in reply.items() if name not in ("repeated", "qsize")}


@pytest.mark.row("zmq-api", "idempotency_key (addition)")
def test_a_request_that_is_sent_again_adds_nothing_and_gets_the_same_reply(closed_manager: ContractManager) -> None:
    request = {"item": COUNT, "idempotency_key": "first", **CALLER}
    first = closed_manager.accepted("queue_item_add", request)
    queue = closed_manager.accepted("queue_get")
    again = closed_manager.accepted("queue_item_add", request)
    assert "repeated" not in first
    assert again["repeated"] is True
    assert without_marks(again) == without_marks(first)
    assert closed_manager.accepted("queue_get") == queue


def test_a_batch_that_is_sent_again_adds_nothing(closed_manager: ContractManager) -> None:
    request = {"items": [COUNT, STOP_INSTRUCTION, QUICK], "pos": "front", "idempotency_key": "batch", **CALLER}
    first = closed_manager.accepted("queue_item_add_batch", request)
    again = closed_manager.accepted("queue_item_add_batch", request)
    assert again["repeated"] is True
    assert without_marks(again) == without_marks(first)
    assert closed_manager.queue_uids == [item["item_uid"] for item in first["items"]]
    empty = {"items": [], "idempotency_key": "empty batch", **CALLER}
    assert "repeated" not in closed_manager.accepted("queue_item_add_batch", empty)
    assert closed_manager.accepted("queue_item_add_batch", empty)["repeated"] is True


def test_an_item_that_is_executed_at_once_runs_once(manager: ContractManager) -> None:
    request = {"item": QUICK, "idempotency_key": "execute", **CALLER}
    first = manager.accepted("queue_item_execute", request)
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] == 1)
    again = manager.accepted("queue_item_execute", request)
    assert without_marks(again) == without_marks(first)
    assert manager.wait_idle()["items_in_history"] == 1


def test_functions_and_scripts_are_executed_once(manager: ContractManager) -> None:
    function = {"item": {"item_type": "function", "name": "function_sleep", "args": [0]}, **CALLER}
    for method, request in (("function_execute", function), ("script_upload", {"script": "calls = 1"})):
        request = request | {"idempotency_key": method}
        first = manager.accepted(method, request)
        manager.wait_status(lambda s: s["manager_state"] == "idle")
        ended = manager.accepted("task_list")["tasks"]
        again = manager.accepted(method, request)
        assert again["repeated"] is True
        assert without_marks(again) == without_marks(first)
        assert manager.wait_idle()["manager_state"] == "idle"
        assert manager.accepted("task_list")["tasks"] == ended
        other = {"script": "calls = 2"} if "script" in request else {"user": "Somebody else"}
        assert manager.refusal_code(method, request | other) == "key_used_otherwise"


def test_the_reply_stays_the_same_whatever_became_of_the_item(closed_manager: ContractManager) -> None:
    request = {"item": QUICK, "idempotency_key": "removed", **CALLER}
    first = closed_manager.accepted("queue_item_add", request)
    closed_manager.accepted("queue_clear")
    again = closed_manager.accepted("queue_item_add", request)
    assert (again["item"], again["qsize"]) == (first["item"], 0)
    assert closed_manager.queue == []


def test_another_request_with_the_key_is_refused(closed_manager: ContractManager) -> None:
    request = {"item": QUICK, "idempotency_key": "taken", **CALLER}
    closed_manager.accepted("queue_item_add", request)
    before = closed_manager.queue
    others: list[tuple[str, dict[str, Any]]] = [
        ("queue_item_add", {"item": COUNT}),
        ("queue_item_add", {"pos": "front"}),
        ("queue_item_add", {"user": "Somebody else"}),
        ("queue_item_add_batch", {"item": None, "items": [QUICK]}),
    ]
    for method, changes in others:
        params = {name: value for name, value in (request | changes).items() if value is not None}
        assert closed_manager.refusal_code(method, params) == "key_used_otherwise"
    reply = closed_manager.call("queue_item_add", request | {"item": COUNT})
    assert reply["msg"].startswith(
        "Failed to add an item: The idempotency_key 'taken' belongs to another request that was carried out before."
    )
    assert closed_manager.queue == before


def test_a_refused_request_leaves_its_key_free(closed_manager: ContractManager) -> None:
    key = {"idempotency_key": "second try", **CALLER}
    assert closed_manager.refusal_code("queue_item_add", item=plan("no_such_plan"), **key) == "invalid_item"
    assert "repeated" not in closed_manager.accepted("queue_item_add", item=QUICK, **key)


def test_a_repeated_request_may_name_the_queue_as_it_was(closed_manager: ContractManager) -> None:
    uid = closed_manager.status()["plan_queue_uid"]
    request = {"item": QUICK, "idempotency_key": "with uid", "expect_queue_uid": uid, **CALLER}
    closed_manager.accepted("queue_item_add", request)
    assert closed_manager.accepted("queue_item_add", request)["repeated"] is True


def test_a_repeated_request_is_not_recorded_twice(closed_manager: ContractManager) -> None:
    request = {"item": QUICK, "idempotency_key": "audited", **CALLER}
    closed_manager.accepted("queue_item_add", request)
    before = closed_manager.accepted("audit_get", limit=1)["entries"]
    closed_manager.accepted("queue_item_add", request)
    assert closed_manager.accepted("audit_get", limit=1)["entries"] == before


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "Parameter 'idempotency_key' must be a string of 1 to 200 characters, not 0"),
        ("x" * (LONGEST_KEY + 1), "Parameter 'idempotency_key' must be a string of 1 to 200 characters, not 201"),
        (5, "Parameter 'idempotency_key' must be string: type(idempotency_key) = <class 'int'>"),
    ],
)
@pytest.mark.parametrize("method", ["queue_item_add", "queue_item_add_batch", "queue_item_execute"])
def test_what_cannot_be_a_key_is_refused(closed_manager: ContractManager, method: str, key: Any, text: str) -> None:
    what = {"items": [QUICK]} if method.endswith("batch") else {"item": QUICK}
    reply = closed_manager.call(method, idempotency_key=key, **what, **CALLER)
    assert (reply["success"], reply["msg"].partition(": ")[2]) == (False, text)
    assert closed_manager.queue == []


def test_keys_survive_restart_and_kill_and_the_oldest_are_forgotten(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager()
    manager.open_environment()
    request = {"item": QUICK, "idempotency_key": "before the restart", **CALLER}
    first = manager.accepted("queue_item_add", request)
    manager.stop()
    manager.start()
    again = manager.accepted("queue_item_add", request)
    assert again["repeated"] is True
    assert again["item"] == first["item"]
    for number in range(MOST_REQUESTS):
        manager.accepted("queue_item_add_batch", items=[], idempotency_key=f"{number}", **CALLER)
    manager.kill_everything()
    manager.start()
    assert "repeated" in manager.accepted("queue_item_add_batch", items=[], idempotency_key="0", **CALLER)
    assert "repeated" not in manager.accepted("queue_item_add", request)
    manager.stop()
