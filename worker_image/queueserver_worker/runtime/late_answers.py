"""Answers to commands that take their time: found by other threads, sent by the link thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from queueserver_common.link.messages import CommandResult


class LateAnswers:
    """Answers in the order in which they were found; any thread adds, the link thread takes."""

    def __init__(self) -> None:
        self._answers: deque[CommandResult] = deque()
        self._notify: Callable[[], None] = lambda: None

    def on_answer(self, notify: Callable[[], None]) -> None:
        """Call `notify` after every new answer."""
        self._notify = notify

    def add(self, answer: CommandResult) -> None:
        """An answer was found."""
        self._answers.append(answer)
        self._notify()

    def take(self) -> CommandResult | None:
        """The next answer; None when there is none."""
        return self._answers.popleft() if self._answers else None
