"""Frames of the control socket as values, and replies as frames (zmq-api 1.2).

JSON has the meaning of the standard library: NaN, infinities and integers of any size are kept, the last of
duplicate keys counts. What could not be handed on unchanged is refused with a sentence: values nested deeper than
`MAX_NESTING`, text with unpaired surrogates, and the binary and extension types of msgpack. So is a frame of more
than `MAX_CONTAINERS` lists and mappings: decoded, each takes up to a hundred times the memory of its two bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import msgpack

from queueserver_common.encoded import Encoded
from queueserver_manager.core.refusal import Code

MAX_NESTING = 100
"""Levels of lists and mappings in a request, the request itself included."""

MAX_CONTAINERS = 1_000_000
"""Lists and mappings in a request; a batch of 100,000 queue items has about 400,000."""

_ALLOWED_KEYS = ("method", "params")
_LONGEST_ECHO = 1000
"""Characters of a request that an error message quotes at most."""

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_BUT_BRACKETS_AND_QUOTES = bytes(code for code in range(256) if code not in b'[]{}"')
_BUT_MSGPACK_CONTAINERS = bytes(code for code in range(256) if not (0x80 <= code <= 0x9F or 0xDC <= code <= 0xDF))

_dump = json.JSONEncoder(separators=(",", ":")).encode


class Encoding(StrEnum):
    """Encoding of requests, replies and publications; the same on both ends and on both sockets."""

    JSON = "json"
    MSGPACK = "msgpack"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that is not a request; `reply` says what is wrong with it."""

    reply: dict[str, Any]


class _Refused(ValueError):
    """A value that a request may not contain; the text is a sentence."""


def refusal(message: str, code: Code = Code.MALFORMED_REQUEST) -> dict[str, Any]:
    """The reply to a request that failed before a method took it."""
    return {"success": False, "msg": message, "code": code.value}


# Requests ------------------------------------------------------------------------------------------------------


def decode_request(frame: bytes, encoding: Encoding) -> tuple[str, Any] | Malformed:
    """Method and parameters of a request; `params` that were not given are `{}`, given ones are not checked.

    Never raises: whatever the bytes are, the result is a request or the reply to a malformed one.
    """
    try:
        value = _decode_json(frame) if encoding is Encoding.JSON else _decode_msgpack(frame)
    except _Refused as refused:
        return Malformed(refusal(f"Failed to decode the request: {refused}"))
    except (ValueError, msgpack.UnpackException) as error:
        return Malformed(refusal(f"Failed to decode the request: {encoding.upper()} decode error: {error}"))
    if type(value) is dict and "method" in value:
        method = value["method"]
        if type(method) is str and (len(value) == 1 or (len(value) == 2 and "params" in value)):
            return method, value.get("params", {})
    return Malformed(refusal(_what_is_wrong(value)))


def _what_is_wrong(value: object) -> str:
    if isinstance(value, str):
        return f"Failed to decode the request: {_shortened(value)}"
    if not isinstance(value, dict):
        return f"Incorrect request type: {type(value)}. Dictionary is expected"
    if "method" not in value:
        return f"Invalid request format: method is not specified: {_shortened(repr(value))}"
    unexpected = [key for key in value if key not in _ALLOWED_KEYS]
    if unexpected:
        return f"Request contains unexpected keys {_shortened(repr(unexpected))}. Allowed keys: {_ALLOWED_KEYS}"
    method = value["method"]
    if not isinstance(method, Hashable):
        return f"unhashable type: '{type(method).__name__}'"
    return f"Unknown method {method!r}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]} … ({len(text)} characters)"


def _decode_json(frame: bytes) -> object:
    text = frame.decode()
    containers = frame.count(b"[") + frame.count(b"{")
    if containers > MAX_CONTAINERS and _brackets(frame).count(b"[") > MAX_CONTAINERS:
        raise _too_many()
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    if containers > MAX_NESTING and _nested_too_deep(frame):
        raise _too_deep()
    if b"\\ud" in frame or b"\\uD" in frame:
        _refuse_unpaired_surrogates(value)
    return value


def _decode_msgpack(frame: bytes) -> object:
    hooks: dict[str, Any] = {}
    if len(frame.translate(None, _BUT_MSGPACK_CONTAINERS)) > MAX_CONTAINERS:  # text may contain these bytes as well
        hooks = dict.fromkeys(("list_hook", "object_hook"), _ContainerLimit())
    try:
        value = msgpack.unpackb(frame, raw=False, strict_map_key=True, ext_hook=_refuse_extension, **hooks)
    except msgpack.StackError:
        raise _too_deep() from None
    try:
        text = json.dumps(value, default=_refuse_other_types).encode()
    except RecursionError:
        raise _too_deep() from None
    except TypeError:
        raise _Refused("binary keys of a mapping are not accepted, only text") from None
    if text.count(b"[") + text.count(b"{") > MAX_NESTING and _nested_too_deep(text):
        raise _too_deep()
    return value


class _ContainerLimit:
    """Hook of the msgpack decoder that counts lists and mappings."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, container: object) -> object:
        self._count += 1
        if self._count > MAX_CONTAINERS:
            raise _too_many()
        return container


def _too_deep() -> _Refused:
    return _Refused(f"lists and mappings are nested more than {MAX_NESTING} levels deep")


def _too_many() -> _Refused:
    return _Refused(f"the request contains more than {MAX_CONTAINERS} lists and mappings; send it in parts")


def _brackets(json_text: bytes) -> bytes:
    """The brackets of a JSON text that are not within strings, all of them square."""
    outside = json_text if b"\\" not in json_text else _ESCAPE.sub(b"", json_text)
    outside = outside.translate(None, _BUT_BRACKETS_AND_QUOTES)
    return b"".join(outside.split(b'"')[::2]).translate(_TO_SQUARE)  # every other part lies between quotes


def _nested_too_deep(json_text: bytes) -> bool:
    """Every round removes the innermost brackets, so as many rounds as levels leave nothing."""
    brackets = _brackets(json_text)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _refuse_unpaired_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Refused("the text contains an unpaired surrogate (\\ud800 to \\udfff), which is no character") from None


def _refuse_extension(code: int, data: bytes) -> object:
    raise _Refused(f"msgpack extension types are not accepted (type {code}, {len(data)} bytes)")


def _refuse_other_types(value: object) -> object:
    if isinstance(value, bytes):
        raise _Refused("binary data (msgpack bin) is not accepted; send text")
    raise _Refused(f"values of the msgpack type {type(value).__name__} are not accepted")


# Replies -------------------------------------------------------------------------------------------------------


def encode_reply(reply: Mapping[str, Any], encoding: Encoding) -> bytes:
    """One frame. A value of `reply` is a JSON value, `Encoded`, or a list or tuple of nothing but `Encoded`.

    Encoded parts are joined without being parsed. With msgpack a reply that holds an integer of more than 64 bits
    is replaced by an error that says so.
    """
    if encoding is Encoding.JSON:
        return _encode_json(reply)
    try:
        return pack({key: _parsed(value) for key, value in reply.items()})
    except OverflowError:
        text = "The reply contains an integer of more than 64 bits, which msgpack cannot express; JSON can"
        return pack(refusal(text, Code.REPLY_TOO_LARGE))


def encode_value(value: Any) -> bytes:
    """Compact JSON text of a value."""
    return _dump(value).encode()


def pack(value: Any) -> bytes:
    """One msgpack value; characters that UTF-8 cannot express become question marks, as in no JSON text."""
    return cast(bytes, msgpack.packb(value, use_bin_type=True, unicode_errors="replace"))


def _encode_json(reply: Mapping[str, Any]) -> bytes:
    members: list[bytes] = []
    plain: dict[str, Any] = {}
    for key, value in reply.items():
        encoded = _joined(value)
        if encoded is None:
            plain[key] = value
            continue
        if plain:
            members += [encode_value(plain)[1:-1], b","]
            plain = {}
        members += [encode_value(key), b":", encoded, b","]
    if not members:
        return encode_value(plain)
    if plain:
        members.append(encode_value(plain)[1:-1])
    else:
        members.pop()
    return b"".join([b"{", *members, b"}"])


def _joined(value: object) -> bytes | None:
    """JSON text of what holds encoded parts; None for an ordinary value."""
    if type(value) is Encoded:
        return value.text
    if isinstance(value, (list, tuple)) and value and type(value[0]) is Encoded:
        return b"[%b]" % b",".join([part.text for part in value])
    return None


def _parsed(value: object) -> object:
    encoded = _joined(value)
    return value if encoded is None else json.loads(encoded)
