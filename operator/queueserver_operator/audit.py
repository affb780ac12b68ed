"""Compare what the operator believes with what the API server says, kind by kind, from time to time.

Three things come of it: kinds that are not watched are learned of; objects whose deletion no watch has told (one that
began anew after a gap tells none) are forgotten; and a watch that has fallen silent is found out, which makes the
liveness probe fail. Only reads, and mostly of metadata.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from queueserver_common.cluster import QUEUE_SERVER_LABEL
from queueserver_operator.api_error import ApiError
from queueserver_operator.family import Family
from queueserver_operator.kinds import AUDITED, ENVIRONMENT, LEASE, QUEUE_SERVER, WATCHED, Kind
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.metrics import AUDIT_FINDINGS
from queueserver_operator.names import MANAGED_BY, MANAGED_BY_LABEL
from queueserver_operator.reading import text
from queueserver_operator.store import Store

_INTERVAL = 60.0
"""Seconds between two looks at everything."""

_WATCH_DELAY = 10.0
"""Seconds that a watch may take to tell what a list has told."""

logger = logging.getLogger(__name__)


class Audit:
    """Looks through all kinds; `behind` tells which watch has missed something."""

    def __init__(
        self,
        api: KubernetesApi,
        store: Store,
        wake: Callable[[Family], None],
        scopes: tuple[str, ...],
        lock_scopes: tuple[str, ...],
        *,
        interval: float = _INTERVAL,
        watch_delay: float = _WATCH_DELAY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._store = store
        self._wake = wake
        self._scopes = scopes
        self._lock_scopes = lock_scopes
        self._interval = interval
        self._watch_delay = watch_delay
        self._clock = clock
        self._behind: dict[Kind, float] = {}

    def behind(self) -> dict[str, float]:
        """Names of the kinds whose watch has missed something, and for how many seconds that has been known."""
        now = self._clock()
        return {kind.name: now - since for kind, since in self._behind.items()}

    async def learn(self) -> None:
        """Look through everything that is not watched; raises ApiError."""
        for kind in AUDITED:
            await self._learn(kind, self._scopes, labels=QUEUE_SERVER_LABEL, metadata_only=True)
        await self._learn(LEASE, self._lock_scopes, labels=f"{MANAGED_BY_LABEL}={MANAGED_BY}", metadata_only=False)

    async def learn_completely(self) -> bool:
        """Learn what is not watched; returns whether the watches have told everything else too. Raises ApiError."""
        await self.learn()
        for kind in WATCHED:
            listed, _ = await self._compare(kind)
            if self._late(listed):
                return False
        return True

    async def run(self) -> None:
        """Look through everything again and again, for ever."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.learn()
                for kind in WATCHED:
                    await self.verify(kind)
            except ApiError as error:  # not the fault of the watches; they try again by themselves
                logger.warning("the audit could not be finished: %s", error)

    async def verify(self, kind: Kind) -> None:
        """Compare a watched kind; raises ApiError."""
        listed, expected = await self._compare(kind)
        late = self._late(listed)
        if late:
            await asyncio.sleep(self._watch_delay)
            late = self._late({uid: listed[uid] for uid in late})
        if late:
            logger.error("the watch of %s has missed %d objects", kind.plural, len(late))
            AUDIT_FINDINGS.labels(kind.name, "late").inc(len(late))
            self._behind.setdefault(kind, self._clock())
        else:
            self._behind.pop(kind, None)
        self._forget(kind, expected - listed.keys())

    async def _compare(self, kind: Kind) -> tuple[dict[str, int], set[str]]:
        # What is in the store before the list begins and not in the list has been deleted; what came later may not be.
        expected = {entry.uid for entry in self._store.of_kind(kind)}
        labels = "" if kind in (QUEUE_SERVER, ENVIRONMENT) else QUEUE_SERVER_LABEL
        listed: dict[str, int] = {}
        for scope in self._scopes:
            async for body in self._api.list(kind, scope, labels=labels, metadata_only=True):
                version = text(body, "metadata", "resourceVersion")
                listed[text(body, "metadata", "uid")] = int(version) if version.isdecimal() else 0
        return listed, expected

    def _late(self, listed: dict[str, int]) -> list[str]:
        return [uid for uid, version in listed.items() if not self._store.knows(uid, version)]

    async def _learn(self, kind: Kind, scopes: Iterable[str], *, labels: str, metadata_only: bool) -> None:
        expected = {entry.uid for entry in self._store.of_kind(kind)}
        listed = set()
        for scope in scopes:
            async for body in self._api.list(kind, scope, labels=labels, metadata_only=metadata_only):
                uid = text(body, "metadata", "uid")
                listed.add(uid)
                if self._store.put(kind, body):
                    entry = self._store.by_uid(uid)
                    if entry is not None and entry.family is not None:
                        self._wake(entry.family)
        self._forget(kind, expected - listed)

    def _forget(self, kind: Kind, uids: Iterable[str]) -> None:
        for uid in uids:
            entry = self._store.remove(uid)
            if entry is None:
                continue
            AUDIT_FINDINGS.labels(kind.name, "gone").inc()
            family = entry.family
            if family is None:
                continue
            if self._store.find(family, QUEUE_SERVER, family.name) is not None:
                logger.info("%s %s/%s is gone", kind.name, entry.namespace, entry.name)
            self._wake(family)
