"""Threads of the worker itself: an error in one of them ends the process instead of leaving it half alive."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable

from queueserver_worker.runtime.exit_codes import ExitCode

STDERR = 2


def start_thread(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread; an exception that leaves `target` is written to descriptor 2 and ends the process."""

    def run() -> None:
        try:
            target()
        except BaseException:
            crash(f"thread '{name}'")

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def crash(where: str) -> None:
    """Write the exception in hand to the original standard error and end the process at once."""
    text = f"Internal error of the worker in {where}; the worker ends.\n{traceback.format_exc()}"
    try:
        os.write(STDERR, text.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(ExitCode.INTERNAL_ERROR)
