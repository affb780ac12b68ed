"""Takes over, once, what bluesky-queueserver left in Redis under the same prefix (zmq-api 1.6); its keys stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from queueserver_manager.core.writes import AppendHistory, PutItems, SetField, StoredState, Write
from queueserver_manager.store.redis_store import RedisStore

IMPORT_MARK = "upstream_import"
"""Name of the stored field that says that the import was made; its value tells when and how much."""

_KEYS = (
    "plan_queue",
    "plan_history",
    "running_plan",
    "plan_queue_mode",
    "user_group_permissions",
    "lock_info",
    "autostart_mode_info",
    "stop_pending_info",
)
_ENTRIES_IN_CHUNK = 1000
_UNKNOWN_END = (
    "The item was running under bluesky-queueserver when its data were taken over: how it ended is not known."
)


@dataclass(frozen=True, slots=True)
class UpstreamLock:
    """A lock that was set under bluesky-queueserver."""

    key: str = field(repr=False)
    environment: bool
    queue: bool
    user: str | None
    note: str | None
    time: float | None


@dataclass(frozen=True, slots=True)
class UpstreamData:
    """What was found, cleaned up: queue items are mappings with uids of their own."""

    items: tuple[dict[str, Any], ...]
    history: tuple[dict[str, Any], ...]
    running: dict[str, Any] | None
    """The item that was running when the last manager ended without recording its end."""
    queue_mode: dict[str, bool]
    """`loop` and `ignore_failures`, as far as they were stored."""
    permissions: dict[str, Any] | None
    lock: UpstreamLock | None
    autostart: bool
    stop_pending: bool
    left_out: int
    """Number of queue and history entries that could not be read, or had no uid or the uid of another item."""

    def summary(self) -> str:
        """A sentence for the log."""
        parts = [f"{len(self.items)} queued items", f"{len(self.history)} history entries"]
        parts += ["a running item (history: unknown; back at the front of the queue)"] if self.running else []
        parts += ["the permissions"] if self.permissions is not None else []
        parts += ["the lock"] if self.lock is not None else []
        left_out = f" {self.left_out} damaged entries were left out." if self.left_out else ""
        return f"Taken over from bluesky-queueserver: {', '.join(parts)}.{left_out} Its own keys stay untouched."


async def read_upstream(store: RedisStore, prefix: str, state: StoredState) -> UpstreamData | None:
    """Read upstream's keys; None when there are none or when they were taken over before (`state`)."""
    if IMPORT_MARK in (state.fields or {}):
        return None
    if not await store.ask("EXISTS", *(f"{prefix}_{name}" for name in _KEYS)):
        return None

    async def mapping(name: str) -> dict[str, Any]:
        if await store.ask("TYPE", f"{prefix}_{name}") != b"string":
            return {}
        return _mapping(await store.ask("GET", f"{prefix}_{name}")) or {}

    async def entries(name: str) -> list[dict[str, Any] | None]:
        key = f"{prefix}_{name}"
        if await store.ask("TYPE", key) != b"list":
            return []
        found: list[dict[str, Any] | None] = []
        for start in range(0, await store.ask("LLEN", key), _ENTRIES_IN_CHUNK):
            found += map(_mapping, await store.ask("LRANGE", key, start, start + _ENTRIES_IN_CHUNK - 1))
        return found

    running = await mapping("running_plan")
    running = running if _uid(running) else {}
    queued = await entries("plan_queue")
    items = _with_own_uids(queued, taken={running.get("item_uid")})
    recorded = await entries("plan_history")
    history = [entry for entry in recorded if entry is not None]
    mode = await mapping("plan_queue_mode")
    return UpstreamData(
        items=tuple(items),
        history=tuple(history),
        running=running or None,
        queue_mode={name: mode[name] for name in ("loop", "ignore_failures") if isinstance(mode.get(name), bool)},
        permissions=await mapping("user_group_permissions") or None,
        lock=_lock(await mapping("lock_info")),
        autostart=(await mapping("autostart_mode_info")).get("enabled") is True,
        stop_pending=(await mapping("stop_pending_info")).get("enabled") is True,
        left_out=len(queued) - len(items) + len(recorded) - len(history),
    )


def import_writes(
    data: UpstreamData, state: StoredState, *, now: float, rank_step: int, new_uid: Callable[[], str]
) -> list[Write]:
    """Writes that add queue and history to the stored state, and the mark; for one commit.

    The running item is recorded as `unknown`, since nobody can be asked how it ended, and put at the front of the queue
    with a new uid (unless it was executed directly). Mode, permissions and lock are the caller's to convert.
    """
    items, history = list(data.items), list(data.history)
    if data.running is not None:
        ended, again = _ended_unknown(data.running, now, new_uid)
        history.append(ended)
        items[:0] = [again] if again is not None else []
    known = {uid for uid, _, _ in state.items}
    items = [item for item in items if item["item_uid"] not in known]
    rank = state.items[-1][1] if state.items else 0
    put = [(item["item_uid"], rank + rank_step * number, _text(item)) for number, item in enumerate(items, 1)]
    writes: list[Write] = [PutItems(tuple(put))] if put else []
    for seq, entry in enumerate(history, state.history_next):
        uid = _uid(entry) or new_uid()
        writes.append(AppendHistory(seq, uid, _time_stop(entry), _text({**entry, "item_uid": uid})))
    mark = {"time": now, "items": len(items), "history": len(history), "left_out": data.left_out}
    return [*writes, SetField(IMPORT_MARK, _text(mark))]


def _ended_unknown(
    running: dict[str, Any], now: float, new_uid: Callable[[], str]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The history entry and the copy that goes back to the queue."""
    item = dict(running)
    found = item.pop("properties", None)
    properties = dict(found) if isinstance(found, dict) else {}
    time_start = properties.pop("time_start", now)
    direct = properties.pop("immediate_execution", False)
    item["result"] = {
        "exit_status": "unknown",
        "run_uids": [],
        "scan_ids": [],
        "time_start": time_start,
        "time_stop": now,
        "msg": _UNKNOWN_END,
        "traceback": "",
    }
    if properties:
        item["properties"] = properties
    return item, None if direct else {**item, "item_uid": new_uid()}


def _with_own_uids(entries: list[dict[str, Any] | None], taken: set[Any]) -> list[dict[str, Any]]:
    seen = set(taken)
    items = []
    for entry in entries:
        uid = None if entry is None else _uid(entry)
        if entry is not None and uid is not None and uid not in seen:
            seen.add(uid)
            items.append(entry)
    return items


def _mapping(text: bytes | None) -> dict[str, Any] | None:
    """The mapping in a JSON text; None when it is none, or cannot be written as text again (lone surrogates)."""
    try:
        value = json.loads(text or b"")
        _text(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _uid(entry: dict[str, Any]) -> str | None:
    uid = entry.get("item_uid")
    return uid if isinstance(uid, str) and uid else None


def _time_stop(entry: dict[str, Any]) -> float:
    result = entry.get("result")
    value = result.get("time_stop") if isinstance(result, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _lock(info: dict[str, Any]) -> UpstreamLock | None:
    key = info.get("lock_key")
    environment, queue = info.get("environment") is True, info.get("queue") is True
    if not isinstance(key, str) or not key or not (environment or queue):
        return None
    user, note, time = info.get("user"), info.get("note"), info.get("time")
    return UpstreamLock(
        key=key,
        environment=environment,
        queue=queue,
        user=user if isinstance(user, str) else None,
        note=note if isinstance(note, str) else None,
        time=float(time) if isinstance(time, int | float) else None,
    )
