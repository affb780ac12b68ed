from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq

Answer = Callable[[dict[str, Any]], Any]


class AnsweringSocket:
    """A REP socket that records the requests and answers each as told.

    The first `silent` requests get no answer, or, with `late`, get it only when the next request has come.
    """

    def __init__(self, *, encoding: str = "json", secret_key: bytes | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Answer = lambda request: {"success": True, "msg": ""}
        self.silent = 0
        self.late = False
        self._encoding = encoding
        self._context = zmq.Context()
        self._stop = self._context.socket(zmq.PAIR)
        self._stop.bind("inproc://stop")
        self._socket = self._context.socket(zmq.ROUTER)
        if secret_key:
            self._socket.curve_secretkey = secret_key
            self._socket.curve_server = True
        self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.send(b"")
        self._thread.join(10)
        self._stop.close(0)
        self._context.term()

    def _serve(self) -> None:
        stopped = self._context.socket(zmq.PAIR)
        stopped.connect("inproc://stop")
        poller = zmq.Poller()
        poller.register(stopped, zmq.POLLIN)
        poller.register(self._socket, zmq.POLLIN)
        held: list[list[bytes]] = []
        while stopped not in dict(poller.poll()):
            *envelope, frame = self._socket.recv_multipart()
            request = json.loads(frame) if self._encoding == "json" else msgpack.unpackb(frame)
            self.requests.append(request)
            reply = self.answer(request)
            if not isinstance(reply, bytes):
                reply = json.dumps(reply).encode() if self._encoding == "json" else msgpack.packb(reply)
            held.append([*envelope, reply])
            if self.silent:
                self.silent -= 1
                held = held if self.late else []
                continue
            for message in held:
                self._socket.send_multipart(message)
            held.clear()
        stopped.close(0)
        self._socket.close(0)


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONTROL_ADDRESS", "INFO_ADDRESS", "ENCODING", "PUBLIC_KEY"):
        monkeypatch.delenv(f"QSERVER_ZMQ_{name}", raising=False)


@pytest.fixture
def answering() -> Iterator[Callable[..., AnsweringSocket]]:
    sockets: list[AnsweringSocket] = []

    def start(**options: Any) -> AnsweringSocket:
        sockets.append(AnsweringSocket(**options))
        return sockets[-1]

    yield start
    for socket in sockets:
        socket.close()


@pytest.fixture
def manager(answering: Callable[..., AnsweringSocket], monkeypatch: pytest.MonkeyPatch) -> AnsweringSocket:
    """An answering socket that the programs find by the environment."""
    socket = answering()
    monkeypatch.setenv("QSERVER_ZMQ_CONTROL_ADDRESS", socket.address)
    return socket
