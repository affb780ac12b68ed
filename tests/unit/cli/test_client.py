from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq

from queueserver_cli.client import (
    CommunicationError,
    ManagerClient,
    NoReply,
    SettingsError,
    control_address,
    encoding_name,
    info_address,
    server_public_key,
)

Answering = Callable[..., Any]


def test_a_request_has_a_method_and_parameters_and_nothing_else(answering: Answering) -> None:
    manager = answering()
    manager.answer = lambda request: {"success": True, "msg": "", "echo": request["params"]}
    with ManagerClient(manager.address) as client:
        assert client.request("queue_item_get", {"pos": 1})["echo"] == {"pos": 1}
        client.request("status")
    assert manager.requests == [
        {"method": "queue_item_get", "params": {"pos": 1}},
        {"method": "status", "params": {}},
    ]


def test_msgpack_is_spoken_when_asked_for(answering: Answering) -> None:
    manager = answering(encoding="msgpack")
    with ManagerClient(manager.address, encoding="msgpack") as client:
        assert client.request("ping", {"x": [1, None, "ä"]}) == {"success": True, "msg": ""}
    assert manager.requests == [{"method": "ping", "params": {"x": [1, None, "ä"]}}]


@pytest.mark.row("zmq-api", "time-outs of clients")
def test_a_request_without_an_answer_ends_after_the_timeout_and_the_next_one_works(answering: Answering) -> None:
    manager = answering()
    manager.silent = 1
    with ManagerClient(manager.address, receive_timeout_s=0.2) as client:
        start = time.monotonic()
        with pytest.raises(NoReply, match=r"^ZMQ communication error: timeout occurred$"):
            client.request("ping")
        assert 0.2 <= time.monotonic() - start < 10
        assert client.request("ping") == {"success": True, "msg": ""}


def test_a_late_answer_is_not_taken_for_the_answer_to_the_next_request(answering: Answering) -> None:
    manager = answering()
    manager.silent, manager.late = 1, True
    manager.answer = lambda request: {"to": request["method"]}
    with ManagerClient(manager.address, receive_timeout_s=0.5) as client:
        with pytest.raises(NoReply):
            client.request("slow")
        assert client.request("quick") == {"to": "quick"}
    assert [request["method"] for request in manager.requests] == ["slow", "quick"]


@pytest.mark.parametrize("frame", [b"", b"{", b"\xff\xfe", b"[1, 2]", b"null"])
def test_an_answer_that_is_no_mapping_is_an_error_of_communication(answering: Answering, frame: bytes) -> None:
    manager = answering()
    manager.answer = lambda request: frame
    with ManagerClient(manager.address) as client, pytest.raises(CommunicationError, match="ZMQ communication error"):
        client.request("ping")


def test_the_connection_is_encrypted_with_the_key_of_the_server(answering: Answering) -> None:
    public, secret = zmq.curve_keypair()
    manager = answering(secret_key=secret)
    with ManagerClient(manager.address, public_key=public.decode()) as client:
        assert client.request("ping") == {"success": True, "msg": ""}


def test_a_wrong_key_looks_like_no_answer(answering: Answering) -> None:
    manager = answering(secret_key=zmq.curve_keypair()[1])
    other = zmq.curve_keypair()[0].decode()
    with ManagerClient(manager.address, public_key=other, receive_timeout_s=0.3) as client, pytest.raises(NoReply):
        client.request("ping")
    assert manager.requests == []


@pytest.mark.parametrize("key", ["abc", "a" * 39, "a" * 41, "ä" * 40, "~" * 40, " " * 40])
def test_a_key_that_is_no_z85_text_of_40_characters_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("QSERVER_ZMQ_PUBLIC_KEY", key)
    with pytest.raises(SettingsError, match=r"Invalid key '.*': the key must be a 40 byte z85 encoded string"):
        server_public_key()


def test_there_is_no_key_unless_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_public_key() is None
    key = zmq.curve_keypair()[0].decode()
    monkeypatch.setenv("QSERVER_ZMQ_PUBLIC_KEY", key)
    assert server_public_key() == key


@pytest.mark.parametrize("address", ["foo", "tcp://", "tcp://localhost:port", "http://localhost:1"])
def test_an_address_that_cannot_be_connected_to_is_named(address: str) -> None:
    with pytest.raises(CommunicationError, match=r"cannot connect to .* looks like 'tcp://localhost:60615'"):
        ManagerClient(address)


def test_a_value_that_the_encoding_cannot_express_is_refused(answering: Answering) -> None:
    manager = answering()
    with ManagerClient(manager.address) as client, pytest.raises(SettingsError, match="written as json"):
        client.request("x", {"a": {1, 2}})
    with (
        ManagerClient(manager.address, encoding="msgpack") as client,
        pytest.raises(SettingsError, match="written as msgpack"),
    ):
        client.request("x", {"a": 2**70})
    assert manager.requests == []


@pytest.mark.row("zmq-api", "environment variables of clients")
def test_options_come_before_the_environment_and_the_environment_before_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (control_address(), info_address(), encoding_name()) == (
        "tcp://localhost:60615",
        "tcp://localhost:60625",
        "json",
    )
    monkeypatch.setenv("QSERVER_ZMQ_CONTROL_ADDRESS", "tcp://a:1")
    monkeypatch.setenv("QSERVER_ZMQ_INFO_ADDRESS", "tcp://a:2")
    monkeypatch.setenv("QSERVER_ZMQ_ENCODING", "MsgPack")
    assert (control_address(), info_address(), encoding_name()) == ("tcp://a:1", "tcp://a:2", "msgpack")
    assert (control_address("tcp://b:1"), info_address("tcp://b:2"), encoding_name("JSON")) == (
        "tcp://b:1",
        "tcp://b:2",
        "json",
    )


def test_an_unknown_encoding_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"Unsupported ZMQ encoding: 'pickle'.*'json', 'msgpack'"):
        encoding_name("pickle")
