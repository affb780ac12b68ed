"""The published status as a stream (http-api 2.3)."""

from __future__ import annotations

from queueserver_http.streams.broadcast import Broadcast, Gathering

_KEPT = 100
"""Statuses; only the newest is of interest to somebody who was slow."""


class Statuses:
    """Each message is the manager's, unchanged. Of several within a period only the newest is sent."""

    def __init__(self) -> None:
        self.messages = Broadcast(_KEPT)
        self._gathering = Gathering(lambda statuses: self.messages.publish(statuses[-1]))

    def add(self, payload: bytes) -> None:
        """Take one published message."""
        self._gathering.add(payload)

    def close(self) -> None:
        """End the stream."""
        self._gathering.flush()
        self.messages.close()
