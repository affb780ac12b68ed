"""The published client edits the queue: every method, blocking and asyncio."""

from __future__ import annotations

import pytest
from bluesky_queueserver_api import BInst, BItem, BPlan
from bluesky_queueserver_api.zmq import REManagerAPI

from contract_manager import ContractManager
from published_client import Client

COUNT = BPlan("count", ["det"], num=2)


def _uids(client: Client) -> list[str]:
    return [item["item_uid"] for item in client.do("queue_get", reload=True)["items"]]


def _fill(client: Client, number: int) -> list[str]:
    client.do("queue_clear")
    return [item["item_uid"] for item in client.do("item_add_batch", [COUNT] * number)["items"]]


def test_item_add_puts_plans_and_instructions_at_their_places(client: Client) -> None:
    first = client.do("item_add", COUNT)
    assert (first["success"], first["qsize"], first["item"]["user_group"]) == (True, 1, "primary")
    second = client.do("item_add", BInst("queue_stop"), pos="front")
    third = client.do("item_add", BItem("plan", "null"), after_uid=second["item"]["item_uid"])
    fourth = client.do("item_add", COUNT.to_dict(), before_uid=first["item"]["item_uid"])
    assert _uids(client) == [reply["item"]["item_uid"] for reply in (second, third, fourth, first)]


def test_item_add_takes_user_and_group(client: Client) -> None:
    item = client.do("item_add", COUNT, user="Somebody", user_group="root")["item"]
    assert (item["user"], item["user_group"]) == ("Somebody", "root")


def test_a_refused_request_raises_with_the_text_of_the_manager(client: Client) -> None:
    with pytest.raises(REManagerAPI.RequestFailedError, match="Plan 'nope' is not in the list of allowed plans"):
        client.do("item_add", BPlan("nope"))
    client.api.request_fail_exceptions_enabled = False
    reply = client.do("item_add", BPlan("nope"))
    assert (reply["success"], reply["qsize"]) == (False, None)


def test_item_add_batch_adds_all_or_none(client: Client) -> None:
    reply = client.do("item_add_batch", [COUNT, BInst("queue_stop"), COUNT], pos="front")
    assert (reply["qsize"], [result["success"] for result in reply["results"]]) == (3, [True] * 3)
    with pytest.raises(REManagerAPI.RequestFailedError, match="validation of 1 out of 2 submitted items failed"):
        client.do("item_add_batch", [COUNT, BPlan("nope")])
    assert len(_uids(client)) == 3


@pytest.mark.parametrize("replace", [False, True])
def test_item_update(client: Client, replace: bool) -> None:
    item = client.do("item_add", COUNT)["item"]
    item["kwargs"] = {"num": 7}
    reply = client.do("item_update", item, replace=replace)
    assert (reply["qsize"], reply["item"]["kwargs"]) == (1, {"num": 7})
    assert (reply["item"]["item_uid"] != item["item_uid"]) is replace


def test_item_get_and_item_remove(client: Client) -> None:
    uids = _fill(client, 4)
    assert client.do("item_get")["item"]["item_uid"] == uids[3]
    assert client.do("item_get", pos="front")["item"]["item_uid"] == uids[0]
    assert client.do("item_get", uid=uids[1])["item"]["item_uid"] == uids[1]
    assert client.do("item_remove", pos=0)["item"]["item_uid"] == uids[0]
    assert client.do("item_remove", uid=uids[2])["qsize"] == 2
    assert client.do("item_remove")["item"]["item_uid"] == uids[3]
    assert _uids(client) == [uids[1]]


def test_item_move_and_item_move_batch(client: Client) -> None:
    a, b, c, d = _fill(client, 4)
    client.do("item_move", pos="front", pos_dest="back")
    assert _uids(client) == [b, c, d, a]
    client.do("item_move", uid=d, before_uid=b)
    assert _uids(client) == [d, b, c, a]
    client.do("item_move", pos=0, after_uid=c)
    assert _uids(client) == [b, c, d, a]
    client.do("item_move_batch", uids=[a, b], pos_dest="front")
    assert _uids(client) == [a, b, c, d]
    client.do("item_move_batch", uids=[d, a], after_uid=b, reorder=True)
    assert _uids(client) == [b, a, d, c]


def test_item_remove_batch(client: Client) -> None:
    a, b, c = _fill(client, 3)
    assert client.do("item_remove_batch", uids=[c, a, "zz"])["qsize"] == 1
    with pytest.raises(REManagerAPI.RequestFailedError, match="does not contain items with the following UIDs"):
        client.do("item_remove_batch", uids=[b, "zz"], ignore_missing=False)
    assert _uids(client) == [b]


def test_queue_get_is_cached_by_the_uid_of_the_queue(client: Client, manager: ContractManager) -> None:
    uids = _fill(client, 2)
    assert [item["item_uid"] for item in client.do("queue_get")["items"]] == uids
    uids.append(manager.add()["item_uid"])
    client.do("status", reload=True)
    reply = client.do("queue_get")
    assert [item["item_uid"] for item in reply["items"]] == uids
    assert reply["running_item"] == {}
    assert reply["plan_queue_uid"] == client.do("status", reload=True)["plan_queue_uid"]


def test_queue_clear(client: Client) -> None:
    _fill(client, 3)
    assert client.do("queue_clear") == {"success": True, "msg": ""}
    assert _uids(client) == []


def test_queue_mode_set(client: Client) -> None:
    client.do("queue_mode_set", loop=True)
    client.do("queue_mode_set", ignore_failures=True)
    mode = client.do("status", reload=True)["plan_queue_mode"]
    assert mode == {"loop": True, "ignore_failures": True}
    client.do("queue_mode_set", mode="default")
    mode = client.do("status", reload=True)["plan_queue_mode"]
    assert mode == {"loop": False, "ignore_failures": False}
