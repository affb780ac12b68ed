"""A client of a manager, wherever that runs: it asks, watches the published status, and waits with a deadline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgpack
import zmq

from codes_of_refusals import without_codes

Status = dict[str, Any]

WAIT_DEADLINE = 20.0
"""Seconds that `wait_status` waits when nothing else is said."""

_SILENCE = 0.25
"""Seconds without a published status after which it is asked for."""


class NoAnswer(AssertionError):
    """The manager did not answer a request in time."""


class ManagerClient:
    """The control socket of a manager, and what it publishes."""

    def __init__(
        self,
        control_address: str,
        info_address: str,
        *,
        encoding: str = "json",
        publish: bool = True,
        server_key: str = "",
    ) -> None:
        """`publish`: whether the manager publishes anything. `server_key`: public key of one that encrypts."""
        self.control_address = control_address
        self.info_address = info_address
        self.encoding = encoding
        self.publish = publish
        self.seen: list[Status] = []
        """The published statuses in their order; `wait_status` and `take_statuses` extend it, tests may clear it."""
        self._server_key = server_key
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._request: zmq.Socket[bytes] | None = None
        self._statuses: zmq.Socket[bytes] | None = None

    def disconnect(self) -> None:
        """Close the sockets, for ever."""
        self._drop_request()
        if self._statuses is not None:
            self._statuses.close()
        self._context.term()

    # Requests ---------------------------------------------------------------------------------------------------

    def call(self, method: str, params: Any = None, /, *, _timeout: float = 10.0, **more: Any) -> Any:
        """The reply to a request; parameters as a mapping or as keywords. Raises `NoAnswer`."""
        request = {"method": method, "params": {**(params or {}), **more}}
        reply = self.raw(self.encode(request), timeout=_timeout)
        if reply is None:
            raise NoAnswer(self._explain(f"no answer to {method} within {_timeout:g} s"))
        return without_codes(self.decode(reply))

    def refusal_code(self, method: str, params: Any = None, /, **more: Any) -> str:
        """`code` of the reply to a request that must be refused."""
        frame = self.raw(self.encode({"method": method, "params": {**(params or {}), **more}}))
        assert frame is not None
        reply = self.decode(frame)
        assert reply["success"] is False, reply
        code: str = reply["code"]
        return code

    def accepted(self, method: str, params: Any = None, /, **more: Any) -> Any:
        """The reply to a request that must succeed."""
        reply = self.call(method, params, **more)
        assert reply["success"] is True, self._explain(f"{method}: {reply}")
        assert reply["msg"] == ""
        return reply

    def raw(self, frame: bytes, *, timeout: float = 10.0) -> bytes | None:
        """The reply to bytes that are sent as they are; None when there is none in time."""
        if self._request is None:
            self._request = self._connected(zmq.REQ, self.control_address)
        self._request.send(frame)
        if not self._request.poll(round(timeout * 1000)):
            self._drop_request()
            return None
        return self._request.recv()

    def encode(self, message: Any) -> bytes:
        if self.encoding == "msgpack":
            packed: bytes = msgpack.packb(message)
            return packed
        return json.dumps(message).encode()

    def decode(self, frame: bytes) -> Any:
        return msgpack.unpackb(frame) if self.encoding == "msgpack" else json.loads(frame)

    def _connected(self, kind: int, address: str) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 5)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.RCVHWM, 0)
        if self._server_key:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = self._server_key.encode()
        socket.connect(address)
        return socket

    def _drop_request(self) -> None:
        if self._request is not None:
            self._request.close()
            self._request = None

    # Status -----------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """The status as the manager answers it."""
        status: Status = self.call("status")
        return status

    def wait_status(self, condition: Callable[[Status], object], timeout: float = WAIT_DEADLINE) -> Status:
        """The first status, from now on, that fulfils the condition."""
        deadline = time.monotonic() + timeout
        self.take_statuses()
        status: Status | None = None
        since = datetime.now().isoformat()
        with suppress(NoAnswer):
            status = self.call("status", _timeout=min(0.5, timeout))
            since = status["time"]
        while status is None or not condition(status):
            left = deadline - time.monotonic()
            if left <= 0:
                shown = json.dumps(status, indent=1)
                raise AssertionError(self._explain(f"not reached within {timeout:g} s; the last status is {shown}"))
            published = self._next_status(min(left, _SILENCE))
            if published is None:  # the manager is away, or says nothing new
                with suppress(NoAnswer):
                    status = self.call("status", _timeout=min(left, 0.5))
            elif datetime.fromisoformat(published["time"]) >= datetime.fromisoformat(since):
                status = published
        return status

    def wait_idle(self, timeout: float = WAIT_DEADLINE) -> Status:
        """The status when the manager is idle."""
        return self.wait_status(lambda status: status["manager_state"] == "idle", timeout)

    def watch(self) -> None:
        """Record what is published from now on in `seen`; returns when the subscription is known to work."""
        if self._statuses is None:
            deadline = time.monotonic() + WAIT_DEADLINE
            while self._next_status(_SILENCE) is None:
                assert time.monotonic() < deadline, self._explain("no status is published")
        self.take_statuses()
        self.seen.clear()

    def take_statuses(self) -> list[Status]:
        """Everything published so far, oldest first; the subscription begins with the first call."""
        while self._next_status(0) is not None:
            pass
        return self.seen

    def all_statuses(self) -> list[Status]:
        """Everything published since `watch`, up to the present status of a manager that has come to rest."""
        uid = self.status()["status_uid"]
        deadline = time.monotonic() + WAIT_DEADLINE
        while not self.seen or self.seen[-1]["status_uid"] != uid:
            if self._next_status(_SILENCE) is None:
                uid = self.status()["status_uid"]
            assert time.monotonic() < deadline, self._explain("the present status is not published")
        return self.seen

    def _next_status(self, timeout: float) -> Status | None:
        if not self.publish:
            time.sleep(min(timeout, 0.02))
            return None
        if self._statuses is None:
            self._statuses = self.subscribe("QS_Info")
        if not self._statuses.poll(round(timeout * 1000)):
            return None
        _, payload = self._statuses.recv_multipart()
        status: Status = self.decode(payload)["msg"]["status"]
        self.seen.append(status)
        return status

    def subscribe(self, topic: str) -> zmq.Socket[bytes]:
        """A socket that receives a topic of the info stream; the caller closes it."""
        subscriber = self._connected(zmq.SUB, self.info_address)
        subscriber.subscribe(topic)
        return subscriber

    # Common steps -----------------------------------------------------------------------------------------------

    def open_environment(self) -> Status:
        """Open the environment and wait until it is open."""
        self.accepted("environment_open")
        status = self.wait_idle()
        assert status["worker_environment_exists"], self._explain(status["environment_error"])
        return status

    def close_environment(self) -> Status:
        """Close the environment and wait until it is closed."""
        self.accepted("environment_close")
        return self.wait_status(
            lambda status: status["manager_state"] == "idle" and not status["worker_environment_exists"]
        )

    def destroy_environment(self) -> Status:
        """Destroy the environment and wait until it is gone."""
        self.accepted("environment_destroy")
        return self.wait_status(
            lambda status: status["manager_state"] == "idle" and not status["worker_environment_exists"]
        )

    def _explain(self, text: str) -> str:
        """A text with what else is known when a test fails."""
        return text
