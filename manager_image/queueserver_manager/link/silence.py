"""Noticing that a worker has fallen silent, without polling (design: silent is not dead)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from queueserver_common.link.messages import HEARTBEAT_PERIOD, SILENT_AFTER

_LATE = 0.25
"""Seconds by which a timer may be late before the manager takes itself for the one that was away."""


@dataclass(slots=True)
class _Peer:
    heard_at: float
    silent: bool = False
    timer: asyncio.TimerHandle | None = None


class SilenceWatch:
    """Calls `on_silent(peer)` when nothing was heard of a peer for `after` seconds, `on_heard(peer)` when it is back.

    A peer is watched from the first `heard` to `forget`. When the manager's own loop stood still (a stopped process,
    a suspended machine), peers get one more heartbeat's time before they count as silent.
    """

    def __init__(
        self, on_silent: Callable[[str], None], on_heard: Callable[[str], None], after: float = SILENT_AFTER
    ) -> None:
        self._on_silent = on_silent
        self._on_heard = on_heard
        self._after = after
        self._loop = asyncio.get_running_loop()
        self._peers: dict[str, _Peer] = {}

    def heard(self, peer: str) -> None:
        """A message of the peer has arrived."""
        now = self._loop.time()
        entry = self._peers.get(peer)
        if entry is None:
            entry = self._peers[peer] = _Peer(now)
        entry.heard_at = now
        if entry.timer is None:
            self._wait(peer, entry, now + self._after)
        if entry.silent:
            entry.silent = False
            self._on_heard(peer)

    def is_silent(self, peer: str) -> bool:
        """Whether the peer was watched and has fallen silent."""
        entry = self._peers.get(peer)
        return entry is not None and entry.silent

    def is_heard(self, peer: str) -> bool:
        """Whether the peer is watched and has not fallen silent."""
        entry = self._peers.get(peer)
        return entry is not None and not entry.silent

    def forget(self, peer: str) -> None:
        """Watch the peer no more."""
        entry = self._peers.pop(peer, None)
        if entry is not None and entry.timer is not None:
            entry.timer.cancel()

    def close(self) -> None:
        """Forget all peers."""
        for peer in list(self._peers):
            self.forget(peer)

    def _wait(self, peer: str, entry: _Peer, due: float) -> None:
        entry.timer = self._loop.call_at(due, self._look, peer, entry, due)

    def _look(self, peer: str, entry: _Peer, due: float) -> None:
        now = self._loop.time()
        entry.timer = None
        if entry.heard_at + self._after > now:
            self._wait(peer, entry, entry.heard_at + self._after)
        elif now - due > _LATE:
            self._wait(peer, entry, now + HEARTBEAT_PERIOD)  # what arrived meanwhile has not been read yet
        else:
            entry.silent = True
            self._on_silent(peer)
