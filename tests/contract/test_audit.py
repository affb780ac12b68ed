"""The audit log: who changed what and when (addition to the contract)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from contract_manager import CALLER, EMERGENCY_KEY, QUICK, ContractClient, ContractManager, plan
from contract_methods import ENVIRONMENT_LOCK, QUEUE_LOCK

Entry = dict[str, Any]


def newest(manager: ContractClient, count: int = 1) -> list[Entry]:
    entries: list[Entry] = manager.accepted("audit_get", limit=count)["entries"]
    return entries


@pytest.mark.method("audit_get")
@pytest.mark.row("zmq-api", "audit_get (addition)")
def test_an_accepted_request_is_recorded(closed_manager: ContractClient) -> None:
    before = time.time()
    item = closed_manager.add(plan("count", ["det"]), pos="front")
    (entry,) = newest(closed_manager)
    assert before - 1 < entry.pop("time") < time.time() + 1
    assert isinstance(entry.pop("id"), str)
    assert entry == {
        "method": "queue_item_add",
        **CALLER,
        "parameters": {"item": {"item_type": "plan", "name": "count"}, "pos": "front"},
        "item_uids": [item["item_uid"]],
    }


def test_a_batch_is_one_entry(closed_manager: ContractManager) -> None:
    uids = closed_manager.fill(30)
    (entry,) = newest(closed_manager)
    assert (entry["method"], entry["parameters"]) == ("queue_item_add_batch", {"items": "30 elements"})
    assert entry["item_uids"] == uids[:20]
    closed_manager.accepted("queue_item_remove", uid=uids[3])
    assert newest(closed_manager)[0]["item_uids"] == [uids[3]]


def test_refused_and_reading_requests_are_not_recorded(closed_manager: ContractManager) -> None:
    closed_manager.accepted("queue_clear")
    (before,) = newest(closed_manager)
    for method in ("status", "queue_get", "history_get", "lock_info", "plans_existing", "audit_get"):
        closed_manager.call(method)
    for method in (*QUEUE_LOCK, *ENVIRONMENT_LOCK):
        closed_manager.call(method, unsupported=1)
    closed_manager.call("queue_item_add", item=plan("no_such_plan"), **CALLER)
    assert newest(closed_manager) == [before]


def test_lock_keys_are_never_recorded(closed_manager: ContractManager) -> None:
    closed_manager.accepted("lock", user="Maria", lock_key="a secret key", queue=True, note="n" * 1000)
    closed_manager.accepted("queue_clear", lock_key="a secret key")
    closed_manager.accepted("unlock", lock_key=EMERGENCY_KEY)
    entries = newest(closed_manager, 3)
    assert [entry["method"] for entry in entries] == ["unlock", "queue_clear", "lock"]
    assert entries[2]["user"] == "Maria"
    assert entries[2]["parameters"]["queue"] is True
    assert "secret" not in str(entries)
    assert EMERGENCY_KEY not in str(entries)
    assert len(str(entries)) < 1500


def test_pages(closed_manager: ContractManager) -> None:
    for size in range(5):
        closed_manager.accepted("history_clear", size=size)
    sizes: list[int] = []
    before: str | None = None
    while len(sizes) < 5:
        entries = closed_manager.accepted("audit_get", limit=2, before=before)["entries"]
        sizes += [entry["parameters"]["size"] for entry in entries if entry["method"] == "history_clear"]
        before = entries[-1]["id"]
    assert sizes[:5] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"limit": 0}, "Parameter 'limit' must be from 1 to 1000: limit=0"),
        ({"limit": None}, "Parameter 'limit' must be from 1 to 1000: limit=None"),
        ({"limit": 1001}, "Parameter 'limit' must be from 1 to 1000: limit=1001"),
        ({"limit": "x"}, "Parameter 'limit' must be integer: type(limit) = <class 'str'>"),
        ({"before": "x"}, "Parameter 'before' must be the id of an entry: before='x'"),
        ({"before": 5}, "Parameter 'before' must be string: type(before) = <class 'int'>"),
    ],
)
def test_audit_get_refuses(closed_manager: ContractManager, params: dict[str, Any], text: str) -> None:
    assert closed_manager.call("audit_get", params) == {"success": False, "msg": f"Error: {text}", "entries": []}


def test_the_log_survives_a_restart_and_has_a_limit(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(options=["--audit-limit=3"])
    for size in range(5):
        manager.accepted("history_clear", size=size)
    manager.stop()
    manager.start()
    entries = newest(manager, 10)
    assert [entry["method"] for entry in entries] == ["manager_stop", "history_clear", "history_clear"]
    manager.stop()


def test_without_a_limit_there_is_no_log(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(options=["--audit-limit=0"])
    manager.accepted("queue_clear")
    assert newest(manager) == []
    manager.stop()


@pytest.mark.method("validate")
@pytest.mark.row("zmq-api", "validate (addition)")
def test_validate_tells_what_a_batch_would_be_told_and_adds_nothing(closed_manager: ContractClient) -> None:
    items = [QUICK, plan("scan", "few"), 5, plan("no_such_plan"), {"item_type": "instruction", "name": "queue_stop"}]
    before = closed_manager.accepted("queue_get")
    told = closed_manager.call("validate", items=items, **CALLER)
    batch = closed_manager.call("queue_item_add_batch", items=items, **CALLER)
    assert (told["success"], told["msg"]) == (False, "Error: Validation of 3 out of 5 items failed")
    assert told["results"] == batch["results"]
    assert [result["success"] for result in told["results"]] == [True, False, False, False, True]
    assert closed_manager.accepted("validate", items=[QUICK, QUICK], **CALLER)["results"] == [
        {"success": True, "msg": ""},
        {"success": True, "msg": ""},
    ]
    assert closed_manager.accepted("validate", items=[], **CALLER)["results"] == []
    assert closed_manager.accepted("queue_get") == before
    assert closed_manager.refusal_code("validate", items=items, user="a", user_group="nobody") == "unknown_user_group"
    assert closed_manager.refusal_code("validate", items=items) == "missing_parameter"
    assert closed_manager.refusal_code("validate", **CALLER) == "missing_parameter"


@pytest.mark.row("zmq-api", "queued_at (addition)")
def test_an_item_tells_when_it_was_queued(manager: ContractManager) -> None:
    before = time.time()
    first = manager.add(plan("fail", "text"))
    assert before - 1 < first["queued_at"] < time.time() + 1
    manager.run()
    (entry,) = manager.history
    assert entry["queued_at"] == first["queued_at"]
    (returned,) = manager.queue
    assert returned["requeued_from"] == entry["item_uid"]
    assert returned["queued_at"] > entry["queued_at"]
    changed = {**plan("count", ["det"]), "item_uid": returned["item_uid"]}
    assert manager.accepted("queue_item_update", item=changed, **CALLER)["item"]["queued_at"] == returned["queued_at"]
    replaced = manager.accepted("queue_item_update", item=changed, replace=True, **CALLER)["item"]
    assert replaced["queued_at"] > returned["queued_at"]
