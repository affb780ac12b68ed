"""HTTP servers of the managers of the contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract_manager import ContractManager
from http_accounts import CONFIGURATION, log_in
from running_http_server import KEY, RunningHttpServer


@pytest.fixture(scope="session")
def server_with_environment(manager_with_environment: ContractManager) -> Iterator[RunningHttpServer]:
    with RunningHttpServer(manager_with_environment) as server:
        yield server


@pytest.fixture
def server(manager: ContractManager, server_with_environment: RunningHttpServer) -> RunningHttpServer:
    """A single-user server; its manager is idle, with an open environment and nothing in queue and history."""
    return server_with_environment


@pytest.fixture
def http(server: RunningHttpServer) -> Iterator[httpx.Client]:
    """A client with the single-user key."""
    with server.client(Authorization=f"ApiKey {KEY}") as client:
        yield client


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RunningHttpServer]]:
    """Starts servers with a configuration of their own."""
    started: list[RunningHttpServer] = []

    def start(manager: ContractManager, **arguments: Any) -> RunningHttpServer:
        server = RunningHttpServer(manager, directory=tmp_path, **arguments)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def accounts(
    manager_with_environment: ContractManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningHttpServer]:
    """A server with several users."""
    directory = tmp_path_factory.mktemp("accounts")
    with RunningHttpServer(manager_with_environment, configuration=CONFIGURATION, directory=directory) as server:
        yield server


@pytest.fixture
def as_user(accounts: RunningHttpServer) -> Iterator[Callable[[str], httpx.Client]]:
    """A client with the access token of a user."""
    clients: list[httpx.Client] = []

    def make(name: str) -> httpx.Client:
        token = log_in(accounts, name).json()["access_token"]
        clients.append(accounts.client(Authorization=f"Bearer {token}"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
