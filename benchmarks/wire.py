"""A client of the control socket: the contract's requests, nothing of any implementation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import zmq

USER: dict[str, Any] = {"user": "benchmark", "user_group": "primary"}
_TIMEOUT = 120.0
"""Seconds; upstream needs up to 2 for a batch of 1,000."""

Status = Mapping[str, Any]


class RequestFailedError(Exception):
    """The server refused a request or did not answer."""


class Client:
    """One REQ socket with one request at a time."""

    def __init__(self, address: str, public_key: str = "") -> None:
        """`public_key`: of a server that encrypts."""
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        if public_key:
            self._socket.curve_serverkey = public_key.encode()
            self._socket.curve_publickey, self._socket.curve_secretkey = zmq.curve_keypair()
        self._socket.connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close(0)

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The socket, for closed loops over several clients."""
        return self._socket

    def raw(self, request: bytes, timeout: float = _TIMEOUT) -> bytes:
        """Send an encoded request; the reply is not looked at."""
        self._socket.send(request)
        if not self._socket.poll(int(timeout * 1000)):
            raise RequestFailedError(f"no reply within {timeout:g} s to {request[:100]!r}")
        return self._socket.recv()

    def __call__(self, method: str, timeout: float = _TIMEOUT, **params: Any) -> dict[str, Any]:
        """Send a request and return the reply of a success."""
        reply: dict[str, Any] = json.loads(self.raw(encode(method, **params), timeout))
        if reply.get("success") is False:
            raise RequestFailedError(f"{method}: {reply.get('msg')}")
        return reply

    def timed(self, method: str, **params: Any) -> float:
        """Seconds from the request to its reply."""
        return self.timed_raw(encode(method, **params))

    def timed_raw(self, request: bytes) -> float:
        """Seconds from an encoded request to its reply, which has to be a success."""
        start = time.perf_counter()
        reply = self.raw(request)
        seconds = time.perf_counter() - start
        if b'"success":true' not in reply[:100].replace(b" ", b""):
            raise RequestFailedError(f"{request[:100]!r}: {reply[:300]!r}")
        return seconds

    def wait(self, condition: Callable[[Status], bool], timeout: float, period: float = 0.005) -> Status:
        """Ask for the status until it fulfils the condition."""
        deadline = time.monotonic() + timeout
        while not condition(status := self("status")):
            if time.monotonic() > deadline:
                told = {name: status[name] for name in ("manager_state", "re_state", "items_in_queue")}
                raise RequestFailedError(f"a state was not reached within {timeout:g} s: {told}")
            time.sleep(period)
        return status


def encode(method: str, **params: Any) -> bytes:
    """A request as it goes over the wire."""
    return json.dumps({"method": method, "params": params}).encode()


def plan(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """A plan item."""
    return {"item_type": "plan", "name": name, "args": list(args), "kwargs": kwargs}


def idle(status: Status) -> bool:
    """Nothing is under way."""
    return bool(status["manager_state"] == "idle")


def rate(address: str, request: bytes, clients: int, seconds: float, public_key: str = "") -> float:
    """Requests per second of so many clients, each of which asks again as soon as it is answered."""
    sockets = [Client(address, public_key) for _ in range(clients)]
    poller = zmq.Poller()
    try:
        for client in sockets:
            client.raw(request)
            poller.register(client.socket, zmq.POLLIN)
        start = time.perf_counter()
        end = start + seconds
        for client in sockets:
            client.socket.send(request)
        waiting, answered = clients, 0
        while waiting:
            ready = poller.poll(10_000)
            if not ready:
                raise RequestFailedError("no reply within 10 s")
            for socket, _ in ready:
                socket.recv()
                answered += 1
                if time.perf_counter() < end:
                    socket.send(request)
                else:
                    waiting -= 1
        return answered / (time.perf_counter() - start)
    finally:
        for client in sockets:
            client.socket.close(0)
