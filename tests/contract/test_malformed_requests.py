"""Frames that are no requests: each gets a reply, and the connection goes on (zmq-api 1.2)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from contract_manager import ContractManager

DECODING = "Failed to decode the request: "

JSON_FRAMES = [
    (b"", f"{DECODING}JSON decode error: "),
    (b"not json", f"{DECODING}JSON decode error: "),
    (b"\xff\xfe\x00", f"{DECODING}JSON decode error: "),
    (b'{"method": "status"', f"{DECODING}JSON decode error: "),
    (b"[" * 10_000, f"{DECODING}lists and mappings are nested more than 100 levels deep"),
    (b"[]", "Incorrect request type: <class 'list'>. Dictionary is expected"),
    (b"5", "Incorrect request type: <class 'int'>. Dictionary is expected"),
    (b'"abc"', f"{DECODING}abc"),
    (b'{"met": "status"}', "Invalid request format: method is not specified: {'met': 'status'}"),
    (b"{}", "Invalid request format: method is not specified: {}"),
    (b'{"method": ["status"]}', "unhashable type: 'list'"),
    (b'{"method": {}}', "unhashable type: 'dict'"),
    (b'{"method": "nope"}', "Unknown method 'nope'"),
]


@pytest.mark.row("zmq-api", "malformed JSON, list, string, method missing or of a wrong type")
@pytest.mark.parametrize(("frame", "text"), JSON_FRAMES)
def test_a_frame_that_is_no_request_is_refused_and_the_next_is_answered(
    closed_manager: ContractManager, frame: bytes, text: str
) -> None:
    reply = json.loads(closed_manager.raw(frame) or b"")
    assert reply.keys() == {"success", "msg", "code"}
    assert reply["success"] is False
    assert reply["msg"].startswith(text)
    if not text.endswith(": "):
        assert reply["msg"] == text
    assert closed_manager.status()["manager_state"] == "idle"


@pytest.mark.row("zmq-api", "a third top-level key is refused")
def test_other_top_level_keys_are_refused_by_name(closed_manager: ContractManager) -> None:
    reply = json.loads(closed_manager.raw(b'{"method": "status", "params": {}, "id": 5}') or b"")
    assert reply["success"] is False
    assert "'id'" in reply["msg"]
    assert "Allowed keys: ('method', 'params')" in reply["msg"]


@pytest.mark.row("zmq-api", "frames of a request; params may be left out")
def test_params_may_be_left_out(closed_manager: ContractManager) -> None:
    assert json.loads(closed_manager.raw(b'{"method": "queue_get"}') or b"")["success"] is True


@pytest.mark.row("zmq-api", "malformed msgpack")
def test_frames_that_are_not_msgpack_are_refused(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(encoding="msgpack")
    for frame in (b"\xc1", b"\x93\x01", b"\x82\xa1a"):
        reply = manager.decode(manager.raw(frame) or b"")
        assert reply["success"] is False
        assert reply["msg"].startswith(f"{DECODING}MSGPACK decode error: ")
    reply = manager.decode(manager.raw(b"") or b"")
    assert reply["msg"] == f"{DECODING}MSGPACK decode error: Unpack failed: incomplete input"
    reply = manager.decode(manager.raw(manager.encode([1])) or b"")
    assert reply["msg"] == "Incorrect request type: <class 'list'>. Dictionary is expected"
    assert manager.status()["manager_state"] == "idle"
    manager.stop()
