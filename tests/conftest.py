"""What holds for all tests."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

# Started in the background of a shell, this process ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same with nohup and the end of a terminal; a handler is not inherited.
signal.signal(signal.SIGHUP, lambda *_: None)

# How long an example takes says how much else the machine has to do.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--in-cluster",
        action="store_true",
        help="with tests/contract: one test of each method, against a manager in the cluster of `make cluster-up`",
    )
