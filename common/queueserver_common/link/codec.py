"""Encoding of link messages: one msgpack frame `[version, kind, [field, ...]]`.

A worker writes its own version; a manager reads this one and the one before, and answers in the worker's.

Fields stand in the order of their declaration in `messages`; a shorter list takes the defaults of the missing
fields and a longer one is cut, so a field may be added at the end within one protocol version. Every value is
checked against its declared type: a frame that does not fit raises `LinkError` and never reaches a handler.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, cast

import msgpack

from queueserver_common.link import messages
from queueserver_common.link.messages import PROTOCOL_VERSION, Message


class LinkError(ValueError):
    """A frame of the worker link that cannot be understood; the text says why."""


def supported_versions() -> list[int]:
    """The versions that can be read: the own one and the one before."""
    return list(range(max(1, PROTOCOL_VERSION - 1), PROTOCOL_VERSION + 1))


def encode(message: Message, version: int | None = None) -> bytes:
    """Encode a message to one frame, of the own version or that of an older worker."""
    used = PROTOCOL_VERSION if version is None else version
    return cast(bytes, msgpack.packb([used, type(message).__name__, _pack_fields(message)], use_bin_type=True))


def decode(frame: bytes) -> Message:
    """Decode one frame; raises `LinkError` for anything that is not a message of a supported version."""
    return decode_with_version(frame)[0]


def decode_with_version(frame: bytes) -> tuple[Message, int]:
    """Decode one frame and tell the version that its sender used; raises `LinkError` as `decode`."""
    try:
        parts = msgpack.unpackb(frame, raw=False, strict_map_key=True)
    except Exception as error:
        raise LinkError(f"not a msgpack frame: {error}") from None
    if not isinstance(parts, list) or len(parts) != 3:
        raise LinkError("not a list of version, kind and fields")
    version, kind, values = parts
    if type(version) is not int or version not in supported_versions():
        raise LinkError(f"link version {version!r} is not supported (supported: {supported_versions()})")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise LinkError(f"unknown message kind {kind!r}")
    return cast(Message, reader(values)), version


def _pack_fields(value: object) -> list[object]:
    return [_pack(getattr(value, f.name)) for f in fields(cast(Any, value))]


def _pack(value: object) -> object:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_pack(v) for v in value]
    if is_dataclass(value):
        return [type(value).__name__, _pack_fields(value)]
    return value


Reader = Callable[[object], object]


def _reader(annotation: object) -> Reader:
    """A function that checks and converts one unpacked value to the annotated type."""
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return _union_reader(typing.get_args(annotation))
    if origin is tuple:
        element = _reader(typing.get_args(annotation)[0])

        def read_tuple(value: object) -> object:
            if not isinstance(value, list):
                raise LinkError(f"expected a list, got {type(value).__name__}")
            return tuple(element(v) for v in value)

        return read_tuple
    if isinstance(annotation, type):
        if issubclass(annotation, StrEnum):
            return _enum_reader(annotation)
        if is_dataclass(annotation):
            return _nested_reader({annotation.__name__: annotation})
        return _scalar_reader(annotation)
    raise TypeError(f"link messages cannot carry {annotation!r}")


def _enum_reader(enum: type[StrEnum]) -> Reader:
    def read(value: object) -> object:
        try:
            return enum(cast(str, value))
        except ValueError:
            raise LinkError(f"{value!r} is not a {enum.__name__}") from None

    return read


def _scalar_reader(kind: type) -> Reader:
    def read(value: object) -> object:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise LinkError(f"expected {kind.__name__}, got {type(value).__name__}")

    return read


def _nested_reader(kinds: dict[str, type]) -> Reader:
    readers = {name: _fields_reader(kind) for name, kind in kinds.items()}

    def read(value: object) -> object:
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str) or value[0] not in readers:
            raise LinkError(f"expected one of {sorted(readers)}")
        return readers[value[0]](value[1])

    return read


def _union_reader(members: tuple[object, ...]) -> Reader:
    optional = type(None) in members
    kinds = [m for m in members if m is not type(None)]
    nested = {m.__name__: m for m in kinds if isinstance(m, type) and is_dataclass(m)}
    inner = _nested_reader(nested) if nested else _reader(kinds[0])

    def read(value: object) -> object:
        return None if optional and value is None else inner(value)

    return read


def _fields_reader(kind: type) -> Reader:
    hints = typing.get_type_hints(kind)
    declared = fields(cast(Any, kind))
    readers = [_reader(hints[f.name]) for f in declared]
    needed = sum(f.default is MISSING and f.default_factory is MISSING for f in declared)

    def read(values: object) -> object:
        if not isinstance(values, list):
            raise LinkError(f"fields of {kind.__name__} are not a list")
        if len(values) < needed:
            raise LinkError(f"{kind.__name__} needs {needed} fields, got {len(values)}")
        return kind(*[read_field(v) for read_field, v in zip(readers, values, strict=False)])

    return read


_READERS: dict[str, Reader] = {
    kind.__name__: _fields_reader(kind)
    for kind in (*typing.get_args(messages.ToManager), *typing.get_args(messages.ToWorker))
}
