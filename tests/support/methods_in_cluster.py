"""Which of the contract tests are run against a manager in the cluster: one of each method (zmq-api 6).

A test names the methods that it stands for: `@pytest.mark.method("queue_get")`. Of a test with several sets of
parameters the first one is run.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from queueserver_manager.core.methods import METHODS

ALL = (*METHODS, "ping", "status")

_LAST = ("environment_close",)
"""These close the environment that the other tests use."""
_OPENING = ("environment_open", "environment_destroy")
"""What one of them opens the other one destroys."""


def one_of_each_method(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests that are run; raises `pytest.UsageError` for methods without a test, and names that are no methods."""
    chosen: dict[str, pytest.Item] = {}
    for item in items:
        for method in _methods(item):
            first = chosen.setdefault(method, item)
            if _function(first) != _function(item):
                raise pytest.UsageError(f"Two tests stand for the method {method}: {first.nodeid}, {item.nodeid}")
    missing = [method for method in ALL if method not in chosen]
    unknown = sorted(chosen.keys() - set(ALL))
    if missing or unknown:
        raise pytest.UsageError(
            f"Methods that no test stands for (pytest.mark.method): {missing}. Names that are no methods: {unknown}."
        )
    return [item for item in items if item in chosen.values()]


def in_turn(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests in an order in which the environment is opened twice."""
    return sorted(items, key=_turn)


def _turn(item: pytest.Item) -> int:
    methods, fixtures = _methods(item), getattr(item, "fixturenames", ())
    if "start_manager" in fixtures:
        return 5
    for turn, method in enumerate(_OPENING, 3):
        if method in methods:
            return turn
    if any(method in methods for method in _LAST):
        return 1
    return 0 if "manager_with_environment" in fixtures else 2


def _methods(item: pytest.Item) -> list[str]:
    return [method for marker in item.iter_markers("method") for method in marker.args]


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]
