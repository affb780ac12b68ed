"""The published stream: status, heartbeat and console (zmq-api 1.4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import msgpack
import pytest
import zmq

from contract_manager import CALLER, ContractManager, plan

DEADLINE = 15.0


def messages(manager: ContractManager, topic: str, until: float = DEADLINE) -> Iterator[dict[str, Any]]:
    """The payloads of a topic as they come; ends at the deadline."""
    deadline = time.monotonic() + until
    with closing(manager.subscribe(topic)) as subscriber:
        while (left := deadline - time.monotonic()) > 0:
            if subscriber.poll(left * 1000):
                name, payload = subscriber.recv_multipart()
                assert name == topic.encode()
                yield manager.decode(payload)


@pytest.mark.row("zmq-api", "QS_Info once a second and with every change")
def test_the_status_is_published_once_a_second_though_nothing_happens(closed_manager: ContractManager) -> None:
    stream = messages(closed_manager, "QS_Info")
    times = [next(stream)["time"] for _ in range(4)]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap < 1.3 for gap in gaps)
    assert abs(times[-1] - time.time()) < 5
    stream.close()


@pytest.mark.row("zmq-api", "QS_Info holds the status")
def test_a_published_status_is_what_a_request_answers(closed_manager: ContractManager) -> None:
    message = next(messages(closed_manager, "QS_Info"))
    assert message.keys() == {"time", "msg"}
    assert message["msg"].keys() == {"status"}
    assert message["msg"]["status"] == closed_manager.status()


def test_a_change_is_published_at_once(closed_manager: ContractManager) -> None:
    with closing(closed_manager.subscribe("QS_Info")) as subscriber:
        assert subscriber.poll(DEADLINE * 1000)  # the subscription has arrived
        subscriber.recv_multipart()
        delays = []
        for number in range(1, 6):
            closed_manager.add()
            begin = time.monotonic()
            while closed_manager.decode(subscriber.recv_multipart()[1])["msg"]["status"]["items_in_queue"] != number:
                pass
            delays.append(time.monotonic() - begin)
        assert min(delays) < 0.2, "sooner than the status that is repeated every second"


@pytest.mark.row("zmq-api", "QS_Console")
@pytest.mark.parametrize(
    "text", ["one line\n", "a part", "two\nlines\n", "µ λ 漢字 🚀\n", "a\rb\r\n", "x" * 100_000 + "\n"]
)
def test_what_a_plan_prints_arrives_as_it_is(manager: ContractManager, text: str) -> None:
    with closing(manager.subscribe("QS_Console")) as subscriber:
        _await_subscription(manager, subscriber)
        marked = f"[begin]{text}[end]"
        manager.accepted("queue_item_execute", item=plan("say", marked), **CALLER)
        received = ""
        deadline = time.monotonic() + DEADLINE
        while "[end]" not in received:
            assert subscriber.poll(max(0, deadline - time.monotonic()) * 1000), received[-1000:]
            topic, payload = subscriber.recv_multipart()
            message = manager.decode(payload)
            assert (topic, message.keys()) == (b"QS_Console", {"time", "msg", "seq"})
            assert abs(message["time"] - time.time()) < 60
            received += message["msg"]
        assert marked in received
    manager.wait_idle()


def _await_subscription(manager: ContractManager, subscriber: zmq.Socket[bytes]) -> None:
    """0MQ tells nobody that a subscription has arrived: print until something does."""
    deadline = time.monotonic() + DEADLINE
    while not subscriber.poll(20):
        assert time.monotonic() < deadline
        if manager.status()["manager_state"] == "idle":
            manager.accepted("queue_item_execute", item=plan("say", "are you there?\n"), **CALLER)
    manager.wait_idle()


@pytest.mark.row("zmq-api", "QS_Console: also text of the manager itself")
def test_errors_of_plans_and_the_log_of_the_manager_are_on_the_console(manager: ContractManager) -> None:
    with closing(manager.subscribe("QS_Console")) as subscriber:
        _await_subscription(manager, subscriber)
        manager.run(plan("fail", "the shutter is stuck"))
        text, deadline = "", time.monotonic() + DEADLINE
        while "the shutter is stuck" not in text:
            assert subscriber.poll(max(0, deadline - time.monotonic()) * 1000), text
            text += manager.decode(subscriber.recv_multipart()[1])["msg"]


@pytest.mark.row("zmq-api", "nothing is published unless it is switched on")
@pytest.mark.row("cli", "--zmq-publish-console")
def test_nothing_is_published_unless_it_is_switched_on(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(publish=False)
    with closing(manager.subscribe("")) as subscriber:
        assert not subscriber.poll(1500)
    manager.stop()


@pytest.mark.row("zmq-api", "both topics in the encoding of requests")
def test_both_topics_are_encoded_as_requests_are(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(encoding="msgpack")
    with closing(manager.subscribe("")) as subscriber:
        found: set[bytes] = set()
        deadline = time.monotonic() + DEADLINE
        while found != {b"QS_Info", b"QS_Console"}:
            assert subscriber.poll(max(0, deadline - time.monotonic()) * 1000), found
            topic, payload = subscriber.recv_multipart()
            message = msgpack.unpackb(payload)
            assert message.keys() == {"time", "msg"} | ({"seq"} if topic == b"QS_Console" else set())
            if not found:
                manager.accepted("environment_open")  # which prints
            found.add(topic)
    manager.wait_idle()
    manager.stop()
