"""The manager's side of its supervisor: beats that show that it is alive, and the news that the supervisor has gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, MutableMapping

from queueserver_manager.restart_policy import BEAT_PERIOD
from queueserver_manager.supervisor import PIPES_VARIABLE, RESTART_VARIABLE


class Supervision:
    """The two pipes to the supervisor; see `queueserver_manager.supervisor`."""

    def __init__(self, beats: int, lifeline: int, restarts: int) -> None:
        self.restarts = restarts
        """How often this supervisor has started the manager again."""
        self._beats = beats
        self._lifeline = lifeline
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_lost: Callable[[], None] | None = None

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Supervision | None:
        """Take the pipes that the environment names out of it; None when nobody supervises this process.

        Nothing that the manager starts inherits them: a worker would keep a dead manager's pipe open.
        """
        pipes = environ.pop(PIPES_VARIABLE, "")
        restarts = environ.pop(RESTART_VARIABLE, "0")
        if not pipes:
            return None
        beats, lifeline = (int(number) for number in pipes.split(","))
        for descriptor in (beats, lifeline):
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)
        return cls(beats, lifeline, int(restarts))

    def attach(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[], None]) -> None:
        """Start to beat, which says that the manager is up; `on_lost` is called once when the supervisor has gone.

        The beats come from the event loop, so they stop when it hangs. They go on until the process ends.
        """
        self._loop = loop
        self._on_lost = on_lost
        loop.add_reader(self._lifeline, self._lost)
        self._beat()

    def _beat(self) -> None:
        assert self._loop is not None
        try:
            os.write(self._beats, b".")
        except BlockingIOError:
            pass  # the supervisor is stopped, for example by Ctrl-Z
        except BrokenPipeError:
            self._lost()
            return
        self._loop.call_later(BEAT_PERIOD, self._beat)

    def _lost(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._lifeline)
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()
