"""The audit log: which requests changed something, when, and on whose behalf (an addition to the contract).

Users are what requests say of them: nothing on the control socket proves it. Lock keys are never recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from queueserver_manager.core.decision import AuditQuery, Decision, Reply, success
from queueserver_manager.core.items import encode
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.writes import AppendAudit, MoveItems, PutItems, RemoveItems

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

LARGEST_PAGE = 1000

_LEFT_OUT = frozenset({"lock_key", "user", "user_group"})
_ITEM_KEYS = ("item_type", "name", "item_uid")
_LONGEST_TEXT = 200
_MOST_UIDS = 20
_ENTRY_ID = re.compile(r"\d{1,20}-\d{1,20}")


def record_request(core: Core, method: str, params: Params, d: Decision, now: float) -> None:
    """Add an accepted request to the log; not while the store is away, when only what stops motion is accepted."""
    limit = core.settings.audit_limit
    if not limit or not core.store_connected:
        return
    entry: dict[str, Any] = {
        "time": now,
        "method": method,
        "user": _short(params.get("user")),
        "user_group": _short(params.get("user_group")),
        "parameters": {name: _short(value) for name, value in params.items() if name not in _LEFT_OUT},
    }
    if method.startswith("queue_item"):
        entry["item_uids"] = _uids(d)
    d.write(AppendAudit(limit, encode(entry)))


def audit_get(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Entries of the log, newest first; `before` names the last entry of the page before."""
    limit, before = params.get("limit", 100), params.get("before")
    if limit is None or not 0 < limit <= LARGEST_PAGE:
        raise Refusal(f"Parameter 'limit' must be from 1 to {LARGEST_PAGE}: limit={limit}")
    if before is not None and not _ENTRY_ID.fullmatch(before):
        raise Refusal(f"Parameter 'before' must be the id of an entry: before={before!r}", code=Code.INVALID_PARAMETER)
    d.reads = AuditQuery(limit, before)
    return success(entries=[])


def _uids(d: Decision) -> list[str]:
    """Items that the request changed, the first of them when they are many."""
    uids: list[str] = []
    for write in d.writes:
        if isinstance(write, PutItems):
            uids += [uid for uid, _, _ in write.items[:_MOST_UIDS]]
        elif isinstance(write, MoveItems):
            uids += [uid for uid, _ in write.ranks[:_MOST_UIDS]]
        elif isinstance(write, RemoveItems):
            uids += write.uids[:_MOST_UIDS]
    return list(dict.fromkeys(uids))[:_MOST_UIDS]


def _short(value: object) -> object:
    """What the log keeps of a value: enough to recognise it."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]} … ({len(value)} characters)"
    if isinstance(value, Mapping):
        if "item_type" in value:
            return {key: _short(value[key]) for key in _ITEM_KEYS if key in value}
        return {key: value[key] if isinstance(value[key], bool) else "…" for key in list(value)[:10]}
    if isinstance(value, list):
        return f"{len(value)} elements"
    return value if not isinstance(value, int) or abs(value) < 1 << 53 else "…"
