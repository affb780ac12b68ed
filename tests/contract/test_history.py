"""What `history_get` shows and `history_clear` drops (zmq-api 5.6)."""

from __future__ import annotations

from typing import Any

import pytest

from contract_manager import QUICK, ContractClient, ContractManager


@pytest.fixture
def uids(manager: ContractClient) -> list[str]:
    """A history of five items, oldest first."""
    uids = manager.fill(5)
    manager.run()
    return uids


def shown(manager: ContractClient) -> list[str]:
    return [item["item_uid"] for item in manager.history]


@pytest.mark.method("history_get")
@pytest.mark.row("zmq-api", "history_get: oldest first")
def test_the_oldest_is_first(manager: ContractClient, uids: list[str]) -> None:
    assert shown(manager) == uids
    assert manager.status()["items_in_history"] == 5


@pytest.mark.method("history_clear")
@pytest.mark.row("zmq-api", "history_clear: size and item_uid")
@pytest.mark.parametrize(
    ("params", "left"),
    [
        ({}, []),
        ({"size": None}, []),
        ({"size": 0}, []),
        ({"size": -3}, []),
        ({"size": 1}, [4]),
        ({"size": 3}, [2, 3, 4]),
        ({"size": 5}, [0, 1, 2, 3, 4]),
        ({"size": 10**30}, [0, 1, 2, 3, 4]),
        ({"item_uid": 0}, [1, 2, 3, 4]),
        ({"item_uid": 2}, [3, 4]),
        ({"item_uid": 4}, []),
        ({"item_uid": "zz"}, [0, 1, 2, 3, 4]),
    ],
)
def test_what_is_dropped(manager: ContractClient, uids: list[str], params: dict[str, Any], left: list[int]) -> None:
    if isinstance(number := params.get("item_uid"), int):
        params = {"item_uid": uids[number]}
    assert manager.call("history_clear", params) == {"success": True, "msg": ""}
    assert shown(manager) == [uids[index] for index in left]
    assert manager.status()["items_in_history"] == len(left)


def test_an_item_that_was_dropped_is_no_longer_known(manager: ContractManager, uids: list[str]) -> None:
    manager.accepted("history_clear", item_uid=uids[1])
    manager.accepted("history_clear", item_uid=uids[0])
    assert shown(manager) == uids[2:]


def test_history_grows_on_after_a_clear(manager: ContractManager, uids: list[str]) -> None:
    manager.accepted("history_clear", size=1)
    uid = manager.add(QUICK)["item_uid"]
    manager.run()
    assert shown(manager)[:2] == [uids[4], uid]


def test_history_may_be_cleared_while_a_plan_runs(manager: ContractManager, uids: list[str]) -> None:
    held = manager.start_holding()
    manager.accepted("history_clear")
    assert shown(manager) == []
    held.end()
    assert shown(manager) == [held.uid]
    assert held.uid not in uids
