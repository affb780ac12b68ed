"""Reads of single objects that are not watched: remembered for a while, so that many decisions cost few requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from queueserver_operator import observed, views
from queueserver_operator.api_error import ApiError
from queueserver_operator.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, NODE, SECRET, VOLUME_CLAIM, Kind
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.reading import text

View = TypeVar("View")

_ABSENT_FOR = 5.0
"""Seconds after which an absent object is looked for again: somebody may be about to create it."""

_MAX_REMEMBERED = 5000


@dataclass(frozen=True, slots=True)
class _Memory:
    read_at: float
    view: Any


class Lookups:
    """Answers from memory while they are fresh enough, else from the API server.

    Only views are remembered; no value of a Secret except a public key.
    """

    def __init__(self, api: KubernetesApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._memory: dict[tuple[Kind, str, str], _Memory] = {}

    async def secret(self, namespace: str, name: str, *, max_age: float) -> observed.Secret | None:
        """A Secret of ours or of somebody else."""
        return await self._look(SECRET, namespace, name, views.secret, max_age)

    def take_note_of_secret(self, body: Mapping[str, Any]) -> None:
        """The operator has just written or read this Secret."""
        key = (SECRET, text(body, "metadata", "namespace"), text(body, "metadata", "name"))
        self._remember(key, _Memory(self._clock(), views.secret(body)))

    async def config_map(self, namespace: str, name: str, *, max_age: float) -> observed.ConfigMap | None:
        """A ConfigMap that somebody else made."""
        return await self._look(CONFIG_MAP, namespace, name, views.config_map, max_age)

    async def claim(self, namespace: str, name: str, *, max_age: float) -> observed.Claim | None:
        """A claim that somebody else made."""
        return await self._look(VOLUME_CLAIM, namespace, name, views.claim, max_age)

    async def replica_failure(self, namespace: str, name: str, *, max_age: float) -> str:
        """Why the pods of a Deployment cannot be made; empty when they can."""
        return await self._look(DEPLOYMENT, namespace, name, views.replica_failure, max_age) or ""

    async def nodes(self, names: set[str], *, max_age: float) -> dict[str, observed.Node | None]:
        """Nodes by name; None: there is no such node. Those that the operator may not read are left out.

        What proves the death of a worker is never taken from memory: a node may have come back under its name.
        """
        found: dict[str, observed.Node | None] = {}
        for name in sorted(names):
            try:
                node = await self._look(NODE, "", name, views.node, max_age)
                if node is None or node.out_of_service:
                    node = await self._look(NODE, "", name, views.node, 0.0)
                found[name] = node
            except ApiError as error:
                if error.status != 403:
                    raise
        return found

    async def warnings(self, namespace: str, name: str, uid: str, *, max_age: float) -> tuple[observed.PodEvent, ...]:
        """What is told of an object that somebody may have to know, the latest first.

        Warnings, and that a node is coming; nothing when the operator may not read Events.
        """
        key = (EVENT, namespace, uid)
        known = self._memory.get(key)
        if known is not None and self._clock() - known.read_at < max_age:
            return tuple(known.view)
        fields = f"involvedObject.name={name},involvedObject.uid={uid}"
        try:
            bodies = [body async for body in self._api.list(EVENT, namespace, fields=fields)]
        except ApiError as error:
            if error.status != 403:
                raise
            bodies = []
        found = [views.pod_event(body) for body in bodies if _tells_something(body)]
        found.sort(key=lambda event: -event.last_seen)
        self._remember(key, _Memory(self._clock(), tuple(found)))
        return tuple(found)

    def forget_namespace(self, namespace: str) -> None:
        """Read everything of a namespace anew: something in it has been made anew."""
        for key in [key for key in self._memory if key[1] == namespace]:
            del self._memory[key]

    def forget(self, kind: Kind, namespace: str, name: str) -> None:
        """Read it anew at the next look."""
        self._memory.pop((kind, namespace, name), None)

    async def _look(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        view: Callable[[Mapping[str, Any]], View],
        max_age: float,
    ) -> View | None:
        key = (kind, namespace, name)
        known = self._memory.get(key)
        if known is not None and self._fresh(known, max_age):
            return known.view  # type: ignore[no-any-return] # what was stored under this kind
        body = await self._api.get(kind, namespace, name)
        found = None if body is None else view(body)
        self._remember(key, _Memory(self._clock(), found))
        return found

    def _fresh(self, known: _Memory, max_age: float) -> bool:
        limit = min(_ABSENT_FOR, max_age) if known.view is None else max_age
        return self._clock() - known.read_at < limit

    def _remember(self, key: tuple[Kind, str, str], memory: _Memory) -> None:
        if len(self._memory) >= _MAX_REMEMBERED:
            oldest = sorted(self._memory, key=lambda one: self._memory[one].read_at)[: _MAX_REMEMBERED // 2]
            for one in oldest:
                del self._memory[one]
        self._memory[key] = memory


def _tells_something(event: Mapping[str, Any]) -> bool:
    return text(event, "type") == "Warning" or text(event, "reason") in observed.NODE_IS_COMING
