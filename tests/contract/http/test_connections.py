"""TLS by the server's own certificate; clients that are too slow, and more of them than a server is to serve."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from contract_manager import ContractManager
from running_http_server import KEY, RunningHttpServer

HEADERS = {"Authorization": f"ApiKey {KEY}"}


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of localhost that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_requests_and_websockets_are_encrypted_with_the_servers_certificate(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager, tmp_path: Path
) -> None:
    public, private = certificate(tmp_path)
    listen = {"ssl_certfile": str(public), "ssl_keyfile": str(private)}
    server = RunningHttpServer(manager, configuration={"uvicorn": listen}, directory=tmp_path)
    try:
        server.start(wait=False)
        context = ssl.create_default_context(cafile=str(public))
        url = f"https://localhost:{server.port}"
        with httpx.Client(base_url=url, verify=context, headers=HEADERS, timeout=20) as client:
            deadline = time.monotonic() + 45
            while True:
                assert time.monotonic() < deadline, server.log
                try:
                    answer = client.get("/api/status")
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            assert answer.json()["manager_state"] == "idle"
            assert "max-age" in answer.headers["strict-transport-security"]
        address = f"wss://localhost:{server.port}/api/status/ws"
        with connect(address, ssl=context, additional_headers=HEADERS, proxy=None) as websocket:
            assert "status" in websocket.recv(timeout=15)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{server.port}/api/status", headers=HEADERS)
        assert server.stop() == 0
        assert "Traceback" not in server.log
    finally:
        server.close()


def test_clients_that_send_nothing_or_too_slowly_are_disconnected(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    limits = {"head_timeout": 2, "body_timeout": 0.5}
    server = start_server(manager, configuration={"server_configuration": limits})
    head = f"POST /api/queue/item/add HTTP/1.1\r\nHost: x\r\nAuthorization: ApiKey {KEY}\r\n"

    def answer(data: bytes) -> bytes:
        with socket.create_connection(("localhost", server.port), timeout=30) as connection:
            connection.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(4096):
                    received += part
        return received

    assert answer(b"") == b""
    assert answer(head.encode()) == b""  # the head is not complete
    slow = answer(f"{head}Content-Length: 100\r\nConnection: close\r\n\r\n".encode() + b'{"item"')
    assert slow.startswith(b"HTTP/1.1 408")
    assert b'{"detail":' in slow
    kept = HTTPConnection("localhost", server.port, timeout=30)
    for _ in range(2):  # a connection is kept for longer than the first head may take
        kept.request("GET", "/api/status", headers=HEADERS)
        reply = kept.getresponse()
        assert (reply.status, json.loads(reply.read())["manager_state"]) == (200, "idle")
        time.sleep(2.2)
    kept.sock.sendall(head.encode())
    with contextlib.suppress(ConnectionResetError):
        assert kept.sock.recv(4096) == b""
    kept.close()
    assert "Traceback" not in server.log


def test_too_many_connections_are_refused(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    server = start_server(manager, configuration={"server_configuration": {"connection_limit": 3}})
    with contextlib.ExitStack() as stack:

        def connected() -> httpx.Client:
            """A client with a connection, as soon as those that were closed before count no more."""
            client = stack.enter_context(server.client(**HEADERS))
            deadline = time.monotonic() + 30
            while client.get("/api/status").status_code != 200:
                assert time.monotonic() < deadline
            return client

        *_, client = [connected() for _ in range(3)]
        refused = httpx.get(f"{server.url}/api/status", headers=HEADERS)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["detail"] == "The server has too many connections."
        client.close()
        connected()


def test_too_many_requests_and_websockets_at_once_are_refused(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager
) -> None:
    server = start_server(manager, configuration={"server_configuration": {"request_limit": 2, "websocket_limit": 1}})
    url = f"{server.url}/api/status"

    def sleep() -> None:
        long = f"{server.url}/api/test/server/sleep?time=60"
        with contextlib.suppress(httpx.TransportError):  # the server ends before
            while httpx.get(long, headers=HEADERS, timeout=90).status_code == 503:
                pass  # beside another request it was the one too many

    address = f"ws://{server.address}/api/status/ws"
    with connect(address, additional_headers=HEADERS, proxy=None) as first:
        assert first.recv(timeout=15)
        refused = pytest.raises((InvalidStatus, ConnectionClosed))
        with refused, connect(address, additional_headers=HEADERS, proxy=None) as second:
            second.recv(timeout=15)
    with ThreadPoolExecutor(2) as together:
        try:
            together.submit(sleep)
            together.submit(sleep)
            deadline = time.monotonic() + 30
            while (answer := httpx.get(url, headers=HEADERS, timeout=20)).status_code == 200:
                assert time.monotonic() < deadline
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        finally:
            server.close()
