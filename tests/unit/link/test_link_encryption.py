from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from queueserver_common.link.codec import encode
from queueserver_common.link.messages import EnvironmentPhase, Hello, Message
from queueserver_manager.api.control_socket import ControlSocket
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.wire import Encoding
from queueserver_manager.link.server import LinkKeys, LinkServer

Keys = tuple[bytes, bytes]
"""Public and private."""

HELLO = Hello("opening", "", 0, 1, "host", 0.0, "1.0", EnvironmentPhase.LOADING, 1, pod_uid="pod")


class EncryptedLink:
    def __init__(self, loop_thread: Any, context: zmq.Context[Any]) -> None:
        self.server_keys: Keys = zmq.curve_keypair()
        self.worker_keys: Keys = zmq.curve_keypair()
        self.received: list[Message] = []
        self._call = loop_thread.call
        self.server: LinkServer = self._call(
            LinkServer,
            "tcp://127.0.0.1:*",
            lambda _, message: self.received.append(message),
            keys=LinkKeys(CurveServerKeys(self.server_keys[1]), self.worker_keys[0]),
            context=context,
        )

    def close(self) -> None:
        self._call(self.server.close, 0)


@pytest.fixture
def link(loop_thread: Any, zmq_context: zmq.Context[Any]) -> Iterator[EncryptedLink]:
    link = EncryptedLink(loop_thread, zmq_context)
    yield link
    link.close()


Dial = Callable[[str, bytes | None, Keys | None], zmq.Socket[bytes]]


@pytest.fixture
def dial() -> Iterator[Dial]:
    sockets: list[zmq.Socket[bytes]] = []
    with zmq.Context() as context:

        def dial(address: str, server: bytes | None, keys: Keys | None) -> zmq.Socket[bytes]:
            socket = context.socket(zmq.DEALER)
            sockets.append(socket)
            socket.linger = 0
            socket.routing_id = b"opening"
            if server is not None and keys is not None:
                socket.curve_serverkey = server
                socket.curve_publickey, socket.curve_secretkey = keys
            socket.connect(address)
            return socket

        yield dial
        for socket in sockets:
            socket.close()


def outcome(socket: zmq.Socket[bytes]) -> int:
    """How the handshake ended."""
    monitor = socket.get_monitor_socket(
        zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED
    )
    try:
        # Who asks an authenticator that is just going away waits for libzmq's own limit of 30 s.
        assert monitor.poll(45_000), "the handshake did not end"
        return int.from_bytes(monitor.recv_multipart()[0][:2], "little")
    finally:
        socket.disable_monitor()
        monitor.close()


def test_the_worker_with_the_admitted_key_is_heard(link: EncryptedLink, dial: Dial, wait_until: Any) -> None:
    worker = dial(link.server.address, link.server_keys[0], link.worker_keys)
    worker.send(encode(HELLO))
    wait_until(lambda: link.received)
    assert link.received == [HELLO]


def test_any_other_key_is_refused(
    link: EncryptedLink, dial: Dial, caplog: pytest.LogCaptureFixture, wait_until: Any
) -> None:
    stranger = dial(link.server.address, link.server_keys[0], zmq.curve_keypair())
    assert outcome(stranger) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    wait_until(lambda: "its key is not the worker's" in caplog.text)
    assert link.received == []


def test_a_worker_without_encryption_is_not_heard(link: EncryptedLink, dial: Dial, wait_until: Any) -> None:
    plain = dial(link.server.address, None, None)
    plain.send(encode(HELLO))
    worker = dial(link.server.address, link.server_keys[0], link.worker_keys)
    worker.send(encode(HELLO))
    wait_until(lambda: link.received)
    assert link.received == [HELLO]


def test_a_worker_does_not_talk_to_a_server_with_another_key(
    link: EncryptedLink, dial: Dial, wait_until: Any, zmq_context: zmq.Context[Any]
) -> None:
    misled = dial(link.server.address, zmq.curve_keypair()[0], link.worker_keys)
    misled.send(encode(HELLO))
    worker = dial(link.server.address, link.server_keys[0], link.worker_keys)
    worker.send(encode(HELLO))
    wait_until(lambda: link.received)
    assert link.received == [HELLO]


def test_the_control_socket_of_the_same_process_goes_on_to_take_any_key(
    link: EncryptedLink, loop_thread: Any, zmq_context: zmq.Context[Any]
) -> None:
    public, secret = zmq.curve_keypair()
    control: ControlSocket = loop_thread.call(
        ControlSocket,
        "tcp://127.0.0.1:*",
        Encoding.JSON,
        lambda request: control.reply(request, {"success": True}),
        curve=CurveServerKeys(secret),
        context=zmq_context,
    )
    try:
        with zmq.Context() as context, context.socket(zmq.REQ) as client:
            client.linger = 0
            client.curve_serverkey = public
            client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()
            client.connect(control.addresses[0])
            client.send(b'{"method": "ping"}')
            assert client.poll(10_000)
            assert client.recv() == b'{"success":true}'
    finally:
        loop_thread.call(control.close, 0)


def test_nobody_is_admitted_when_nobody_can_be_asked(link: EncryptedLink, loop_thread: Any, dial: Dial) -> None:
    loop_thread.call(link.server._stop_admitting)
    worker = dial(link.server.address, link.server_keys[0], link.worker_keys)
    worker.send(encode(HELLO))
    assert outcome(worker) == zmq.EVENT_DISCONNECTED
    assert link.received == []
