"""Connections that ask for nothing: a client has a limited time for the head of a request, and there is a limit of all.

What a connection costs before there is a request is no matter of the application, so uvicorn's protocol is extended.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_FULL = b'{"detail":"The server has too many connections."}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\n%b"
) % (len(_FULL), _FULL)


def limited(head_timeout: float, connections: int) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol with `head_timeout` seconds for the head of a request and so many connections at once."""

    class LimitedProtocol(HttpToolsProtocol):
        _head_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > connections:
                transport.write(_REFUSAL)
                transport.close()
            else:
                self._await_head()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._head_due is None:
                self._await_head()

        def on_headers_complete(self) -> None:
            self._head_came()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            super().connection_lost(exc)

        def _await_head(self) -> None:
            # A transport that is closed says so by connection_lost; one whose peer reads nothing has to be aborted.
            self._head_due = asyncio.get_running_loop().call_later(head_timeout, self.transport.abort)

        def _head_came(self) -> None:
            if self._head_due is not None:
                self._head_due.cancel()
                self._head_due = None

    return LimitedProtocol


def websocket_protocol(*arguments: Any, **named: Any) -> asyncio.Protocol:
    """Uvicorn's protocol of a websocket, imported with the first one: it takes a megabyte."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    return WebSocketsSansIOProtocol(*arguments, **named)
