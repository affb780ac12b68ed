"""Console text as numbered messages: on their way to subscribers, and kept for those who come late (an addition)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

_PERIOD = 0.01
"""Seconds between two messages when text keeps coming; a single line goes out at once."""

_SIZE = 65_536
"""Characters after which a message goes out in any case."""

KEPT_CHARACTERS = 1 << 20
"""Characters that are kept; the newest message is kept however long it is."""

KEPT_MESSAGES = 10_000
"""Messages that are kept."""

_NUMBERS_OF_A_MANAGER = 1 << 32


@dataclass(frozen=True, slots=True)
class ConsoleMessage:
    """Text that was written at `time` (epoch seconds) and soon after."""

    seq: int
    """Numbers grow by one; those of a manager are higher than those of any manager before it."""
    time: float
    text: str

    def as_mapping(self) -> dict[str, Any]:
        """As clients get it (zmq-api 1.4), with its number."""
        return {"time": self.time, "msg": self.text, "seq": self.seq}


class ConsoleStream:
    """Gathers text into messages in the running loop, numbers and keeps them, and hands each to `send`."""

    def __init__(self, epoch: int = 0) -> None:
        """`epoch`: of the manager, which no other manager has."""
        self.send: Callable[[ConsoleMessage], None] = _keep_only
        self._loop = asyncio.get_running_loop()
        self._text: list[str] = []
        self._size = 0
        self._time = 0.0
        self._sent_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._kept: deque[ConsoleMessage] = deque()
        self._kept_size = 0
        self._next = epoch * _NUMBERS_OF_A_MANAGER + 1

    def publish(self, text: str, time: float) -> None:
        """Take text written at `time` (epoch seconds). Text that follows closely shares a message and its time."""
        if not text:
            return
        if not self._text:
            self._time = time
        self._text.append(text)
        self._size += len(text)
        if self._size >= _SIZE:
            self.flush()
        elif self._timer is None:
            due = max(self._sent_at + _PERIOD, self._loop.time())
            self._timer = self._loop.call_at(due, self.flush)

    def flush(self) -> None:
        """Make a message of the text at hand."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._text:
            return
        text = "".join(self._text).encode(errors="backslashreplace").decode()  # undecodable bytes become \udcXX
        self._text.clear()
        self._size = 0
        self._sent_at = self._loop.time()
        message = ConsoleMessage(self._next, self._time, text)
        self._next += 1
        self._keep(message)
        self.send(message)

    @property
    def first(self) -> int:
        """Number of the oldest message that is kept; that of the next one when none is."""
        return self._kept[0].seq if self._kept else self._next

    @property
    def last(self) -> int:
        """Number of the newest message; one less than that of the first when there was none."""
        return self._next - 1

    def after(self, seq: int, limit: int) -> list[ConsoleMessage]:
        """The first messages with numbers higher than `seq`, at most `limit`, oldest first."""
        skipped = max(0, seq + 1 - self.first)
        return list(islice(self._kept, skipped, skipped + limit))

    def newest(self, limit: int) -> list[ConsoleMessage]:
        """The last messages, at most `limit`, oldest first."""
        return list(islice(self._kept, max(0, len(self._kept) - limit), None))

    def _keep(self, message: ConsoleMessage) -> None:
        self._kept.append(message)
        self._kept_size += len(message.text)
        while len(self._kept) > 1 and (self._kept_size > KEPT_CHARACTERS or len(self._kept) > KEPT_MESSAGES):
            self._kept_size -= len(self._kept.popleft().text)


def _keep_only(_: ConsoleMessage) -> None:
    """Nothing is published."""
