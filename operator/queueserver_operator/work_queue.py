"""One worker at a time for each key, any number of wake-ups, tries again after failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from queueserver_operator.metrics import QUEUE_AGE, QUEUE_LENGTH

Key = TypeVar("Key", bound=Hashable)

_SETTLING = 0.1
_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 60.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    failures: int = 0
    woken_at: float | None = None
    """Monotonic time of the first wake-up that has not been answered yet."""
    finished_at: float = 0.0
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None


class WorkQueue(Generic[Key]):
    """Calls `work(key)` after each wake-up of the key, never twice at the same time for one key.

    Wake-ups that come while a key waits are answered by one call; those that come during a call by one more call.
    `work` returns the seconds after which it wants to be called anyhow, or None when the key needs no more attention;
    after an exception it is called again with a growing pause.
    """

    def __init__(self, work: Callable[[Key], Awaitable[float | None]], *, concurrency: int = 8) -> None:
        self._work = work
        self._room = asyncio.Semaphore(concurrency)
        self._states: dict[Key, _State] = {}
        self._opened = asyncio.Event()
        self._closed = False

    def open(self) -> None:
        """Begin: until now wake-ups were only taken note of."""
        self._opened.set()

    def wake(self, key: Key) -> None:
        """Call soon: at once when the key has been quiet, else after a moment in which more wake-ups may come."""
        if self._closed:
            return
        state = self._states.setdefault(key, _State())
        if state.woken_at is None:
            state.woken_at = time.monotonic()
            QUEUE_LENGTH.inc()
        if state.task is None:
            self._schedule(key, state, max(0.0, state.finished_at + _SETTLING - time.monotonic()))

    def __len__(self) -> int:
        return len(self._states)

    async def close(self) -> None:
        """Take no more wake-ups and end the calls under way."""
        self._closed = True
        tasks = []
        for state in self._states.values():
            if state.timer is not None:
                state.timer.cancel()
            if state.task is not None:
                state.task.cancel()
                tasks.append(state.task)
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._states.clear()

    def _schedule(self, key: Key, state: _State, delay: float) -> None:
        if state.timer is not None:
            state.timer.cancel()
        state.timer = asyncio.get_running_loop().call_later(delay, self._start, key, state)

    def _start(self, key: Key, state: _State) -> None:
        state.timer = None
        if state.task is None and not self._closed:
            state.task = asyncio.create_task(self._run(key, state), name=f"reconcile {key}")

    async def _run(self, key: Key, state: _State) -> None:
        await self._opened.wait()
        async with self._room:
            if state.woken_at is not None:
                QUEUE_AGE.observe(time.monotonic() - state.woken_at)
                QUEUE_LENGTH.dec()
                state.woken_at = None
            delay = await self._call(key, state)
        state.task = None
        state.finished_at = time.monotonic()
        self._plan_next(key, state, delay)

    def _plan_next(self, key: Key, state: _State, delay: float | None) -> None:
        woken = state.woken_at is not None
        if self._closed:
            return
        if woken and state.failures == 0:
            self._schedule(key, state, _SETTLING)
        elif delay is not None:
            self._schedule(key, state, delay)
        else:
            self._states.pop(key, None)

    async def _call(self, key: Key, state: _State) -> float | None:
        try:
            delay: float | None = await self._work(key)
        except Exception as error:  # one bad key must not end the others
            state.failures += 1
            pause = min(_LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2.0 ** (state.failures - 1))
            logger.warning("%s: %s; trying again in %.0f s", key, error, pause)
            return pause * random.uniform(0.9, 1.1)  # noqa: S311 - spreads the tries
        state.failures = 0
        return delay
