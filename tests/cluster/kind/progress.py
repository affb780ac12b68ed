"""What a person sees during steps that take seconds to minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

REMINDER = 60.0
"""Seconds after which a step that is still running says so, again and again."""


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


@contextmanager
def step(what: str, usually: str) -> Iterator[None]:
    """Say what is being done and how long it usually takes, remind of it each minute, and tell how long it took."""
    say(f"{what} (usually {usually}) ...")
    started = time.monotonic()
    ended = threading.Event()

    def remind() -> None:
        while not ended.wait(REMINDER):
            say(f"  still: {what}, {time.monotonic() - started:.0f} s so far")

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        ended.set()
        reminder.join()
    say(f"  done in {time.monotonic() - started:.0f} s")
