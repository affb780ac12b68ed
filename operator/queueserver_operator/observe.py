"""Put together what there is of a family: from the store, and from reads of what is not watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from queueserver_common.cluster import http_name, manager_name
from queueserver_operator import names, observed
from queueserver_operator.family import Family
from queueserver_operator.http_spec import http_of
from queueserver_operator.kinds import (
    ENVIRONMENT,
    LEASE,
    POD,
    QUEUE_SERVER,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Kind,
)
from queueserver_operator.kubernetes_api import KubernetesApi
from queueserver_operator.lookups import Lookups
from queueserver_operator.reading import text
from queueserver_operator.references import References, references
from queueserver_operator.spec import QueueServerSpec
from queueserver_operator.store import Entry, Store

_QUIET_AGE = 600.0
"""Seconds for which a ConfigMap, claim or Secret of somebody else is not read again while nothing is being opened."""

_OPENING_AGE = 2.0
_NODE_AGE = 5.0
_WARNINGS_AGE = 3.0

_OUR_SECRETS = (names.control_secret, names.link_server_secret, names.link_worker_secret, names.client_secret)

_NOTHING = References(frozenset(), frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Sight:
    """An observation, and when to look again although no watch will tell."""

    observed: observed.Observed
    look_again: float | None
    """Seconds; None: watches tell of everything that matters now."""


class Observer:
    """Makes `Observed` of a family."""

    def __init__(
        self,
        api: KubernetesApi,
        store: Store,
        lookups: Lookups,
        refusals: Callable[[Family], tuple[observed.Refusal, ...]],
        lock_namespace: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._store = store
        self._lookups = lookups
        self._refusals = refusals
        self._lock_namespace = lock_namespace
        self._clock = clock
        self._uids: dict[Family, str] = {}
        self._waiting: dict[Family, set[tuple[str, str]]] = {}

    def _note_waiting(self, family: Family, leases: Iterable[observed.Lease], waits: bool) -> None:
        others = {(lease.namespace, lease.name) for lease in leases if lease.queue_server != str(family)}
        if others and waits:
            self._waiting[family] = others
        else:
            self._waiting.pop(family, None)

    def waiting_for(self, locks: set[tuple[str, str]]) -> tuple[Family, ...]:
        """The families that wait for one of these locks."""
        return tuple(family for family, waited in self._waiting.items() if waited & locks)

    def queue_server(self, family: Family) -> Mapping[str, Any] | None:
        """The QueueServer as it was seen last."""
        entry = self._store.find(family, QUEUE_SERVER, family.name)
        return None if entry is None else entry.view

    async def observe(self, family: Family) -> Sight:
        """Look at everything of a family; raises ApiError when a read fails."""
        for namespace, name in self._waiting.get(family, ()):
            await self._read_lease(namespace, name)
        entries = self._store.members(family)
        queue_server = self.queue_server(family)
        environments = tuple(_views(entries, ENVIRONMENT))
        pods = tuple(_views(entries, POD))
        opening = any(not _running(pods, one.name) for one in environments) or any(self._stuck(pod) for pod in pods)
        self._note_uid(family, text(queue_server, "metadata", "uid"))
        wanted = _NOTHING if queue_server is None else references(queue_server)
        claims = await self._claims(family, entries, wanted.claims, opening)
        leases = self._leases(family, entries, queue_server)
        self._note_waiting(family, leases, opening)
        gone = self._store.gone_pods(family)
        stateful_set = self._stateful_set(family)
        manager_pod = next((pod for pod in pods if pod.component == names.MANAGER), None)
        http_pods = tuple(pod for pod in pods if pod.component == names.HTTP)
        http_waits = not http_pods and bool(stateful_set and stateful_set.replicas) and self._http_wanted(queue_server)
        owners = (stateful_set.child,) if stateful_set and stateful_set.replicas and manager_pod is None else ()
        nodes = await self._lookups.nodes({pod.node for pod in (*pods, *gone) if pod.node}, max_age=_NODE_AGE)
        seen = observed.Observed(
            namespace=family.namespace,
            name=family.name,
            queue_server=queue_server,
            children=self._children(entries),
            stateful_set=stateful_set,
            manager_pod=manager_pod,
            worker_pods=(*(pod for pod in pods if pod.component == names.WORKER), *gone),
            http_pods=http_pods,
            http_failure=await self._http_failure(family) if http_waits else "",
            environments=environments,
            claims=claims,
            secrets=await self._secrets(family, wanted.secrets, opening),
            config_maps=await self._config_maps(family, wanted.config_maps, opening),
            leases=leases,
            nodes=nodes,
            events=await self._warnings(family, pods, claims, owners),
            refusals=self._refusals(family),
        )
        return Sight(seen, self._look_again(seen, wanted, waits=bool(owners) or http_waits))

    def _note_uid(self, family: Family, uid: str) -> None:
        # What was read for an earlier QueueServer of this name may have been deleted with it.
        if self._uids.get(family, "") != uid:
            self._lookups.forget_namespace(family.namespace)
        if uid:
            self._uids[family] = uid
        else:
            self._uids.pop(family, None)

    def _children(self, entries: Iterable[Entry]) -> dict[tuple[str, str], observed.Child]:
        apart = (QUEUE_SERVER, ENVIRONMENT, POD, STATEFUL_SET, VOLUME_CLAIM, LEASE)
        return {
            (entry.kind.name, entry.name): replace(entry.view, drifted=self._store.drifted(entry))
            for entry in entries
            if entry.kind not in apart
        }

    def _stateful_set(self, family: Family) -> observed.StatefulSet | None:
        entry = self._store.find(family, STATEFUL_SET, manager_name(family.name))
        if entry is None:
            return None
        view: observed.StatefulSet = entry.view
        return replace(view, child=replace(view.child, drifted=self._store.drifted(entry)))

    async def _claims(
        self, family: Family, entries: Iterable[Entry], named: Iterable[str], opening: bool
    ) -> dict[str, observed.Claim]:
        found: dict[str, observed.Claim] = {claim.name: claim for claim in _views(entries, VOLUME_CLAIM)}
        for name in sorted(set(named) - found.keys()):
            claim = await self._lookups.claim(family.namespace, name, max_age=_age(opening))
            if claim is not None:
                found[name] = claim
        return found

    async def _secrets(self, family: Family, named: Iterable[str], opening: bool) -> dict[str, observed.Secret]:
        found = {}
        for name in sorted({*(name(family.name) for name in _OUR_SECRETS), *named}):
            secret = await self._lookups.secret(family.namespace, name, max_age=_age(opening))
            if secret is not None:
                found[name] = secret
        return found

    async def _config_maps(self, family: Family, named: Iterable[str], opening: bool) -> dict[str, observed.ConfigMap]:
        found = {}
        for name in sorted(named):
            config_map = await self._lookups.config_map(family.namespace, name, max_age=_age(opening))
            if config_map is not None:
                found[name] = config_map
        return found

    def _leases(
        self, family: Family, entries: Iterable[Entry], queue_server: Mapping[str, Any] | None
    ) -> tuple[observed.Lease, ...]:
        found: list[observed.Lease] = list(_views(entries, LEASE))
        if queue_server is not None:
            name = names.lease(QueueServerSpec.parse(queue_server).instrument)
            entry = self._store.lease(self._lock_namespace or family.namespace, name)
            if entry is not None and all(lease.uid != entry.uid for lease in found):
                found.append(entry.view)
        return tuple(found)

    async def _read_lease(self, namespace: str, name: str) -> None:
        body = await self._api.get(LEASE, namespace, name)
        known = self._store.lease(namespace, name)
        if known is not None and (body is None or body["metadata"]["uid"] != known.uid):
            self._store.remove(known.uid)
        if body is not None:
            self._store.put(LEASE, body)

    async def _warnings(
        self,
        family: Family,
        pods: Iterable[observed.Pod],
        claims: dict[str, observed.Claim],
        owners: Iterable[observed.Child],
    ) -> tuple[observed.PodEvent, ...]:
        troubled = [(pod.name, pod.uid) for pod in pods if self._stuck(pod)]
        if troubled:
            troubled += [(claim.name, claim.uid) for claim in claims.values() if claim.phase == "Pending" and claim.uid]
        troubled += [(owner.name, owner.uid) for owner in owners]
        found: list[observed.PodEvent] = []
        for name, uid in troubled:
            found += await self._lookups.warnings(family.namespace, name, uid, max_age=_WARNINGS_AGE)
        return tuple(found)

    @staticmethod
    def _http_wanted(queue_server: Mapping[str, Any] | None) -> bool:
        return queue_server is not None and http_of(QueueServerSpec.parse(queue_server)) is not None

    async def _http_failure(self, family: Family) -> str:
        return await self._lookups.replica_failure(family.namespace, http_name(family.name), max_age=_WARNINGS_AGE)

    def _stuck(self, pod: observed.Pod) -> bool:
        """Whether a pod waits for so long that somebody should be told why; most are running after two seconds."""
        return pod.phase == "Pending" and not pod.gated and self._clock() - pod.created_at > 2.0

    def _look_again(self, seen: observed.Observed, wanted: References, *, waits: bool) -> float | None:
        pods = [
            pod for pod in (seen.manager_pod, *seen.worker_pods, *seen.http_pods) if pod is not None and not pod.gone
        ]
        pauses = []
        if waits or any(pod.phase == "Pending" for pod in pods):
            pauses.append(_WARNINGS_AGE)
        if any(node is None or not node.ready or node.unschedulable for node in seen.nodes.values()):
            pauses.append(_NODE_AGE)
        absent = (
            wanted.secrets - seen.secrets.keys(),
            wanted.config_maps - seen.config_maps.keys(),
            wanted.claims - seen.claims.keys(),
        )
        if any(absent) or self._waiting.get(Family(seen.namespace, seen.name)):
            pauses.append(5.0)
        return min(pauses, default=None)


def _views(entries: Iterable[Entry], kind: Kind) -> list:  # type: ignore[type-arg] # of the kind's view
    return [entry.view for entry in sorted(entries, key=lambda one: one.name) if entry.kind is kind]


def _running(pods: Iterable[observed.Pod], environment: str) -> bool:
    return any(pod.environment == environment and pod.phase != "Pending" for pod in pods)


def _age(opening: bool) -> float:
    return _OPENING_AGE if opening else _QUIET_AGE
