from __future__ import annotations

import json
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from queueserver_manager.api.control_socket import ControlSocket, Request
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.wire import Encoding

STATUS = b'{"msg":"RE Manager v1","manager_state":"idle"}'
BIG = 100 * 1024 * 1024


class Server:
    """A control socket in a loop; `echo` and `status` are answered, "later" waits for `release`."""

    def __init__(
        self, loop_thread: Any, context: zmq.Context[Any], addresses: Any = "tcp://127.0.0.1:*", **options: Any
    ) -> None:
        self.loop_thread = loop_thread
        self.waiting: list[Request] = []
        self.messages = 0
        options.setdefault("encoding", Encoding.JSON)
        self.socket: ControlSocket = loop_thread.call(
            lambda: ControlSocket(addresses, on_request=self._on_request, context=context, **options)
        )
        self.address = self.socket.addresses[0]

    def _on_request(self, request: Request) -> None:
        self.messages += 1
        if request.method == "status":
            self.socket.reply(request, STATUS)
        elif request.method == "later":
            self.waiting.append(request)
        elif request.method == "fail":
            raise KeyError("broken")
        else:
            self.socket.reply(request, {"success": True, "params": request.params})

    def release(self) -> None:
        def answer() -> None:
            for request in self.waiting:
                self.socket.reply(request, {"success": True, "params": request.params})
            self.waiting.clear()

        self.loop_thread.call(answer)


@pytest.fixture
def start(loop_thread: Any, zmq_context: zmq.Context[Any]) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*args: Any, **options: Any) -> Server:
        servers.append(Server(loop_thread, zmq_context, *args, **options))
        return servers[-1]

    yield start
    for server in servers:
        loop_thread.call(server.socket.close, 0)


@pytest.fixture
def connect(zmq_context: zmq.Context[Any]) -> Iterator[Callable[..., Any]]:
    clients: list[Any] = []

    def connect(address: str, kind: int = zmq.REQ, **options: Any) -> Any:
        client = zmq_context.socket(kind)
        clients.append(client)
        client.linger = 0
        client.sndtimeo = client.rcvtimeo = 10_000
        for name, value in options.items():
            setattr(client, name, value)
        client.connect(address)
        return client

    yield connect
    for client in clients:
        client.close()


def largest_memory() -> int:
    """Bytes."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def ask(client: Any, method: str, params: Any = None) -> Any:
    client.send(json.dumps({"method": method, "params": params or {}}).encode())
    return json.loads(client.recv())


def test_a_request_gets_its_reply(start: Any, connect: Any) -> None:
    client = connect(start().address)
    assert ask(client, "status")["manager_state"] == "idle"
    assert ask(client, "echo", {"a": [1, 2]}) == {"success": True, "params": {"a": [1, 2]}}


def test_a_request_that_arrives_just_before_another_reply_is_sent_is_not_overlooked(
    start: Any, connect: Any, wait_until: Any, loop_thread: Any
) -> None:
    server = start()
    first, second = connect(server.address, zmq.DEALER), connect(server.address)
    ask(second, "echo")
    first.send(b'{"method":"later"}')
    wait_until(lambda: server.waiting)

    def reply_while_a_request_waits() -> None:  # sending takes the notice of the other request from the descriptor
        second.send(b'{"method":"echo"}')
        assert select.select([server.socket._socket.FD], [], [], 10)[0]
        time.sleep(0.01)  # 0MQ looks for notices while sending, but not more often than every few milliseconds
        for request in server.waiting:
            server.socket.reply(request, {"success": True})

    loop_thread.call(reply_while_a_request_waits)
    assert json.loads(first.recv())["success"]
    assert json.loads(second.recv())["success"]


def test_a_slow_request_does_not_keep_other_clients_waiting(start: Any, connect: Any, wait_until: Any) -> None:
    server = start()
    slow, quick = connect(server.address), connect(server.address)
    slow.send(b'{"method":"later"}')
    wait_until(lambda: server.waiting)
    assert ask(quick, "echo", {"a": 1})["success"]
    server.release()
    assert json.loads(slow.recv())["success"]


def test_malformed_requests_are_answered_and_the_connection_survives(start: Any, connect: Any) -> None:
    client = connect(start().address)
    for frame, text in (
        (b"not json", "Failed to decode the request: JSON decode error: "),
        (b"[1]", "Incorrect request type: <class 'list'>"),
        (b'{"met":"status"}', "Invalid request format: method is not specified: {'met': 'status'}"),
        (b'{"method":["a"]}', "unhashable type: 'list'"),
        (b"", "Failed to decode the request: JSON decode error: "),
        (b"[" * 100_000, "Failed to decode the request: "),
    ):
        client.send(frame)
        reply = json.loads(client.recv())
        assert reply["success"] is False
        assert reply["msg"].startswith(text)
    assert ask(client, "echo")["success"]


def test_an_error_of_the_manager_is_answered_and_logged(
    start: Any, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(start().address)
    reply = ask(client, "fail")
    assert reply["success"] is False
    assert "KeyError('broken')" in reply["msg"]
    assert "'fail' failed by an error of the manager" in caplog.text
    assert ask(client, "echo")["success"]


def test_a_second_reply_to_a_request_is_refused(start: Any, connect: Any, wait_until: Any) -> None:
    server = start()
    connect(server.address).send(b'{"method":"later"}')
    wait_until(lambda: server.waiting)
    request = server.waiting[0]
    server.release()
    with pytest.raises(RuntimeError, match="second reply"):
        server.loop_thread.call(server.socket.reply, request, STATUS)


def test_requests_and_replies_in_msgpack(start: Any, connect: Any) -> None:
    client = connect(start(encoding=Encoding.MSGPACK).address)
    client.send(msgpack.packb({"method": "echo", "params": {"a": 1.5}}))
    assert msgpack.unpackb(client.recv()) == {"success": True, "params": {"a": 1.5}}
    client.send(b'{"method":"status"}')
    assert "MSGPACK decode error" in msgpack.unpackb(client.recv())["msg"]


def test_fifty_clients_at_once_get_their_own_replies(start: Any, connect: Any) -> None:
    clients = [connect(start_address) for start_address in [start().address] for _ in range(50)]
    for round_number in range(5):
        for number, client in enumerate(clients):
            client.send(json.dumps({"method": "echo", "params": {"n": [number, round_number]}}).encode())
        for number, client in enumerate(clients):
            assert json.loads(client.recv())["params"] == {"n": [number, round_number]}


@pytest.mark.parametrize("envelope", [[], [b""], [b"id", b""], [b"a", b"b", b"c", b""]])
def test_a_dealer_gets_its_envelope_back_and_may_pipeline(start: Any, connect: Any, envelope: list[bytes]) -> None:
    client = connect(start().address, zmq.DEALER)
    for number in range(1000):
        client.send_multipart([*envelope, b'{"method":"echo","params":{"n":%d}}' % number])
    for number in range(1000):
        *returned, frame = client.recv_multipart()
        assert returned == envelope
        assert json.loads(frame)["params"] == {"n": number}


def test_a_client_that_comes_back_under_its_own_name_is_served(start: Any, connect: Any) -> None:
    address = start().address
    first = connect(address, routing_id=b"console")
    assert ask(first, "echo")["success"]
    second = connect(address, routing_id=b"console")
    assert ask(second, "echo")["success"]


def test_clients_that_vanish_before_their_reply_do_no_harm(start: Any, connect: Any, wait_until: Any) -> None:
    server = start()
    survivor = connect(server.address)
    for _ in range(20):
        client = connect(server.address)
        client.send(b'{"method":"later"}')
        wait_until(lambda: server.waiting)
        client.close()
        assert ask(survivor, "echo")["success"]
        server.release()
    assert ask(survivor, "echo")["success"]


def test_a_client_that_does_not_read_blocks_nobody_and_takes_bounded_memory(start: Any, connect: Any) -> None:
    server = start()
    deaf = connect(server.address, zmq.DEALER, rcvhwm=1, sndhwm=1)
    text = "x" * 100_000
    for number in range(300):
        try:
            deaf.send_multipart([b"", json.dumps({"method": "echo", "params": [number, text]}).encode()], zmq.DONTWAIT)
        except zmq.Again:
            deaf.poll(5, zmq.POLLOUT)
    other = connect(server.address)
    for _ in range(100):
        assert ask(other, "echo")["success"]


def test_a_frame_over_the_limit_closes_the_connection_and_names_the_peer(
    start: Any, connect: Any, caplog: pytest.LogCaptureFixture, wait_until: Any
) -> None:
    server = start(max_frame=1024)
    client = connect(server.address)
    exact = b'{"method":"echo"}'.ljust(1024)
    client.send(exact)
    assert json.loads(client.recv())["success"]
    client.send(b"x" * BIG)
    wait_until(lambda: "sent a frame of more than 1024 bytes" in caplog.text)
    assert "The connection of 127.0.0.1:" in caplog.text
    assert ask(connect(server.address), "echo")["success"]


def test_frames_of_a_hundred_megabytes_are_not_taken_into_memory(
    start: Any, connect: Any, wait_until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    other = connect(server.address)
    frame = b"x" * BIG
    clients = [connect(server.address, zmq.DEALER) for _ in range(5)]
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory from here on
    before = largest_memory()
    for client in clients:
        client.send(frame, copy=False)  # the client's memory is this process's memory as well
        assert ask(other, "echo")["success"]
    wait_until(lambda: "sent a frame of more than" in caplog.text)
    assert largest_memory() - before < 50_000_000
    assert ask(other, "echo")["success"]


def test_clients_that_leave_or_are_refused_leave_no_descriptors_and_no_warning(
    start: Any, connect: Any, caplog: pytest.LogCaptureFixture, wait_until: Any
) -> None:
    server = start()
    survivor = connect(server.address)
    ask(survivor, "echo")
    wait_until(lambda: len(server.socket._frame_limit._connections) == 1)  # its reply may be faster
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(30):
        client = connect(server.address)
        ask(client, "echo")
        client.close()
    wait_until(lambda: len(list(descriptors.iterdir())) <= before)
    assert caplog.records == []


def test_random_bytes_on_the_port_itself_do_no_harm(start: Any, connect: Any) -> None:
    server = start()
    port = int(server.address.rpartition(":")[2])
    generator = random.Random(5)
    for length in (0, 1, 5, 11, 64, 300, 5000):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(generator.randbytes(length))
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert ask(connect(server.address), "echo")["success"]


def test_memory_does_not_grow_with_bad_requests(start: Any, connect: Any) -> None:
    client = connect(start().address)
    generator = random.Random(7)
    bad = [generator.randbytes(500), b'{"met":"' + b"x" * 5000 + b'"}', b"[" * 5000, b'{"method":["a"]}', b'"\\ud800"']

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def send(count: int) -> None:
        for number in range(count):
            client.send(bad[number % len(bad)])
            client.recv()

    send(1000)
    before = resident()
    send(10_000)
    assert resident() - before < 3_000_000


def test_the_loop_sleeps_while_nothing_happens(start: Any, connect: Any, loop_thread: Any) -> None:
    server = start(["tcp://127.0.0.1:*", "tcp://127.0.0.1:*"])
    client = connect(server.address)
    ask(client, "echo")
    reads = 0
    reader = server.socket._reader
    receive = reader._receive

    def counting() -> Any:
        nonlocal reads
        reads += 1
        return receive()

    reader._receive = counting
    assert not threading.Event().wait(0.5)  # a span of time in which nothing is sent
    assert reads <= 2  # 0MQ's own business with the connection, never a loop
    ask(client, "echo")
    assert 1 <= reads <= 8


def test_several_addresses_at_once(start: Any, connect: Any, tmp_path: Path) -> None:
    server = start(["tcp://127.0.0.1:*", f"ipc://{tmp_path}/control"])
    assert len(server.socket.addresses) == 2
    for address in server.socket.addresses:
        assert ask(connect(address), "echo", {"a": address})["params"] == {"a": address}


def test_a_frame_over_the_limit_on_an_ipc_socket_names_the_process(
    start: Any, connect: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, wait_until: Any
) -> None:
    server = start(f"ipc://{tmp_path}/control", max_frame=1024)
    connect(server.address).send(b"x" * BIG)
    wait_until(lambda: f"The connection of process {os.getpid()}" in caplog.text)


def test_a_reply_given_just_before_closing_arrives(start: Any, connect: Any, loop_thread: Any, wait_until: Any) -> None:
    server = start()
    client = connect(server.address)
    client.send(b'{"method":"later"}')
    wait_until(lambda: server.waiting)

    def answer_and_close() -> None:
        server.socket.reply(server.waiting[0], {"success": True})
        server.socket.close()

    loop_thread.call(answer_and_close)
    assert json.loads(client.recv()) == {"success": True}


def test_with_a_private_key_only_clients_that_know_the_public_key_are_served(start: Any, connect: Any) -> None:
    public, secret = zmq.curve_keypair()
    server = start(curve=CurveServerKeys.from_text(secret.decode()))
    own_public, own_secret = zmq.curve_keypair()
    keys = {"curve_publickey": own_public, "curve_secretkey": own_secret}
    assert ask(connect(server.address, curve_serverkey=public, **keys), "echo")["success"]
    other_public, _ = zmq.curve_keypair()
    for wrong in ({}, {"curve_serverkey": other_public, **keys}):
        client = connect(server.address, rcvtimeo=300, **wrong)
        client.send(b'{"method":"status"}')
        with pytest.raises(zmq.Again):
            client.recv()
