"""Console messages for those who come late: `console_get` and the numbers on the info socket (an addition)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from contract_manager import CALLER, ContractClient, ContractManager, plan

DEADLINE = 30.0


def say(manager: ContractClient, text: str) -> None:
    manager.accepted("queue_item_execute", item=plan("say", text), **CALLER)
    manager.wait_idle()


def wait_said(manager: ContractClient, text: str, **after: int) -> list[dict[str, Any]]:
    """All messages that are kept (after a number), once the text is among them."""
    deadline = time.monotonic() + DEADLINE
    while True:
        messages: list[dict[str, Any]] = manager.accepted("console_get", limit=10_000, **after)["messages"]
        if text in "".join(message["msg"] for message in messages):
            return messages
        assert time.monotonic() < deadline


def test_what_was_said_before_can_be_read(manager: ContractManager) -> None:
    say(manager, "said before anybody listened\n")
    messages = wait_said(manager, "said before anybody listened\n")
    numbers = [message["seq"] for message in messages]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert all(message.keys() == {"time", "msg", "seq"} for message in messages)
    assert all(abs(message["time"] - time.time()) < 3600 for message in messages)


@pytest.mark.method("console_get")
@pytest.mark.row("zmq-api", "numbered console messages, replay (addition)")
def test_messages_after_a_number_and_pages(manager: ContractClient) -> None:
    for number in range(5):
        say(manager, f"line {number}\n")
        wait_said(manager, f"line {number}\n")
    reply = manager.accepted("console_get", limit=10_000)
    messages = reply["messages"]
    assert (reply["first_seq"], reply["last_seq"]) == (messages[0]["seq"], messages[-1]["seq"])
    some = messages[-4]["seq"]
    assert manager.accepted("console_get", after=some)["messages"][:3] == messages[-3:]
    assert manager.accepted("console_get", after=some, limit=2)["messages"] == messages[-3:-1]
    assert manager.accepted("console_get", limit=1)["messages"][0]["seq"] >= messages[-1]["seq"]
    assert manager.accepted("console_get", after=reply["last_seq"] + 1000)["messages"] == []
    assert manager.accepted("console_get", after=-5, limit=1)["messages"] == messages[:1]


def test_the_info_socket_names_the_same_numbers(manager: ContractManager) -> None:
    with closing(manager.subscribe("QS_Console")) as subscriber:
        deadline = time.monotonic() + DEADLINE
        while not subscriber.poll(50):
            assert time.monotonic() < deadline
            say(manager, "are you there?\n")
        published = manager.decode(subscriber.recv_multipart()[1])
    kept = manager.accepted("console_get", after=published["seq"] - 1, limit=1)["messages"]
    assert kept == [published]


def test_a_manager_that_starts_begins_with_higher_numbers_and_publishing_is_not_needed(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager(publish=False)
    last = manager.accepted("console_get")["last_seq"]
    manager.stop()
    manager.start()
    messages = wait_said(manager, "ZeroMQ server is waiting on", after=last)
    assert messages[0]["seq"] > last
    assert manager.accepted("console_get")["first_seq"] > last
    manager.stop()


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"limit": 0}, "Parameter 'limit' must be from 1 to 10000: limit=0"),
        ({"limit": 10_001}, "Parameter 'limit' must be from 1 to 10000: limit=10001"),
        ({"limit": None}, "Parameter 'limit' must be from 1 to 10000: limit=None"),
        ({"after": "x"}, "Parameter 'after' must be integer: type(after) = <class 'str'>"),
    ],
)
def test_console_get_refuses(manager: ContractManager, params: dict[str, Any], text: str) -> None:
    reply = manager.call("console_get", params)
    assert (reply["success"], reply["msg"]) == (False, f"Error: {text}")
