"""Saying the same thing not more often than somebody can read it."""

from __future__ import annotations


class LogLimit:
    """Lets one line pass in each `period` (seconds) and counts the others."""

    def __init__(self, period: float = 10.0) -> None:
        self._period = period
        self._next = float("-inf")
        self._suppressed = 0

    def passes(self, now: float) -> bool:
        """Whether a line may be written at `now`."""
        if now < self._next:
            self._suppressed += 1
            return False
        self._next = now + self._period
        return True

    def others(self) -> str:
        """What to add to the line that passes: how many did not since the last one."""
        count, self._suppressed = self._suppressed, 0
        return f" ({count} more of this kind since the last such line)" if count else ""
