"""A connection to Redis that pipelines requests, notices at once when it breaks, and comes back by itself."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

from queueserver_common import loggers
from queueserver_manager.store.address import RedisAddress
from queueserver_manager.store.errors import StoreError, StoreLost

_log = logging.getLogger(loggers.STORE)

Argument = str | bytes | int

_CONNECT_SECONDS = 5.0
_FIRST_DELAY_SECONDS = 0.05
_LONGEST_DELAY_SECONDS = 1.0


class Session:
    """One open connection: requests go out in order, replies are matched to them in order."""

    def __init__(self, connection: AbstractConnection, where: str, reply_seconds: float) -> None:
        self._connection = connection
        self._where = where
        self._reply_seconds = reply_seconds
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._reader = asyncio.create_task(self._read(), name=f"redis replies from {where}")
        self._end: str | None = None
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done with the reason when the connection broke or was closed."""

    async def call(self, *arguments: Argument) -> Any:
        """Send one command and return its reply.

        Raises `StoreLost`: refused by Redis or not sent (known not to be done), or the connection broke or stayed
        silent for `reply_seconds` after the command was sent (unknown).
        """
        (answer,) = await self._exchange((arguments,))
        return self._checked(answer)

    async def transaction(self, *commands: tuple[Argument, ...]) -> list[Any]:
        """Send commands as one MULTI/EXEC and return their replies; errors as for `call`."""
        answers = await self._exchange((("MULTI",), *commands, ("EXEC",)))
        for answer in answers:
            self._checked(answer)
        return [self._checked(answer) for answer in answers[-1]]

    async def _exchange(self, commands: tuple[tuple[Argument, ...], ...]) -> list[Any]:
        if self._end is not None:
            raise StoreLost(self._end, unknown=False)
        loop = asyncio.get_running_loop()
        replies: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
        self._waiting.extend(replies)
        try:
            async with asyncio.timeout(self._reply_seconds):
                # Writes before it waits for anything, so replies arrive in the order of `_waiting`.
                await self._connection.send_packed_command(
                    [_packed(command) for command in commands], check_health=False
                )
                return [await reply for reply in replies]
        except TimeoutError:
            reason = f"Redis at {self._where} did not answer within {self._reply_seconds:g} s."
            self._break(reason)
            raise StoreLost(reason, unknown=True) from None
        except (RedisError, OSError) as error:
            reason = self._broken(error)
            self._break(reason)
            raise StoreLost(reason, unknown=True) from None

    def _checked(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise StoreLost(self._refused(answer), unknown=False) from answer
        return answer

    def _refused(self, error: Exception) -> str:
        text = str(error)
        if "No space left on device" in text:
            return f"Redis at {self._where} cannot write: its disk is full. Free some space."
        # What follows is the place in a script of ours.
        return f"Redis at {self._where} refused: {text.partition(' script: ')[0].rstrip('.')}."

    def _broken(self, error: Exception) -> str:
        return f"The connection to Redis at {self._where} broke: {str(error).rstrip('.')}."

    async def close(self) -> None:
        """Close the connection and wait until it is closed."""
        self._break(f"The connection to Redis at {self._where} was closed.")
        self._reader.cancel()
        await asyncio.wait([self._reader])
        with suppress(RedisError, OSError):
            await self._connection.disconnect()

    async def _read(self) -> None:
        try:
            while self._end is None:
                answer: Any
                try:
                    answer = await self._connection.read_response(disable_decoding=True, disconnect_on_error=False)
                except (ResponseError, BusyLoadingError) as error:
                    answer = error
                if self._waiting:  # else it comes too late: the connection was given up meanwhile
                    reply = self._waiting.popleft()
                    if not reply.done():
                        reply.set_result(answer)
        except (RedisError, OSError) as error:
            self._break(self._broken(error))

    def _break(self, reason: str) -> None:
        if self._end is not None:
            return
        self._end = reason
        for reply in self._waiting:
            if not reply.done():
                reply.set_exception(StoreLost(reason, unknown=True))
                reply.exception()
        self._waiting.clear()
        if not self.ended.done():
            self.ended.set_result(reason)


async def open_session(address: RedisAddress, reply_seconds: float) -> Session:
    """Connect and log in; raises `StoreLost` with a sentence that says why it is not possible."""
    connection = address.new_connection()
    try:
        # It has a time limit of its own for the socket, but none for the replies while it logs in.
        async with asyncio.timeout(_CONNECT_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]
    except (RedisError, OSError) as error:
        with suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)
        raise StoreLost(_why_not(address, error), unknown=False) from None
    except asyncio.CancelledError:
        with suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)
        raise
    return Session(connection, str(address), reply_seconds)


def _packed(command: tuple[Argument, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # declared for tuples of one element
    return packed


def _why_not(address: RedisAddress, error: Exception) -> str:
    if isinstance(error.__cause__, RedisError):
        error = error.__cause__  # what Redis answered while the connection logged in
    if isinstance(error, BusyLoadingError):
        return f"Redis at {address} is still loading its data."
    if isinstance(error, AuthenticationError | ResponseError):
        return f"Redis at {address} does not accept the log-in: {str(error).rstrip('.')}."
    if isinstance(error, TimeoutError):
        return f"Redis at {address} does not answer."
    return f"Redis at {address} cannot be reached: {str(error).rstrip('.')}."


class Link:
    """Keeps one session to Redis open: when it breaks, opens the next one with growing delays (0.05 to 1 s).

    `prepare` is run on each new session before anybody else uses it. When it raises a `StoreError` that is not
    `StoreLost`, the link gives up and hands that error to everybody. `revive` is run before each new attempt; it may
    start a server that has ended, and raises `StoreLost` when it cannot.
    """

    def __init__(
        self,
        address: RedisAddress,
        prepare: Callable[[Session], Awaitable[None]],
        *,
        revive: Callable[[], Awaitable[None]],
        reply_seconds: float,
        on_lost: Callable[[str], None],
        on_trouble: Callable[[str], None],
        on_back: Callable[[], None],
        on_given_up: Callable[[StoreError], None],
    ) -> None:
        self._address = address
        self._prepare = prepare
        self._revive = revive
        self._reply_seconds = reply_seconds
        self._on_lost = on_lost
        self._on_trouble = on_trouble
        self._on_back = on_back
        self._on_given_up = on_given_up
        self._session: Session | None = None
        self._why_lost = f"Redis at {address} is not connected yet."
        self._given_up: StoreError | None = None
        self._settled = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self._session is not None and not self._session.ended.done()

    async def open(self, wait_seconds: float) -> None:
        """Open the first session; raises `StoreLost` when that is not possible for so long."""
        try:
            session = await self._new_session()
        except StoreLost as error:
            self._why_lost = str(error)
            try:
                async with asyncio.timeout(wait_seconds):
                    session = await self._reconnect()
            except TimeoutError:
                raise StoreLost(self._why_lost, unknown=False) from None
        self._install(session)
        self._keeper = asyncio.create_task(self._keep(), name="redis connection")

    async def call(self, *arguments: Argument) -> Any:
        """`Session.call` on the present session; `StoreLost` (known not to be done) when there is none."""
        return await self.session.call(*arguments)

    @property
    def session(self) -> Session:
        if self._session is not None:
            return self._session  # one that has just ended says so itself
        if self._given_up is not None:
            raise self._given_up
        raise StoreLost(self._why_lost, unknown=False)

    async def wait_connected(self) -> None:
        """Return when there is a session; raises the error for which the link gave up."""
        while not self.connected:
            if self._given_up is not None:
                raise self._given_up
            self._settled.clear()
            await self._settled.wait()

    async def close(self) -> None:
        """Close for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        session, self._session = self._session, None
        self._why_lost = f"The connection to Redis at {self._address} was closed."
        if session is not None:
            await session.close()

    async def _new_session(self) -> Session:
        session = await open_session(self._address, self._reply_seconds)
        try:
            await self._prepare(session)
        except BaseException:
            await session.close()
            raise
        return session

    def _install(self, session: Session) -> None:
        self._session = session
        self._settled.set()

    async def _keep(self) -> None:
        while True:
            session = self.session
            self._why_lost = await asyncio.shield(session.ended)
            self._session = None
            self._on_lost(self._why_lost)
            await session.close()
            try:
                new = await self._reconnect()
            except StoreError as error:
                self._given_up = error
                self._settled.set()
                self._on_given_up(error)
                return
            self._install(new)
            self._on_back()

    async def _reconnect(self) -> Session:
        delay = _FIRST_DELAY_SECONDS
        while True:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
            try:
                await self._revive()
                return await self._new_session()
            except StoreLost as error:
                if str(error) != self._why_lost:
                    _log.warning("%s", error)
                    self._on_trouble(str(error))
                self._why_lost = str(error)
