"""The status as clients read it: one read of the manager serves many requests, and none after a change is old.

What is published only says that a change happened. It does not fill the cache: it comes on another socket than
replies do and may be older than the reply that a client has already seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

LONGEST_AGE_S = 0.4
"""Seconds (http-api 1)."""


class StatusCache:
    """The manager's status as JSON text; `read` asks the manager."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], clock: Callable[[], float] | None = None) -> None:
        self._read = read
        self._clock = clock or asyncio.get_running_loop().time
        self._status = b""
        self._expires = float("-inf")
        self._changes = 0

    def changed(self) -> None:
        """Something may have changed: the next request reads anew."""
        self._changes += 1
        self._expires = float("-inf")

    async def get(self, *, reload: bool = False) -> bytes:
        """A status that is not older than the last change and 0.4 s; raises `HttpError` when there is no answer."""
        now = self._clock()
        if now < self._expires and not reload:
            return self._status
        changes = self._changes
        status = await self._read()
        if changes == self._changes:
            self._status = status
            self._expires = now + LONGEST_AGE_S
        return status
