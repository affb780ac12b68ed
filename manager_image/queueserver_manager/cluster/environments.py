"""The WorkerEnvironments of one QueueServer at the API server: make and delete them, as often as it takes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx

from queueserver_common import loggers
from queueserver_common.cluster import (
    API_VERSION,
    ENVIRONMENT_KIND,
    ENVIRONMENT_PLURAL,
    QUEUE_SERVER_KIND,
    QUEUE_SERVER_LABEL,
    QUEUE_SERVER_PLURAL,
)
from queueserver_manager.cluster.api_server import ApiRefusedError, ApiServer, ApiUnreachableError
from queueserver_manager.cluster.object_watch import FIRST_DELAY, LONGEST_DELAY
from queueserver_manager.cluster.views import MANAGER_MADE_ANNOTATION, EnvironmentView, environment_view

_log = logging.getLogger(loggers.CLUSTER)


class Environments:
    """Requests about WorkerEnvironments; each is repeated while the API server is away or busy."""

    def __init__(self, api: ApiServer, namespace: str, queue_server: str) -> None:
        self._api = api
        self._queue_server = queue_server
        self._owner_path = f"/apis/{API_VERSION}/namespaces/{namespace}/{QUEUE_SERVER_PLURAL}/{queue_server}"
        self.path = f"/apis/{API_VERSION}/namespaces/{namespace}/{ENVIRONMENT_PLURAL}"
        """Of the collection."""
        self._owner_uid = ""
        self._deletions: dict[str, asyncio.Task[None]] = {}

    async def create(self, name: str, opening_id: str) -> EnvironmentView:
        """Make the object of an opening; one that is there already is as good. Raises `ApiRefusedError`.

        Goes on until it is answered: the caller sets the deadline.
        """
        delay = FIRST_DELAY
        while True:
            try:
                return await self._create_once(name, opening_id)
            except ApiUnreachableError as error:
                _log.warning("%s; the environment is opened when it answers.", str(error).rstrip("."))
            except ApiRefusedError as error:
                if not error.passes:
                    raise
                _log.warning("The Kubernetes API server is busy (%s); it is asked again.", error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    def delete(self, name: str, uid: str) -> None:
        """Delete an object in the background; `uid` is empty when it is not known."""
        if name not in self._deletions:
            task = asyncio.get_running_loop().create_task(self._delete(name, uid), name=f"delete {name}")
            self._deletions[name] = task
            task.add_done_callback(lambda _: self._deletions.pop(name, None))

    async def close(self) -> None:
        """Stop; deletions that were not answered are the next manager's."""
        if tasks := list(self._deletions.values()):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _create_once(self, name: str, opening_id: str) -> EnvironmentView:
        if not self._owner_uid:
            owner = await self._api.request("GET", self._owner_path)
            self._owner_uid = owner["metadata"]["uid"]
        try:
            return environment_view(await self._api.request("POST", self.path, body=self._manifest(name, opening_id)))
        except ApiRefusedError as error:
            if error.status != httpx.codes.CONFLICT or error.reason != "AlreadyExists":
                raise
        found = environment_view(await self._api.request("GET", f"{self.path}/{name}"))
        if found.opening_id != opening_id:
            raise ApiRefusedError(httpx.codes.CONFLICT, "AlreadyExists", f"'{name}' belongs to another opening")
        return found

    def _manifest(self, name: str, opening_id: str) -> dict[str, Any]:
        return {
            "apiVersion": API_VERSION,
            "kind": ENVIRONMENT_KIND,
            "metadata": {
                "name": name,
                "labels": {QUEUE_SERVER_LABEL: self._queue_server},
                "annotations": {MANAGER_MADE_ANNOTATION: "true"},
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": QUEUE_SERVER_KIND,
                        "name": self._queue_server,
                        "uid": self._owner_uid,
                        "controller": True,
                    }
                ],
            },
            "spec": {"queueServerRef": {"name": self._queue_server}, "openingId": opening_id},
        }

    async def _delete(self, name: str, uid: str) -> None:
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        delay = FIRST_DELAY
        while True:
            try:
                await self._api.request("DELETE", f"{self.path}/{name}", body=body)
                return
            except ApiRefusedError as error:
                if error.status in (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT):
                    return  # it is gone; another one of its name is not meant
                _log.warning("The WorkerEnvironment '%s' cannot be deleted: %s", name, error)
            except ApiUnreachableError as error:
                _log.warning("%s; the WorkerEnvironment '%s' is deleted later.", str(error).rstrip("."), name)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
