"""One line of JSON for each request: who, what, how long. Never queries, headers or bodies, which hold secrets."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson
from starlette.types import Scope

from queueserver_http import loggers
from queueserver_http.access.principal import Principal

_LONGEST_PATH = 200

_log = logging.getLogger(loggers.ACCESS)


class AccessLog:
    """Writes to the logger `bluesky_httpserver.access`; nothing at all when it is switched off."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled

    def write(self, scope: Scope, status: int, seconds: float, size: int) -> None:
        """Log one request that was answered."""
        if not self._enabled:
            return
        client = scope.get("client")
        principal: Principal | None = scope.get("state", {}).get("principal")
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client[0] if client else "unknown",
            "user": principal.name if principal else None,
            "method": scope["method"],
            "path": scope["path"][:_LONGEST_PATH],
            "status": status,
            "ms": round(seconds * 1000, 1),
            "bytes": size,
        }
        try:
            _log.info(orjson.dumps(line).decode())
        except orjson.JSONEncodeError:  # a path that is no text
            line["path"] = repr(line["path"])
            _log.info(orjson.dumps(line).decode())
