"""What holds for all tests."""

from __future__ import annotations

import os
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


def pytest_xdist_auto_num_workers() -> int:
    """Two processes for each processor: most tests wait for a server or for a moment more than they compute."""
    return 2 * (os.cpu_count() or 1)
