from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queueserver_common.link import codec
from queueserver_common.link.codec import decode, encode
from queueserver_common.link.messages import (
    Console,
    EnvironmentPhase,
    EventsStored,
    Heartbeat,
    Hello,
    Introduce,
    Message,
    Welcome,
)
from queueserver_manager.api.binding import BindError
from queueserver_manager.link.server import LinkServer


def hello(opening_id: str) -> Hello:
    return Hello(opening_id, "token", 0, 1, "host", 0.0, "1.0", EnvironmentPhase.LOADING, 1)


class Link:
    def __init__(self, loop_thread: Any, context: zmq.Context[Any], address: str) -> None:
        self.received: list[tuple[str, Message]] = []
        self.undecodable: list[tuple[str, str]] = []
        self._call = loop_thread.call
        self.server: LinkServer = self._call(
            LinkServer,
            address,
            lambda peer, message: self.received.append((peer, message)),
            lambda peer, reason: self.undecodable.append((peer, reason)),
            context=context,
        )

    def send(self, peer: str, message: Any) -> bool:
        return bool(self._call(self.server.send, peer, message))

    def close(self) -> None:
        self._call(self.server.close, 0)


class Worker:
    def __init__(self, context: zmq.Context[Any], address: str, opening_id: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = 10_000
        self.socket.routing_id = opening_id.encode()
        self.socket.connect(address)

    def send(self, message: Message) -> None:
        self.socket.send(encode(message))

    def receive(self) -> Message:
        return decode(self.socket.recv())


def answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address.removeprefix("ipc://")) == 0


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/link"


@pytest.fixture
def link(loop_thread: Any, zmq_context: zmq.Context[Any], address: str) -> Iterator[Link]:
    link = Link(loop_thread, zmq_context, address)
    yield link
    link.close()


@pytest.fixture
def dial(zmq_context: zmq.Context[Any], address: str) -> Iterator[Callable[[str], Worker]]:
    workers: list[Worker] = []

    def dial(opening_id: str) -> Worker:
        workers.append(Worker(zmq_context, address, opening_id))
        return workers[-1]

    yield dial
    for worker in workers:
        worker.socket.close()


def test_messages_arrive_under_the_opening_id_in_their_order(link: Link, dial: Any, wait_until: Any) -> None:
    worker = dial("opening-1")
    messages = [hello("opening-1"), Heartbeat(), *(Console(float(n), f"line {n}\n") for n in range(1000))]
    for message in messages:
        worker.send(message)
    wait_until(lambda: len(link.received) == len(messages))
    assert link.received == [("opening-1", message) for message in messages]


def test_messages_reach_the_worker_they_are_sent_to(link: Link, dial: Any, wait_until: Any) -> None:
    workers = [dial(f"opening-{n}") for n in range(5)]
    for number, worker in enumerate(workers):
        worker.send(hello(f"opening-{number}"))
    wait_until(lambda: len(link.received) == 5)
    for number in range(5):
        assert link.send(f"opening-{number}", EventsStored(number))
    assert [worker.receive() for worker in workers] == [EventsStored(number) for number in range(5)]


def test_a_worker_one_release_older_is_spoken_to_in_its_version(
    link: Link, dial: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = codec.PROTOCOL_VERSION
    monkeypatch.setattr(codec, "PROTOCOL_VERSION", older + 1)
    worker, equal = dial("opening-1"), dial("opening-2")
    worker.socket.send(encode(Heartbeat(), older))
    assert worker.socket.recv() == encode(Introduce(), older)
    worker.socket.send(encode(hello("opening-1"), older))
    equal.send(hello("opening-2"))
    wait_until(lambda: len(link.received) == 2)
    assert link.undecodable == []
    for peer in ("opening-1", "opening-2"):
        assert link.send(peer, EventsStored(3))
    assert worker.socket.recv() == encode(EventsStored(3), older)
    assert equal.socket.recv() == encode(EventsStored(3), older + 1)


def test_a_worker_of_two_releases_before_is_refused_with_a_sentence(
    link: Link, dial: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = codec.PROTOCOL_VERSION
    monkeypatch.setattr(codec, "PROTOCOL_VERSION", older + 2)
    dial("opening-1").socket.send(encode(hello("opening-1"), older))
    wait_until(lambda: link.undecodable)
    supported = [older + 1, older + 2]
    assert link.undecodable == [("opening-1", f"link version {older} is not supported (supported: {supported})")]
    assert link.received == []


def test_sending_to_a_worker_that_is_not_connected_is_reported(link: Link, dial: Any, wait_until: Any) -> None:
    assert link.send("nobody", Introduce()) is False
    worker = dial("opening-1")
    worker.send(hello("opening-1"))
    wait_until(lambda: link.received)
    assert link.send("opening-1", Welcome(1, 0)) is True
    worker.socket.close()
    wait_until(lambda: not link.send("opening-1", Welcome(1, 0)))


def test_a_worker_that_has_not_said_hello_is_asked_once_to_introduce_itself(
    link: Link, dial: Any, wait_until: Any
) -> None:
    worker = dial("opening-1")
    for _ in range(10):
        worker.send(Heartbeat())
    assert worker.receive() == Introduce()
    worker.send(hello("opening-1"))
    worker.send(Heartbeat())
    wait_until(lambda: len(link.received) == 2)
    assert link.received == [("opening-1", hello("opening-1")), ("opening-1", Heartbeat())]
    assert not worker.socket.poll(100)


def test_a_new_manager_at_the_same_address_makes_itself_known(
    loop_thread: Any, zmq_context: zmq.Context[Any], address: str, dial: Any, wait_until: Any
) -> None:
    first = Link(loop_thread, zmq_context, address)
    worker = dial("opening-1")
    worker.send(hello("opening-1"))
    wait_until(lambda: first.received)
    first.close()
    wait_until(lambda: not answers(address))  # 0MQ closes in a thread of its own
    second = Link(loop_thread, zmq_context, address)
    try:

        def introduced() -> bool:
            worker.send(Heartbeat())
            return bool(worker.socket.poll(50))

        wait_until(introduced)
        assert worker.receive() == Introduce()
        worker.send(hello("opening-1"))
        wait_until(lambda: ("opening-1", hello("opening-1")) in second.received)
        assert second.received[0] == ("opening-1", hello("opening-1"))
    finally:
        second.close()


def test_a_forgotten_worker_is_a_stranger_again(link: Link, dial: Any, wait_until: Any, loop_thread: Any) -> None:
    worker = dial("opening-1")
    worker.send(hello("opening-1"))
    wait_until(lambda: link.received)
    loop_thread.call(link.server.forget, "opening-1")
    worker.send(Heartbeat())
    assert worker.receive() == Introduce()
    assert len(link.received) == 1


def test_a_worker_that_dials_again_takes_over_from_its_old_connection(link: Link, dial: Any, wait_until: Any) -> None:
    old = dial("opening-1")
    old.send(hello("opening-1"))
    wait_until(lambda: link.received)
    new = dial("opening-1")
    new.send(hello("opening-1"))
    wait_until(lambda: len(link.received) == 2)
    assert link.send("opening-1", EventsStored(7))
    assert new.receive() == EventsStored(7)
    assert not old.socket.poll(0)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not a msgpack frame"),
        (b"\xc1", "not a msgpack frame"),
        (msgpack.packb([2, "Heartbeat", []]), "link version 2 is not supported"),
        (msgpack.packb([[], "Heartbeat", []]), "link version [] is not supported"),
        (msgpack.packb([1, "Nonsense", []]), "unknown message kind 'Nonsense'"),
        (msgpack.packb([1, "Console", ["now", "text"]]), "expected float"),
        (encode(Introduce()), "Introduce is not for a manager"),
        (encode(hello("opening-2")), "it calls itself 'opening-2'"),
    ],
)
def test_what_is_not_a_message_for_the_manager_is_logged_told_and_dropped(
    link: Link, dial: Any, wait_until: Any, caplog: pytest.LogCaptureFixture, frame: bytes, reason: str
) -> None:
    worker = dial("opening-1")
    worker.socket.send(frame)
    wait_until(lambda: link.undecodable)
    assert link.undecodable[0][0] == "opening-1"
    assert reason in link.undecodable[0][1]
    assert reason in caplog.text
    assert "Traceback" not in caplog.text
    worker.send(hello("opening-1"))
    wait_until(lambda: link.received)
    assert link.received == [("opening-1", hello("opening-1"))]


def test_a_worker_whose_name_is_no_text_is_dropped(
    link: Link, zmq_context: zmq.Context[Any], address: str, wait_until: Any
) -> None:
    with zmq_context.socket(zmq.DEALER) as stranger:
        stranger.linger = 0
        stranger.routing_id = b"\xff\xfe"
        stranger.connect(address)
        stranger.send(encode(Heartbeat()))
        wait_until(lambda: link.undecodable)
    assert "not UTF-8" in link.undecodable[0][1]
    assert link.received == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(frames=st.lists(st.binary(max_size=50), min_size=1, max_size=20))
def test_random_bytes_do_not_end_the_link(link: Link, dial: Any, wait_until: Any, frames: list[bytes]) -> None:
    worker = dial("opening-1")
    for frame in frames:
        worker.socket.send(frame)
    seen = len(link.received)
    worker.send(hello("opening-1"))
    wait_until(lambda: len(link.received) > seen)
    worker.socket.close()


def test_a_link_address_in_use_is_refused(link: Link, loop_thread: Any, zmq_context: Any, address: str) -> None:
    with pytest.raises(BindError, match=r"The worker link cannot listen on .* in use"):
        loop_thread.call(LinkServer, address, print, context=zmq_context)
