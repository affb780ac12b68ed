"""Which part of the history a request asks for, and how long the history may grow (zmq-api 5.6 and its additions)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from queueserver_common.link.messages import ExitStatus
from queueserver_manager.core.decision import Decision, HistoryQuery
from queueserver_manager.core.items import encode
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.writes import TrimHistory

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

_STATUSES = tuple(status.value for status in ExitStatus)


def history_query(core: Core, params: Mapping[str, Any]) -> HistoryQuery:
    """What the parameters of `history_get` ask for; raises `Refusal` for values that mean nothing."""
    offset, limit = params.get("offset") or 0, params.get("limit")
    for name, number in (("offset", offset), ("limit", limit)):
        if number is not None and number < 0:
            raise Refusal(f"Parameter '{name}' must not be negative: {name}={number}", code=Code.INVALID_PARAMETER)
    status = params.get("exit_status")
    if status is not None and status not in _STATUSES:
        raise Refusal(f"Unknown exit status {status!r}. Exit statuses: {_STATUSES}", code=Code.INVALID_PARAMETER)
    for name in ("time_from", "time_to"):
        time = params.get(name)
        if isinstance(time, float) and not math.isfinite(time):
            raise Refusal(f"Parameter '{name}' must be finite: {name}={time}", code=Code.INVALID_PARAMETER)
    return HistoryQuery(
        first=core.state.history_first,
        following=core.state.history_next,
        offset=offset,
        limit=limit,
        newest_first=bool(params.get("newest_first")),
        wanted={name: value for name in ("plan", "user", "exit_status") if (value := params.get(name)) is not None},
        time_from=params.get("time_from"),
        time_to=params.get("time_to"),
        item_uid=params.get("item_uid"),
    )


class EntryFilter:
    """Tells whether a history entry is wanted; most others are told by their text alone."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._wanted = wanted
        self._parts = [
            b'"%b":%b' % (b"name" if key == "plan" else key.encode(), encode(value)) for key, value in wanted.items()
        ]

    def wants(self, text: bytes) -> bool:
        """Whether the entry with this JSON text is wanted."""
        if not all(part in text for part in self._parts):
            return False
        entry = json.loads(text)
        found = {
            "plan": entry.get("name"),
            "user": entry.get("user"),
            "exit_status": (entry.get("result") or {}).get("exit_status"),
        }
        return all(found[key] == value for key, value in self._wanted.items())


def keep_within_limit(core: Core, d: Decision) -> None:
    """Drop the oldest entries of a history that has grown beyond its limit."""
    state, limit = core.state, core.settings.history_limit
    if limit and state.history_size > limit:
        state.history_first = state.history_next - limit
        d.write(TrimHistory(state.history_first))
