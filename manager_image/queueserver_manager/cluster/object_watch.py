"""Keeping track of the objects of one kind: list, then watch from there, for ever.

Only a list tells which objects are gone, and only an answered one: while the API server is away, nothing changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from queueserver_common import loggers
from queueserver_manager.cluster.api_server import ApiRefusedError, ApiServer, ApiUnreachableError

_log = logging.getLogger(loggers.CLUSTER)

FIRST_DELAY = 0.25
LONGEST_DELAY = 5.0
"""Seconds between two attempts to reach the API server, at first and at most."""

_WATCH_SECONDS = 300
"""Length of one watch; afterwards it is continued, with a new connection that a load balancer may place anew."""

OnListed = Callable[[list[Mapping[str, Any]], float], None]
"""All objects, and the loop's time at which they were asked for: what was made later may be missing."""

OnEvent = Callable[[str, Mapping[str, Any]], None]


class _Expired(Exception):
    """The resource version that the watch began at is too old: the objects have to be listed anew."""


class ObjectWatch:
    """Calls `on_listed` with all objects, then `on_event` ("ADDED", "MODIFIED", "DELETED") for every change."""

    def __init__(
        self, api: ApiServer, path: str, selector: Mapping[str, str], on_listed: OnListed, on_event: OnEvent
    ) -> None:
        """`path`: of the collection. `selector`: labels that the objects have, empty for all."""
        self._api = api
        self._path = path
        self._params = {"labelSelector": ",".join(f"{key}={value}" for key, value in selector.items())}
        if not selector:
            self._params = {}
        self._on_listed = on_listed
        self._on_event = on_event
        self._version = ""
        self._trouble = ""
        self._delay = FIRST_DELAY
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"watch {self._path}")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except _Expired:
                self._version = ""
            except ApiRefusedError as error:
                self._version = ""
                self._tell(f"The Kubernetes API server does not show {self._path}: {error}")
            except ApiUnreachableError as error:
                self._tell(str(error))
            except Exception:
                self._version = ""
                _log.exception("What the Kubernetes API server says about %s could not be taken", self._path)
            await asyncio.sleep(self._delay)
            self._delay = min(2 * self._delay, LONGEST_DELAY)

    async def _list(self) -> None:
        asked = asyncio.get_running_loop().time()
        answer = await self._api.request("GET", self._path, params=self._params)
        self._on_listed(answer["items"] or [], asked)
        self._version = answer["metadata"]["resourceVersion"]
        self._answered()

    async def _watch(self) -> None:
        params = {
            **self._params,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        try:
            async for event in self._api.watch(self._path, params):
                kind, item = event["type"], event["object"]
                if kind == "ERROR":
                    self._end(item)
                if kind != "BOOKMARK":
                    self._on_event(kind, item)
                self._version = item["metadata"]["resourceVersion"]
                self._answered()
        except ApiRefusedError as error:
            if error.status == httpx.codes.GONE:
                raise _Expired from None
            raise

    def _end(self, status: Mapping[str, Any]) -> None:
        if status.get("code") == httpx.codes.GONE:
            raise _Expired
        raise ApiRefusedError(int(status.get("code", 0)), str(status.get("reason", "")), str(status.get("message", "")))

    def _tell(self, trouble: str) -> None:
        """Log a trouble when it begins."""
        if not self._trouble:
            _log.warning("%s What is open goes on; the manager tries again.", _sentence(trouble))
        self._trouble = trouble

    def _answered(self) -> None:
        self._delay = FIRST_DELAY
        if self._trouble:
            _log.info("The Kubernetes API server shows %s again.", self._path)
            self._trouble = ""


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
