"""Python literals written as text: defaults and limits of parameters in plan descriptions.

Source: plans-and-permissions 2.1.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

MAX_LITERAL_LENGTH = 100_000
"""Longest literal that is decoded, in characters."""

_SPECIAL_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class LiteralError(ValueError):
    """A text is not a Python literal."""


def parse_literal(text: object) -> Any:
    """Return the value of a Python literal, or of the float representations ``nan``, ``inf`` and ``-inf``.

    Raises `LiteralError` for everything else. Nothing is ever evaluated.
    """
    if not isinstance(text, str):
        raise LiteralError(f"a Python literal written as a string is expected, not {type(text).__name__!r}")
    stripped = text.strip()
    if stripped in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[stripped]
    if len(stripped) > MAX_LITERAL_LENGTH:
        raise LiteralError(f"a literal of {len(stripped)} characters is too long, the limit is {MAX_LITERAL_LENGTH}")
    try:
        with warnings.catch_warnings():
            # The compiler comments on odd but valid text, such as an unknown escape in a string.
            warnings.simplefilter("ignore")
            return ast.literal_eval(stripped)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as ex:
        shown = text if len(text) <= 100 else f"{text[:100]}…"
        raise LiteralError(f"{shown!r} is not a Python literal such as 1, 'text' or [1, 2]") from ex


def parse_number(text: object) -> int | float:
    """Return the number that *text* spells in Python; raises `LiteralError` when it is not an integer or a float."""
    value = parse_literal(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LiteralError(f"{text!r} is not a number")
    return value
