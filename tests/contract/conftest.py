"""Managers for the contract tests: two for the whole session, and fresh ones where a test ends or restarts them.

With `--in-cluster` those tests alone are run that are marked with the name of a method, one of each, against the same
manager in the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract_manager import EMERGENCY_KEY, ContractManager
from methods_in_cluster import in_turn, one_of_each_method
from published_client import AsyncClient, BlockingClient, Client

EMERGENCY = {"QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER": EMERGENCY_KEY}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Called by pytest with all tests."""
    if config.getoption("--in-cluster"):
        chosen = one_of_each_method(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = in_turn(chosen)
        for item in items:
            item.add_marker(pytest.mark.timeout(400))  # the first one waits for the manager in the cluster


@pytest.fixture(scope="session")
def manager_under_test(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The manager in the cluster; None when the tests start managers on this machine."""
    if not request.config.getoption("--in-cluster"):
        yield None
        return
    from manager_in_cluster import manager_in_cluster

    with manager_in_cluster() as manager:
        yield manager


@pytest.fixture(scope="session")
def manager_with_environment(manager_under_test: Any) -> Iterator[ContractManager]:
    if manager_under_test is not None:
        yield manager_under_test
        return
    with ContractManager(environment=EMERGENCY) as manager:
        manager.open_environment()
        yield manager


@pytest.fixture(scope="session")
def manager_without_environment(manager_under_test: Any) -> Iterator[ContractManager]:
    if manager_under_test is not None:
        if not manager_under_test.accepted("plans_existing")["plans_existing"]:
            manager_under_test.open_environment()
        yield manager_under_test
        return
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
def start_manager(manager_under_test: Any) -> Iterator[Callable[..., ContractManager]]:
    """Starts managers that the test may end, kill and start again; what is left of them is killed."""
    if manager_under_test is not None:
        manager_under_test.reset(environment=False)
        yield lambda: manager_under_test
        return
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
