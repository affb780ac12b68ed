"""What can go wrong between the operator and the API server."""

from __future__ import annotations

import json
from typing import Any

UNREACHABLE = 0
"""Status of a request that had no answer."""

_UNPROCESSABLE = 422
_NOT_TYPED = "failed to create typed patch object"
"""What a server-side apply is answered, with the status 500, when a field is unknown or of another type."""


class ApiError(Exception):
    """A request that the API server refused or did not answer; the message is a sentence."""

    def __init__(self, status: int, message: str, *, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0: no answer."""
        self.reason = reason
        """Machine-readable reason of the API server, for example AlreadyExists."""
        self.retry_after = retry_after
        """Seconds that the API server asked to wait."""

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed in a moment."""
        return self.status in (UNREACHABLE, 408, 429) or self.status >= 500

    @property
    def namespace_ending(self) -> bool:
        """Whether nothing can be created because the namespace is being deleted."""
        return self.status == 403 and "is being terminated" in str(self)

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409


def refusal(status: int, body: str | None, retry_after: str | None, what: str) -> ApiError:
    """The error for an answer; `what` says what was tried, for example "apply Service beamlines/q"."""
    answer = _status_object(body)
    message = str(answer.get("message") or f"HTTP status {status}")
    return ApiError(
        _UNPROCESSABLE if message.startswith(_NOT_TYPED) else status,
        f"{what}: {message}",
        reason=str(answer.get("reason") or ""),
        retry_after=_seconds(retry_after),
    )


def unanswered(error: BaseException, what: str) -> ApiError:
    """The error for a request without an answer."""
    detail = str(error) or type(error).__name__
    return ApiError(UNREACHABLE, f"{what}: the API server did not answer ({detail})", reason="Unreachable")


def _status_object(body: str | None) -> dict[str, Any]:
    try:
        parsed = json.loads(body or "")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
