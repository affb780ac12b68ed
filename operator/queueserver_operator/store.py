"""What the operator knows of the cluster: one small entry per object, kept by family.

Four sources feed it: the lists and watches of kopf, the answers to the operator's own writes (so that the next decision
sees them although the watch is slower), the audit, and reads of single objects. An older version never replaces a
newer one, and an object that was seen to be deleted does not come back.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from queueserver_operator import observed, views
from queueserver_operator.family import Family, family_of
from queueserver_operator.kinds import ENVIRONMENT, LEASE, POD, QUEUE_SERVER, STATEFUL_SET, VOLUME_CLAIM, Kind
from queueserver_operator.reading import integer, mapping, text

_REMEMBERED_DELETIONS = 5000

_UNINTERESTING = ("managedFields", "selfLink")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as it was seen last."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    version: int
    """resourceVersion; the API server counts them upwards."""
    generation: int
    """0 where the kind counts none."""
    family: Family | None
    view: Any
    """One of `observed`, or the body of a QueueServer."""

    @property
    def mark(self) -> int:
        """Changes when somebody changes what was applied; status changes do not count where that can be told."""
        return self.generation or self.version


class Store:
    """Entries by family and kind. Not a copy of the cluster: bodies are not kept, except those of QueueServers."""

    def __init__(self) -> None:
        self._families: dict[Family, dict[tuple[Kind, str, str], Entry]] = {}
        self._strays: dict[tuple[Kind, str, str], Entry] = {}
        self._places: dict[str, tuple[Family | None, tuple[Kind, str, str]]] = {}
        self._deleted: OrderedDict[str, float] = OrderedDict()
        self._written: dict[str, int] = {}
        self._gone_pods: dict[Family, dict[str, observed.Pod]] = {}

    def put(self, kind: Kind, body: Mapping[str, Any], *, written: bool = False) -> bool:
        """Take note of an object; `written`: this is the API server's answer to our own write of it.

        Returns whether something is new.
        """
        entry = _entry(kind, body)
        if not entry.uid or entry.uid in self._deleted:
            return False
        if written:
            self._written[entry.uid] = entry.mark
        known = self.by_uid(entry.uid)
        if known is not None and known.version >= entry.version:
            return False
        key = (kind, entry.namespace, entry.name)
        if known is not None and known.family != entry.family:
            self._take_out(entry.uid)
        shelf = self._strays if entry.family is None else self._families.setdefault(entry.family, {})
        replaced = shelf.get(key)
        if replaced is not None and replaced.uid != entry.uid:
            self.remove(replaced.uid)
            shelf = self._strays if entry.family is None else self._families.setdefault(entry.family, {})
        shelf[key] = entry
        self._places[entry.uid] = (entry.family, key)
        return True

    def remove(self, uid: str, last: Mapping[str, Any] | None = None) -> Entry | None:
        """Forget a deleted object. The last sight of a worker's pod is kept, see `gone_pods`.

        Args:
            uid: Of the object.
            last: Its body in the event of its deletion, if there was one.
        """
        self._deleted[uid] = time.monotonic()
        while len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        self._written.pop(uid, None)
        entry = self._take_out(uid)
        if entry is not None and entry.kind is POD and entry.family is not None and entry.view.environment:
            pod = replace(entry.view, gone=True) if last is None else views.pod(last, gone=True)
            self._gone_pods.setdefault(entry.family, {})[pod.environment] = pod
        return entry

    def by_uid(self, uid: str) -> Entry | None:
        place = self._places.get(uid)
        if place is None:
            return None
        family, key = place
        return self._strays.get(key) if family is None else self._families.get(family, {}).get(key)

    def knows(self, uid: str, version: int) -> bool:
        """Whether the object was seen in this version or a later one, or seen to be deleted."""
        entry = self.by_uid(uid)
        return uid in self._deleted if entry is None else entry.version >= version

    def members(self, family: Family) -> tuple[Entry, ...]:
        """All objects of a family."""
        return tuple(self._families.get(family, {}).values())

    def find(self, family: Family, kind: Kind, name: str) -> Entry | None:
        """An object of a family in its own namespace."""
        return self._families.get(family, {}).get((kind, family.namespace, name))

    def lease(self, namespace: str, name: str) -> Entry | None:
        """The lock of an instrument, whoever holds it."""
        key = (LEASE, namespace, name)
        shelves = (self._strays, *self._families.values())
        return next((shelf[key] for shelf in shelves if key in shelf), None)

    def families(self) -> tuple[Family, ...]:
        return tuple(self._families)

    def of_kind(self, kind: Kind) -> Iterator[Entry]:
        """All objects of a kind."""
        for shelf in (self._strays, *list(self._families.values())):
            for entry in list(shelf.values()):
                if entry.kind is kind:
                    yield entry

    def drifted(self, entry: Entry) -> bool:
        """Whether somebody changed the object since this operator applied it; False when it has not applied it yet."""
        return self._written.get(entry.uid, entry.mark) != entry.mark

    def gone_pods(self, family: Family) -> tuple[observed.Pod, ...]:
        """The last sight of workers' pods that are gone, while their environment or its lock exists."""
        gone = self._gone_pods.get(family, {})
        for environment in [name for name in gone if not self._matters(family, name)]:
            del gone[environment]
        if not gone:
            self._gone_pods.pop(family, None)
        return tuple(gone.values())

    def _matters(self, family: Family, environment: str) -> bool:
        if self.find(family, ENVIRONMENT, environment) is not None:
            return True
        holder = f"{family.namespace}/{environment}/"
        return any(entry.kind is LEASE and entry.view.holder.startswith(holder) for entry in self.members(family))

    def _take_out(self, uid: str) -> Entry | None:
        family, key = self._places.pop(uid, (None, None))
        if key is None:
            return None
        if family is None:
            return self._strays.pop(key, None)
        shelf = self._families.get(family, {})
        entry = shelf.pop(key, None)
        if not shelf:
            self._families.pop(family, None)
        return entry


def _entry(kind: Kind, body: Mapping[str, Any]) -> Entry:
    version = text(body, "metadata", "resourceVersion")
    return Entry(
        kind=kind,
        namespace=text(body, "metadata", "namespace"),
        name=text(body, "metadata", "name"),
        uid=text(body, "metadata", "uid"),
        version=int(version) if version.isdecimal() else 0,
        generation=integer(body, "metadata", "generation"),
        family=family_of(kind, body),
        view=_view(kind, body),
    )


def _view(kind: Kind, body: Mapping[str, Any]) -> Any:
    # Items of a list do not tell their kind, and metadata-only ones tell a wrong one.
    named = {**body, "apiVersion": kind.api_version, "kind": kind.name}
    if kind is QUEUE_SERVER:
        return _without_bookkeeping(named)
    if kind is ENVIRONMENT:
        return views.environment(named)
    if kind is POD:
        return views.pod(named)
    if kind is STATEFUL_SET:
        return views.stateful_set(named)
    if kind is VOLUME_CLAIM:
        return views.claim(named)
    if kind is LEASE:
        return views.lease(named)
    return views.child(named)


def _without_bookkeeping(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in mapping(body, "metadata").items() if key not in _UNINTERESTING}
    if annotations := mapping(metadata, "annotations"):
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    return {**body, "metadata": metadata}
