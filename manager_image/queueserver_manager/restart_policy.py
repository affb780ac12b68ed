"""What the supervisor does when the manager process has ended. Decides only; imports next to nothing.

A manager that has told that it is up (its first beat) and then ends unexpectedly has crashed: it is started again at
once. One that ends with an error before the very first beat could not start: its exit code and its sentence are the
answer to the person at the terminal.
"""

from __future__ import annotations

import signal

from queueserver_manager import exit_codes

MAX_RESTARTS = 5
"""Restarts within `RESTART_WINDOW` after which the next crash is the last."""

RESTART_WINDOW = 60.0
"""Seconds."""

RETRY_DELAY = 1.0
"""Seconds before the next start when a manager that was started again ended before it was up."""

BEAT_PERIOD = 0.5
"""Seconds between two beats of the manager."""

SILENT_AFTER = 3.0
"""Seconds without a beat after which a manager counts as hung and is killed."""

HELD_UP_AFTER = 1.0
"""Seconds by which a supervisor that was itself held up wakes too late."""


class Restart:
    """Start the manager again after `delay` seconds; `sentence` tells why."""

    def __init__(self, delay: float, sentence: str) -> None:
        self.delay = delay
        self.sentence = sentence


class Leave:
    """End the supervisor with `code`; `sentence` tells why, empty when there is nothing to tell."""

    def __init__(self, code: int, sentence: str = "") -> None:
        self.code = code
        self.sentence = sentence


class RestartPolicy:
    """Remembers what happened to the managers of one supervisor and decides what happens next."""

    def __init__(self) -> None:
        self.restarts = 0
        """Restarts so far."""
        self._was_up = False
        self._recent: list[float] = []

    def decide(self, code: int, *, up: bool, hung: bool, stopped_by: int, now: float) -> Restart | Leave:
        """What to do after the manager's end.

        `code` is its exit code, or minus the number of the signal that killed it. `up`: it had beaten. `hung`: the
        supervisor killed it because it was silent. `stopped_by`: the signal that asked the supervisor to end, or 0.
        """
        first_start = not self._was_up and self.restarts == 0
        self._was_up = self._was_up or up
        if stopped_by:
            return Leave(code_after_signal(stopped_by))
        if code in exit_codes.FINAL or (code > 0 and first_start and not up):
            return Leave(code)
        how = "did not react any more and was killed" if hung else _how_it_ended(code)
        self._recent = [time for time in self._recent if now - time < RESTART_WINDOW]
        if len(self._recent) >= MAX_RESTARTS:
            return Leave(
                exit_codes.GAVE_UP,
                f"The manager {how}. It was started again {MAX_RESTARTS} times within a minute, so this is the end; "
                "the messages above tell the cause. A running worker goes on and is found by the next start.",
            )
        self._recent.append(now)
        self.restarts += 1
        return Restart(0.0 if up else RETRY_DELAY, f"The manager {how}; it is started again.")


def code_after_signal(number: int) -> int:
    """Exit code of a supervisor that a signal ended: Ctrl-C counts as an orderly end, others do not (cli 2)."""
    return exit_codes.STOPPED if number == signal.SIGINT else exit_codes.TERMINATED


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def hangs(silent_since: float, now: float) -> bool:
    """Tell whether a manager hangs whose time for a beat was over at `silent_since`.

    Not when the supervisor looks late: then it was itself held up, as in a suspended machine, and so was the manager.
    """
    return 0 <= now - silent_since < HELD_UP_AFTER
