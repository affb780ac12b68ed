"""Servers whose PostgreSQL goes away and comes back: nothing is guessed, nobody has to restart them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from contract_manager import ContractManager
from deadline import wait_until
from http_accounts import CONFIGURATION, log_in
from postgres_server import PostgresServer
from running_http_server import RunningHttpServer

Start = Callable[..., RunningHttpServer]

ANSWER = 15.0
"""Seconds after which a request is answered also when the database says nothing at all."""


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def start(start_server: Start, manager_with_environment: ContractManager) -> Callable[[str], RunningHttpServer]:
    """Starts a server with accounts in the database of a uri."""

    def run(uri: str) -> RunningHttpServer:
        return start_server(manager_with_environment, configuration={**CONFIGURATION, "database": {"uri": uri}})

    return run


def status_of(server: RunningHttpServer, path: str, **headers: str) -> int:
    return httpx.get(server.url + path, headers=headers, timeout=30).status_code


def new_key(server: RunningHttpServer, token: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    made = httpx.post(f"{server.url}/api/auth/apikey", headers=headers, json={"expires_in": 600})
    return {"Authorization": f"ApiKey {made.json()['secret']}"}


def test_while_it_is_away_what_needs_it_is_503_and_the_rest_goes_on(
    postgres: PostgresServer, start: Callable[[str], RunningHttpServer]
) -> None:
    server = start(postgres.uri)
    tokens = log_in(server, "bob").json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    key = new_key(server, tokens["access_token"])
    assert status_of(server, "/readyz") == 200
    postgres.stop()
    refused = httpx.get(f"{server.url}/api/status", headers=key)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "database of accounts does not answer" in refused.json()["detail"]
    assert log_in(server, "bob").status_code == 503
    assert httpx.post(f"{server.url}/api/auth/session/refresh", json={"refresh_token": "x"}).status_code == 401
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert httpx.post(f"{server.url}/api/auth/session/refresh", json=refresh).status_code == 503
    assert status_of(server, "/api/status", **bearer) == 200, "tokens need no database"
    assert [status_of(server, path) for path in ("/healthz", "/startupz", "/readyz")] == [200, 200, 503]
    postgres.start()
    assert status_of(server, "/readyz") == 200
    assert status_of(server, "/api/status", **key) == 200
    assert httpx.post(f"{server.url}/api/auth/session/refresh", json=refresh).status_code == 200
    assert log_in(server, "bob").status_code == 200
    assert "Traceback" not in server.log
    assert "a password" not in server.log
    assert "a%20password" not in server.log


def test_a_server_that_starts_before_its_database_waits_for_it(
    postgres: PostgresServer, start: Callable[[str], RunningHttpServer]
) -> None:
    postgres.stop()
    server = start(postgres.uri)
    assert [status_of(server, path) for path in ("/healthz", "/startupz", "/readyz")] == [200, 503, 503]
    assert log_in(server, "bob").status_code == 503
    postgres.start()
    wait_until(lambda: status_of(server, "/startupz") == 200, "the tables are made")
    assert log_in(server, "bob").status_code == 200
    assert status_of(server, "/readyz") == 200
    assert server.log.count("cannot be used") == 1, "a trouble is told once"
    assert "Traceback" not in server.log
    assert server.stop() == 0


def test_a_server_that_waits_for_its_database_can_be_ended(
    postgres: PostgresServer, start: Callable[[str], RunningHttpServer]
) -> None:
    postgres.stop()
    assert start(postgres.uri).stop() == 0


def test_a_refused_password_is_told_at_the_start(
    postgres: PostgresServer, manager_with_environment: ContractManager, tmp_path: Path
) -> None:
    settings = {**CONFIGURATION, "database": {"uri": postgres.uri.replace("a%20password", "another-word")}}
    server = RunningHttpServer(manager_with_environment, configuration=settings, directory=tmp_path)
    try:
        assert server.start(wait=False).wait_end() == 2
    finally:
        server.close()
    assert "password authentication failed" in server.log
    assert "another-word" not in server.log
    assert "Traceback" not in server.log


def test_a_database_that_says_nothing_keeps_no_request_waiting_for_long(
    postgres: PostgresServer, start: Callable[[str], RunningHttpServer]
) -> None:
    server = start(postgres.uri)
    tokens = log_in(server, "bob").json()
    key = new_key(server, tokens["access_token"])
    postgres.freeze()
    try:
        assert status_of(server, "/readyz") == 503
        assert status_of(server, "/healthz") == 200
        begun = time.monotonic()
        assert status_of(server, "/api/status", **key) == 503
        assert time.monotonic() - begun < 2 * ANSWER
    finally:
        postgres.go_on()
    wait_until(lambda: status_of(server, "/readyz") == 200, "it is ready again")
    assert status_of(server, "/api/status", **key) == 200
    assert "Traceback" not in server.log


def test_a_database_without_an_encoding_can_be_used(start: Callable[[str], RunningHttpServer]) -> None:
    with PostgresServer("SQL_ASCII") as postgres:
        server = start(postgres.uri)
        assert log_in(server, "bob").status_code == 200
        assert server.stop() == 0
