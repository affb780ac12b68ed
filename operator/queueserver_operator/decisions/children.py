"""The objects of a QueueServer that are applied: those that are missing or differ, and none that is as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from queueserver_common.cluster import manager_name
from queueserver_operator import names
from queueserver_operator.build import access, manager, manager_config, network, small
from queueserver_operator.build.parts import hashed
from queueserver_operator.conditions import Trouble
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.http_server import (
    belongs_to_http,
    http_creations,
    http_held_back,
    wanted_http_objects,
)
from queueserver_operator.decisions.keys import own_secrets
from queueserver_operator.model import ApplyObject, Chain, CreateOnly, DeleteObject, Manifest, Ref
from queueserver_operator.observed import Pod
from queueserver_operator.reading import text

REFUSAL_PAUSE = 30.0
"""Seconds after which an object that the API server refused is tried again as it is."""

_REMOVED_WHEN_UNWANTED = ("NetworkPolicy", "PodDisruptionBudget", "ServiceAccount")


def child_chains(context: Context, replicas: int) -> tuple[Chain, ...]:
    """All children but Secrets with keys and the StatefulSet; `replicas` of the manager."""
    wanted = [*_wanted(context), *wanted_http_objects(context, replicas)]
    held = http_held_back(context)
    chains: list[Chain] = [
        chain for manifest in wanted if manifest["kind"] not in held and (chain := _applied(context, manifest))
    ]
    client = _client_secret(context)
    spec = context.spec
    if spec.environment.home.made_by_operator and names.home_claim(spec.name) not in context.observed.claims:
        chains.append((CreateOnly(small.home_claim(spec)),))
    return (*chains, *http_creations(context), *client, *_unwanted(context, wanted))


def stateful_set_chain(context: Context, replicas: int) -> Chain:
    """The StatefulSet, once the keys that it mounts are there."""
    control = context.control_secret
    if control is None or not control.public_key or not context.link_keys:
        return ()
    manifest = hashed(wanted_stateful_set(context, replicas))
    found = context.observed.stateful_set
    if found is None:
        return _unless_refused(context, manifest)
    if found.child.deleting:
        return ()
    if found.immutable_hash != manager.immutable_hash(manifest):
        ref = Ref("StatefulSet", context.spec.namespace, found.child.name)
        return (DeleteObject(ref, found.child.uid, orphan=True),)
    if found.child.applied_hash == _hash(manifest) and not found.child.drifted:
        return ()
    return _unless_refused(context, manifest)


def wanted_stateful_set(context: Context, replicas: int) -> dict[str, Any]:
    """The StatefulSet as it should be."""
    control = context.control_secret
    return manager.stateful_set(
        context.spec,
        context.options,
        replicas=replicas,
        control_key=control.public_key if control else "",
        link_keys=manager_link_keys(context),
    )


def manager_link_keys(context: Context) -> str:
    """The keys of the link that the manager is to have: the old ones as long as a worker has them."""
    pod = context.observed.manager_pod
    if key_rotation_waits(context) and pod is not None:
        return pod.link_keys
    return context.link_keys


def key_rotation_waits(context: Context) -> bool:
    """The keys of the link have changed while a worker lives that was made with the old ones."""
    return link_keys_changed(context) and any(_may_run(pod) for pod in context.observed.worker_pods)


def _may_run(pod: Pod) -> bool:
    """Not one that has ended and is kept for its log."""
    container = pod.container(names.WORKER_CONTAINER)
    return not pod.gone and (container is None or container.phase != "terminated")


def link_keys_changed(context: Context) -> bool:
    """The manager runs with other keys of the link than the Secrets hold now."""
    pod = context.observed.manager_pod
    return pod is not None and not pod.gone and pod.link_keys not in ("", context.link_keys)


def refused_child(context: Context) -> Trouble | None:
    """An object of the QueueServer that the API server refuses; not one that is not wanted any more."""
    wanted = _own_objects(context)
    for refusal in context.observed.refusals:
        if (refusal.kind, refusal.name) in wanted:
            message = f"The API server refuses {refusal.kind} {refusal.name}: {refusal.message}"
            return Trouble("ObjectRefused", message)
    return None


def _own_objects(context: Context) -> set[tuple[str, str]]:
    """Kind and name of all that there is to be, but for the HTTP server and the environments."""
    spec = context.spec
    found = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in _wanted(context)}
    found |= {("Secret", name) for name in (*own_secrets(spec), names.client_secret(spec.name))}
    if spec.environment.home.made_by_operator:
        found.add(("PersistentVolumeClaim", names.home_claim(spec.name)))
    return found | {("StatefulSet", manager_name(spec.name))}


def _wanted(context: Context) -> Iterator[dict[str, Any]]:
    spec = context.spec
    yield from access.service_accounts(spec)
    yield access.role(spec)
    yield access.role_binding(spec)
    yield manager_config.config_map(spec)
    yield from network.services(spec)
    yield from network.network_policies(spec)
    if context.report.in_hand and any(not pod.gone for pod in context.observed.worker_pods):
        yield small.disruption_budget(spec)


def _applied(context: Context, manifest: Manifest) -> Chain:
    manifest = hashed(manifest)
    found = context.observed.children.get((manifest["kind"], manifest["metadata"]["name"]))
    if found is not None and (found.deleting or (found.applied_hash == _hash(manifest) and not found.drifted)):
        return ()
    return _unless_refused(context, manifest)


def _client_secret(context: Context) -> tuple[Chain, ...]:
    """What clients need; it follows the control key."""
    control = context.control_secret
    if control is None or not control.public_key:
        return ()
    manifest = hashed(small.client_secret(context.spec, control.public_key))
    found = context.observed.secrets.get(names.client_secret(context.spec.name))
    if found is not None and (found.deleting or found.applied_hash == _hash(manifest)):
        return ()
    chain = _unless_refused(context, manifest)
    return (chain,) if chain else ()


def _unwanted(context: Context, wanted: list[dict[str, Any]]) -> Iterator[Chain]:
    kept = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
    for (kind, name), child in sorted(context.observed.children.items()):
        goes = kind in _REMOVED_WHEN_UNWANTED or belongs_to_http(context.spec.name, kind, name)
        if goes and (kind, name) not in kept and not child.deleting:
            yield (DeleteObject(Ref(kind, context.spec.namespace, name), child.uid),)


def _unless_refused(context: Context, manifest: Mapping[str, Any]) -> Chain:
    """What was refused is tried again as it is after a while only; something may have changed that is not seen here."""
    refusal = context.observed.refusal(manifest["kind"], manifest["metadata"]["name"])
    same = refusal is not None and refusal.manifest_hash == _hash(manifest)
    if refusal is not None and same and context.now - refusal.at < REFUSAL_PAUSE:
        return ()
    return (ApplyObject(manifest),)


def _hash(manifest: Mapping[str, Any]) -> str:
    return text(manifest, "metadata", "annotations", names.HASH_ANNOTATION)
