"""Whatever arrives at the control socket is answered or refused; the next request works, memory does not grow."""

from __future__ import annotations

import json
import math
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import zmq

from contract_manager import QUICK
from faulty_manager import FaultyManager

CALLER = {"user": "Tester", "user_group": "primary"}
MEGABYTE = 2**20
GROWTH = 24 * MEGABYTE
"""Bytes by which the memory of a manager may grow in a test: far less than what is sent to it."""


@pytest.fixture(scope="module")
def shared() -> Iterator[FaultyManager]:
    with FaultyManager() as manager:
        manager.open_environment()
        yield manager


@pytest.fixture
def manager(shared: FaultyManager) -> Iterator[FaultyManager]:
    """After each test the manager is the same process, works, and has not grown."""
    pid = shared.manager_pid
    before = resident(pid)
    yield shared
    shared.works_on()
    shared.accepted("queue_clear")
    shared.accepted("history_clear")
    assert shared.manager_pid == pid
    assert "Traceback" not in shared.log_text
    assert resident(pid) < before + GROWTH


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def ask(manager: FaultyManager, frame: bytes) -> dict[str, Any]:
    reply = manager.raw(frame)
    assert reply is not None, f"no answer to {frame[:80]!r}"
    answer: dict[str, Any] = json.loads(reply)
    return answer


def request(method: object, params: object) -> bytes:
    return json.dumps({"method": method, "params": params}).encode()


def test_random_bytes(manager: FaultyManager) -> None:
    source = random.Random(1)
    for _ in range(1500):
        reply = ask(manager, source.randbytes(source.randrange(300)))
        assert reply["success"] is False
        assert reply["msg"]


def test_requests_that_were_damaged_on_the_way(manager: FaultyManager) -> None:
    source = random.Random(2)
    good = request("queue_item_add", {"item": QUICK, **CALLER})
    for _ in range(1500):
        damaged = bytearray(good)
        for _ in range(source.randrange(1, 4)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        ask(manager, bytes(damaged[: source.randrange(len(damaged) + 1)]))


WRONG: list[object] = [
    None,
    True,
    -1,
    10**30,
    1.5,
    math.nan,
    math.inf,
    "",
    "x" * 10_000,
    "\x00",
    "\ud800",
    [],
    [[]],
    {},
    {"": ""},
    [None] * 1000,
]

PARAMETERS = {
    "queue_item_add": ["item", "pos", "before_uid", "after_uid", "user", "user_group", "lock_key"],
    "queue_item_add_batch": ["items", "pos", "user", "user_group"],
    "queue_item_update": ["item", "replace", "user", "user_group"],
    "queue_item_get": ["pos", "uid"],
    "queue_item_remove": ["pos", "uid"],
    "queue_item_remove_batch": ["uids", "ignore_missing"],
    "queue_item_move": ["pos", "uid", "pos_dest", "before_uid", "after_uid"],
    "queue_item_move_batch": ["uids", "pos_dest", "before_uid", "after_uid", "reorder"],
    "queue_item_execute": ["item", "user", "user_group"],
    "queue_mode_set": ["mode"],
    "queue_autostart": ["enable"],
    "history_clear": ["size", "item_uid"],
    "plans_allowed": ["user_group"],
    "re_pause": ["option"],
    "re_runs": ["option"],
    "manager_stop": ["option"],
}


@pytest.mark.parametrize("method", PARAMETERS)
def test_wrong_types_of_parameters(manager: FaultyManager, method: str) -> None:
    for name in PARAMETERS[method]:
        for value in WRONG:
            params: dict[str, object] = {"item": QUICK, "items": [QUICK], "mode": {}, "uid": "none", **CALLER}
            params = {known: params[known] for known in PARAMETERS[method] if known in params}
            reply = ask(manager, request(method, {**params, name: value}))
            assert isinstance(reply["success"], bool)
            assert reply["success"] or reply["msg"]
        manager.accepted("queue_autostart", enable=False)
    assert manager.status()["manager_state"] in ("idle", "starting_queue", "executing_queue")
    manager.wait_idle()
    manager.accepted("queue_mode_set", mode="default")


def test_wrong_items(manager: FaultyManager) -> None:
    for key in ("item_type", "name", "args", "kwargs", "meta", "item_uid", "properties", "user"):
        for value in WRONG:
            reply = ask(manager, request("queue_item_add", {"item": {**QUICK, key: value}, **CALLER}))
            assert reply["success"] or reply["msg"].startswith(
                ("Failed to add an item: ", "Failed to decode the request")
            )


@pytest.mark.parametrize("method", ["nope", "__init__", "", None, 1, [], {}, "status\x00"])
def test_wrong_methods(manager: FaultyManager, method: object) -> None:
    assert ask(manager, request(method, {}))["success"] is False


@pytest.mark.parametrize("params", [1, "x", [], [["a", 1]], True, None])
def test_parameters_that_are_no_mapping(manager: FaultyManager, params: object) -> None:
    assert ask(manager, request("queue_get", params))["success"] is False


def test_numbers_that_json_does_not_have_come_back_as_they_were(manager: FaultyManager) -> None:
    kwargs = {"a": [math.nan, math.inf, -math.inf, 10**40, -(2**64)], "b": 1e308}
    item = {**QUICK, "meta": kwargs}
    manager.add(item)
    stored = manager.queue[-1]["meta"]
    assert math.isnan(stored["a"][0])
    assert stored["a"][1:] == kwargs["a"][1:]  # type: ignore[index]
    assert stored["b"] == 1e308


def test_of_a_key_that_is_given_twice_the_last_one_counts(manager: FaultyManager) -> None:
    frame = b'{"method": "nope", "method": "queue_get", "params": {"x": 1}, "params": {}}'
    assert ask(manager, frame)["success"] is True


def nested(depth: int) -> bytes:
    begin = b'{"method": "queue_item_add", "params": {"user": "T", "user_group": "primary", "item": '
    item = b'{"item_type": "plan", "name": "null", "meta": {"x": ' + b"[" * depth + b"]" * depth + b"}}"
    return begin + item + b"}}"


def test_deep_nesting_is_refused_with_a_sentence(manager: FaultyManager) -> None:
    assert ask(manager, nested(50))["success"] is True
    for depth in (150, 5_000, 1_000_000):
        reply = ask(manager, nested(depth))
        assert reply["success"] is False
        assert ("nested" if depth < 1_000_000 else "lists and mappings") in reply["msg"]
        assert len(reply["msg"]) < 1000
    unclosed = ask(manager, b"[" * 2_000_000)
    assert unclosed["success"] is False
    assert len(unclosed["msg"]) < 1000


def test_lone_surrogates_are_refused_with_a_sentence(manager: FaultyManager) -> None:
    reply = ask(manager, request("queue_item_add", {"item": {**QUICK, "meta": {"x": "\ud800"}}, **CALLER}))
    assert reply["success"] is False
    assert "surrogate" in reply["msg"]


def test_frames_that_are_too_long_close_the_connection_and_nothing_else(manager: FaultyManager) -> None:
    frame = bytes(100 * MEGABYTE)
    for _ in range(3):
        assert manager.raw(frame, timeout=1.0) is None
        assert manager.status()["manager_state"] == "idle"


def test_a_long_frame_that_is_allowed_is_answered(manager: FaultyManager) -> None:
    text = "x" * (4 * MEGABYTE)
    for _ in range(3):
        reply = ask(manager, request("queue_item_remove", {"uid": text}))
        assert reply["success"] is False


def test_messages_of_several_parts(manager: FaultyManager) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(manager.control_address)
        good = request("ping", {})
        for parts in ([good], [b"", good, good], [b"", b""], [b"x", b"", good], [b""] * 50):
            client.send_multipart(parts)
        client.send_multipart([b"", good])
        while client.poll(2000):
            last = client.recv_multipart()
            if len(last) == 2 and json.loads(last[1]).get("manager_state"):
                return
    raise AssertionError("a good request is not answered any more")


@pytest.mark.row("zmq-api", "port scanners and half-open peers")
def test_what_does_not_speak_zmq(manager: FaultyManager) -> None:
    where = urlsplit(manager.control_address)
    source = random.Random(3)
    texts = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
        b"\x00" * 1000,
        b"\xff" + bytes(8) + b"\x7f",
        *map(source.randbytes, range(100)),
    ]
    for text in texts:
        with socket.create_connection((where.hostname, where.port)) as stranger:
            stranger.sendall(text)
    silent = [socket.create_connection((where.hostname, where.port)) for _ in range(200)]
    try:
        assert manager.status()["manager_state"] == "idle"
    finally:
        for stranger in silent:
            stranger.close()


def test_a_client_that_does_not_read_its_answers(manager: FaultyManager) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.rcvhwm = 1
        client.rcvbuf = 4096
        client.connect(manager.control_address)
        for _ in range(3000):
            client.send_multipart([b"", request("plans_allowed", {"user_group": "primary"})])
        for _ in range(50):
            assert manager.status()["manager_state"] == "idle"


@pytest.mark.row("zmq-api", "clients that come and go")
def test_clients_that_come_and_go(manager: FaultyManager) -> None:
    with zmq.Context() as context:
        for _ in range(300):
            with context.socket(zmq.REQ) as client:
                client.linger = 0
                client.connect(manager.control_address)
                client.send(request("status", {}))


def test_strangers_on_the_worker_link(manager: FaultyManager) -> None:
    (path,) = manager.runtime_dir.rglob("*link*")
    source = random.Random(4)
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger = 0
        stranger.connect(f"ipc://{path}")
        for _ in range(500):
            stranger.send(source.randbytes(source.randrange(200)))
        stranger.send_multipart([b"", b"", b"\x93\x01\xa5hello\x80"])
        manager.works_on()
    assert manager.status()["worker_link"] == "attached"
