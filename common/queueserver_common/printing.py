"""Bounded text of values that clients sent, for messages.

A message quotes what is wrong; a client may send megabytes, and integers that Python refuses to write in decimal.
"""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from itertools import islice
from typing import Any

_MAX_ELEMENTS = 50
_MAX_CHARACTERS = 400
_MAX_DEPTH = 8
_MAX_BITS = 1024


class _Verbatim:
    """Stands for a value and is written as the given text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def shorten(value: Any, depth: int = 0) -> Any:
    """Return *value* with long strings, collections and integers cut, in a form that is quick to print."""
    match value:
        case str() | bytes() if len(value) > _MAX_CHARACTERS:
            return _Verbatim(f"{value[:_MAX_CHARACTERS]!r}…")
        case int() if value.bit_length() > _MAX_BITS:
            return _Verbatim(f"<integer of {value.bit_length()} bits>")
        case Mapping() | list() | tuple() if depth >= _MAX_DEPTH:
            return _Verbatim("…")
        case Mapping():
            shortened = {_key(key): shorten(item, depth + 1) for key, item in islice(value.items(), _MAX_ELEMENTS)}
            if len(value) > _MAX_ELEMENTS:
                shortened[_Verbatim("…")] = _Verbatim(f"{len(value) - _MAX_ELEMENTS} more")
            return shortened
        case list() | tuple():
            items = [shorten(item, depth + 1) for item in islice(value, _MAX_ELEMENTS)]
            if len(value) > _MAX_ELEMENTS:
                items.append(_Verbatim(f"… {len(value) - _MAX_ELEMENTS} more"))
            return tuple(items) if isinstance(value, tuple) else items
        case _:
            return value


def text_of(value: Any) -> str:
    """Return ``str(value)`` of the shortened value."""
    return str(shorten(value))


def repr_of(value: Any) -> str:
    """Return ``repr(value)`` of the shortened value."""
    return repr(shorten(value))


def layout(value: Any) -> str:
    """Return the shortened value in several lines of at most 80 columns when it does not fit in one."""
    return pprint.pformat(shorten(value), sort_dicts=False)


def _key(key: Any) -> Any:
    return key if isinstance(key, str) and len(key) <= _MAX_CHARACTERS else _Verbatim(text_of(key))
