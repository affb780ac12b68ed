"""Managers for the contract tests: two for the whole session, and fresh ones where a test ends or restarts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract_manager import EMERGENCY_KEY, ContractManager
from published_client import AsyncClient, BlockingClient, Client

EMERGENCY = {"QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER": EMERGENCY_KEY}


@pytest.fixture(scope="session")
def manager_with_environment() -> Iterator[ContractManager]:
    with ContractManager(environment=EMERGENCY) as manager:
        manager.open_environment()
        yield manager


@pytest.fixture(scope="session")
def manager_without_environment() -> Iterator[ContractManager]:
    with ContractManager(environment=EMERGENCY) as manager:
        manager.open_environment()  # from the first opening the lists of plans and devices are known
        manager.close_environment()
        yield manager


@pytest.fixture
def manager(manager_with_environment: ContractManager) -> ContractManager:
    """Idle, with an open environment and nothing in queue and history."""
    manager_with_environment.reset(environment=True)
    return manager_with_environment


@pytest.fixture
def closed_manager(manager_without_environment: ContractManager) -> ContractManager:
    """Idle, without an environment and with nothing in queue and history; lists are known."""
    manager_without_environment.reset(environment=False)
    return manager_without_environment


@pytest.fixture
def start_manager() -> Iterator[Callable[..., ContractManager]]:
    """Starts managers that the test may end, kill and start again; what is left of them is killed."""
    started: list[ContractManager] = []

    def start(**arguments: Any) -> ContractManager:
        manager = ContractManager(**arguments)
        started.append(manager)
        return manager.start()

    yield start
    for manager in started:
        manager.close()


@pytest.fixture(params=[BlockingClient, AsyncClient], ids=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, manager: ContractManager) -> Iterator[Client]:
    """The published client of a manager with an open environment."""
    connected = request.param(manager)
    yield connected
    connected.close()
