"""The ports that a manager takes when nobody chose others: one test at a time."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def default_ports() -> Iterator[None]:
    """Nobody else who asks has the default ports meanwhile, in any process of any run of tests on this machine."""
    with (Path(tempfile.gettempdir()) / "queueserver-tests-default-ports").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
