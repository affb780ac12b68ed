"""Receivers of what a manager publishes: console output and status (zmq-api 1.4, plans-and-permissions 7)."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Callable
from typing import Any

import msgpack
import zmq
import zmq.asyncio

DEFAULT_INFO_ADDRESS = "tcp://localhost:60625"
_FOREVER = None


class _Subscription:
    """Address, topic and encoding; `timeout` in milliseconds, negative or None waits for ever."""

    topic = ""

    def __init__(
        self,
        *,
        zmq_subscribe_addr: str | None = None,
        encoding: str = "json",
        zmq_topic: str | None = None,
        timeout: int | None = 1000,
    ) -> None:
        if encoding.lower() not in ("json", "msgpack"):
            raise ValueError(f"Unknown encoding {encoding!r}: it is 'json' or 'msgpack'")
        self._timeout = timeout
        self._decode: Callable[[bytes], Any] = json.loads if encoding.lower() == "json" else msgpack.unpackb
        self._topic = (self.topic if zmq_topic is None else zmq_topic).encode()
        self._subscribed = False
        self._socket = self._make_socket()
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(zmq_subscribe_addr or DEFAULT_INFO_ADDRESS)
        self.subscribe()

    def _make_socket(self) -> Any:
        return zmq.Context.instance().socket(zmq.SUB)

    def subscribe(self) -> None:
        """Receive messages, which happens from the start; those published while not subscribed are lost."""
        if not self._subscribed:
            self._socket.setsockopt(zmq.SUBSCRIBE, self._topic)
            self._subscribed = True

    def unsubscribe(self) -> None:
        """Receive no more messages and drop those that wait."""
        if self._subscribed:
            self._socket.setsockopt(zmq.UNSUBSCRIBE, self._topic)
            self._subscribed = False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._socket.close()

    def _milliseconds(self, timeout: int | None) -> int | None:
        """-1 is the timeout of the object, None and other negative numbers are none."""
        chosen = self._timeout if timeout == -1 else timeout
        return _FOREVER if chosen is None or chosen < 0 else chosen

    def _payload(self, frames: list[bytes]) -> Any:
        return self._decode(frames[1])


class _Receiver(_Subscription):
    def recv(self, timeout: int | None = -1) -> Any:
        """The next message; raises TimeoutError when there is none in time (milliseconds, -1: that of the object)."""
        self.subscribe()
        wait = self._milliseconds(timeout)
        if not self._socket.poll(wait):
            raise TimeoutError(f"No message received during timeout period {wait} ms")
        return self._payload(self._socket.recv_multipart())


class _AsyncReceiver(_Subscription):
    """To be made and used in a running loop."""

    def __init__(self, **arguments: Any) -> None:
        self._callback: Callable[[Any], Any] | None = None
        self._task: asyncio.Task[None] | None = None
        super().__init__(**arguments)

    def _make_socket(self) -> Any:
        return zmq.asyncio.Context.instance().socket(zmq.SUB)

    async def recv(self, timeout: int | None = -1) -> Any:
        """The next message; raises TimeoutError when there is none in time (milliseconds, -1: that of the object)."""
        self.subscribe()
        wait = self._milliseconds(timeout)
        if not await self._socket.poll(wait):
            raise TimeoutError(f"No message received during timeout period {wait} ms")
        return self._payload(await self._socket.recv_multipart())

    def set_callback(self, cb: Callable[[Any], Any] | None) -> None:
        """Function or coroutine function that gets each message once `start` was called."""
        self._callback = cb

    def start(self) -> None:
        """Begin to call the callback."""
        if self._task is None:
            self.subscribe()
            self._task = asyncio.get_running_loop().create_task(self._follow())

    def stop(self, *, unsubscribe: bool = True) -> None:
        """Call the callback no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if unsubscribe:
            self.unsubscribe()

    async def _follow(self) -> None:
        while True:
            message = await self.recv(timeout=None)
            if self._callback is not None:
                result = self._callback(message)
                if inspect.isawaitable(result):
                    await result


class ReceiveConsoleOutput(_Receiver):
    """Receives console messages, mappings with `time` and `msg`."""

    topic = "QS_Console"


class ReceiveSystemInfo(_Receiver):
    """Receives the status, mappings with `time` and `msg`: `{"status": …}`."""

    topic = "QS_Info"


class ReceiveConsoleOutputAsync(_AsyncReceiver):
    """Receives console messages in an asyncio program."""

    topic = "QS_Console"


class ReceiveSystemInfoAsync(_AsyncReceiver):
    """Receives the status in an asyncio program."""

    topic = "QS_Info"
