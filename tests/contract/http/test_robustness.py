"""Bad input, the manager's absence, and what a site adds (http-api 1, 6 and 7)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import zmq

from contract_manager import ContractManager
from ports import free_ports
from queueserver_http.routes.table import MANAGER_ROUTES
from running_http_server import KEY, RunningHttpServer

HEADERS = {"Authorization": f"ApiKey {KEY}"}


def raw(server: RunningHttpServer, data: bytes, *, timeout: float = 10) -> bytes:
    with socket.create_connection(("localhost", server.port), timeout=timeout) as connection:
        connection.sendall(data)
        return connection.recv(65536)


# Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "section server_configuration")
def test_a_body_that_is_too_long_is_413(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    server = start_server(manager, configuration={"server_configuration": {"body_limit": 10_000}})
    with server.client(**HEADERS) as client:
        assert client.post("/api/queue/item/add", content=b" " * 9_990 + b"{}").status_code == 200
        for content in (b"x" * 10_001, (b"x" * 1000 for _ in range(20))):
            response = client.post("/api/queue/item/add", content=content)
            assert response.status_code == 413
            assert "longer than 10000 bytes" in response.json()["detail"]


def test_a_reply_that_would_be_too_long_is_413(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    server = start_server(manager, configuration={"server_configuration": {"response_bytesize_limit": 200}})
    with server.client(**HEADERS) as client:
        response = client.get("/api/status")
        assert (response.status_code, response.headers["x-content-type-options"]) == (413, "nosniff")
        assert response.json()["detail"] == "The reply would be longer than 200 bytes."
        assert client.get("/healthz").status_code == 200


def test_nothing_that_is_sent_is_an_error_of_the_server(http: httpx.Client, server: RunningHttpServer) -> None:
    bodies: list[object] = [
        {},
        {"item": None},
        {"item": "\ud800"},
        {"pos": 10**30},
        {"pos": float("nan")},
        {"uid": ["x"]},
        {"items": [{}] * 3},
        {"lock_key": {"a": 1}},
        {"option": 1},
        {"mode": []},
        {"uids": "x"},
        {"reload": "x"},
    ]
    skipped = ("/api/manager/stop", "/api/test/manager/kill", "/api/queue/upload/spreadsheet")
    for route in MANAGER_ROUTES:
        if route.path in skipped or "environment" in route.path:
            continue
        for body in bodies:
            response = http.request(route.verb, route.path, content=json.dumps(body))
            assert response.status_code in (200, 400, 422), (route.path, body, response.text)
            assert isinstance(response.json(), dict)
    assert "failed by an error" not in server.log


def test_broken_http_is_answered_or_closed(server: RunningHttpServer) -> None:
    for data in (
        b"\0\1\2\3\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/status?a=%ff&a=%00 HTTP/1.1\r\nHost: x\r\nAuthorization: ApiKey \xff\xfe\r\n\r\n",
        b'GET /api/status HTTP/1.1\r\nHost: x\r\nCookie: \xff=;;;="\r\nAuthorization: Bearer a.b.c\r\n\r\n',
        b"POST /api/queue/item/add HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/queue/item/add HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        answer = raw(server, data)
        assert not answer or answer.split(b" ")[1][:1] == b"4", answer[:200]
    assert "Traceback" not in server.log


def test_many_query_parameters_are_refused(http: httpx.Client) -> None:
    assert http.get("/api/queue/item/get?" + "a=1&" * 200).status_code == 400


def test_a_client_that_goes_away_in_the_middle_harms_nobody(server: RunningHttpServer, http: httpx.Client) -> None:
    head = f"POST /api/queue/item/add HTTP/1.1\r\nHost: x\r\nAuthorization: ApiKey {KEY}\r\nContent-Length: 100\r\n\r\n"
    for _ in range(20):
        with socket.create_connection(("localhost", server.port)) as connection:
            connection.sendall(head.encode() + b'{"item"')
    assert http.get("/api/status").status_code == 200
    assert "Traceback" not in server.log


@pytest.mark.row("http-api", "CORS", "section allow_origins")
def test_pages_of_admitted_origins_may_read_replies(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    origin = "https://gui.example"
    server = start_server(manager, environment={"QSERVER_HTTP_SERVER_ALLOW_ORIGINS": f"{origin} https://b.example"})
    with server.client(**HEADERS, Origin=origin) as client:
        assert client.get("/api/status").headers["access-control-allow-origin"] == origin
        assert client.get("/api/nope").headers["access-control-allow-origin"] == origin
        preflight = client.options("/api/queue/clear", headers={"Access-Control-Request-Method": "POST"})
        assert preflight.status_code == 200
        assert "x-csrf" in preflight.headers["access-control-allow-headers"]
    with server.client(**HEADERS, Origin="https://evil.example") as client:
        assert "access-control-allow-origin" not in client.get("/api/status").headers
        assert client.options("/api/status", headers={"Access-Control-Request-Method": "GET"}).status_code == 400


# The manager's absence -------------------------------------------------------------------------------------------


@pytest.mark.row("http-api", "section qserver_zmq_configuration")
def test_without_a_manager_requests_are_503_and_say_when_to_come_again(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    absent = {"control_address": "tcp://127.0.0.1:9", "connect_timeout": 0.2}
    server = start_server(None, configuration={"qserver_zmq_configuration": absent})
    with server.client(**HEADERS) as client:
        response = client.get("/api/status")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert "timeout occurred" in response.json()["detail"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
    contract = {**absent, "away_status": 408}
    server = start_server(None, configuration={"qserver_zmq_configuration": contract})
    with server.client(**HEADERS) as client:
        assert client.get("/api/status").status_code == 408


@pytest.mark.row("http-api", "a silent manager is 408", "POST /manager/stop", "POST /test/manager/kill")
def test_a_manager_that_does_not_answer_is_408_and_one_that_comes_back_is_used_again(
    start_server: Callable[..., RunningHttpServer], start_manager: Callable[..., ContractManager]
) -> None:
    manager = start_manager()
    short = {"reply_timeout": 8.0, "connect_timeout": 15.0}
    server = start_server(manager, configuration={"qserver_zmq_configuration": short})
    with server.client(**HEADERS) as client:
        assert client.get("/readyz").status_code == 200
        response = client.post("/api/test/manager/kill")
        assert response.status_code == 408
        assert response.json()["detail"] == "Request timeout: ZMQ communication error: timeout occurred"
        deadline = time.monotonic() + 30
        while client.get("/api/status").status_code != 200:
            assert time.monotonic() < deadline
        assert client.post("/api/manager/stop", json={"option": "safe_off"}).json()["success"] is True
        manager.wait_end()
        answers: list[int] = []

        def ask() -> None:
            answers.append(httpx.get(f"{server.url}/api/status", headers=HEADERS, timeout=30).status_code)

        waiting = threading.Thread(target=ask)
        waiting.start()
        manager.start()
        waiting.join()
        assert answers == [200]  # it waited for the connection


def test_an_encrypted_manager_that_speaks_msgpack_is_served(start_server: Callable[..., RunningHttpServer]) -> None:
    public, secret = zmq.curve_keypair()
    environment = {"QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER": secret.decode()}
    manager = ContractManager(encoding="msgpack", environment=environment)
    try:
        manager.start(wait=False)
        server = start_server(manager, environment={"QSERVER_ZMQ_PUBLIC_KEY": public.decode()})
        with server.client(**HEADERS) as client:
            deadline = time.monotonic() + 30
            while client.get("/readyz").status_code != 200:
                assert time.monotonic() < deadline, server.log
            assert client.get("/api/queue/get").json()["items"] == []
            surrogate = client.post("/api/queue/item/add", content=b'{"item": {"name": "\\ud800"}}')
            assert surrogate.json()["success"] is False
            assert client.post("/api/queue/item/add", json={"item": {"n": 10**30}}).status_code == 400
        other = start_server(manager, configuration={"qserver_zmq_configuration": {"connect_timeout": 0.5}})
        with other.client(**HEADERS) as client:
            assert client.get("/api/status").status_code == 503  # without the key there is no connection
    finally:
        manager.close()


def test_slow_requests_do_not_hold_up_others(http: httpx.Client, server: RunningHttpServer) -> None:
    slow = threading.Thread(target=lambda: httpx.get(f"{server.url}/api/test/server/sleep?time=3", headers=HEADERS))
    slow.start()
    assert http.get("/api/status").elapsed.total_seconds() < 2
    assert slow.is_alive()
    slow.join()


# What a site adds ------------------------------------------------------------------------------------------------

ROUTER = """
from fastapi import APIRouter, Request
from queueserver_http.custom import principal_of, requires

router = APIRouter()

@router.get("/beam/current", dependencies=[requires("read:status")])
async def current(request: Request):
    return {"current": 5, "user": principal_of(request).name}

@router.post("/beam/energy", dependencies=[requires("write:execute")])
async def energy(ev: int):
    return {"ev": ev}

@router.post("/beam/dump", dependencies=[requires("admin:metrics")])
async def dump():
    return {}
"""


@pytest.mark.row("http-api", "custom routers")
def test_custom_routers_are_below_api_and_behind_the_same_credentials(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager, tmp_path: Path
) -> None:
    (tmp_path / "routers_of_tests.py").write_text(ROUTER)
    environment = {"PYTHONPATH": str(tmp_path), "QSERVER_HTTP_CUSTOM_ROUTERS": "routers_of_tests"}
    server = start_server(manager, environment=environment, options=["--public"])
    assert httpx.get(f"{server.url}/api/beam/current").status_code == 401
    with server.client(**HEADERS) as client:
        assert client.get("/api/beam/current").json() == {"current": 5, "user": "UNAUTHENTICATED_SINGLE_USER"}
        assert "admin:metrics" in client.post("/api/beam/dump").json()["detail"]
        assert client.post("/api/beam/energy?ev=5000").json() == {"ev": 5000}
        invalid = client.post("/api/beam/energy?ev=SECRETWORD")
        assert invalid.status_code == 422
        assert invalid.json()["detail"].startswith("ev: Input should be a valid integer")
        assert "SECRETWORD" not in invalid.text
        assert client.delete("/api/beam/energy").status_code == 405
        assert client.get("/api/status").json()["manager_state"] == "idle"
        paths = client.get("/openapi.json").json()["paths"]
        assert {"/api/beam/current", "/api/status"} <= paths.keys()
        assert client.get("/api/nope").status_code == 404


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ({"nonsense": {}}, "nonsense: Extra inputs are not permitted"),
        ({"authentication": {"single_user_api_key": "a-b"}}, "letters and digits only"),
        ({"api_access": {"policy": "nomodule:Nothing"}}, "cannot be imported"),
        ({"api_access": {"policy": "bluesky_httpserver.authorization:Nothing"}}, "there is no"),
        ({"server_configuration": {"custom_modules": ["no_such_module"]}}, "cannot be imported"),
        ({"uvicorn": {"port": 99999999}}, "uvicorn/port"),
        ({"qserver_zmq_configuration": {"control_address": "localhost"}}, "an address looks like"),
        (
            {
                "authentication": {
                    "providers": [
                        {"provider": "a", "authenticator": "bluesky_httpserver.authenticators:DummyAuthenticator"}
                    ]
                },
                "database": {"uri": "sqlite:////nonexistent/SECRETWORD.sqlite"},
            },
            "cannot be used: unable to open database file",
        ),
    ],
)
@pytest.mark.row("http-api", "single user: key of letters and digits")
def test_a_configuration_that_cannot_be_used_ends_the_program_with_a_sentence(
    configuration: dict[str, object], words: str, start_server: Callable[..., RunningHttpServer], tmp_path: Path
) -> None:
    server = RunningHttpServer(None, configuration=configuration, directory=tmp_path)
    server.start(wait=False)
    assert server.wait_end() == 2
    assert words in server.log
    assert "Traceback" not in server.log


def test_a_port_that_is_taken_ends_the_program_with_a_sentence(server: RunningHttpServer, tmp_path: Path) -> None:
    second = RunningHttpServer(None, directory=tmp_path)
    second.port = server.port
    second.start(wait=False)
    assert second.wait_end() == 3
    assert "cannot listen at localhost" in second.log


@pytest.mark.row(
    "http-api",
    *("section uvicorn", "section resource_access", "section metrics", "the line that says the server has started"),
)
def test_a_file_sets_address_prefix_group_and_metrics(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    group = {"policy": "bluesky_httpserver.authorization:DefaultResourceAccessControl"}
    server = start_server(
        manager,
        configuration={
            "uvicorn": {"host": "127.0.0.1", "port": 1, "root_path": "/beamline"},
            "resource_access": {**group, "args": {"default_group": "test_user"}},
            "metrics": {"prometheus": False},
        },
        options=["--host=localhost"],  # the command line beats the file; so does --port
    )
    assert "Bluesky HTTP Server started successfully" in server.log
    with server.client(**HEADERS) as client:
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/beamline"}]
        item = {"item_type": "instruction", "name": "queue_stop"}
        assert client.post("/api/queue/item/add", json={"item": item}).json()["item"]["user_group"] == "test_user"
        assert client.get("/metrics").status_code in (401, 404)


@pytest.mark.row("http-api", "the application in a uvicorn of one's own")
def test_the_application_can_be_run_by_uvicorn(manager: ContractManager, tmp_path: Path) -> None:
    [port] = free_ports(1)
    log = tmp_path / "log"
    environment = os.environ | {
        "QSERVER_ZMQ_CONTROL_ADDRESS": manager.control_address,
        "QSERVER_ZMQ_INFO_ADDRESS": manager.info_address,
        "QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY": KEY,
    }
    command = [sys.executable, "-m", "uvicorn", "queueserver_http.server:app", f"--port={port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 45
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/api/status", headers=HEADERS)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        assert answer.json()["manager_state"] == "idle"
    finally:
        process.terminate()
        process.wait(30)
    assert "Traceback" not in log.read_text()
