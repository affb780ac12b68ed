"""A small HTTP server for the kubelet's probes; the truth, not more.

`/healthz`: the event loop answers, which is all that a restart could mend. Redis being away is told in the text and is
no reason to end a manager. `/readyz`: requests are answered and can be carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable

from queueserver_manager.settings.errors import SettingsError

_MOST_HEADERS = 100
_READ_TIMEOUT = 5.0
"""Seconds in which a request has to arrive."""

_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}

Problem = Callable[[], str]
"""Why the answer is no, a sentence; empty when it is yes."""


class HealthServer:
    """Answers GET and HEAD of `/healthz` and `/readyz`."""

    def __init__(self, unready: Problem, remark: Problem) -> None:
        """`unready`: why requests cannot be carried out. `remark`: what is wrong and no reason for a restart."""
        self._unready = unready
        self._remark = remark
        self._server: asyncio.Server | None = None
        self.port = 0
        """The port that it listens on, from `start` on."""

    async def start(self, host: str, port: int) -> None:
        """Listen; raises `SettingsError` when the address cannot be used."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port)
        except OSError as error:
            reason = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise SettingsError(
                f"The health server cannot listen on {host}:{port}: {reason}; give another 'kubernetes/health_addr'."
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def answer(self, method: str, path: str) -> tuple[int, str]:
        """Status and text for a request."""
        if method not in ("GET", "HEAD"):
            return 405, "Only GET is answered."
        match path.partition("?")[0]:
            case "/healthz":
                return 200, self._remark() or "ok"
            case "/readyz":
                problem = self._unready()
                return (503, problem) if problem else (200, "ok")
            case _:
                return 404, "There are /healthz and /readyz."

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                status, text, method = await self._handle(reader)
            body = text.encode() + b"\n"
            head = (
                f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + (b"" if method == "HEAD" else body))
            await writer.drain()
        except (OSError, TimeoutError):
            pass  # the client has gone, or says nothing
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader) -> tuple[int, str, str]:
        try:
            request = (await reader.readline()).decode("ascii", "replace").split()
            for _ in range(_MOST_HEADERS):
                if not (await reader.readline()).strip():
                    break
        except ValueError:  # a line longer than the reader's limit
            request = []
        if len(request) != 3:
            return 400, "This is not an HTTP request.", ""
        method, path, _ = request
        return *self.answer(method, path), method
