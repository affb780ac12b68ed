"""Requests to a manager from programs with threads and with asyncio (plans-and-permissions 7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import zmq
import zmq.utils.z85

DEFAULT_CONTROL_ADDRESS = "tcp://localhost:60615"
_LINGER = 100

Callback = Callable[[Any, str], object]
"""Takes the reply and the text of an error, one of them empty."""


class CommTimeoutError(TimeoutError):
    """The manager did not answer in time."""


def validate_zmq_key(key: object) -> None:
    """Raise ValueError unless the key is Z85 text of 32 bytes."""
    try:
        valid = isinstance(key, str) and len(zmq.utils.z85.decode(key)) == 32 and len(key) == 40
    except Exception:
        valid = False
    if not valid:
        raise ValueError(f"Invalid key '{key}': the key must be a 40 byte z85 encoded string")


def generate_zmq_keys() -> tuple[str, str]:
    """A new pair of public and private CURVE key."""
    public, private = zmq.curve_keypair()
    return public.decode(), private.decode()


def generate_zmq_public_key(key_private: str) -> str:
    """The public key that belongs to a private one."""
    validate_zmq_key(key_private)
    return zmq.curve_public(key_private.encode()).decode()


class ZMQCommSendThreads:
    """Sends requests one after the other; blocks, or calls back from a thread of its own. Times in milliseconds."""

    def __init__(
        self,
        *,
        zmq_server_address: str | None = None,
        timeout_recv: int = 2000,
        timeout_send: int = 500,
        raise_exceptions: bool = True,
        server_public_key: str | None = None,
        encoding: str = "json",
    ) -> None:
        if server_public_key is not None:
            validate_zmq_key(server_public_key)
        if encoding.lower() not in ("json", "msgpack"):
            raise ValueError(f"Unknown encoding {encoding!r}: it is 'json' or 'msgpack'")
        self._address = zmq_server_address or DEFAULT_CONTROL_ADDRESS
        self._timeout_recv = timeout_recv
        self._timeout_send = timeout_send
        self._raise = raise_exceptions
        self._server_key = server_public_key
        self._client_keys = zmq.curve_keypair() if server_public_key else None
        self._packs = encoding.lower() == "msgpack"
        self._socket: zmq.Socket[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="queue server requests")

    def send_message(
        self,
        *,
        method: str,
        params: Mapping[str, Any] | None = None,
        timeout: int | None = None,
        cb: Callback | None = None,
        raise_exceptions: bool | None = None,
    ) -> Any:
        """The reply; with `cb` None at once, and the callback gets it.

        No reply in time: raises CommTimeoutError, or answers as a refused request when nothing is to be raised.
        """
        exchange = self._thread.submit(self._exchange, method, params, timeout)
        if cb is not None:
            exchange.add_done_callback(lambda done: _call_back(cb, done.exception(), done))
            return None
        try:
            return exchange.result()
        except CommTimeoutError as error:
            if self._raise if raise_exceptions is None else raise_exceptions:
                raise
            return {"success": False, "msg": str(error)}

    def close(self) -> None:
        """Close the connection."""
        self._thread.submit(self._drop_socket)
        self._thread.shutdown()

    def _exchange(self, method: str, params: Mapping[str, Any] | None, timeout: int | None) -> Any:
        request = {"method": method, "params": dict(params or {})}
        frame = msgpack.packb(request) if self._packs else json.dumps(request).encode()
        if self._socket is None:
            self._socket = self._connect()
        try:
            self._socket.send(frame)
            if not self._socket.poll(self._timeout_recv if timeout is None else timeout):
                raise zmq.Again
            answer = self._socket.recv()
        except zmq.Again:
            self._drop_socket()
            raise CommTimeoutError("ZMQ communication error: timeout occurred") from None
        return msgpack.unpackb(answer) if self._packs else json.loads(answer)

    def _connect(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, _LINGER)
        socket.setsockopt(zmq.SNDTIMEO, self._timeout_send)
        if self._server_key is not None and self._client_keys is not None:
            socket.curve_serverkey = self._server_key.encode()
            socket.curve_publickey, socket.curve_secretkey = self._client_keys
        socket.connect(self._address)
        return socket

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class ZMQCommSendAsync:
    """The same for asyncio programs: other tasks go on while a request waits."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None, **arguments: Any) -> None:
        """`loop`: the one that is used, the running one unless it is given."""
        self._loop = loop or asyncio.get_running_loop()
        self._requests = ZMQCommSendThreads(**arguments)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that is used."""
        return self._loop

    async def send_message(
        self,
        *,
        method: str,
        params: Mapping[str, Any] | None = None,
        timeout: int | None = None,
        raise_exceptions: bool | None = None,
    ) -> Any:
        """The reply; see `ZMQCommSendThreads.send_message`."""
        return await asyncio.to_thread(
            self._requests.send_message,
            method=method,
            params=params,
            timeout=timeout,
            raise_exceptions=raise_exceptions,
        )

    def close(self) -> None:
        """Close the connection."""
        self._requests.close()


def _call_back(cb: Callback, error: BaseException | None, done: Any) -> None:
    if error is None:
        cb(done.result(), "")
    else:
        cb({}, str(error))
