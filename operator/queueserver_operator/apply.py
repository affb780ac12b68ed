"""Carry out a plan: chain by chain, each in its order, the failure of one chain touching no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from queueserver_operator import lock
from queueserver_operator.api_error import ApiError
from queueserver_operator.family import Family
from queueserver_operator.keys import with_fresh_keys, with_fresh_texts
from queueserver_operator.kinds import LEASE, POD, SECRET, Kind, kind_named, kind_of
from queueserver_operator.kubernetes_api import Body, KubernetesApi
from queueserver_operator.lookups import Lookups
from queueserver_operator.model import (
    Action,
    AddFinalizer,
    ApplyObject,
    Chain,
    CreateKeys,
    CreateOnly,
    DeleteObject,
    Manifest,
    OpenGate,
    PatchStatus,
    Plan,
    PostEvent,
    Ref,
    ReleaseLease,
    RemoveFinalizer,
    TakeLease,
)
from queueserver_operator.names import FINALIZER, HASH_ANNOTATION
from queueserver_operator.observed import Refusal
from queueserver_operator.reading import elements, text, texts
from queueserver_operator.store import Store

EventPoster = Callable[[PostEvent], None]

_REFUSED = (400, 403, 404, 405, 413, 422)
"""The same request will be refused again until something else changes. 404: the namespace of the object is missing."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """What came of a plan."""

    writes: int = 0
    """Changes that the API server accepted."""
    held: set[tuple[str, str]] = field(default_factory=set)
    """Namespace and name of locks that somebody else has."""
    released: set[tuple[str, str]] = field(default_factory=set)
    """Namespace and name of locks that are free now."""
    failures: list[ApiError] = field(default_factory=list)
    namespace_ending: bool = False
    """Nothing can be created any more; soon the QueueServer will be deleted like everything else."""
    refused: int = 0
    """Objects that were refused and had not been refused in the same words before."""


class Applier:
    """Carries out plans and tells the store what came of it.

    Remembers for each family what the API server refused, so that the next decision can say it in a condition.
    """

    def __init__(self, api: KubernetesApi, store: Store, lookups: Lookups, post: EventPoster) -> None:
        self._api = api
        self._store = store
        self._lookups = lookups
        self._post = post
        self._refusals: dict[Family, dict[tuple[str, str], Refusal]] = {}

    def refusals(self, family: Family) -> tuple[Refusal, ...]:
        """What the API server refused to write for a family, until the same object is accepted."""
        return tuple(self._refusals.get(family, {}).values())

    def forget(self, family: Family) -> None:
        """The family is gone."""
        self._refusals.pop(family, None)

    async def carry_out(self, family: Family, plan: Plan) -> Outcome:
        """Carry out all chains; never raises for a request that failed, see `Outcome.failures`."""
        outcome = Outcome()
        for chain in plan.chains:
            await self._carry_out_chain(family, chain, outcome)
        return outcome

    async def _carry_out_chain(self, family: Family, chain: Chain, outcome: Outcome) -> None:
        for action in chain:
            try:
                if not await self._carry_out_action(action, outcome):
                    return
            except ApiError as error:
                if error.namespace_ending:
                    outcome.namespace_ending = True
                    return
                outcome.refused += self._note_failure(family, action, error)
                outcome.failures.append(error)
                return
            self._note_success(family, action)

    async def _carry_out_action(self, action: Action, outcome: Outcome) -> bool:
        """Returns whether the rest of the chain may follow."""
        match action:
            case ApplyObject(manifest):
                self._take_note(manifest, await self._api.apply(manifest), outcome)
            case CreateOnly(manifest):
                await self._create(manifest, outcome)
            case CreateKeys(manifest, texts_of):
                fresh = with_fresh_texts(manifest, texts_of) if texts_of else with_fresh_keys(manifest)
                await self._create(fresh, outcome)
            case DeleteObject():
                await self._delete(action, outcome)
            case OpenGate(ref, uid):
                await self._open_gate(ref, uid, outcome)
            case TakeLease(manifest):
                return await self._take_lease(manifest, outcome)
            case ReleaseLease(ref, uid, resource_version):
                await self._release_lease(ref, uid, resource_version, outcome)
            case PatchStatus(ref, status):
                await self.write_status(ref, status)
                outcome.writes += 1
            case PostEvent():
                self._post(action)
            case AddFinalizer(ref):
                await self._change_finalizers(ref, _with_ours)
                outcome.writes += 1
            case RemoveFinalizer(ref):
                await self._change_finalizers(ref, _without_ours)
                outcome.writes += 1
        return True

    async def _change_finalizers(self, ref: Ref, change: Callable[[Iterable[str]], list[str]]) -> None:
        # Read first and written with the version that was read: finalizers of others are never lost.
        kind = kind_named(ref.kind)
        body = await self._api.get(kind, ref.namespace, ref.name)
        if body is None:
            return
        present = texts(body, "metadata", "finalizers")
        wanted = change(present)
        if set(wanted) == set(present):
            return
        version = text(body, "metadata", "resourceVersion")
        change_of_metadata = {"metadata": {"finalizers": wanted, "resourceVersion": version}}
        try:
            answer = await self._api.merge(kind, ref.namespace, ref.name, change_of_metadata)
        except ApiError as error:
            if error.not_found:
                return
            raise
        self._store.put(kind, answer)

    async def _create(self, manifest: Manifest, outcome: Outcome) -> None:
        answer = await self._api.create(manifest)
        if answer is not None:
            self._take_note(manifest, answer, outcome)
            return
        kind, metadata = kind_of(manifest), manifest["metadata"]
        present = await self._api.get(kind, metadata["namespace"], metadata["name"])
        if present is not None:
            self._see(kind, present)

    async def _delete(self, action: DeleteObject, outcome: Outcome) -> None:
        kind, ref = kind_named(action.ref.kind), action.ref
        answer = await self._api.delete(kind, ref.namespace, ref.name, uid=action.uid, orphan=action.orphan)
        outcome.writes += 1
        if kind is SECRET:
            self._lookups.forget(kind, ref.namespace, ref.name)
        elif answer is not None:
            self._store.put(kind, answer)
        elif action.uid and kind is not POD:  # a pod's end is told by its watch, with how its containers ended
            self._store.remove(action.uid)

    async def _open_gate(self, ref: Ref, uid: str, outcome: Outcome) -> None:
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "remove", "path": "/spec/schedulingGates"},
        ]
        try:
            answer = await self._api.json_patch(POD, ref.namespace, ref.name, operations)
        except ApiError as error:
            if error.not_found or await self._gate_is_open(ref, uid):
                return
            raise error from None
        self._store.put(POD, answer)
        outcome.writes += 1

    async def _gate_is_open(self, ref: Ref, uid: str) -> bool:
        body = await self._api.get(POD, ref.namespace, ref.name)
        if body is None or text(body, "metadata", "uid") != uid:
            return True
        self._store.put(POD, body)
        return not elements(body, "spec", "schedulingGates")

    async def _take_lease(self, manifest: Manifest, outcome: Outcome) -> bool:
        result = await lock.take(self._api, manifest)
        metadata = manifest["metadata"]
        if isinstance(result, lock.Taken):
            self._store.put(LEASE, result.lease)
            outcome.writes += 1
            return True
        if result.lease is not None:
            self._store.put(LEASE, result.lease)
        outcome.held.add((metadata["namespace"], metadata["name"]))
        return False

    async def _release_lease(self, ref: Ref, uid: str, resource_version: str, outcome: Outcome) -> None:
        await lock.release(self._api, ref.namespace, ref.name, uid, resource_version)
        present = await self._api.get(LEASE, ref.namespace, ref.name)
        outcome.writes += 1
        if present is None or text(present, "metadata", "uid") != uid:
            self._store.remove(uid)
            outcome.released.add((ref.namespace, ref.name))
        if present is not None:
            self._store.put(LEASE, present)

    async def write_status(self, ref: Ref, status: Manifest) -> None:
        """Make this the operator's part of the status of an object."""
        kind = kind_named(ref.kind)
        metadata = {"namespace": ref.namespace, "name": ref.name}
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "status": dict(status)}
        try:
            answer = await self._api.apply(manifest, "status")
        except ApiError as error:
            if error.not_found:
                return
            raise
        self._store.put(kind, answer)

    def _take_note(self, manifest: Manifest, answer: Body, outcome: Outcome) -> None:
        self._see(kind_of(manifest), answer, written=True)
        outcome.writes += 1

    def _see(self, kind: Kind, body: Body, *, written: bool = False) -> None:
        if kind is SECRET:
            self._lookups.take_note_of_secret(body)
        else:
            self._store.put(kind, body, written=written)

    def _note_failure(self, family: Family, action: Action, error: ApiError) -> bool:
        """Returns whether there is a new refusal to be told of."""
        logger.log(logging.WARNING if error.passing else logging.ERROR, "%s", error)
        manifest = _manifest(action)
        if manifest is None or error.status not in _REFUSED:
            return False
        kind, name = kind_of(manifest), text(manifest, "metadata", "name")
        refusal = Refusal(
            kind=kind.name,
            name=name,
            manifest_hash=text(manifest, "metadata", "annotations", HASH_ANNOTATION),
            code=error.status,
            message=str(error),
            at=time.time(),
        )
        refusals = self._refusals.setdefault(family, {})
        before = refusals.get((kind.name, name))
        refusals[kind.name, name] = refusal
        return before is None or (before.manifest_hash, before.message) != (refusal.manifest_hash, refusal.message)

    def _note_success(self, family: Family, action: Action) -> None:
        manifest = _manifest(action)
        if manifest is not None:
            self._refusals.get(family, {}).pop((kind_of(manifest).name, text(manifest, "metadata", "name")), None)


def _without_ours(finalizers: Iterable[str]) -> list[str]:
    return [one for one in finalizers if one != FINALIZER]


def _with_ours(finalizers: Iterable[str]) -> list[str]:
    return [*_without_ours(finalizers), FINALIZER]


def _manifest(action: Action) -> Manifest | None:
    match action:
        case ApplyObject(manifest) | CreateOnly(manifest) | CreateKeys(manifest) | TakeLease(manifest):
            return manifest
        case _:
            return None
