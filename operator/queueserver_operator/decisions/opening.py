"""An opening before its pod is recorded: obstacles, the lock of the instrument, ConfigMap and pod.

The pod is made exactly once. It waits behind a scheduling gate; its uid is written into the status; the gate is opened.
So a pod whose uid is not recorded has never run and may be made (again), and one that is recorded is never made again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from queueserver_operator.build import small, worker
from queueserver_operator.build.parts import hashed
from queueserver_operator.conditions import Cause, Trouble
from queueserver_operator.decisions.children import link_keys_changed
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.state import LOCK_PAUSE, State, earliest
from queueserver_operator.model import Action, CreateOnly, DeleteObject, OpenGate, Ref, TakeLease
from queueserver_operator.observed import Environment, Pod
from queueserver_operator.reading import seconds, timestamp

_REFUSAL_PAUSE = 15.0
"""Seconds after which an object that the API server refused is tried again; a quota may have been raised."""


def opening(context: Context, environment: Environment, before: dict[str, Any]) -> State:
    """The state of an opening, and the next step."""
    deadline = seconds(before, "deadline") or environment.created_at + context.spec.environment.opening_deadline
    before |= {
        "deadline": timestamp(deadline),
        "instrument": {
            "name": context.spec.instrument,
            "lease": f"{small.lease_namespace(context.spec, context.options)}/{small.lease_name(context.spec)}",
        },
        "profile": _profile(context),
    }
    state = _next_step(context, environment, before)
    if context.now < deadline or state.phase == "failed" or state.after:
        return replace(state, requeue=earliest(state.requeue, deadline - context.now))
    reason = state.cause.reason if isinstance(state.cause, Trouble) else "DeadlineExceeded"
    message = f"The environment was not open within {deadline - environment.created_at:.0f} s. {state.cause.message}"
    return State("failed", Trouble(reason, message), before, actions=remove_unstarted_pod(context, environment))


def _next_step(context: Context, environment: Environment, before: dict[str, Any]) -> State:
    """Take the lock, make ConfigMap and pod, record the pod; what is to be waited for says so."""
    pod = context.observed.worker_pod(environment.name)
    if pod is not None and not pod.gone:
        if pod.owner_uid == environment.uid:
            return _record(context, before, pod)
        message = f"The pod {pod.name} of an earlier opening with the same id has to end first."
        return State("waiting", Trouble("PodOfEarlierOpening", message, stalled=False), before)
    if context.obstacle:
        return State("waiting", context.obstacle, before, requeue=LOCK_PAUSE)
    server = context.link_server_secret
    if not context.link_keys or server is None:
        message = "The keys of the link between manager and worker are not there yet."
        return State("waiting", Trouble("KeysNotFound", message, stalled=False), before, requeue=LOCK_PAUSE)
    if link_keys_changed(context):
        message = "The manager takes over the changed keys of the link first."
        return State("waiting", Trouble("KeysChanging", message, stalled=False), before, requeue=LOCK_PAUSE)
    lease, ours = context.lease, small.holder(environment)
    if lease is not None and lease.holder != ours:
        return State("waiting", _instrument_held(context, lease.holder), before, requeue=LOCK_PAUSE)
    pod_manifest = hashed(worker.pod(context.spec, context.options, environment))
    if refused := _refusal(context, environment):
        return State("waiting", refused, before, requeue=_REFUSAL_PAUSE)
    take = () if lease else (TakeLease(small.lease(context.spec, context.options, environment)),)
    revision = context.profile_revision
    config_map = hashed(worker.config_map(context.spec, environment, server.public_key, revision))
    actions = (*take, CreateOnly(config_map), CreateOnly(pod_manifest))
    cause = Cause("Starting", "The pod of the worker is being made.")
    return State("starting", cause, before, actions=actions)


def _instrument_held(context: Context, holder: str) -> Trouble:
    namespace, _, rest = holder.partition("/")
    name = f"{namespace}/{rest.partition('/')[0]}"
    message = f"Instrument {context.spec.instrument} is held by environment {name} until its worker has ended."
    return Trouble("InstrumentHeld", message, stalled=False)


def _refusal(context: Context, environment: Environment) -> Trouble | None:
    objects = (("Pod", environment.name), ("ConfigMap", environment.name), ("Lease", small.lease_name(context.spec)))
    for kind, name in objects:
        refusal = context.observed.refusal(kind, name)
        if refusal is not None and context.now - refusal.at < _REFUSAL_PAUSE:
            return Trouble(f"{kind}Refused", f"The API server refuses the {kind} of the worker: {refusal.message}")
    return None


def _record(context: Context, before: dict[str, Any], pod: Pod) -> State:
    status = {
        **before,
        "pod": {"name": pod.name, "uid": pod.uid},
        "template": {
            "generation": context.spec.generation,
            "hash": pod.template_hash,
            "image": worker.worker_image(context.spec, context.options),
        },
    }
    cause = Cause("Starting", f"Pod {pod.name} is starting.")
    ref = Ref("Pod", context.spec.namespace, pod.name)
    return State("starting", cause, status, after=(OpenGate(ref, pod.uid),))


def remove_unstarted_pod(context: Context, environment: Environment) -> tuple[Action, ...]:
    """Delete a pod none of whose containers has run."""
    pod = context.observed.worker_pod(environment.name)
    if pod is None or pod.gone or pod.deleting or any(container.started for container in pod.containers):
        return ()
    return (DeleteObject(Ref("Pod", context.spec.namespace, pod.name), pod.uid),)


def _profile(context: Context) -> dict[str, Any]:
    found = {"source": str(context.spec.environment.profile), "revision": context.profile_revision}
    return {key: value for key, value in found.items() if value}
