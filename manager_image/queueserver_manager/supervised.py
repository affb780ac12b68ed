"""The manager's side of its supervisor: heartbeats, and noticing that the supervisor has gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from queueserver_manager.supervisor import PIPES_VARIABLE

BEAT_PERIOD = 0.5
"""Seconds between two beats."""


class Supervised:
    """Writes a byte twice a second to one pipe and watches the other for its end; does nothing without a supervisor."""

    def __init__(self, pipes: tuple[int, int] | None) -> None:
        self._pipes = pipes
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Supervised:
        """The pipes that the supervisor named."""
        beats, _, lifeline = environ.get(PIPES_VARIABLE, "").partition(",")
        return cls((int(beats), int(lifeline)) if beats and lifeline else None)

    def begin(self, on_supervisor_gone: Callable[[], None]) -> None:
        """From now on beats are written; `on_supervisor_gone` is called once."""
        if self._pipes is None:
            return
        for descriptor in self._pipes:
            os.set_inheritable(descriptor, False)
        os.set_blocking(self._pipes[0], False)
        self._on_gone = on_supervisor_gone
        asyncio.get_running_loop().add_reader(self._pipes[1], self._gone)
        self._beat()

    def _beat(self) -> None:
        assert self._pipes is not None
        with suppress(OSError):  # the supervisor has gone: the other pipe tells
            os.write(self._pipes[0], b".")
        self._timer = asyncio.get_running_loop().call_later(BEAT_PERIOD, self._beat)

    def _gone(self) -> None:
        assert self._pipes is not None
        asyncio.get_running_loop().remove_reader(self._pipes[1])
        self._on_gone()

    def close(self) -> None:
        """Stop beating."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pipes is not None:
            asyncio.get_running_loop().remove_reader(self._pipes[1])
