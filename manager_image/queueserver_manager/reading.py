"""Replies whose content is read from the store, page by page: nothing of it is held in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from queueserver_common.encoded import Encoded
from queueserver_manager.api.console_stream import ConsoleStream
from queueserver_manager.core.decision import AuditQuery, ConsoleQuery, HistoryQuery, TaskResultQuery
from queueserver_manager.core.history import EntryFilter
from queueserver_manager.core.task_records import result_name
from queueserver_manager.store.redis_store import RedisStore


async def read(store: RedisStore, query: HistoryQuery | AuditQuery | TaskResultQuery) -> Mapping[str, Any]:
    """The part of a reply that a query asks for; raises `StoreError`."""
    match query:
        case HistoryQuery():
            return await _read_history(store, query)
        case AuditQuery():
            return await _read_audit(store, query)
        case TaskResultQuery(uid):
            text = await store.read_blob(result_name(uid))
            # It may have been dropped since the request was decided.
            return {"status": "not_found"} if text is None else {"result": Encoded(text)}


def read_console(console: ConsoleStream, query: ConsoleQuery) -> Mapping[str, Any]:
    """Messages of the console, and the numbers of the oldest and newest one that could be asked for."""
    found = console.newest(query.limit) if query.after is None else console.after(query.after, query.limit)
    return {
        "messages": [message.as_mapping() for message in found],
        "first_seq": console.first,
        "last_seq": console.last,
    }


async def _read_audit(store: RedisStore, query: AuditQuery) -> Mapping[str, Any]:
    entries = await store.audit(query.limit, query.before)
    return {"entries": Encoded.array([b'{"id":"%b",%b' % (name.encode(), text[1:]) for name, text in entries])}


async def _read_history(store: RedisStore, query: HistoryQuery) -> Mapping[str, Any]:
    first, following = await _numbers(store, query)
    if query.wanted:
        texts, total = await _filtered(store, query, first, following)
    else:
        total = max(0, following - first)
        texts = await _page(store, query, first, following)
    return {"items": Encoded.array(texts), "total": total}


async def _numbers(store: RedisStore, query: HistoryQuery) -> tuple[int, int]:
    """Numbers of the entries that time and uid leave: the first one and the one after the last."""
    first, following = query.first, query.following
    if query.item_uid is not None:
        number = await store.history_seq_of(query.item_uid)
        if number is None or not first <= number < following:
            return 0, 0
        first, following = number, number + 1
    if query.time_from is not None:
        first = await store.history_seq_at(query.time_from, first, following, after=False)
    if query.time_to is not None:
        following = await store.history_seq_at(query.time_to, first, following, after=True)
    return first, following


async def _page(store: RedisStore, query: HistoryQuery, first: int, following: int) -> list[bytes]:
    start = first + query.offset
    stop = following if query.limit is None else min(following, start + query.limit)
    if query.newest_first:
        start, stop = first + following - stop, first + following - start
    if start >= stop:
        return []
    return [text async for text in _entries(store, start, stop - 1, newest_first=query.newest_first)]


async def _filtered(store: RedisStore, query: HistoryQuery, first: int, following: int) -> tuple[list[bytes], int]:
    wanted = EntryFilter(query.wanted)
    texts: list[bytes] = []
    total = 0
    async for text in _entries(store, first, following - 1, newest_first=query.newest_first):
        if wanted.wants(text):
            if total >= query.offset and (query.limit is None or len(texts) < query.limit):
                texts.append(text)
            total += 1
    return texts, total


async def _entries(store: RedisStore, first: int, last: int, *, newest_first: bool) -> AsyncIterator[bytes]:
    async for chunk in store.history_chunks(first, last, newest_first=newest_first):
        for text in chunk:
            yield text
