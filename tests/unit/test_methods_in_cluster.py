"""The choice of the contract tests that are run in a cluster (tests/support/methods_in_cluster.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from methods_in_cluster import ALL, in_turn, one_of_each_method


@dataclass(frozen=True)
class Test:
    nodeid: str
    methods: tuple[str, ...] = ()
    fixturenames: tuple[str, ...] = ("manager_without_environment",)

    __test__ = False

    def iter_markers(self, name: str) -> Iterator[Any]:
        assert name == "method"
        yield from (pytest.mark.method(method).mark for method in self.methods)


def all_tested(*, but: str = "") -> list[Any]:
    return [Test(f"test_{name}", (name,)) for name in ALL if name != but]


def test_one_test_of_each_method_is_chosen_and_of_its_parameters_the_first():
    every: list[Any] = [*all_tested(but="queue_get"), Test("test_get[1]", ("queue_get",)), Test("test_unmarked")]
    chosen = one_of_each_method([*every, Test("test_get[2]", ("queue_get",))])
    assert chosen == every[:-1]


def test_a_method_without_a_test_is_told():
    with pytest.raises(pytest.UsageError, match=r"no test stands for .*: \['queue_get'\]"):
        one_of_each_method(all_tested(but="queue_get"))


def test_a_name_that_is_no_method_is_told():
    with pytest.raises(pytest.UsageError, match=r"no methods: \['queue_gets'\]"):
        one_of_each_method([*all_tested(), Test("test_x", ("queue_gets",))])


def test_two_tests_of_a_method_are_told():
    with pytest.raises(pytest.UsageError, match="Two tests stand for the method queue_get"):
        one_of_each_method([*all_tested(), Test("test_x", ("queue_get",))])


def test_the_environment_is_closed_once_and_the_manager_ends_last():
    opened = ("manager_with_environment",)
    tests: list[Any] = [
        Test("ends", ("manager_stop",), ("start_manager",)),
        Test("destroys", ("environment_destroy",), opened),
        Test("opens", ("environment_open",)),
        Test("without"),
        Test("closes", ("environment_close",), opened),
        Test("with", (), opened),
    ]
    assert [test.nodeid for test in in_turn(tests)] == ["with", "closes", "without", "opens", "destroys", "ends"]
