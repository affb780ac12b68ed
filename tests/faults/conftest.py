"""Managers for the fault tests: each test has its own, because it ends badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from faulty_manager import FaultyManager


@pytest.fixture
def make_manager() -> Iterator[Callable[..., FaultyManager]]:
    """Managers that are not started yet; what is left of them is killed."""
    made: list[FaultyManager] = []

    def make(**arguments: Any) -> FaultyManager:
        manager = FaultyManager(**arguments)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.close()


@pytest.fixture
def manager() -> Iterator[FaultyManager]:
    """An idle manager with an open environment; at the end it must still be able to end in order."""
    with FaultyManager() as manager:
        manager.open_environment()
        yield manager
