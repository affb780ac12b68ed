"""The HTTP server: what is applied for it, what goes when it is not wanted any more, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from queueserver_common.cluster import http_name
from queueserver_operator import names
from queueserver_operator.build.http import KEYS, http_claim, http_objects
from queueserver_operator.build.parts import digest
from queueserver_operator.build.small import key_secret
from queueserver_operator.conditions import HTTP_UNAVAILABLE, ROLLOUT_PENDING, Cause, Condition, Trouble
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.pod_trouble import pod_trouble
from queueserver_operator.decisions.state import earliest
from queueserver_operator.http_spec import HttpSpec
from queueserver_operator.model import Chain, CreateKeys, CreateOnly
from queueserver_operator.observed import Pod

KINDS = ("Deployment", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget")
"""Kinds of the objects that go when no HTTP server is wanted any more."""

_DATABASE_PATIENCE = 30.0
"""Seconds that a new server has to reach an external database before it is said that it does not."""


def wanted_http_objects(context: Context, replicas: int) -> Iterator[dict[str, Any]]:
    """The objects of the HTTP server as they should be; `replicas` of the manager: without it none runs."""
    http = context.http
    if http is None:
        return
    servers = http.replicas if replicas else 0
    yield from http_objects(context.spec, http, context.options, replicas=servers, revision=_revision(context, http))


def http_held_back(context: Context) -> tuple[str, ...]:
    """Kinds that are left as they are until the manager's key is known, of which pods are made anew."""
    control = context.control_secret
    return () if control is not None and control.public_key else ("Deployment",)


def http_creations(context: Context) -> Iterator[Chain]:
    """What is made once and never changed: keys and the claim of the database."""
    http, spec = context.http, context.spec
    if http is None:
        return
    if not http.keys_given and http.keys not in context.observed.secrets:
        yield (CreateKeys(key_secret(spec, http.keys), KEYS),)
    claim = http_claim(spec, http)
    if claim is not None and names.http_claim(spec.name) not in context.observed.claims:
        yield (CreateOnly(claim),)


def http_conditions(context: Context) -> tuple[Condition, ...]:
    """What keeps clients from the HTTP server, or a server with new settings from coming; nothing while all is well."""
    trouble = _trouble(context)
    if trouble is None:
        return ()
    if not any(_serves(pod) for pod in _living(context)):
        return (Condition(HTTP_UNAVAILABLE, True, trouble),)
    message = f"The HTTP server runs with earlier settings. {trouble.message}"
    return (Condition(ROLLOUT_PENDING, True, Cause(trouble.reason, message)),)


def http_requeue(context: Context) -> float | None:
    """Seconds after which a server that is not ready yet is looked at again: no watch tells that time has passed."""
    if context.http is None or not context.http.uri_secret:
        return None
    left = [pod.created_at + _DATABASE_PATIENCE - context.now for pod in _living(context) if not _serves(pod)]
    return earliest(*(seconds for seconds in left if seconds > 0))


def belongs_to_http(queue_server: str, kind: str, name: str) -> bool:
    """Whether an object is one of the HTTP server's."""
    return kind in KINDS and name == http_name(queue_server)


def _revision(context: Context, http: HttpSpec) -> str:
    config_map = context.observed.config_maps.get(http.config_map)
    control = context.control_secret
    return digest([config_map.revision if config_map else "", control.public_key if control else ""])


def _trouble(context: Context) -> Trouble | None:
    http, observed = context.http, context.observed
    if http is None:
        return None
    if http.config_map and http.config_map not in observed.config_maps:
        message = f"The ConfigMap {http.config_map}, which spec.http.configuration names, does not exist."
        return Trouble("ConfigurationNotFound", message)
    for name, field in _named_secrets(http):
        if name not in observed.secrets:
            return Trouble("SecretNotFound", f"The Secret {name}, which spec.http.{field} names, does not exist.")
    keys = observed.secrets.get(http.keys)
    if keys is not None and (missing := sorted(set(KEYS) - keys.keys)):
        return Trouble("SecretIncomplete", f"The Secret {keys.name} has no {' and no '.join(missing)}.")
    for refusal in observed.refusals:
        if refusal.name == http_name(context.spec.name) and refusal.kind in _own_kinds(context, http):
            message = f"The API server refuses {refusal.kind} {refusal.name}: {refusal.message}"
            return Trouble("ObjectRefused", message)
    return _trouble_of_pods(context)


def _own_kinds(context: Context, http: HttpSpec) -> set[str]:
    """Kinds of the objects that there are to be; they have the same name."""
    found = {manifest["kind"] for manifest in wanted_http_objects(context, 1)}
    found |= set() if http.keys_given else {"Secret"}
    return found | ({"PersistentVolumeClaim"} if http.claim else set())


def _named_secrets(http: HttpSpec) -> Iterator[tuple[str, str]]:
    if http.keys_given:
        yield http.keys, "keys"
    if http.secret:
        yield http.secret, "configuration"
    if http.uri_secret:
        yield http.uri_secret, "database.uriSecret"


def _trouble_of_pods(context: Context) -> Trouble | None:
    """The first trouble of a pod that does not serve."""
    if context.observed.http_failure:
        message = f"The pods of the HTTP server cannot be made: {context.observed.http_failure}"
        return Trouble("PodCannotBeMade", message)
    waiting = [pod for pod in _living(context) if not _serves(pod)]
    troubles = (pod_trouble(pod, context.observed, context.now) or _database_trouble(context, pod) for pod in waiting)
    return next((trouble for trouble in troubles if trouble is not None), None)


def _database_trouble(context: Context, pod: Pod) -> Trouble | None:
    """A server that runs and has not reached its external database since its start; once it has, it stays ready."""
    secret = context.http.uri_secret if context.http is not None else ""
    container = pod.container(names.HTTP_CONTAINER)
    running = container is not None and container.phase == "running"
    if not secret or not running or context.now - pod.created_at < _DATABASE_PATIENCE:
        return None
    message = (
        f"Pod {pod.name} waits for the database whose address is in the Secret {secret}. Its log tells what keeps it "
        "from there; it goes on by itself as soon as the database answers."
    )
    return Trouble("DatabaseAway", message)


def _living(context: Context) -> list[Pod]:
    return [pod for pod in context.observed.http_pods if not pod.gone and not pod.deleting]


def _serves(pod: Pod) -> bool:
    container = pod.container(names.HTTP_CONTAINER)
    return container is not None and container.ready
