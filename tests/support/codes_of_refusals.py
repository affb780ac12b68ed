"""Replies in the form of the published manager, without the `code` that ours adds to each refusal."""

from __future__ import annotations

from typing import Any

from queueserver_manager.core.refusal import Code


def without_codes(reply: Any) -> Any:
    """The reply without codes; each refusal in it must have a known one, and nothing else may have any."""
    for part in (reply, *(reply.get("results") or ())):
        if part.get("success") is False:
            assert part.pop("code") in Code.__members__.values(), reply
        else:
            assert "code" not in part, reply
    return reply
