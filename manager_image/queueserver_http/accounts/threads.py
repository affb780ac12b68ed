"""The records of accounts, asked in threads because a database blocks; PostgreSQL may be away for a while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from queueserver_http import loggers
from queueserver_http.accounts.records import Records
from queueserver_http.database.engine import AWAY, DatabaseAway, DatabaseError, reason
from queueserver_http.exchange.errors import HttpError, database_away

T = TypeVar("T")

PURGE_S = 600.0
"""Seconds between two deletions of what has expired."""
_ANSWER_S = 15.0
"""Seconds for a request's question; longer than SQLite waits for another writer."""
_AGAIN_S = 1.0
"""Seconds between two attempts to reach a database that was away when the server started."""

_log = logging.getLogger(loggers.ACCOUNTS)


class RecordsInThreads:
    """Asks `records` in as many threads as their database has connections, and deletes what has expired."""

    def __init__(self, records: Records, threads: int, *, purge_period: float = PURGE_S) -> None:
        self.records = records
        self.opened = False
        """Whether the tables have been up to date once."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")
        self._purge_period = purge_period
        self._trouble = ""
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Bring the tables up to date; raises `DatabaseError` for what no waiting mends.

        For a database that is away it is done as soon as there is one.
        """
        try:
            await self._prepare()
        except DatabaseAway as error:
            self._lost(str(error))
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Close the database."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        self.records.close()

    async def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function of the records returns; raises 503 while the database is away."""
        if not self.opened:
            raise database_away()
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await self._run(function, *arguments)
        except AWAY as error:
            self._lost(f"The database {self.records.place} cannot be used: {reason(error)}")
            raise database_away() from None
        except TimeoutError:
            self._lost(f"The database {self.records.place} did not answer within {_ANSWER_S:g} s")
            raise database_away() from None
        self._found()
        return answer

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _prepare(self) -> None:
        await self._run(self.records.prepare)
        self.opened = True
        self._found()

    async def _keep(self) -> None:
        while not self.opened:
            await asyncio.sleep(_AGAIN_S)
            try:
                await self._prepare()
            except DatabaseError as error:
                self._lost(str(error))
            except Exception:
                _log.exception("The database %s cannot be prepared", self.records.place)
        while True:
            try:
                await self.do(self.records.purge)
            except HttpError:
                pass  # it was told, and the next time will do
            except Exception:
                _log.exception("Expired sessions and keys could not be deleted")
            await asyncio.sleep(self._purge_period)

    def _lost(self, trouble: str) -> None:
        """Tell each trouble once."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("%s. Until it answers, requests that need it are answered with 503.", trouble.rstrip("."))

    def _found(self) -> None:
        if self._trouble:
            self._trouble = ""
            _log.warning("The database %s answers.", self.records.place)
