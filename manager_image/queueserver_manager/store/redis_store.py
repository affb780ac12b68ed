"""The stored state in Redis: one round trip for each commit, fenced by an epoch."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import NoScriptError

from queueserver_common import loggers
from queueserver_manager.core.writes import StoredState, TrimHistory, Write
from queueserver_manager.store import scripts
from queueserver_manager.store.address import RedisAddress, parse_address
from queueserver_manager.store.connection import Link, Session
from queueserver_manager.store.encoding import encode_writes, first_appended
from queueserver_manager.store.errors import Fenced, StoreEmptied, StoreError, StoreHeld, StoreLost, StoreTooNew
from queueserver_manager.store.holder import other_holders
from queueserver_manager.store.keys import BLOB_MARK, FORMAT, TOKEN_SLOTS, Keys

_log = logging.getLogger(loggers.STORE)

_REPLY_SECONDS = 5.0
_ITEMS_IN_CHUNK = 2000
_HISTORY_IN_CHUNK = 500
_SWEEP_COUNT = 50
_HOLDER_GONE_SECONDS = 1.0
_HOLDER_GONE_STEP_SECONDS = 0.02

_SCRIPTS = {
    text: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    for text in (
        scripts.COMMIT,
        scripts.SWEEP,
        scripts.TAKE_EPOCH,
        scripts.RAISE_EPOCH,
        scripts.REJOIN,
        scripts.FIND_TIME,
    )
}


class RedisStore:
    """The store of one manager under one prefix. Callbacks run in the event loop and must not raise.

    * `on_lost(reason)`: the connection broke; commits are refused until `on_back`.
    * `on_trouble(reason)`: it is still lost, for another reason than was told before.
    * `on_back(rolled_back)`: connected again. `rolled_back` is true when Redis does not know the last commit it had
      acknowledged (it crashed and lost its last seconds): what the manager has in memory is then ahead of Redis.
    * `on_refused(error)`: `Fenced` or `StoreEmptied` on reconnection; the store will not come back.
    """

    def __init__(
        self,
        address: RedisAddress,
        prefix: str,
        holder: str,
        *,
        reply_seconds: float,
        revive: Callable[[], Awaitable[None]],
    ) -> None:
        self.on_lost: Callable[[str], None] = _ignore
        self.on_trouble: Callable[[str], None] = _ignore
        self.on_back: Callable[[bool], None] = _ignore
        self.on_refused: Callable[[StoreError], None] = _ignore
        self._address = address
        self._keys = Keys(prefix)
        self._holder = holder
        self._epoch = 0
        self._fence = ""
        self._slot = 0
        self._last_token = ""
        self._rolled_back = False
        self._sweeping: asyncio.Task[None] | None = None
        self._link = Link(
            address,
            self._prepare,
            revive=revive,
            reply_seconds=reply_seconds,
            on_lost=self._tell_lost,
            on_trouble=self._tell_trouble,
            on_back=self._tell_back,
            on_given_up=self._tell_refused,
        )

    @classmethod
    async def connect(
        cls,
        address: str,
        prefix: str,
        holder: str,
        *,
        wait_seconds: float = 0.0,
        reply_seconds: float = _REPLY_SECONDS,
        revive: Callable[[], Awaitable[None]] | None = None,
    ) -> RedisStore:
        """Connect without taking anything. `holder` is `<pid>@<host>` (`holder.this_process`).

        `reply_seconds`: time after which a Redis that does not answer counts as lost. `revive` is awaited before each
        attempt to connect again; it may start a server that has ended, and raises `StoreLost` when it cannot.

        Raises `AddressError`, or `StoreLost` when Redis cannot be reached (or still loads its data) for `wait_seconds`.
        """
        store = cls(
            parse_address(address), prefix, holder, reply_seconds=reply_seconds, revive=revive or _nothing_to_do
        )
        await store._link.open(wait_seconds)
        return store

    async def close(self) -> None:
        """Close the connection; another manager may then take the data."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._link.close()

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def address(self) -> str:
        """Where Redis is, without credentials."""
        return str(self._address)

    async def wait_connected(self) -> None:
        """Return once connected. Raises `Fenced` or `StoreEmptied` when there will be no way back."""
        await self._link.wait_connected()

    async def check(self) -> None:
        """Ask Redis for a sign of life: one that hangs is noticed although nothing is to be written."""
        with suppress(StoreError):
            await self._link.call("PING")

    async def take_epoch(self, at_least: int = 0) -> int:
        """Become the one manager that may write; returns the epoch: higher than any before and >= `at_least`.

        Raises `StoreHeld` while another manager's connection is open, and `StoreTooNew`. The connection of a process of
        this host that has ended is waited for up to 1 s: it vanishes as soon as Redis notices.
        """
        session = self._link.session
        own_connection = int(await session.call("CLIENT", "ID"))
        deadline = time.monotonic() + _HOLDER_GONE_SECONDS
        # Named and looked at in one transaction: of two managers that start together at least one sees the other.
        while True:
            name = self._keys.holder_connection(self._holder)
            _, listed = await session.transaction(("CLIENT", "SETNAME", name), ("CLIENT", "LIST"))
            others = other_holders(listed.decode(errors="replace"), self._keys, own_connection)
            if not others:
                break
            await session.call("CLIENT", "SETNAME", self._keys.client_connection(self._holder))
            if time.monotonic() > deadline or not all(other.has_ended() for other in others):
                raise StoreHeld(await self._held_by(others[0].name, others[0].sentence, others[0].connection_id))
            await asyncio.sleep(_HOLDER_GONE_STEP_SECONDS)
        reply = await self._run(
            session, scripts.TAKE_EPOCH, (self._keys.meta,), FORMAT, at_least, self._holder, repr(time.time())
        )
        self._accept_epoch(reply)
        return self._epoch

    async def raise_epoch(self, at_least: int) -> int:
        """Make the epoch at least so high (a worker has seen a higher one than Redis knew); returns the epoch."""
        reply = await self._run(self._link.session, scripts.RAISE_EPOCH, (self._keys.meta,), self._own_fence, at_least)
        self._accept_epoch(reply)
        return self._epoch

    async def load(self) -> StoredState:
        """Everything but the history's content and the blobs. No commit may be under way."""
        link, keys = self._link, self._keys
        numbers = await link.call("HMGET", keys.meta, "first", "next")
        running = await link.call("GET", keys.running)
        flat = await link.call("HGETALL", keys.fields)
        items: list[tuple[str, int, bytes]] = []
        for start in range(0, await link.call("ZCARD", keys.order), _ITEMS_IN_CHUNK):
            ranked = await link.call("ZRANGE", keys.order, start, start + _ITEMS_IN_CHUNK - 1, "WITHSCORES")
            texts = await link.call("HMGET", keys.items, *ranked[::2])
            for uid, rank, text in zip(ranked[::2], ranked[1::2], texts, strict=True):
                if text is None:
                    _log.warning("Item %s of the queue is left out: its content was deleted from Redis.", uid.decode())
                else:
                    items.append((uid.decode(), int(float(rank)), text))
        if self._fence:
            self._sweep_history()  # what a predecessor may have left undone
        return StoredState(
            items=tuple(items),
            running=running,
            history_first=int(numbers[0] or 0),
            history_next=int(numbers[1] or 0),
            fields={name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)},
        )

    async def commit(self, token: str, writes: Sequence[Write]) -> None:
        """Carry out all writes, in order, or none; returns when Redis has replied.

        `token` is unique to the commit. Raises `Fenced`, `StoreEmptied`, and `StoreLost` with `unknown` false when
        nothing was done (Redis refused, or its history does not end where these writes go on) and true when that
        cannot be known: see `committed`. ValueError when the numbers of history entries are not consecutive.
        """
        first_seq = first_appended(writes)
        slot, self._slot = self._slot, (self._slot + 1) % TOKEN_SLOTS
        reply = await self._run(
            self._link.session,
            scripts.COMMIT,
            self._keys.commit_keys,
            self._own_fence,
            slot,
            token,
            "" if first_seq is None else first_seq,
            self._keys.blob(""),
            *encode_writes(writes),
        )
        if reply != 1:
            self._raise_refusal(reply)
        self._last_token = token
        if any(isinstance(write, TrimHistory) for write in writes):
            self._sweep_history()

    async def committed(self, token: str) -> bool:
        """Whether one of the last 64 commits was carried out.

        After a connection broke the answer is final: a commit that was still on its way over the old connection is
        refused when it arrives.
        """
        return token.encode() in await self._link.call("HVALS", self._keys.tokens)

    async def history(self, first_seq: int, last_seq: int) -> list[bytes]:
        """JSON texts of the history entries with numbers from `first_seq` to `last_seq`, both included."""
        return [text async for chunk in self.history_chunks(first_seq, last_seq) for text in chunk]

    async def history_chunks(
        self, first_seq: int, last_seq: int, *, newest_first: bool = False
    ) -> AsyncIterator[list[bytes]]:
        """The same in chunks of at most 500 entries, each read when it is asked for."""
        # Entries below the first valid number may not have been swept yet.
        first_valid = int(await self._link.call("HGET", self._keys.meta, "first") or 0)
        low, high = max(first_seq, first_valid), last_seq
        while low <= high:
            # Entry of number n has the id n+1.
            ends = ("XREVRANGE", high + 1, low + 1) if newest_first else ("XRANGE", low + 1, high + 1)
            command, start, stop = ends
            entries = await self._link.call(command, self._keys.history, start, stop, "COUNT", _HISTORY_IN_CHUNK)
            if entries:
                yield [fields[-1] for _, fields in entries]
            if len(entries) < _HISTORY_IN_CHUNK:
                return
            seq = int(entries[-1][0].partition(b"-")[0]) - 1
            low, high = (low, seq - 1) if newest_first else (seq + 1, high)

    async def history_seq_at(self, time: float, first_seq: int, following: int, *, after: bool) -> int:
        """Number of the first entry that ended at `time` or later; with `after`, later than `time`.

        From `first_seq` to `following` (none is so late). Found by halving, in one round trip: the entries stand in the
        order of their ends.
        """
        found = await self._run(
            self._link.session,
            scripts.FIND_TIME,
            (self._keys.history,),
            first_seq,
            following,
            repr(float(time)),
            int(after),
        )
        return int(found)

    async def history_seq_of(self, uid: str) -> int | None:
        """Number of the history entry of an item, None when there is none."""
        found = await self._link.call("HGET", self._keys.history_uids, uid)
        first_valid = int(await self._link.call("HGET", self._keys.meta, "first") or 0)
        return int(found) if found is not None and int(found) >= first_valid else None

    async def audit(self, limit: int, before: str | None) -> list[tuple[str, bytes]]:
        """Ids and JSON texts of entries of the audit log, newest first, older than `before`."""
        newest = "+" if before is None else f"({before}"
        entries = await self._link.call("XREVRANGE", self._keys.audit, newest, "-", "COUNT", limit)
        return [(entry_id.decode(), fields[1]) for entry_id, fields in entries]

    async def read_blob(self, name: str) -> bytes | None:
        """A value written by `SetField` whose name begins with `BLOB_MARK`."""
        if not name.startswith(BLOB_MARK):
            raise ValueError(f"{name!r} is not a blob: its name does not begin with {BLOB_MARK!r}")
        text: bytes | None = await self._link.call("GET", self._keys.blob(name))
        return text

    async def ask(self, *command: str | bytes | int) -> Any:
        """The reply to a command that reads data which are not the store's own, such as those to be taken over."""
        return await self._link.call(*command)

    def _tell_lost(self, reason: str) -> None:
        self.on_lost(reason)

    def _tell_trouble(self, reason: str) -> None:
        self.on_trouble(reason)

    def _tell_back(self) -> None:
        self.on_back(self._rolled_back)

    def _tell_refused(self, error: StoreError) -> None:
        self.on_refused(error)

    async def _prepare(self, session: Session) -> None:
        """Make a new session ready; one that follows another continues the epoch or finds it taken over."""
        for text in _SCRIPTS:
            await session.call("SCRIPT", "LOAD", text)
        if not self._fence:
            await session.call("CLIENT", "SETNAME", self._keys.client_connection(self._holder))
            return
        keys = (self._keys.meta, self._keys.tokens)
        reply = await self._run(session, scripts.REJOIN, keys, self._epoch, self._last_token)
        self._accept_epoch(reply)
        self._rolled_back = reply[3] == b"rolled-back"
        await session.call("CLIENT", "SETNAME", self._keys.holder_connection(self._holder))

    async def _run(self, session: Session, script: str, keys: tuple[str, ...], *arguments: str | bytes | int) -> Any:
        try:
            return await session.call("EVALSHA", _SCRIPTS[script], len(keys), *keys, *arguments)
        except StoreLost as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        # Somebody emptied the script cache of a shared Redis.
        return await session.call("EVAL", script, len(keys), *keys, *arguments)

    @property
    def _own_fence(self) -> str:
        if not self._fence:
            raise StoreError(f"The data {self._keys.prefix!r} cannot be written before an epoch is taken.")
        return self._fence

    def _accept_epoch(self, reply: list[bytes]) -> None:
        if reply[0] != b"taken":
            self._raise_refusal(reply)
        self._epoch, self._fence = int(reply[1]), reply[2].decode()

    def _raise_refusal(self, reply: list[bytes]) -> None:
        what, *details = (part.decode() for part in reply)
        prefix = self._keys.prefix
        match what:
            case "fenced":
                since = f" since {_when(details[2])}" if details[2] else ""
                raise Fenced(
                    f"The manager {details[1]} holds the data {prefix!r}{since}; this one can no longer write."
                )
            case "emptied":
                raise StoreEmptied(
                    f"The data {prefix!r} vanished from Redis at {self._address} while this manager ran."
                )
            case "format":
                raise StoreTooNew(
                    f"The data {prefix!r} in Redis at {self._address} have format {details[0]}, written by a newer "
                    f"release; this one knows formats up to {FORMAT}. Install the newer release again, or use another "
                    f"prefix."
                )
            case _:
                raise StoreLost(
                    f"The next history entry in Redis is number {details[0]}, another one than this manager was going "
                    f"to write: its memory is out of step with Redis and has to be loaded again.",
                    unknown=False,
                )

    async def _held_by(self, name: str, sentence: Callable[[str | None], str], connection_id: int) -> str:
        recorded = await self._link.call("HMGET", self._keys.meta, "holder", "since")
        since = _when(recorded[1].decode()) if recorded[0] == name.encode() and recorded[1] else None
        return (
            f"The data {self._keys.prefix!r} in Redis at {self._address} are held by {sentence(since)}. Stop it first, "
            f"or use another prefix. If its machine is gone, close its connection with the Redis command "
            f"CLIENT KILL ID {connection_id}."
        )

    def _sweep_history(self) -> None:
        """Free trimmed history entries in small steps, so that Redis answers others in between."""
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep(), name="sweep history")

    async def _sweep(self) -> None:
        try:
            swept = _SWEEP_COUNT
            while swept == _SWEEP_COUNT:
                swept = await self._run(
                    self._link.session, scripts.SWEEP, self._keys.commit_keys, self._fence, _SWEEP_COUNT
                )
        except StoreError:
            return  # entries below the first number are invisible; the next trim or load goes on


def _when(seconds: str) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(seconds)))


async def _nothing_to_do() -> None:
    """Default of `revive`: somebody else looks after Redis."""


def _ignore(_: object) -> None:
    """Default of the callbacks."""
