"""Batches: added, removed and moved as a whole or not at all (zmq-api 5.5)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from contract_manager import CALLER, QUICK, STOP_INSTRUCTION, UID, ContractClient, ContractManager, plan

OK = {"success": True, "msg": ""}
UNKNOWN = plan("no_such_plan")

# Adding ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("zmq-api", "queue_item_add_batch: empty")
def test_an_empty_batch_is_a_success_and_changes_nothing(closed_manager: ContractManager) -> None:
    uids, before = closed_manager.fill(2), closed_manager.status()["plan_queue_uid"]
    reply = closed_manager.call("queue_item_add_batch", items=[], **CALLER)
    assert reply == {"success": True, "msg": "", "qsize": 2, "items": [], "results": []}
    assert closed_manager.queue_uids == uids
    assert closed_manager.status()["plan_queue_uid"] == before


@pytest.mark.row("zmq-api", "queue_item_add_batch: all or nothing")
def test_one_invalid_item_refuses_the_batch_and_every_item_gets_its_result(closed_manager: ContractManager) -> None:
    uids = closed_manager.fill(2)
    items = [5, QUICK, UNKNOWN, {"item_type": "function", "name": "function_sleep"}, STOP_INSTRUCTION]
    reply = closed_manager.call("queue_item_add_batch", items=items, **CALLER)
    results = reply.pop("results")
    assert reply == {
        "success": False,
        "msg": "Failed to add all items: validation of 3 out of 5 submitted items failed",
        "qsize": 2,
        "items": items,
    }
    assert [result["success"] for result in results] == [False, True, False, False, True]
    assert results[1] == results[4] == OK
    failed = "Failed to add a plan: "
    assert results[0]["msg"] == (
        f"{failed}Incorrect request format: incorrect type ('<class 'int'>') of item parameter: "
        "item parameter must have type 'dict'"
    )
    assert results[2]["msg"] == (
        f"{failed}Plan validation failed: Plan 'no_such_plan' is not in the list of allowed plans.\nPlan: {UNKNOWN}"
    )
    assert results[3]["msg"].startswith(f"{failed}Incorrect request format: unsupported 'item_type' value: 'function'")
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_add_batch: place")
@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({"pos": "some"}, "Parameter 'pos' has incorrect value: pos='some' (type=<class 'str'>)"),
        ({"pos": 1, "after_uid": "a"}, "Ambiguous parameters: plan position and UID is specified"),
        ({"before_uid": "a"}, "Plan with UID 'a' is not in the queue."),
    ],
)
def test_a_place_that_does_not_exist_refuses_the_batch(
    closed_manager: ContractManager, place: dict[str, Any], text: str
) -> None:
    uids = closed_manager.fill(2)
    reply = closed_manager.call("queue_item_add_batch", items=[QUICK, QUICK], **CALLER, **place)
    assert (reply["success"], reply["qsize"]) == (False, 2)
    assert reply["msg"].startswith("Failed to add all items: validation of ")
    assert {"success": False, "msg": f"Failed to add item to queue: {text}"} in reply["results"]
    assert all(UID.fullmatch(item["item_uid"]) for item in reply["items"])
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_add_batch: no items")
@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "Invalid request format: the list of items is not found"),
        (CALLER, "Invalid request format: the list of items is not found"),
        ({"items": 5, **CALLER}, "'int' object is not iterable"),
        ({"items": []}, "Incorrect request format: user group is not specified"),
        ({"items": [], "user_group": "primary"}, "Incorrect request format: user name is not specified"),
        ({"items": [], "user": "T", "user_group": "x"}, "Unknown user group: 'x'"),
    ],
)
def test_a_batch_request_that_is_incomplete_is_refused_and_tells_the_size_of_the_queue(
    closed_manager: ContractManager, params: dict[str, Any], text: str
) -> None:
    closed_manager.fill(2)
    reply = closed_manager.call("queue_item_add_batch", params)
    assert reply == {"success": False, "msg": f"Failed to add an item: {text}", "qsize": 2, "items": [], "results": []}


@pytest.mark.row("zmq-api", "queue_item_add_batch: order")
def test_a_batch_of_a_thousand_is_added_in_its_order(closed_manager: ContractManager) -> None:
    items = [plan("count", ["det"], num=number) for number in range(1, 1001)]
    reply = closed_manager.accepted("queue_item_add_batch", items=items, **CALLER)
    assert reply["qsize"] == 1000
    assert [item["kwargs"]["num"] for item in closed_manager.queue] == list(range(1, 1001))
    assert len(set(closed_manager.queue_uids)) == 1000


# Removing -------------------------------------------------------------------------------------------------------


@pytest.mark.method("queue_item_remove_batch")
@pytest.mark.row("zmq-api", "queue_item_remove_batch")
def test_a_batch_is_removed_in_the_order_of_the_uids(closed_manager: ContractClient) -> None:
    uids = closed_manager.fill(5)
    reply = closed_manager.accepted("queue_item_remove_batch", uids=[uids[3], uids[0], uids[1]])
    assert [item["item_uid"] for item in reply["items"]] == [uids[3], uids[0], uids[1]]
    assert reply["qsize"] == 2
    assert closed_manager.queue_uids == [uids[2], uids[4]]


@pytest.mark.row("zmq-api", "queue_item_remove_batch: ignore_missing")
@pytest.mark.parametrize("ignore_missing", [None, True])
def test_repeated_missing_and_malformed_uids_are_skipped(
    closed_manager: ContractManager, ignore_missing: bool | None
) -> None:
    uids = closed_manager.fill(3)
    params: dict[str, Any] = {} if ignore_missing is None else {"ignore_missing": ignore_missing}
    reply = closed_manager.accepted("queue_item_remove_batch", uids=[uids[1], "zz", uids[1], 5, None, [1]], **params)
    assert [item["item_uid"] for item in reply["items"]] == [uids[1]]
    assert closed_manager.queue_uids == [uids[0], uids[2]]


@pytest.mark.row("zmq-api", "queue_item_remove_batch: without ignore_missing")
@pytest.mark.parametrize("extra", ["repeated", "missing"])
def test_without_ignore_missing_nothing_is_removed(closed_manager: ContractManager, extra: str) -> None:
    uids = closed_manager.fill(3)
    batch = [uids[0], uids[1], uids[0] if extra == "repeated" else "zz"]
    reply = closed_manager.call("queue_item_remove_batch", uids=batch, ignore_missing=False)
    text = {
        "repeated": "The list of contains repeated UIDs (1 UIDs)",
        "missing": "The queue does not contain items with the following UIDs: ['zz']",
    }[extra]
    assert reply == {
        "success": False,
        "msg": f"Failed to remove a batch of items: {text}",
        "items": [],
        "qsize": None,
    }
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_remove_batch: running uid")
@pytest.mark.parametrize("ignore_missing", [True, False])
def test_the_running_item_counts_as_known_and_is_skipped(manager: ContractManager, ignore_missing: bool) -> None:
    held = manager.start_holding()
    uid = manager.add()["item_uid"]
    reply = manager.accepted("queue_item_remove_batch", uids=[held.uid, uid], ignore_missing=ignore_missing)
    assert [item["item_uid"] for item in reply["items"]] == [uid]
    assert manager.status()["running_item_uid"] == held.uid
    held.end()


def test_an_empty_list_of_uids_removes_nothing(closed_manager: ContractManager) -> None:
    closed_manager.fill(2)
    for ignore_missing in (True, False):
        reply = closed_manager.call("queue_item_remove_batch", uids=[], ignore_missing=ignore_missing)
        assert reply == {"success": True, "msg": "", "items": [], "qsize": 2}


# Moving ---------------------------------------------------------------------------------------------------------


def _moved(uids: list[str], batch: list[str], parameter: str, place: Any, reorder: bool) -> list[str]:
    """The contract's rule on a plain list: the first moved item by the rule for one item, each other after it."""
    if reorder:
        batch = sorted(batch, key=uids.index)
    result = list(uids)
    first, *others = batch
    if parameter == "pos_dest":
        index = {"front": 0, "back": len(uids) - 1}.get(place, place) % len(uids)
        target = result[index]
        if target != first:
            behind = result.index(first) < index
            result.remove(first)
            result.insert(result.index(target) + behind, first)
    else:
        result.remove(first)
        result.insert(result.index(place) + (parameter == "after_uid"), first)
    previous = first
    for uid in others:
        result.remove(uid)
        result.insert(result.index(previous) + 1, uid)
        previous = uid
    return result


@pytest.mark.method("queue_item_move_batch")
@pytest.mark.row("zmq-api", "queue_item_move_batch")
@pytest.mark.parametrize("reorder", [False, True])
@pytest.mark.parametrize("parameter", ["pos_dest", "before_uid", "after_uid"])
def test_a_batch_moves_to_its_destination(closed_manager: ContractClient, parameter: str, reorder: bool) -> None:
    uids = closed_manager.fill(6)
    chance = random.Random(f"{parameter} {reorder}")
    for _ in range(150):
        batch = chance.sample(uids, chance.randint(1, 5))
        if parameter == "pos_dest":
            place: Any = chance.choice(["front", "back", *range(-6, 6)])
        else:
            place = chance.choice([uid for uid in uids if uid not in batch])
        reply = closed_manager.accepted("queue_item_move_batch", {"uids": batch, "reorder": reorder, parameter: place})
        expected = _moved(uids, batch, parameter, place, reorder)
        note = f"{[uids.index(uid) for uid in batch]} {parameter}={place}"
        assert closed_manager.queue_uids == expected, note
        assert [item["item_uid"] for item in reply["items"]] == (sorted(batch, key=uids.index) if reorder else batch), (
            note
        )
        assert reply["qsize"] == 6
        uids = expected


@pytest.mark.parametrize("pos_dest", ["front", "back"])
def test_all_items_move_as_a_batch(closed_manager: ContractManager, pos_dest: str) -> None:
    uids = closed_manager.fill(4)
    closed_manager.accepted("queue_item_move_batch", uids=uids[::-1], pos_dest=pos_dest)
    assert closed_manager.queue_uids == uids[::-1]
    closed_manager.accepted("queue_item_move_batch", uids=uids, pos_dest=pos_dest, reorder=True)
    assert closed_manager.queue_uids == uids[::-1]


@pytest.mark.row("zmq-api", "queue_item_move_batch: destination in the batch")
@pytest.mark.parametrize("parameter", ["before_uid", "after_uid"])
def test_the_destination_may_not_be_in_the_batch(closed_manager: ContractManager, parameter: str) -> None:
    uids = closed_manager.fill(3)
    reply = closed_manager.call("queue_item_move_batch", {"uids": uids[:2], parameter: uids[0]})
    assert reply == {
        "success": False,
        "msg": f"Failed to move the batch of items: Parameter '{parameter}': item with UID '{uids[0]}' is in the batch",
        "qsize": None,
        "items": [],
    }
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "move_batch is atomic")
@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({"before_uid": "x"}, "(UID 'x') was not found: Item with UID 'x' is not in the queue.."),
        ({"after_uid": []}, "(UID '[]') was not found: Item with UID '[]' is not in the queue.."),
        ({"pos_dest": 50}, "(position 50) was not found: Index '50' is out of range (parameter pos = '50')."),
        (
            {"pos_dest": "x"},
            "(position x) was not found: Parameter 'pos' has incorrect type: pos=x (type=<class 'str'>).",
        ),
    ],
)
def test_a_batch_without_a_destination_that_exists_stays_where_it_was(
    closed_manager: ContractManager, place: dict[str, Any], text: str
) -> None:
    uids = closed_manager.fill(3)
    reply = closed_manager.call("queue_item_move_batch", uids=uids[1:], **place)
    assert reply == {
        "success": False,
        "msg": f"Failed to move the batch of items: Destination plan {text}",
        "qsize": None,
        "items": [],
    }
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_move_batch: atomic")
def test_an_unknown_uid_anywhere_in_the_batch_moves_nothing(closed_manager: ContractManager) -> None:
    uids = closed_manager.fill(3)
    reply = closed_manager.call("queue_item_move_batch", uids=[uids[2], "zz"], pos_dest="front")
    assert reply["msg"].endswith("The queue does not contain items with the following UIDs: ['zz']")
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_move_batch: empty")
@pytest.mark.parametrize("pos_dest", ["front", "back", 0, "xx"])
def test_an_empty_batch_moves_nothing(closed_manager: ContractManager, pos_dest: object) -> None:
    uids = closed_manager.fill(2)
    reply = closed_manager.call("queue_item_move_batch", uids=[], pos_dest=pos_dest)
    assert reply == {"success": True, "msg": "", "qsize": 2, "items": []}
    assert closed_manager.queue_uids == uids
