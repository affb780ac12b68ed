"""Liveness, readiness and metrics over HTTP, answered from the first second of the process on.

Liveness fails only when a restart would help: a watch that misses changes, or an event loop that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from queueserver_operator.metrics import LOOP_LAG, exposition

_LONGEST_BEHIND = 60.0
_LONGEST_LAG = 5.0
_LAG_INTERVAL = 1.0


class Health:
    """What the probes answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lag = 0.0
        self.waiting_for = "the operator is starting"
        """Why it is not ready, as a sentence; empty: it is."""
        self.behind: Callable[[], dict[str, float]] = dict
        """See `Audit.behind`."""

    def ailments(self) -> list[str]:
        """Sentences that say why the process should be started anew; none when all is well."""
        found = [
            f"the watch of {kind} has missed changes for {seconds:.0f} s"
            for kind, seconds in self.behind().items()
            if seconds > _LONGEST_BEHIND
        ]
        if self._lag > _LONGEST_LAG:
            found.append(f"the event loop was late by {self._lag:.1f} s")
        return found

    async def measure(self) -> None:
        """Measure the delay of the event loop, for ever."""
        while True:
            due = self._clock() + _LAG_INTERVAL
            await asyncio.sleep(_LAG_INTERVAL)
            self._lag = max(0.0, self._clock() - due)
            LOOP_LAG.set(self._lag)

    async def live(self, _: web.Request) -> web.Response:
        """GET /healthz."""
        return _answer(self.ailments())

    async def ready(self, _: web.Request) -> web.Response:
        """GET /readyz."""
        return _answer([*self.ailments(), *([self.waiting_for] if self.waiting_for else [])])


def _answer(reasons: list[str]) -> web.Response:
    return web.json_response({"ok": not reasons, "reasons": reasons}, status=500 if reasons else 200)


def _listener(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # switched off on this node
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=exposition(), content_type="text/plain", charset="utf-8")


@contextlib.asynccontextmanager
async def serving(health: Health, port: int) -> AsyncIterator[int]:
    """Answer on this TCP port of all interfaces; yields the port, which differs from 0 when 0 was given."""
    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", health.live),
            web.get("/readyz", health.ready),
            web.get("/metrics", _metrics),
        ]
    )
    runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        listener = _listener(port)
        await web.SockSite(runner, listener).start()
        yield int(listener.getsockname()[1])
    finally:
        await runner.cleanup()
