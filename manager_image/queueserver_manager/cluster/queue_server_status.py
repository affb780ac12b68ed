"""The manager's part of its QueueServer's status: `status.queue` and `status.state`.

Applied on change, the first change at once and then at most once in `PERIOD`, except that news of the worker's link are
not kept back; nothing is written when nothing changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from queueserver_common import loggers
from queueserver_common.cluster import API_VERSION, QUEUE_SERVER_KIND, QUEUE_SERVER_PLURAL
from queueserver_manager.cluster.api_server import ApiRefusedError, ApiServer, ApiUnreachableError

_log = logging.getLogger(loggers.CLUSTER)

PERIOD = 5.0
"""Seconds between two writes."""

FIELD_MANAGER = "queueserver-manager"
_LONGEST_DELAY = 60.0
_GATHER = 0.02
"""Seconds for which changes of one moment are gathered."""

_LINKS = {"attached": "connected", "silent": "silent", "connecting": "none", "none": "none"}
_URGENT = ("link", "environmentName", "redisConnected")
"""Fields of the state on which others act: a lost worker is to be seen within seconds."""

Part = dict[str, dict[str, Any]]


def part_of_status(status: Mapping[str, Any], running_name: str, last_exit_status: str, environment_name: str) -> Part:
    """`status.queue` and `status.state` from a manager's status (zmq-api 3) and what it does not show. Pure."""
    return {
        "queue": {
            "items": status["items_in_queue"],
            "running": running_name,
            "runningUid": status["running_item_uid"] or "",
            "lastExitStatus": last_exit_status,
        },
        "state": {
            "manager": status["manager_state"],
            "environment": status["worker_environment_state"],
            "re": status["re_state"] or "",
            "link": _LINKS[status["worker_link"]],
            "environmentName": environment_name,
            "redisConnected": status["store"] == "connected",
        },
    }


class QueueServerStatus:
    """Applies the part that `compose` gives whenever it changed; `changed` is called when it may have."""

    def __init__(self, api: ApiServer, namespace: str, queue_server: str, compose: Callable[[], Part]) -> None:
        self._api = api
        self._name = queue_server
        self._path = f"/apis/{API_VERSION}/namespaces/{namespace}/{QUEUE_SERVER_PLURAL}/{queue_server}/status"
        self._compose = compose
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._written: Part | None = None
        self._next = 0.0
        """Loop's time before which nothing is written but what is urgent."""
        self._delay = PERIOD
        self._trouble = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, with what is true now."""
        self._changed.set()
        self._task = self._loop.create_task(self._run(), name="QueueServer status")

    def changed(self) -> None:
        """The manager's status may have changed; cheap."""
        self._changed.set()

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_GATHER)
            self._changed.clear()
            part = self._compose()
            if part == self._written:
                continue
            early = self._next - self._loop.time()
            if early > 0 and not self._is_urgent(part):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(early):
                        await self._changed.wait()
                self._changed.set()
            elif not await self._write(part):
                await asyncio.sleep(self._delay)
                self._delay = min(2 * self._delay, _LONGEST_DELAY)
                self._changed.set()

    def _is_urgent(self, part: Part) -> bool:
        return self._written is None or any(part["state"][key] != self._written["state"][key] for key in _URGENT)

    async def _write(self, part: Part) -> bool:
        body = {"apiVersion": API_VERSION, "kind": QUEUE_SERVER_KIND, "metadata": {"name": self._name}, "status": part}
        try:
            await self._api.request(
                "PATCH", self._path, params={"fieldManager": FIELD_MANAGER, "force": "true"}, body=body
            )
        except (ApiRefusedError, ApiUnreachableError) as error:
            if not self._trouble:
                _log.warning("The status of the QueueServer '%s' cannot be written: %s", self._name, error)
            self._trouble = True
            return False
        self._written, self._trouble, self._delay = part, False, PERIOD
        self._next = self._loop.time() + PERIOD
        return True
