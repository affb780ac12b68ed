"""Console output, status and information as streams (http-api 2.3)."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from contract_manager import QUICK, ContractManager, plan
from running_http_server import KEY, RunningHttpServer

HEADERS = {"Authorization": f"ApiKey {KEY}"}
_WAIT = 15.0


def open_websocket(server: RunningHttpServer, path: str, **arguments: Any) -> ClientConnection:
    return server.websocket(path, **{"headers": HEADERS, **arguments})


def receive_until(
    connection: ClientConnection, condition: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + _WAIT
    messages: list[dict[str, Any]] = []
    while not condition(messages):
        messages.append(json.loads(connection.recv(timeout=deadline - time.monotonic())))
    return messages


def text_of(messages: list[dict[str, Any]]) -> str:
    return "".join(message["msg"] for message in messages)


def get(http: httpx.Client, path: str, **parameters: Any) -> dict[str, Any]:
    response = http.request("GET", f"/api{path}", json=parameters)
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def wait_for_console(http: httpx.Client, words: str) -> str:
    deadline = time.monotonic() + _WAIT
    while words not in (text := get(http, "/console_output", nlines=2000)["text"]):
        assert time.monotonic() < deadline, text[-2000:]
        time.sleep(0.02)
    return str(text)


@pytest.fixture
def speak(manager: ContractManager) -> Callable[[], None]:
    """Make the manager write something: it tells of every plan."""

    def run() -> None:
        manager.run(plan("count", ["det"]))

    return run


# Polling ---------------------------------------------------------------------------------------------------------


@pytest.mark.row(
    "http-api",
    "GET /console_output_update",
    "GET /console_output/uid",
    "console update: an unknown uid begins now",
    "console update: ALL",
)
def test_messages_since_one_of_them_are_what_came_after_it(http: httpx.Client, speak: Callable[[], None]) -> None:
    start = get(http, "/console_output_update", last_msg_uid="unknown")
    assert start["console_output_msgs"] == []
    uid = get(http, "/console_output/uid")["console_output_uid"]
    assert uid == start["last_msg_uid"]
    speak()
    deadline = time.monotonic() + _WAIT
    while not (reply := get(http, "/console_output_update", last_msg_uid=uid))["console_output_msgs"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert reply["last_msg_uid"] != uid
    assert {"time", "msg"} == reply["console_output_msgs"][0].keys()
    again = get(http, "/console_output_update", last_msg_uid="ALL")
    assert len(again["console_output_msgs"]) >= len(reply["console_output_msgs"])
    assert http.request("GET", "/api/console_output_update", json={"last_msg_uid": 1}).status_code == 400


@pytest.mark.row("http-api", "GET /console_output")
def test_the_text_has_as_many_lines_as_were_asked_for(http: httpx.Client, speak: Callable[[], None]) -> None:
    speak()
    wait_for_console(http, "completed")
    assert len(get(http, "/console_output", nlines=2)["text"].splitlines()) == 2
    assert get(http, "/console_output", nlines=0)["text"] == ""
    by_query = http.get("/api/console_output", params={"nlines": "1"}).json()
    assert len(by_query["text"].splitlines()) == 1
    assert http.request("GET", "/api/console_output", json={"nlines": "many"}).status_code == 400


def test_the_stream_of_lines_is_numbered_and_replayed(
    http: httpx.Client, server: RunningHttpServer, speak: Callable[[], None]
) -> None:
    speak()
    wait_for_console(http, "completed")
    with server.client(**HEADERS) as client:
        with client.stream("GET", "/api/stream_console_output?format=ndjson&since=0") as stream:
            lines = stream.iter_lines()
            first = json.loads(next(lines))
            second = json.loads(next(lines))
        assert second["seq"] == first["seq"] + 1
        with client.stream("GET", f"/api/stream_console_output?format=ndjson&since={first['seq']}") as stream:
            assert json.loads(next(stream.iter_lines())) == second


@pytest.mark.row("http-api", "GET /stream_console_output")
def test_the_legacy_stream_is_mappings_without_separators(server: RunningHttpServer, speak: Callable[[], None]) -> None:
    with server.client(**HEADERS) as client, client.stream("GET", "/api/stream_console_output") as stream:
        assert stream.headers["content-type"].startswith("text/plain")
        speak()
        text = ""
        for part in stream.iter_text():
            text += part
            if "completed" in text:
                break
    message, end = json.JSONDecoder().raw_decode(text)
    assert {"time", "msg"} == message.keys()
    assert end == len(text) or text[end] == "{"


# Websockets ------------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "WS /console_output/ws", "websockets with the header")
def test_frames_of_the_console_join_to_its_text(
    http: httpx.Client, server: RunningHttpServer, speak: Callable[[], None]
) -> None:
    with open_websocket(server, "/console_output/ws") as connection:
        speak()
        messages = receive_until(connection, lambda seen: "completed" in text_of(seen))
    assert text_of(messages) in wait_for_console(http, "completed")


@pytest.mark.parametrize("path", ["/status/ws", "/info/ws"])
@pytest.mark.row("http-api", "WS /status/ws", "WS /info/ws")
def test_the_status_is_sent_when_it_changes(path: str, server: RunningHttpServer, manager: ContractManager) -> None:
    with open_websocket(server, path) as connection:
        manager.add(QUICK)
        messages = receive_until(
            connection, lambda seen: bool(seen) and seen[-1]["msg"]["status"]["items_in_queue"] == 1
        )
    assert {"time", "msg"} == messages[-1].keys()
    assert messages[-1]["msg"]["status"].keys() == manager.status().keys()


def test_a_ticket_opens_one_websocket(http: httpx.Client, server: RunningHttpServer) -> None:
    reply = http.post("/api/auth/ticket").json()
    assert reply["expires_in"] == 30
    with open_websocket(server, f"/status/ws?ticket={reply['ticket']}", headers={}) as connection:
        assert receive_until(connection, lambda seen: len(seen) == 1)
    with pytest.raises(InvalidStatus):
        open_websocket(server, f"/status/ws?ticket={reply['ticket']}", headers={})


@pytest.mark.parametrize("credentials", [{"api_key": "WRONG"}, {"ticket": "x"}, {"access_token": "x"}, {}, [], "text"])
def test_wrong_credentials_in_the_first_message_close_the_websocket(
    credentials: object, server: RunningHttpServer
) -> None:
    with open_websocket(server, "/status/ws?auth=message", headers={}) as connection:
        connection.send(json.dumps(credentials))
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=_WAIT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


def test_the_first_message_may_be_the_credentials(server: RunningHttpServer) -> None:
    with open_websocket(server, "/status/ws?auth=message", headers={}) as connection:
        connection.send(json.dumps({"api_key": KEY}))
        assert receive_until(connection, lambda seen: len(seen) == 1)


def test_a_cookie_opens_a_websocket_for_pages_of_this_server_only(server: RunningHttpServer) -> None:
    cookie = {"Cookie": f"bluesky_httpserver_api_key={KEY}"}
    with open_websocket(server, "/status/ws", headers={**cookie, "Origin": server.url}) as connection:
        assert receive_until(connection, lambda seen: len(seen) == 1)
    for origin in ({}, {"Origin": "https://elsewhere.example"}):
        with pytest.raises(InvalidStatus):
            open_websocket(server, "/status/ws", headers={**cookie, **origin})


def test_a_client_that_does_not_read_costs_the_others_nothing(
    server: RunningHttpServer, http: httpx.Client, speak: Callable[[], None]
) -> None:
    with sleeping_readers(server, 20), open_websocket(server, "/console_output/ws") as connection:
        for _ in range(5):
            speak()
        receive_until(connection, lambda seen: text_of(seen).count("completed") >= 5)
        assert http.get("/api/status").elapsed.total_seconds() < 2


class sleeping_readers:  # noqa: N801 - reads like a function
    """Connections that ask for the console and never read."""

    def __init__(self, server: RunningHttpServer, count: int) -> None:
        self._server, self._count = server, count
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> None:
        request = f"GET /api/stream_console_output HTTP/1.1\r\nHost: x\r\nAuthorization: ApiKey {KEY}\r\n\r\n".encode()
        for _ in range(self._count):
            one = socket.create_connection(("localhost", self._server.port))
            one.sendall(request)
            self._sockets.append(one)

    def __exit__(self, *error: object) -> None:
        for one in self._sockets:
            one.close()


def test_streams_end_when_the_server_ends(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    server = start_server(manager)
    with (
        server.client(**HEADERS) as client,
        client.stream("GET", "/api/stream_console_output") as stream,
        open_websocket(server, "/status/ws") as connection,
    ):
        before = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - before < 5
        with pytest.raises(ConnectionClosed):
            receive_until(connection, lambda seen: len(seen) > 1000)
        assert list(stream.iter_bytes()) == []
    assert "Traceback" not in server.log


@pytest.fixture(autouse=True)
def _subscribed(http: httpx.Client, server: RunningHttpServer) -> None:
    """The subscription of a new server takes a moment."""
    with open_websocket(server, "/status/ws") as connection:
        receive_until(connection, lambda seen: len(seen) == 1)
