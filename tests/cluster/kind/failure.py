from __future__ import annotations


class CannotContinue(Exception):
    """A step is impossible or failed; the text says what is wrong and what would be right."""
