"""Requests of pages of other origins (http-api 1 and 6, `allow_origins`)."""

from __future__ import annotations

from collections.abc import Sequence

from queueserver_http.http import Reply, Request

_METHODS = b"GET, POST, DELETE, HEAD, OPTIONS"
_HEADERS = b"authorization, content-type, x-csrf, x-request-id"
_AN_HOUR = b"3600"


class Cors:
    """Origins are compared as a whole; `*` admits all of them, without cookies."""

    def __init__(self, origins: Sequence[str]) -> None:
        self.origins = frozenset(origins)

    def allows(self, origin: str) -> bool:
        """Whether a page of this origin may read replies."""
        return "*" in self.origins or origin in self.origins

    def headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Headers of a reply to a page of an admitted origin."""
        origin = request.headers.get(b"origin")
        if origin is None or not self.allows(origin.decode("latin-1")):
            return [(b"vary", b"Origin")]
        if "*" in self.origins:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"server-timing")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"server-timing"),
            (b"vary", b"Origin"),
        ]

    def preflight(self, request: Request) -> Reply | None:
        """The reply to a browser that asks before it sends a request; None for any other request."""
        if request.verb != "OPTIONS" or b"access-control-request-method" not in request.headers:
            return None
        headers = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _HEADERS),
            (b"access-control-max-age", _AN_HOUR),
        ]
        origin = request.headers.get(b"origin", b"").decode("latin-1")
        return Reply(b"", 204, headers=headers) if self.allows(origin) else Reply(b"Disallowed CORS origin", 400)
