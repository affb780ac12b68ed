"""Making decisions durable: one commit in flight, later ones gather behind it (design: commands and Redis).

Whatever reflects a decision (its reply, its effects, a read or a publication made after it) waits for its commit.
When the store is lost, nothing is guessed: the commit in flight is looked up by its token once the store is back,
those behind it were not carried out, and the state is loaded anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from queueserver_common import loggers
from queueserver_manager.core.writes import Write
from queueserver_manager.store.errors import StoreError, StoreLost

_log = logging.getLogger(loggers.STORE)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0

Done = Callable[[bool], None]
"""Called once: with True when everything before it is durable, with False when it was not carried out."""


class CommitStore(Protocol):
    """What the committer needs of a store."""

    async def commit(self, token: str, writes: Sequence[Write]) -> None: ...

    async def committed(self, token: str) -> bool: ...

    async def wait_connected(self) -> None: ...


@dataclass(slots=True)
class _Batch:
    writes: list[Write] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)

    def finish(self, durable: bool) -> None:
        for done in self.done:
            done(durable)


class Committer:
    """Takes writes in the order of their decisions.

    `on_lost` is called when the store went away; `reload` is awaited before commits go on (its argument tells whether
    memory and store may differ) and `on_back` called when they do. `on_fatal` is called when the store will not come
    back to this manager.
    """

    def __init__(
        self,
        store: CommitStore,
        new_token: Callable[[], str],
        *,
        on_lost: Callable[[str], None],
        reload: Callable[[bool], Awaitable[None]],
        on_back: Callable[[], None],
        on_fatal: Callable[[StoreError], None],
    ) -> None:
        self.connected = True
        self.rolled_back = False
        """Set from outside when the store came back without its last commits."""
        self._store = store
        self._new_token = new_token
        self._on_lost = on_lost
        self._reload = reload
        self._on_back = on_back
        self._on_fatal = on_fatal
        self._gathering = _Batch()
        self._dropped = False
        """Writes came while the store was away: memory is ahead of it."""
        self._task: asyncio.Task[None] | None = None

    def submit(self, writes: Sequence[Write], done: Done) -> None:
        """Make writes durable, then call `done`; without writes, wait for those before it."""
        if not self.connected:
            self._dropped = self._dropped or bool(writes)
            done(not writes)
            return
        if not writes and self._task is None:
            done(True)
            return
        self._gathering.writes.extend(writes)
        self._gathering.done.append(done)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="commit")

    def store_lost(self, reason: str) -> None:
        """The connection broke while no commit was under way."""
        if self._task is None and self.connected:
            self._task = asyncio.get_running_loop().create_task(self._idle_outage(reason), name="store outage")

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Stop; what is not durable yet is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._gathering.done:
                batch, self._gathering = self._gathering, _Batch()
                if batch.writes:
                    token = self._new_token()
                    try:
                        await self._store.commit(token, batch.writes)
                    except StoreLost as error:
                        await self._outage(str(error), batch, token, unknown=error.unknown)
                        continue
                batch.finish(True)
        except StoreError as error:
            self._on_fatal(error)
        finally:
            self._task = None

    async def _idle_outage(self, reason: str) -> None:
        try:
            await self._outage(reason, _Batch(), "", unknown=False)
        except StoreError as error:
            self._on_fatal(error)
        finally:
            self._task = None
        if self._gathering.done:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="commit")

    async def _outage(self, reason: str, in_flight: _Batch, token: str, *, unknown: bool) -> None:
        self.connected = False
        _log.error("The store is lost: %s", reason)
        behind, self._gathering = self._gathering, _Batch()
        self._on_lost(reason)
        behind.finish(False)
        differs = bool(behind.writes)
        delay = _FIRST_DELAY
        told = applied = False
        while True:
            try:
                await self._store.wait_connected()
                if not told:
                    applied = unknown and await self._store.committed(token)
                    in_flight.finish(applied)
                    told = True
                await self._store.commit(self._new_token(), ())  # it must take writes again, not only answer
                differs = differs or (bool(in_flight.writes) and not applied)
                await self._reload(differs or self._dropped or self.rolled_back)
            except StoreLost:
                # Connected but refusing, say because its disk is full: nothing tells when that ends.
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)
            else:
                break
        self.rolled_back = self._dropped = False
        self.connected = True
        _log.info("The store is back.")
        self._on_back()
