"""Queue items as mappings: what is kept of a submitted one, and what changes when it starts, ends and returns.

Shapes: zmq-api 4.1 and 4.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from queueserver_common.link.messages import ItemEnded

Item = dict[str, Any]

ITEM_KEYS = ("item_uid", "item_type", "name", "args", "kwargs", "meta", "user", "user_group", "properties")
"""Keys of a submitted item that are kept; all others are dropped."""

_RUN_PROPERTIES = ("time_start", "immediate_execution")
"""Properties that an item has only while it is in hand."""

REQUEUED_FROM = "requeued_from"
"""Key of an item that returned to the queue: the uid of its history entry (an addition to the contract)."""

QUEUED_AT = "queued_at"
"""Key of an item of the queue: when it was put there, epoch seconds (an addition to the contract)."""


def encode(value: object) -> bytes:
    """JSON text of a value; NaN, infinities and integers of any size are kept."""
    return _ENCODER.encode(value).encode()


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def decode(text: bytes) -> Item:
    """The item of a JSON text that `encode` wrote."""
    item: Item = json.loads(text)
    return item


def submitted(item: Mapping[str, Any], user: object, user_group: object) -> Item:
    """What is kept of an item as a client sent it, owned by the caller."""
    return {k: v for k, v in item.items() if k in ITEM_KEYS} | {"user": user, "user_group": user_group}


def in_hand(item: Item, time_start: float, immediate: bool) -> Item:
    """The running item as `queue_get` shows it."""
    properties = dict(item.get("properties") or {}) | {"time_start": time_start}
    if immediate:
        properties["immediate_execution"] = True
    return item | {"properties": properties}


def result_of(end: ItemEnded, startup_revision: str) -> dict[str, Any]:
    """The `result` mapping of a history entry (zmq-api 4.3); the revision of the startup code is an addition."""
    result: dict[str, Any] = {
        "exit_status": end.exit_status.value,
        "run_uids": list(end.run_uids),
        "scan_ids": list(end.scan_ids),
        "time_start": end.time_start,
        "time_stop": end.time_stop,
        "msg": end.msg,
        "traceback": end.traceback,
    }
    return result | {"startup_revision": startup_revision} if startup_revision else result


def history_entry(item: Item, result: Mapping[str, Any]) -> Item:
    """The item as it is written to the history: its uid stays, run properties go, `result` tells the end."""
    return _without_run_properties(item) | {"result": dict(result)}


def returned_after_failure(entry: Item, uid: str, now: float) -> Item:
    """The copy of a history entry that goes back to the front of the queue, with a new uid and the `result`."""
    return entry | {"item_uid": uid, REQUEUED_FROM: entry["item_uid"], QUEUED_AT: now}


def repeated(item: Item, uid: str, now: float) -> Item:
    """The copy that goes to the back of the queue in loop mode."""
    return as_submitted(_without_run_properties(item)) | {"item_uid": uid, QUEUED_AT: now}


def as_submitted(item: Item) -> Item:
    """The item without what the queue and an earlier execution left on it."""
    return {k: v for k, v in item.items() if k not in ("result", REQUEUED_FROM, QUEUED_AT)}


def _without_run_properties(item: Item) -> Item:
    properties = {k: v for k, v in (item.get("properties") or {}).items() if k not in _RUN_PROPERTIES}
    rest = {k: v for k, v in item.items() if k != "properties"}
    return rest | {"properties": properties} if properties else rest
