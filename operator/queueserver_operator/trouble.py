"""The status of a QueueServer on which the operator itself failed: everything as it was, and that it stands still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queueserver_operator.reading import condition, elements, mapping, text, timestamp

REASON = "OperatorError"

_OF_THE_MANAGER = ("queue", "state")
"""Parts of the status with another owner."""


def troubled(body: Mapping[str, Any], message: str) -> bool:
    """Whether the status says this already."""
    stalled = condition(body, "Stalled")
    return text(stalled, "status") == "True" and text(stalled, "message") == message


def trouble_status(body: Mapping[str, Any], message: str, now: float) -> dict[str, Any]:
    """The operator's part of the status with `Ready=False` and `Stalled=True` for this reason."""
    status = {key: value for key, value in mapping(body, "status").items() if key not in _OF_THE_MANAGER}
    kept = [one for one in elements(body, "status", "conditions") if text(one, "type") not in ("Ready", "Stalled")]
    changed = [_condition(body, kind, value, message, now) for kind, value in (("Ready", "False"), ("Stalled", "True"))]
    return {**status, "conditions": [*kept, *changed]}


def _condition(body: Mapping[str, Any], kind: str, value: str, message: str, now: float) -> dict[str, Any]:
    before = condition(body, kind)
    since = text(before, "lastTransitionTime") if text(before, "status") == value else ""
    return {
        "type": kind,
        "status": value,
        "reason": REASON,
        "message": message,
        "lastTransitionTime": since or timestamp(now),
    }
