from __future__ import annotations

import json
import math
import time
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver_common.encoded import Encoded
from queueserver_manager.api.wire import (
    MAX_CONTAINERS,
    MAX_NESTING,
    Encoding,
    Malformed,
    decode_request,
    encode_reply,
    encode_value,
)

JSON, MSGPACK = Encoding.JSON, Encoding.MSGPACK
JSON_ERROR = "Failed to decode the request: JSON decode error: "
MSGPACK_ERROR = "Failed to decode the request: MSGPACK decode error: "


def refusal_of(frame: bytes, encoding: Encoding = JSON) -> str:
    decoded = decode_request(frame, encoding)
    assert isinstance(decoded, Malformed), decoded
    assert decoded.reply["success"] is False
    assert set(decoded.reply) == {"success", "msg", "code"}
    assert decoded.reply["code"] == "malformed_request"
    return str(decoded.reply["msg"])


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"", "Failed to decode the request: JSON decode error: Expecting value: line 1 column 1 (char 0)"),
        (b"not json", "Failed to decode the request: JSON decode error: Expecting value: line 1 column 1 (char 0)"),
        (
            b"\xff\xfe",
            JSON_ERROR + "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        (
            b'\xef\xbb\xbf{"method":"status"}',
            JSON_ERROR + "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)",
        ),
        (
            b'{"method":"status"}x',
            "Failed to decode the request: JSON decode error: Extra data: line 1 column 20 (char 19)",
        ),
        (
            b'{"method":"status"',
            "Failed to decode the request: JSON decode error: Expecting ',' delimiter: line 1 column 19 (char 18)",
        ),
        (b"[1]", "Incorrect request type: <class 'list'>. Dictionary is expected"),
        (b'["method"]', "Incorrect request type: <class 'list'>. Dictionary is expected"),
        (b"5", "Incorrect request type: <class 'int'>. Dictionary is expected"),
        (b"1.5", "Incorrect request type: <class 'float'>. Dictionary is expected"),
        (b"true", "Incorrect request type: <class 'bool'>. Dictionary is expected"),
        (b"null", "Incorrect request type: <class 'NoneType'>. Dictionary is expected"),
        (b'"abc"', "Failed to decode the request: abc"),
        (b'"method"', "Failed to decode the request: method"),
        (b'""', "Failed to decode the request: "),
        (b"{}", "Invalid request format: method is not specified: {}"),
        (b'{"met":"status"}', "Invalid request format: method is not specified: {'met': 'status'}"),
        (b'{"x":1,"params":{}}', "Invalid request format: method is not specified: {'x': 1, 'params': {}}"),
        (
            b'{"method":"status","params":{},"x":1}',
            "Request contains unexpected keys ['x']. Allowed keys: ('method', 'params')",
        ),
        (
            b'{"method":"status","x":1,"a":2}',
            "Request contains unexpected keys ['x', 'a']. Allowed keys: ('method', 'params')",
        ),
        (b'{"method":["a"],"x":1}', "Request contains unexpected keys ['x']. Allowed keys: ('method', 'params')"),
        (b'{"method":["a"]}', "unhashable type: 'list'"),
        (b'{"method":{"a":1}}', "unhashable type: 'dict'"),
        (b'{"method":null}', "Unknown method None"),
        (b'{"method":5,"params":{}}', "Unknown method 5"),
        (b'{"method":true}', "Unknown method True"),
        (b'{"method":NaN}', "Unknown method nan"),
    ],
)
def test_a_malformed_json_request_gets_the_text_of_the_contract(frame: bytes, text: str) -> None:
    assert refusal_of(frame) == text


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"", "Failed to decode the request: MSGPACK decode error: Unpack failed: incomplete input"),
        (b"\xc1", "Failed to decode the request: MSGPACK decode error: "),
        (b"not msgpack", "Failed to decode the request: MSGPACK decode error: unpack(b) received extra data."),
        (b"\x93\x01", "Failed to decode the request: MSGPACK decode error: 3 exceeds max_array_len(2)"),
        (
            msgpack.packb({"method": "status"})[:-2],
            "Failed to decode the request: MSGPACK decode error: Unpack failed: incomplete input",
        ),
        (
            msgpack.packb({5: 6}),
            MSGPACK_ERROR + "int is not allowed for map key when strict_map_key=True",
        ),
        (
            b"\x81\xa6method\xa2\xff\xfe",
            MSGPACK_ERROR + "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        (msgpack.packb([1]), "Incorrect request type: <class 'list'>. Dictionary is expected"),
        (msgpack.packb(None), "Incorrect request type: <class 'NoneType'>. Dictionary is expected"),
        (msgpack.packb("abc"), "Failed to decode the request: abc"),
        (msgpack.packb({}), "Invalid request format: method is not specified: {}"),
        (
            msgpack.packb({"method": "status", "x": 1}),
            "Request contains unexpected keys ['x']. Allowed keys: ('method', 'params')",
        ),
        (msgpack.packb({"method": ["a"]}), "unhashable type: 'list'"),
    ],
)
def test_a_malformed_msgpack_request_gets_the_text_of_the_contract(frame: bytes, text: str) -> None:
    assert refusal_of(frame, MSGPACK) == text


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
@pytest.mark.parametrize("params", [{}, {"a": [1, {"b": None}]}, None, 5, [], "abc"])
def test_parameters_are_handed_on_as_sent(encoding: Encoding, params: Any) -> None:
    request = {"method": "queue_get", "params": params}
    frame = json.dumps(request).encode() if encoding is JSON else msgpack.packb(request)
    assert decode_request(frame, encoding) == ("queue_get", params)


def test_parameters_that_are_left_out_are_an_empty_mapping() -> None:
    assert decode_request(b'{"method":"status"}', JSON) == ("status", {})
    assert decode_request(msgpack.packb({"method": "status"}), MSGPACK) == ("status", {})


def test_of_duplicate_keys_the_last_one_counts() -> None:
    assert decode_request(b'{"method":"a","method":"b","params":{"x":1,"x":2}}', JSON) == ("b", {"x": 2})


def test_nan_infinities_and_integers_of_any_size_are_kept() -> None:
    decoded = decode_request(b'{"method":"m","params":[NaN,Infinity,-Infinity,%d]}' % 10**200, JSON)
    assert isinstance(decoded, tuple)
    nan, infinity, minus_infinity, integer = decoded[1]
    assert math.isnan(nan)
    assert (infinity, minus_infinity, integer) == (math.inf, -math.inf, 10**200)
    assert json.loads(encode_reply({"v": decoded[1]}, JSON))["v"][1:] == [math.inf, -math.inf, 10**200]
    assert b"NaN" in encode_reply({"v": decoded[1]}, JSON)


# The whole request has two levels more than its parameters' innermost list: the request and the list itself.
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"]":', "}]")])
@pytest.mark.parametrize("text", ["", r"\"[{", "[[[{{{", r"\\", r"\\\"]"])
@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
def test_nesting_is_accepted_to_the_limit_and_refused_beyond(
    opening: str, closing: str, text: str, encoding: Encoding
) -> None:
    levels_each = opening.count("[") + opening.count("{")

    def frame(levels: int) -> bytes:
        repeats, rest = divmod(levels - 1, levels_each)
        value = opening * repeats + "[" * rest + f'"{text}"' + "]" * rest + closing * repeats
        request = f'{{"method":"m","params":{value}}}'
        return request.encode() if encoding is JSON else msgpack.packb(json.loads(request))

    assert isinstance(decode_request(frame(MAX_NESTING), encoding), tuple)
    assert refusal_of(frame(MAX_NESTING + 1), encoding) == (
        "Failed to decode the request: lists and mappings are nested more than 100 levels deep"
    )


def test_many_shallow_lists_are_not_deep() -> None:
    frame = json.dumps({"method": "m", "params": [[[]], {"a": {}}] * 1000}).encode()
    assert isinstance(decode_request(frame, JSON), tuple)


@pytest.mark.parametrize("unit", [b"[", b'{"a":', b'[{"a":'])
def test_bottomless_nesting_is_refused_without_a_recursion_error(unit: bytes) -> None:
    frame = b'{"method":"m","params":' + unit * 300_000
    assert refusal_of(frame).startswith("Failed to decode the request: ")


def test_bottomless_msgpack_nesting_is_refused() -> None:
    assert "more than 100 levels" in refusal_of(b"\x91" * 300_000 + b"\x01", MSGPACK)
    assert "more than 100 levels" in refusal_of(b"\x91" * 900 + b"\x01", MSGPACK)


def test_more_lists_than_the_limit_are_refused_before_they_take_memory() -> None:
    json_frame = b'{"method":"m","params":[' + b"[]," * (MAX_CONTAINERS + 1) + b"1]}"
    msgpack_frame = b"\xdd" + (MAX_CONTAINERS + 1).to_bytes(4, "big") + b"\x90" * (MAX_CONTAINERS + 1)
    for frame, encoding in ((json_frame, JSON), (msgpack_frame, MSGPACK)):
        assert "more than 1000000 lists and mappings" in refusal_of(frame, encoding)


def test_brackets_in_a_long_text_are_not_lists() -> None:
    text = "[" * (MAX_CONTAINERS + 1)
    assert decode_request(json.dumps({"method": "m", "params": text}).encode(), JSON) == ("m", text)
    text = "\u0400" * (MAX_CONTAINERS + 1)
    assert decode_request(msgpack.packb({"method": "m", "params": text}), MSGPACK) == ("m", text)


@pytest.mark.parametrize("text", [r"\ud800", r"\uD800", r"\udfff", r"a\udc00\ud800b", r"\\\ud800"])
def test_unpaired_surrogates_are_refused(text: str) -> None:
    for frame in (f'{{"method":"m","params":{{"a":["{text}"]}}}}', f'{{"method":"m","params":{{"{text}":1}}}}'):
        assert "unpaired surrogate" in refusal_of(frame.encode())


@pytest.mark.parametrize(("text", "value"), [(r"\ud83d\ude00", "😀"), (r"\\ud800", r"\ud800"), ("é😀", "é😀")])
def test_paired_surrogates_and_other_text_are_accepted(text: str, value: str) -> None:
    assert decode_request(f'{{"method":"m","params":"{text}"}}'.encode(), JSON) == ("m", value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"method": "m", "params": {"a": b"x"}}, "binary data (msgpack bin)"),
        ({"method": b"m"}, "binary data (msgpack bin)"),
        ({b"method": "m"}, "binary keys"),
        ({"method": "m", "params": msgpack.ExtType(5, b"xy")}, "extension types are not accepted (type 5, 2 bytes)"),
        ({"method": "m", "params": [msgpack.Timestamp(5)]}, "Timestamp"),
    ],
)
def test_binary_and_extension_types_of_msgpack_are_refused(value: object, text: str) -> None:
    assert text in refusal_of(msgpack.packb(value), MSGPACK)


def test_an_error_quotes_no_more_than_the_beginning_of_a_long_request() -> None:
    long = "x" * 1_000_000
    for request in ({"met": long}, long, {"method": "m", long: 1}):
        assert len(refusal_of(json.dumps(request).encode())) < 1200


@given(st.binary(max_size=200))
def test_random_bytes_are_a_request_or_malformed(frame: bytes) -> None:
    for encoding in (JSON, MSGPACK):
        decoded = decode_request(frame, encoding)
        if isinstance(decoded, Malformed):
            encode_reply(decoded.reply, encoding)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_values)
def test_every_json_value_is_a_request_or_malformed_and_comes_through_unchanged(value: Any) -> None:
    decoded = decode_request(json.dumps({"method": "m", "params": value}).encode(), JSON)
    if isinstance(decoded, Malformed):
        assert "surrogate" in decoded.reply["msg"]
    else:
        assert decoded == ("m", value)
    for encoding in (JSON, MSGPACK):
        refused = decode_request(json.dumps(value).encode(), encoding)
        assert isinstance(refused, Malformed)
        encode_reply(refused.reply, encoding)


def test_a_small_request_is_decoded_in_microseconds() -> None:
    item = {"item_type": "plan", "name": "count", "args": [["det1", "det2"]], "kwargs": {"num": 5}}
    request = {"method": "queue_item_add", "params": {"item": item, "user": "u", "user_group": "primary"}}
    frame = json.dumps(request).encode()

    def seconds(work: Any) -> float:
        start = time.thread_time()
        for _ in range(300):
            work()
        return time.thread_time() - start

    rounds = [(seconds(lambda: json.loads(frame)), seconds(lambda: decode_request(frame, JSON))) for _ in range(30)]
    floor, ours = (min(column) for column in zip(*rounds, strict=True))
    assert ours < 3 * floor


# Replies


def test_a_json_reply_is_compact_and_keeps_the_order_of_its_keys() -> None:
    items = [Encoded(b"1"), Encoded(b"[2]")]
    reply = {"success": True, "item": Encoded(b'{"a": 1}'), "msg": "é", "items": items, "n": 3}
    assert encode_reply(reply, JSON) == b'{"success":true,"item":{"a": 1},"msg":"\\u00e9","items":[1,[2]],"n":3}'


@pytest.mark.parametrize(
    "reply",
    [{}, {"a": 1}, {"a": []}, {"a": Encoded(b"1")}, {"a": Encoded(b"1"), "b": 2}, {"b": 2, "a": (Encoded(b"[]"),)}],
)
@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
def test_encoded_parts_and_plain_values_mix(reply: dict[str, Any], encoding: Encoding) -> None:
    expected = {
        key: json.loads(value.text)
        if isinstance(value, Encoded)
        else [json.loads(part.text) for part in value]
        if isinstance(value, tuple)
        else value
        for key, value in reply.items()
    }
    frame = encode_reply(reply, encoding)
    assert (json.loads(frame) if encoding is JSON else msgpack.unpackb(frame)) == expected


def test_encoded_parts_are_not_parsed() -> None:
    assert encode_reply({"a": Encoded(b"<not JSON>")}, JSON) == b'{"a":<not JSON>}'


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, Encoded(b"[%d]" % 2**70)])
def test_an_integer_that_msgpack_cannot_express_becomes_an_error_reply(value: object) -> None:
    reply = msgpack.unpackb(encode_reply({"success": True, "value": value}, MSGPACK))
    assert reply["success"] is False
    assert "more than 64 bits" in reply["msg"]


def test_text_that_is_not_unicode_does_not_stop_a_reply() -> None:
    reply = {"msg": "file \udcff"}
    assert json.loads(encode_reply(reply, JSON)) == reply
    assert msgpack.unpackb(encode_reply(reply, MSGPACK)) == {"msg": "file ?"}


def test_a_value_is_encoded_compactly() -> None:
    assert encode_value({"a": [1, None]}) == b'{"a":[1,null]}'
