"""A websocket lives no longer than its credentials."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from contract_manager import ContractManager
from deadline import wait_until
from http_accounts import CONFIGURATION, log_in
from postgres_server import PostgresServer
from running_http_server import RunningHttpServer

_WAIT = 15.0


def with_quick_checks(**authentication: float) -> dict[str, object]:
    return {
        **CONFIGURATION,
        "authentication": {**CONFIGURATION["authentication"], **authentication},
        "server_configuration": {"websocket_check_period": 0.1},
    }


def open_stream(server: RunningHttpServer, query: str = "", **headers: str) -> ClientConnection:
    return server.websocket(f"/status/ws{query}", headers)


def code_of_close(connection: ClientConnection) -> int | None:
    try:
        while True:
            connection.recv(timeout=_WAIT)
    except ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code


def test_a_stream_ends_when_its_key_is_deleted_and_others_go_on(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    server = start_server(manager_with_environment, configuration=with_quick_checks())
    token = f"Bearer {log_in(server, 'alice').json()['access_token']}"
    with server.client(Authorization=token) as alice:
        new, other = (alice.post("/api/auth/apikey", json={"expires_in": 600}).json() for _ in range(2))
        key = {"Authorization": f"ApiKey {new['secret']}"}
        ticket = alice.post("/api/auth/ticket", headers=key).json()["ticket"]
        with (
            open_stream(server, **key) as by_key,
            open_stream(server, f"?ticket={ticket}") as by_ticket,
            open_stream(server, Authorization=f"ApiKey {other['secret']}") as untouched,
        ):
            for stream in (by_key, by_ticket, untouched):
                assert stream.recv(timeout=_WAIT)
            assert alice.delete(f"/api/auth/apikey?first_eight={new['first_eight']}").status_code == 200
            assert code_of_close(by_key) == 4001
            assert code_of_close(by_ticket) == 4001
            assert untouched.ping().wait(_WAIT)


def test_a_stream_ends_when_its_token_expires(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    server = start_server(manager_with_environment, configuration=with_quick_checks(access_token_max_age=2))
    token = log_in(server, "alice").json()["access_token"]
    with open_stream(server, Authorization=f"Bearer {token}") as stream:
        assert code_of_close(stream) == 4001


def test_a_stream_goes_on_while_its_key_cannot_be_checked(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    with PostgresServer() as postgres:
        configuration = {**with_quick_checks(), "database": {"uri": postgres.uri}}
        server = start_server(manager_with_environment, configuration=configuration)
        token = f"Bearer {log_in(server, 'alice').json()['access_token']}"
        with server.client(Authorization=token) as alice:
            new = alice.post("/api/auth/apikey", json={"expires_in": 600}).json()
            key = f"ApiKey {new['secret']}"
            with open_stream(server, Authorization=key) as stream:
                postgres.stop()

                def unknown() -> bool:
                    whoami = f"{server.url}/api/auth/whoami"
                    return httpx.get(whoami, headers={"Authorization": key}, timeout=30).status_code == 503

                wait_until(unknown, "the key is looked up again")
                postgres.start()  # takes several times as long as the period
                assert stream.ping().wait(_WAIT)
                assert alice.delete(f"/api/auth/apikey?first_eight={new['first_eight']}").status_code == 200
                assert code_of_close(stream) == 4001
