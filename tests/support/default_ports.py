"""The ports that a manager takes when nobody chose others: one test at a time."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from file_lock import locked


def default_ports() -> AbstractContextManager[None]:
    """Nobody else who asks has the default ports meanwhile, in any process of any run of tests on this machine."""
    return locked(Path(tempfile.gettempdir()) / "queueserver-tests-default-ports")
