"""Read fields of API objects without ever failing: what is absent or of another type has its empty value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

EMPTY: Mapping[str, Any] = MappingProxyType({})


def mapping(parent: object, *keys: str) -> Mapping[str, Any]:
    """The mapping at the end of a path of keys."""
    found = _at(parent, keys)
    return found if isinstance(found, Mapping) else EMPTY


def text(parent: object, *keys: str) -> str:
    """The string at the end of a path of keys."""
    found = _at(parent, keys)
    return found if isinstance(found, str) else ""


def integer(parent: object, *keys: str, default: int = 0) -> int:
    """The integer at the end of a path of keys."""
    found = _at(parent, keys)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def flag(parent: object, *keys: str, default: bool = False) -> bool:
    """The boolean at the end of a path of keys."""
    found = _at(parent, keys)
    return found if isinstance(found, bool) else default


def elements(parent: object, *keys: str) -> tuple[Mapping[str, Any], ...]:
    """The mappings in the list at the end of a path of keys."""
    found = _at(parent, keys)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(one for one in found if isinstance(one, Mapping))


def texts(parent: object, *keys: str) -> tuple[str, ...]:
    """The strings in the list at the end of a path of keys."""
    found = _at(parent, keys)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(one for one in found if isinstance(one, str))


def integers(parent: object, *keys: str) -> tuple[int, ...]:
    """The integers in the list at the end of a path of keys."""
    found = _at(parent, keys)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(one for one in found if isinstance(one, int) and not isinstance(one, bool))


def seconds(parent: object, *keys: str) -> float:
    """The time at the end of a path of keys, in seconds since the epoch; 0.0 when there is none."""
    try:
        moment = datetime.fromisoformat(text(parent, *keys))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def timestamp(moment: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(parent: object, kind: str) -> Mapping[str, Any]:
    """The condition of a type in `status.conditions`."""
    found = (one for one in elements(parent, "status", "conditions") if text(one, "type") == kind)
    return next(found, EMPTY)


def _at(parent: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        if not isinstance(parent, Mapping):
            return None
        parent = parent.get(key)
    return parent
