"""What kopf calls: every event goes into the store and wakes the family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from queueserver_operator.family import Family, family_of
from queueserver_operator.kinds import WATCHED, Kind
from queueserver_operator.store import Store

Wake = Callable[[Family], None]


def register_handlers(registry: kopf.OperatorRegistry, store: Store, wake: Wake) -> None:
    """Register an index and an event handler for each watched kind.

    kopf calls no event handler before all indexes have seen all lists, so that no family is decided on half of what
    there is. The indexes themselves hold nothing but resourceVersions.
    """
    for kind in WATCHED:
        group, version = kind.api_version.rpartition("/")[::2]
        kopf.index(group, version, kind.plural, id=f"known-{kind.plural}", registry=registry)(_indexer(kind, store))
        kopf.on.event(group, version, kind.plural, id=f"seen-{kind.plural}", registry=registry)(
            _event_handler(kind, store, wake)
        )


def _indexer(kind: Kind, store: Store) -> Callable[..., Any]:
    async def index(body: kopf.Body, **_: Any) -> str | None:
        raw = _raw(body)
        store.put(kind, raw)
        return str(raw["metadata"].get("resourceVersion", ""))

    return index


def _event_handler(kind: Kind, store: Store, wake: Wake) -> Callable[..., Any]:
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        body: Mapping[str, Any] = event["object"]
        family = family_of(kind, body)
        if event["type"] == "DELETED":
            entry = store.remove(str(body["metadata"].get("uid", "")), body)
            family = entry.family if entry is not None and entry.family is not None else family
        if family is not None:
            wake(family)

    return seen


def _raw(body: kopf.Body) -> Mapping[str, Any]:
    return dict(body)
