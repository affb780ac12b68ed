"""Pages and parts of the history, and how long it grows (additions to zmq-api 5.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract_manager import CALLER, QUICK, ContractManager, Item, plan

STATUSES = ("completed", "failed", "stopped", "aborted", "halted", "unknown")
FAILING = plan("fail", "text")


@pytest.fixture(scope="module")
def with_history(manager_with_environment: ContractManager) -> Iterator[tuple[ContractManager, list[Item]]]:
    """Seven entries: five quick plans of two users, one of another name, one that failed."""
    manager = manager_with_environment
    manager.reset(environment=True)
    for number in range(5):
        caller = CALLER | {"user": "Even" if number % 2 == 0 else "Odd"}
        manager.accepted("queue_item_add", item=QUICK, **caller)
    manager.accepted("queue_item_add", item=plan("count", ["det"]), **CALLER)
    manager.accepted("queue_item_add", item=FAILING, **CALLER)
    manager.start_queue()
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] == 7)
    yield manager, manager.history
    manager.reset(environment=True)


def test_without_additions_the_whole_history_is_answered(with_history: tuple[ContractManager, list[Item]]) -> None:
    manager, entries = with_history
    reply = manager.accepted("history_get")
    assert set(reply) == {"success", "msg", "items", "plan_history_uid", "total"}
    assert (len(reply["items"]), reply["total"]) == (7, 7)
    assert reply["plan_history_uid"] == manager.status()["plan_history_uid"]
    ends = [entry["result"]["time_stop"] for entry in entries]
    assert ends == sorted(ends)


@pytest.mark.row("zmq-api", "history_get: pages and parts (addition)")
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"limit": 3}, [0, 1, 2]),
        ({"offset": 5}, [5, 6]),
        ({"offset": 2, "limit": 2}, [2, 3]),
        ({"offset": 7, "limit": 2}, []),
        ({"offset": 10**30}, []),
        ({"limit": 0}, []),
        ({"limit": 10**30}, [0, 1, 2, 3, 4, 5, 6]),
        ({"limit": None, "offset": None}, [0, 1, 2, 3, 4, 5, 6]),
        ({"newest_first": True}, [6, 5, 4, 3, 2, 1, 0]),
        ({"newest_first": True, "limit": 2}, [6, 5]),
        ({"newest_first": True, "offset": 2, "limit": 2}, [4, 3]),
        ({"newest_first": True, "offset": 6, "limit": 5}, [0]),
    ],
)
def test_a_page(with_history: tuple[ContractManager, list[Item]], params: dict[str, Any], expected: list[int]) -> None:
    manager, entries = with_history
    reply = manager.accepted("history_get", params)
    assert reply["items"] == [entries[number] for number in expected]
    assert reply["total"] == 7


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"plan": "null"}, [0, 1, 2, 3, 4]),
        ({"plan": "count"}, [5]),
        ({"plan": "nul"}, []),
        ({"user": "Odd"}, [1, 3]),
        ({"user": 'quoted "Odd"'}, []),
        ({"exit_status": "failed"}, [6]),
        ({"exit_status": "completed", "user": "Even"}, [0, 2, 4]),
        ({"exit_status": "failed", "plan": "null"}, []),
    ],
)
def test_entries_of_a_plan_a_user_or_an_exit_status(
    with_history: tuple[ContractManager, list[Item]], params: dict[str, Any], expected: list[int]
) -> None:
    manager, entries = with_history
    reply = manager.accepted("history_get", params)
    assert (reply["items"], reply["total"]) == ([entries[number] for number in expected], len(expected))
    page = manager.accepted("history_get", params, newest_first=True, offset=1, limit=1)
    assert page["items"] == [entries[number] for number in expected[::-1][1:2]]
    assert page["total"] == len(expected)


def test_entries_of_a_time(with_history: tuple[ContractManager, list[Item]]) -> None:
    manager, entries = with_history
    ends = [entry["result"]["time_stop"] for entry in entries]
    for params, expected in (
        ({"time_from": ends[2]}, entries[2:]),
        ({"time_to": ends[2]}, entries[:3]),
        ({"time_from": ends[1], "time_to": ends[4]}, entries[1:5]),
        ({"time_from": ends[4], "time_to": ends[1]}, []),
        ({"time_from": 0, "time_to": 1}, []),
        ({"time_from": ends[-1] + 1}, []),
        ({"time_from": 0}, entries),
        ({"time_from": ends[1], "newest_first": True, "limit": 2}, entries[:4:-1]),
    ):
        reply = manager.accepted("history_get", params)
        assert reply["items"] == expected
        assert reply["total"] == (6 if "limit" in params else len(expected))


def test_the_entry_of_an_item(with_history: tuple[ContractManager, list[Item]]) -> None:
    manager, entries = with_history
    reply = manager.accepted("history_get", item_uid=entries[3]["item_uid"])
    assert (reply["items"], reply["total"]) == ([entries[3]], 1)
    assert manager.accepted("history_get", item_uid="zz")["total"] == 0
    (returned,) = [item for item in manager.queue if "requeued_from" in item]
    assert manager.accepted("history_get", item_uid=returned["requeued_from"])["items"] == [entries[6]]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"offset": -1}, "Parameter 'offset' must not be negative: offset=-1"),
        ({"limit": -5}, "Parameter 'limit' must not be negative: limit=-5"),
        ({"limit": "x"}, "Parameter 'limit' must be integer: type(limit) = <class 'str'>"),
        ({"limit": True}, "Parameter 'limit' must be integer: type(limit) = <class 'bool'>"),
        ({"offset": 1.5}, "Parameter 'offset' must be integer: type(offset) = <class 'float'>"),
        ({"newest_first": 1}, "Parameter 'newest_first' must be boolean: type(newest_first) = <class 'int'>"),
        ({"plan": 5}, "Parameter 'plan' must be string: type(plan) = <class 'int'>"),
        ({"time_from": "now"}, "Parameter 'time_from' must be number: type(time_from) = <class 'str'>"),
        ({"time_to": float("nan")}, "Parameter 'time_to' must be finite: time_to=nan"),
        (
            {"exit_status": "good"},
            f"Unknown exit status 'good'. Exit statuses: {STATUSES}",
        ),
    ],
)
def test_history_get_refuses(closed_manager: ContractManager, params: dict[str, Any], text: str) -> None:
    assert closed_manager.call("history_get", params) == {
        "success": False,
        "msg": f"Error: {text}",
        "items": [],
        "plan_history_uid": "",
    }


def test_a_history_has_a_limit(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(options=["--history-limit=3"])
    manager.open_environment()
    uids = manager.fill(5)
    manager.start_queue()
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_queue"] == 0)
    assert [item["item_uid"] for item in manager.history] == uids[2:]
    assert manager.status()["items_in_history"] == 3
    assert manager.accepted("history_get", item_uid=uids[1])["total"] == 0
    assert manager.accepted("history_get", time_from=0, limit=1)["total"] == 3
    manager.stop()
