"""One sequence of messages for many readers, each at its own pace.

Messages are kept once. A reader holds a number only: where it is. One that falls behind what is kept goes on with the
newest message and costs the others nothing. Texts that arrive within `PERIOD_S` share a message, so that the number
of messages, which every reader pays for, does not depend on how chatty a plan is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

KEPT = 2000
"""Messages (http-api 2.3)."""

PERIOD_S = 0.05
"""Seconds between two messages when more keeps coming; a single one goes out at once."""


class Broadcast:
    """Messages by their numbers, the first of them 1."""

    def __init__(self, kept: int = KEPT) -> None:
        self._messages: deque[bytes] = deque(maxlen=kept)
        self._waiting: list[asyncio.Future[None]] = []
        self.last = 0
        """Number of the newest message; 0 before the first."""
        self.closed = False
        self.readers = 0
        """Readers at present, for the metrics."""
        self.lost = 0
        """Messages that slow readers missed."""

    def publish(self, message: bytes) -> None:
        """Append a message and wake the readers."""
        self._messages.append(message)
        self.last += 1
        self._wake()

    def since(self, number: int) -> list[bytes]:
        """Kept messages after a number, oldest first."""
        count = min(self.last - number, len(self._messages))
        return list(self._messages)[-count:] if count > 0 else []

    async def next(self, number: int) -> tuple[int, bytes]:
        """The number and the text of the message after `number`, as soon as there is one.

        For a reader that fell behind it is the newest one. Raises `EOFError` when the server ends.
        """
        while number >= self.last:
            if self.closed:
                raise EOFError
            event = asyncio.get_running_loop().create_future()
            self._waiting.append(event)
            await event
        first = self.last - len(self._messages) + 1
        if number + 1 < first:
            self.lost += self.last - number - 1
            return self.last, self._messages[-1]
        return number + 1, self._messages[number + 1 - first]

    def close(self) -> None:
        """Let the readers go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            if not event.done():
                event.set_result(None)


class Gathering:
    """Calls `publish` with what came together within a period."""

    def __init__(self, publish: Callable[[list[bytes]], None], period: float = PERIOD_S) -> None:
        self._publish = publish
        self._period = period
        self._gathered: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._next = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def add(self, payload: bytes) -> None:
        """Hand on now, or with others when the last time was less than a period ago."""
        self._gathered.append(payload)
        if self._timer is None:
            if self._loop.time() >= self._next:
                self.flush()
            else:
                self._timer = self._loop.call_at(self._next, self.flush)

    def flush(self) -> None:
        """Hand on what is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        self._next = self._loop.time() + self._period
        if gathered:
            self._publish(gathered)
