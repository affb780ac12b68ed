"""How a worker process ends, told by its exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `python -m queueserver_worker`."""

    IN_ORDER = 0
    """Left in order: asked to leave, left alone, or warm and never used."""
    INTERNAL_ERROR = 1
    """An error of the worker itself, or a clean-up that did not end within its deadline."""
    UNUSABLE_CONFIGURATION = 2
    """The command line or the configuration cannot be used."""
    ENVIRONMENT_FAILED = 3
    """The startup code could not be loaded or the instrument is taken."""
    STALE_INTERPRETER = 75
    """A warm interpreter holds code that has changed on disk since; start a cold one with the same configuration."""
    TERMINATED = 143
    """Told to end by SIGTERM, not by its manager: what was in hand was aborted, the rest left in order."""
