"""Wait for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Return as soon as the condition holds; fail with `what` in the message when it does not within `seconds`."""
    end = time.monotonic() + seconds
    pause = 0.05
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(pause)
        pause = min(1.2 * pause, 0.5)  # a look may cost more than what is looked at
