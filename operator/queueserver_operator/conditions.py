"""Conditions as kstatus reads them: `Ready`, `Reconciling`, `Stalled`, and our own while they are true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_operator.reading import condition, elements, text, timestamp

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
ROLLOUT_PENDING = "RolloutPending"
UNREACHABLE = "Unreachable"
DRAIN_BLOCKED = "DrainBlocked"
KEY_ROTATION_PENDING = "KeyRotationPending"
HTTP_UNAVAILABLE = "HttpUnavailable"

_LONGEST_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is as it is."""

    reason: str
    """In one CamelCase word."""
    message: str
    """In a sentence."""


@dataclass(frozen=True, slots=True)
class Trouble(Cause):
    """Why something does not work."""

    stalled: bool = True
    """It does not go on without a person (or the end of a deadline); False: it may well go on by itself."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition."""

    type: str
    status: bool
    cause: Cause


def standard(ready: bool, cause: Cause) -> list[Condition]:
    """The three conditions of kstatus for one state: ready, stalled with its trouble, or else on its way."""
    stalled = not ready and isinstance(cause, Trouble) and cause.stalled
    return [
        Condition(READY, ready, cause),
        Condition(RECONCILING, not ready and not stalled, cause),
        Condition(STALLED, stalled, cause),
    ]


def written(
    conditions: Iterable[Condition], resource: Mapping[str, Any], generation: int, now: float
) -> list[dict[str, Any]]:
    """The conditions as they go into a status; the time of the last transition is kept while the status is the same."""
    before = {text(one, "type"): one for one in elements(resource, "status", "conditions")}
    found = []
    for one in conditions:
        status = "True" if one.status else "False"
        known = before.get(one.type, {})
        unchanged = text(known, "status") == status and text(known, "lastTransitionTime")
        found.append(
            {
                "type": one.type,
                "status": status,
                "reason": one.cause.reason,
                "message": one.cause.message[:_LONGEST_MESSAGE],
                "lastTransitionTime": text(known, "lastTransitionTime") if unchanged else timestamp(now),
                "observedGeneration": generation,
            }
        )
    return found


def over_in_order(cause: Cause) -> list[Condition]:
    """The three conditions of kstatus for what is over and was in order: neither ready nor on its way nor stalled."""
    return [Condition(kind, False, cause) for kind in (READY, RECONCILING, STALLED)]


def steady(cause: Cause, resource: Mapping[str, Any]) -> Cause:
    """Keep a trouble that comes and goes, like the attempts to pull an image, as it was once it counts as stalled."""
    if not isinstance(cause, Trouble) or cause.stalled:
        return cause
    before = condition(resource, STALLED)
    if text(before, "status") != "True" or text(before, "reason") != cause.reason:
        return cause
    return Trouble(cause.reason, text(before, "message"))


def told(resource: Mapping[str, Any], kind: str, cause: Cause) -> bool:
    """Whether a condition is true for this reason already."""
    before = condition(resource, kind)
    return text(before, "status") == "True" and text(before, "reason") == cause.reason


def differs(wanted: Mapping[str, Any], found: Mapping[str, Any], *, apart: Iterable[str] = ()) -> bool:
    """Whether a status has to be written: the order of conditions says nothing, `apart` are parts of other owners."""
    return _comparable(wanted, apart) != _comparable(found, apart)


def _comparable(status: Mapping[str, Any], apart: Iterable[str]) -> dict[str, Any]:
    kept = {key: value for key, value in status.items() if key not in apart}
    return {**kept, "conditions": sorted(elements(status, "conditions"), key=lambda one: text(one, "type"))}
