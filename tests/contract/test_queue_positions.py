"""Places in the queue: `pos`, `before_uid`, `after_uid`, sources and destinations of moves (zmq-api 5.5)."""

from __future__ import annotations

import pytest

from contract_manager import CALLER, QUICK, STOP_INSTRUCTION, UID, ContractClient, ContractManager, plan

# Adding ---------------------------------------------------------------------------------------------------------

NEW_INDEX_IN_A_QUEUE_OF_TWO = [
    (None, 2),
    ("back", 2),
    ("front", 0),
    (0, 0),
    (1, 1),
    (2, 2),
    (3, 2),
    (100, 2),
    (-1, 2),
    (-2, 1),
    (-3, 0),
    (-4, 0),
    (-100, 0),
    (10**30, 2),
    (-(10**30), 0),
]


@pytest.mark.method("queue_item_add")
@pytest.mark.row("zmq-api", "pos of an added item")
@pytest.mark.parametrize(("pos", "index"), NEW_INDEX_IN_A_QUEUE_OF_TWO)
def test_an_item_is_added_at_pos(closed_manager: ContractClient, pos: object, index: int) -> None:
    old = closed_manager.fill(2)
    reply = closed_manager.accepted("queue_item_add", item=QUICK, pos=pos, **CALLER)
    assert reply["qsize"] == 3
    old.insert(index, reply["item"]["item_uid"])
    assert closed_manager.queue_uids == old


@pytest.mark.method("queue_item_add_batch")
@pytest.mark.parametrize(("pos", "index"), NEW_INDEX_IN_A_QUEUE_OF_TWO)
def test_a_batch_is_added_at_pos_and_keeps_its_order(closed_manager: ContractClient, pos: object, index: int) -> None:
    old = closed_manager.fill(2)
    reply = closed_manager.accepted("queue_item_add_batch", items=[QUICK, STOP_INSTRUCTION, QUICK], pos=pos, **CALLER)
    assert reply["qsize"] == 5
    assert reply["results"] == [{"success": True, "msg": ""}] * 3
    assert [item["name"] for item in reply["items"]] == ["null", "queue_stop", "null"]
    old[index:index] = [item["item_uid"] for item in reply["items"]]
    assert closed_manager.queue_uids == old


@pytest.mark.row("zmq-api", "before_uid, after_uid")
@pytest.mark.parametrize("reference", [0, 1, 2])
@pytest.mark.parametrize(("parameter", "offset"), [("before_uid", 0), ("after_uid", 1)])
def test_an_item_is_added_beside_another(
    closed_manager: ContractManager, parameter: str, offset: int, reference: int
) -> None:
    old = closed_manager.fill(3)
    new = closed_manager.add(**{parameter: old[reference]})
    old.insert(reference + offset, new["item_uid"])
    assert closed_manager.queue_uids == old


@pytest.mark.parametrize(("parameter", "offset"), [("before_uid", 0), ("after_uid", 1)])
def test_a_batch_is_added_beside_an_item_and_keeps_its_order(
    closed_manager: ContractManager, parameter: str, offset: int
) -> None:
    old = closed_manager.fill(3)
    reply = closed_manager.accepted("queue_item_add_batch", items=[QUICK] * 3, **CALLER, **{parameter: old[1]})
    old[1 + offset : 1 + offset] = [item["item_uid"] for item in reply["items"]]
    assert closed_manager.queue_uids == old


@pytest.mark.row("zmq-api", "pos in an empty queue")
def test_the_first_item_of_an_empty_queue_may_have_any_pos(closed_manager: ContractManager) -> None:
    for pos in ("front", "back", 0, 5, -1, -5):
        closed_manager.accepted("queue_clear")
        assert closed_manager.accepted("queue_item_add", item=QUICK, pos=pos, **CALLER)["qsize"] == 1


@pytest.mark.row("zmq-api", "beside the running item")
def test_beside_the_running_item_only_after_it_is_a_place_and_means_the_front(manager: ContractManager) -> None:
    held = manager.start_holding()
    first = manager.add()
    second = manager.add(after_uid=held.uid)
    assert manager.queue_uids == [second["item_uid"], first["item_uid"]]
    reply = manager.call("queue_item_add", item=QUICK, before_uid=held.uid, **CALLER)
    text = "Can not insert a plan in the queue before a currently running plan."
    assert reply["msg"] == f"Failed to add an item: {text}"
    reply = manager.call("queue_item_add_batch", items=[QUICK], before_uid=held.uid, **CALLER)
    assert reply["results"] == [{"success": False, "msg": f"Failed to add item to queue: {text}"}]
    held.end()


@pytest.mark.method("queue_get")
@pytest.mark.row("zmq-api", "item: keys that are kept")
def test_an_added_item_always_gets_a_new_uid_and_keeps_only_known_keys(closed_manager: ContractClient) -> None:
    submitted = QUICK | {
        "item_uid": "mine",
        "meta": {"sample": "Cu"},
        "properties": {"color": "red"},
        "result": {"exit_status": "completed"},
        "user": "somebody else",
        "user_group": "root",
        "unknown": 1,
    }
    item = closed_manager.add(submitted)
    added = {name: item.pop(name) for name in ("item_uid", "queued_at")}
    assert UID.fullmatch(added["item_uid"])
    assert item == QUICK | {"meta": {"sample": "Cu"}, "properties": {"color": "red"}, **CALLER}
    assert closed_manager.queue == [item | added]


@pytest.mark.row("zmq-api", "item: args, kwargs and meta are not added")
def test_args_kwargs_and_meta_are_not_added_to_an_item_without_them(closed_manager: ContractManager) -> None:
    item = closed_manager.add(QUICK)
    assert set(item) == {"item_type", "name", "user", "user_group", "item_uid", "queued_at"}


# Showing and removing -------------------------------------------------------------------------------------------


@pytest.mark.method("queue_item_get", "queue_item_remove")
@pytest.mark.row("zmq-api", "queue_item_get, queue_item_remove")
@pytest.mark.parametrize(
    ("params", "index"),
    [
        ({}, 2),
        ({"pos": None}, 2),
        ({"pos": "back"}, 2),
        ({"pos": "front"}, 0),
        ({"pos": 0}, 0),
        ({"pos": 1}, 1),
        ({"pos": 2}, 2),
        ({"pos": -1}, 2),
        ({"pos": -2}, 1),
        ({"pos": -3}, 0),
        ({"uid": 0}, 0),
        ({"uid": 1}, 1),
    ],
)
def test_an_item_is_shown_and_removed_by_position_or_uid(
    closed_manager: ContractClient, params: dict[str, object], index: int
) -> None:
    uids = closed_manager.fill(3)
    if isinstance(number := params.get("uid"), int):
        params = {"uid": uids[number]}
    shown = closed_manager.accepted("queue_item_get", params)
    assert shown["item"]["item_uid"] == uids[index]
    removed = closed_manager.accepted("queue_item_remove", params)
    assert removed == {"success": True, "msg": "", "item": shown["item"], "qsize": 2}
    del uids[index]
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_get, queue_item_remove: out of range")
@pytest.mark.parametrize("pos", [3, -4, 50, -50, 10**30])
@pytest.mark.parametrize("method", ["queue_item_get", "queue_item_remove"])
def test_a_position_outside_of_the_queue_is_refused(closed_manager: ContractManager, method: str, pos: int) -> None:
    uids = closed_manager.fill(3)
    reply = closed_manager.call(method, pos=pos)
    assert reply["success"] is False
    assert f"Index '{pos}' is out of range (parameter pos = '{pos}')" in reply["msg"]
    assert reply["item"] == {}
    assert closed_manager.queue_uids == uids


# Moving ---------------------------------------------------------------------------------------------------------


@pytest.mark.method("queue_item_move")
@pytest.mark.row("zmq-api", "queue_item_move: pos_dest")
@pytest.mark.parametrize("source", [0, 1, 2, 3, -1, -2, -3, -4, "front", "back"])
@pytest.mark.parametrize("destination", [0, 1, 2, 3, -1, -2, -3, -4, "front", "back"])
def test_a_moved_item_ends_at_pos_dest(
    closed_manager: ContractClient, source: int | str, destination: int | str
) -> None:
    uids = closed_manager.fill(4)
    start, end = ({"front": 0, "back": 3}.get(str(pos), pos) for pos in (source, destination))
    uid = uids[int(start)]
    reply = closed_manager.accepted("queue_item_move", pos=source, pos_dest=destination)
    assert (reply["qsize"], reply["item"]["item_uid"]) == (4, uid)
    uids.remove(uid)
    uids.insert(int(end) % 4, uid)
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_move: before_uid, after_uid")
@pytest.mark.parametrize("by_uid", [True, False])
@pytest.mark.parametrize("reference", [0, 1, 2, 3])
@pytest.mark.parametrize(("parameter", "offset"), [("before_uid", 0), ("after_uid", 1)])
def test_a_moved_item_ends_beside_the_reference(
    closed_manager: ContractManager, parameter: str, offset: int, reference: int, by_uid: bool
) -> None:
    uids = closed_manager.fill(4)
    target, moved = uids[reference], uids[1]
    source = {"uid": moved} if by_uid else {"pos": 1}
    closed_manager.accepted("queue_item_move", source, **{parameter: target})
    if target != moved:
        uids.remove(moved)
        uids.insert(uids.index(target) + offset, moved)
    assert closed_manager.queue_uids == uids


@pytest.mark.row("zmq-api", "queue_item_move: running item")
def test_the_running_item_is_neither_source_nor_destination_of_a_move(manager: ContractManager) -> None:
    held = manager.start_holding()
    uid = manager.add()["item_uid"]
    reply = manager.call("queue_item_move", uid=held.uid, pos_dest="back")
    assert f"Source plan (UID '{held.uid}') was not found: " in reply["msg"]
    assert "is currently running" in reply["msg"]
    for parameter in ("before_uid", "after_uid"):
        reply = manager.call("queue_item_move", {"uid": uid, parameter: held.uid})
        assert f"Destination plan (UID '{held.uid}') was not found: " in reply["msg"]
        reply = manager.call("queue_item_move_batch", {"uids": [uid], parameter: held.uid})
        assert f"Destination plan (UID '{held.uid}') was not found: " in reply["msg"]
    reply = manager.call("queue_item_move_batch", uids=[uid, held.uid], pos_dest="front")
    assert f"Source plan (UID '{held.uid}') was not found: " in reply["msg"]
    assert manager.queue_uids == [uid]
    held.end()


@pytest.mark.row(
    "zmq-api",
    "the running item is not shown, removed or updated",
    "the running item is named in the text of queue_item_get",
)
def test_the_running_item_can_neither_be_shown_nor_removed_nor_updated(manager: ContractManager) -> None:
    held = manager.start_holding()
    reply = manager.call("queue_item_get", uid=held.uid)
    assert reply["msg"] == f"Failed to get an item: Item with UID '{held.uid}' is currently running."
    reply = manager.call("queue_item_remove", uid=held.uid)
    assert reply["msg"] == "Failed to remove an item: Can not remove an item which is currently running."
    reply = manager.call("queue_item_update", item=held.item, **CALLER)
    assert reply["msg"] == (
        f"Failed to add an item: Failed to replace item: Item with UID '{held.uid}' is currently running"
    )
    assert manager.accepted("queue_get")["running_item"]["item_uid"] == held.uid
    held.end()


# Updating -------------------------------------------------------------------------------------------------------


@pytest.mark.method("queue_item_update")
@pytest.mark.row("zmq-api", "queue_item_update")
@pytest.mark.parametrize("replace", [False, True])
def test_an_updated_item_keeps_its_place_and_with_replace_gets_a_new_uid(
    closed_manager: ContractClient, replace: bool
) -> None:
    uids = closed_manager.fill(3)
    new = plan("count", ["det"]) | {"item_uid": uids[1]}
    caller = {"user": "Another", "user_group": "root"}
    reply = closed_manager.accepted("queue_item_update", item=new, replace=replace, **caller)
    assert reply["qsize"] == 3
    uid = reply["item"]["item_uid"]
    assert (uid != uids[1]) is replace
    assert UID.fullmatch(uid)
    assert reply["item"] == new | caller | {"item_uid": uid, "queued_at": reply["item"]["queued_at"]}
    assert closed_manager.queue_uids == [uids[0], uid, uids[2]]
    assert closed_manager.queue[1] == reply["item"]


@pytest.mark.row("zmq-api", "queue_item_update: another type")
def test_an_item_may_be_replaced_by_one_of_another_type(closed_manager: ContractManager) -> None:
    (uid,) = closed_manager.fill(1)
    kept = {"item_uid": uid, "queued_at": closed_manager.queue[0]["queued_at"]}
    closed_manager.accepted("queue_item_update", item=STOP_INSTRUCTION | {"item_uid": uid}, **CALLER)
    assert closed_manager.queue == [STOP_INSTRUCTION | kept | CALLER]
