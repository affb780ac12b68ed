"""Post Kubernetes Events about our objects, on purpose only, one after the other and beside the reconciliation."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from queueserver_operator.api_error import ApiError
from queueserver_operator.kinds import kind_named
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.model import FIELD_MANAGER, PostEvent

_LONGEST_MESSAGE = 1024
_MOST_WAITING = 500

logger = logging.getLogger(__name__)


class EventPoster:
    """Takes Events and posts them while `run` runs; one that fails is logged and dropped."""

    def __init__(self, api: KubernetesApi, instance: str) -> None:
        self._api = api
        self._instance = instance
        self._waiting: asyncio.Queue[PostEvent] = asyncio.Queue(_MOST_WAITING)

    def post(self, event: PostEvent) -> None:
        """Post soon."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            logger.warning("too many Events wait to be posted; dropped: %s %s", event.ref, event.reason)

    async def run(self) -> None:
        """Post for ever."""
        while True:
            event = await self._waiting.get()
            try:
                await self._api.create(manifest(event, self._instance, time.time()))
            except ApiError as error:
                level = logging.DEBUG if error.namespace_ending else logging.WARNING
                logger.log(level, "an Event could not be posted: %s", error)


def manifest(event: PostEvent, instance: str, now: float) -> dict[str, Any]:
    """The Event as the API takes it; `now` in seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": event.ref.namespace, "name": f"{event.ref.name}.{int(now * 1e6):x}"},
        "involvedObject": {
            "apiVersion": kind_named(event.ref.kind).api_version,
            "kind": event.ref.kind,
            "namespace": event.ref.namespace,
            "name": event.ref.name,
            "uid": event.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "action": event.reason,
        "message": _shortened(event.message),
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": instance,
        "firstTimestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastTimestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "count": 1,
    }


def _shortened(message: str) -> str:
    if len(message) <= _LONGEST_MESSAGE:
        return message
    half = _LONGEST_MESSAGE // 2 - 3
    return f"{message[:half]} ... {message[-half:]}"
