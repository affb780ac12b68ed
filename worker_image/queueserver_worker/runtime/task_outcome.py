"""How a task ended, as its result tells it (zmq-api 4.4). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from queueserver_worker.runtime.outcome import error_text, error_traceback

MAX_RESULT = 16 * 2**20
"""Bytes of a return value as JSON text."""

_MAX_NESTING = 90
"""Levels of lists and mappings in a return value; replies to clients have a few more."""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """`success`, `msg`, `traceback` and `return_value` of a result."""

    success: bool
    msg: str = ""
    traceback: str = ""
    return_value: bytes = b"null"
    """JSON text."""


def script_failed(error: BaseException) -> TaskOutcome:
    """A script raised. The misspelt word is what clients look for."""
    text = f"Failed to execute stript: {error_text(error)}"
    return _failed("Load script", text, f"{error_traceback(error)}\n{text}")


def lists_failed(error: BaseException) -> TaskOutcome:
    """A script ran, but what it left cannot be described."""
    return _failed("Load script", error_text(error), error_traceback(error))


def function_failed(error: BaseException) -> TaskOutcome:
    """A function raised, or could not be called."""
    return _failed("Execute function", error_text(error), error_traceback(error))


def returned(value: object) -> TaskOutcome:
    """A function returned; the task has failed when the value is none that JSON can express."""
    try:
        text = json.dumps(value, separators=(",", ":")).encode("ascii")
    except Exception as error:  # objects of the user may raise anything when they are looked at
        return _failed("Execute function", f"The return value cannot be expressed in JSON: {error_text(error)}")
    if len(text) > MAX_RESULT:
        limit = f"{MAX_RESULT // 2**20} MiB"
        return _failed("Execute function", f"The return value has {len(text)} bytes as JSON; the limit is {limit}.")
    if _nesting(text) > _MAX_NESTING:
        problem = f"The return value is nested more than {_MAX_NESTING} levels deep."
        return _failed("Execute function", problem)
    return TaskOutcome(True, return_value=text)


def interrupted(why: str) -> TaskOutcome:
    """The task was brought to its end from outside; `why` is a sentence."""
    return TaskOutcome(False, why)


def _failed(what: str, text: str, traceback: str = "") -> TaskOutcome:
    return TaskOutcome(False, f"Error occurred while executing '{what}': {text}", traceback)


def _nesting(text: bytes) -> int:
    """Levels of lists and mappings in a JSON text."""
    if text.count(b"[") + text.count(b"{") <= _MAX_NESTING:
        return 0
    deepest = level = 0
    within = escaped = False
    for byte in text:
        if within:
            within = escaped or byte != 0x22
            escaped = not escaped and byte == 0x5C
        elif byte == 0x22:
            within = True
        elif byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest
