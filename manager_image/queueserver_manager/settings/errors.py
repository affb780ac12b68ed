"""What can be wrong with settings, and what is merely worth telling."""

from __future__ import annotations

from dataclasses import dataclass


class SettingsError(Exception):
    """The manager cannot start with these settings; the text is one or more sentences for the user (exit code 1)."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A remark on the settings for the log; the manager starts all the same."""

    level: int
    """Level of the standard library's `logging`."""
    text: str
