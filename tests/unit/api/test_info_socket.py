from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq

from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.info_socket import InfoSocket
from queueserver_manager.api.wire import Encoding

STATUS = {"msg": "RE Manager v1", "items_in_queue": 3, "lock": {"environment": False, "queue": False}}
LOADS: dict[Encoding, Callable[[bytes], Any]] = {Encoding.JSON: json.loads, Encoding.MSGPACK: msgpack.unpackb}


@pytest.fixture
def start(loop_thread: Any, zmq_context: zmq.Context[Any]) -> Iterator[Callable[..., InfoSocket]]:
    started: list[InfoSocket] = []

    def start(encoding: Encoding = Encoding.JSON) -> InfoSocket:
        started.append(loop_thread.call(InfoSocket, "tcp://127.0.0.1:*", encoding, context=zmq_context))
        return started[-1]

    yield start
    for info in started:
        loop_thread.call(info.close, 0)


@pytest.fixture
def subscribe(loop_thread: Any, zmq_context: zmq.Context[Any]) -> Iterator[Callable[..., Any]]:
    sockets: list[Any] = []

    def subscribe(info: InfoSocket, topic: bytes) -> Any:
        subscriber = zmq_context.socket(zmq.SUB)
        sockets.append(subscriber)
        subscriber.linger = 0
        subscriber.rcvtimeo = 10_000
        subscriber.subscribe(b"QS_Info")
        subscriber.connect(info.address)
        while not subscriber.poll(10):  # a status is published until the subscription is known
            loop_thread.call(info.publish_status, b'{"msg":"warm-up"}')
        subscriber.subscribe(topic)
        if topic != b"QS_Info":
            while not subscriber.poll(10) or subscriber.recv_multipart()[0] != topic:
                loop_thread.call(info.console.publish, "warm-up", 0.0)
                loop_thread.call(info.publish_status, b"{}")
            subscriber.unsubscribe(b"QS_Info")
        while subscriber.poll(50):
            subscriber.recv_multipart()
        return subscriber

    yield subscribe
    for subscriber in sockets:
        subscriber.close()


@pytest.mark.parametrize("encoding", list(Encoding))
def test_console_text_is_published_in_the_form_of_the_contract(
    start: Any, subscribe: Any, loop_thread: Any, encoding: Encoding
) -> None:
    info = start(encoding)
    subscriber = subscribe(info, b"QS_Console")
    loop_thread.call(info.console.publish, "partial line é", 1234.5)
    topic, payload = subscriber.recv_multipart()
    assert topic == b"QS_Console"
    message = LOADS[encoding](payload)
    assert isinstance(message.pop("seq"), int)
    assert message == {"time": 1234.5, "msg": "partial line é"}


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("status", [STATUS, json.dumps(STATUS).encode()])
def test_a_status_is_published_from_a_mapping_or_its_text(
    start: Any, subscribe: Any, loop_thread: Any, encoding: Encoding, status: Any
) -> None:
    info = start(encoding)
    subscriber = subscribe(info, b"QS_Info")
    loop_thread.call(info.publish_status, status, 1234.5)
    topic, payload = subscriber.recv_multipart()
    assert topic == b"QS_Info"
    assert LOADS[encoding](payload) == {"time": 1234.5, "msg": {"status": STATUS}}


def test_a_status_without_a_time_has_the_time_of_publishing(start: Any, subscribe: Any, loop_thread: Any) -> None:
    info = start()
    subscriber = subscribe(info, b"QS_Info")
    before = time.time()
    loop_thread.call(info.publish_status, STATUS)
    assert before <= json.loads(subscriber.recv_multipart()[1])["time"] <= time.time()


def test_text_that_follows_closely_shares_a_message_in_its_order(start: Any, subscribe: Any, loop_thread: Any) -> None:
    info = start()
    subscriber = subscribe(info, b"QS_Console")

    def publish() -> None:
        for number in range(10):
            info.console.publish(f"{number}\n", float(number))
        info.console.publish("", 99.0)

    loop_thread.call(publish)
    message = json.loads(subscriber.recv_multipart()[1])
    del message["seq"]
    assert message == {"time": 0.0, "msg": "".join(f"{number}\n" for number in range(10))}
    assert not subscriber.poll(100)


def test_a_single_line_is_published_at_once(start: Any, subscribe: Any, loop_thread: Any) -> None:
    info = start()
    subscriber = subscribe(info, b"QS_Console")
    latencies = []
    for _ in range(20):
        subscriber.poll(20)  # quiet for longer than text is gathered
        before = time.monotonic()
        loop_thread.call(info.console.publish, "line\n", 0.0)
        subscriber.recv_multipart()
        latencies.append(time.monotonic() - before)
    assert min(latencies) < 0.008


@pytest.mark.parametrize("batch", [1, 500])
def test_a_burst_of_20000_lines_reaches_a_reading_subscriber_whole(
    start: Any, subscribe: Any, loop_thread: Any, batch: int
) -> None:
    info = start()
    subscriber = subscribe(info, b"QS_Console")
    lines = [f"line {number} {'x' * 80}\n" for number in range(20_000)]

    def publish(first: int = 0) -> None:  # as a worker's batches arrive: each in a turn of its own
        info.console.publish("".join(lines[first : first + batch]), time.time())
        if first + batch < len(lines):
            loop_thread.loop.call_soon(publish, first + batch)

    loop_thread.call(publish)
    expected = "".join(lines)
    received = ""
    while len(received) < len(expected):
        received += json.loads(subscriber.recv_multipart()[1])["msg"]
    assert received == expected


def test_a_subscriber_that_does_not_read_delays_nobody(start: Any, subscribe: Any, loop_thread: Any) -> None:
    info = start()
    subscribe(info, b"QS_Console")
    reader = subscribe(info, b"QS_Info")
    for number in range(50):
        loop_thread.call(info.console.publish, "x" * 100_000, 0.0)
        loop_thread.call(info.publish_status, {"n": number})
        assert json.loads(reader.recv_multipart()[1])["msg"]["status"]["n"] == number


def test_undecodable_bytes_in_console_text_are_published_in_a_readable_form(
    start: Any, subscribe: Any, loop_thread: Any
) -> None:
    info = start()
    subscriber = subscribe(info, b"QS_Console")
    loop_thread.call(info.console.publish, "file \udcff.txt", 0.0)
    assert json.loads(subscriber.recv_multipart()[1])["msg"] == "file \\udcff.txt"


def test_text_at_hand_is_published_before_closing(start: Any, subscribe: Any, loop_thread: Any) -> None:
    info = start()
    subscriber = subscribe(info, b"QS_Console")

    def publish_and_close() -> None:
        info.console.publish("a\n", 0.0)
        info.console.publish("last words\n", 0.0)
        info.close()

    loop_thread.call(publish_and_close)
    assert json.loads(subscriber.recv_multipart()[1])["msg"] == "a\nlast words\n"


def encrypted_subscriber(context: zmq.Context[Any], address: str, server_key: bytes | None) -> Any:
    subscriber = context.socket(zmq.SUB)
    subscriber.linger = 0
    subscriber.subscribe(b"QS_Info")
    if server_key is not None:
        subscriber.curve_serverkey = server_key
        subscriber.curve_publickey, subscriber.curve_secretkey = zmq.curve_keypair()
    subscriber.connect(address)
    return subscriber


@pytest.mark.parametrize("clear", [True, False])
def test_an_encrypted_copy_is_published_to_who_knows_the_public_key(
    loop_thread: Any, zmq_context: zmq.Context[Any], clear: bool, wait_until: Any
) -> None:
    public, secret = zmq.curve_keypair()
    info: InfoSocket = loop_thread.call(
        InfoSocket,
        "tcp://127.0.0.1:*" if clear else None,
        Encoding.JSON,
        encrypted=("tcp://127.0.0.1:*", CurveServerKeys(secret)),
        context=zmq_context,
    )
    addresses = [(info.encrypted_address, public), *([(info.address, None)] if clear else [])]
    readers = [encrypted_subscriber(zmq_context, address, key) for address, key in addresses]
    stranger = encrypted_subscriber(zmq_context, info.encrypted_address, None)
    try:
        assert bool(info.address) == clear

        def all_have_it() -> bool:
            loop_thread.call(info.publish_status, STATUS)
            return all(reader.poll(10) for reader in readers)

        wait_until(all_have_it)
        for reader in readers:
            assert json.loads(reader.recv_multipart()[1])["msg"] == {"status": STATUS}
        assert not stranger.poll(0)
    finally:
        for reader in (*readers, stranger):
            reader.close()
        loop_thread.call(info.close, 0)
