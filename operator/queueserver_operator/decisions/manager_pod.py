"""The manager's pod: when it is replaced, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass

from queueserver_common.cluster import manager_name
from queueserver_operator.build import manager
from queueserver_operator.conditions import (
    KEY_ROTATION_PENDING,
    READY,
    ROLLOUT_PENDING,
    Cause,
    Condition,
    Trouble,
)
from queueserver_operator.decisions.children import key_rotation_waits, link_keys_changed, wanted_stateful_set
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.pod_trouble import pod_trouble, unmade_pod
from queueserver_operator.decisions.proof import manager_serves
from queueserver_operator.model import Chain, DeleteObject, Ref
from queueserver_operator.names import MANAGER_CONTAINER
from queueserver_operator.observed import Pod
from queueserver_operator.reading import condition, seconds, text

_KEYS_WAIT = Condition(
    KEY_ROTATION_PENDING,
    True,
    Cause(
        "EnvironmentOpen",
        "The keys of the link between manager and worker have changed; they are taken over when no environment "
        "is open, because the worker has the old ones.",
    ),
)


@dataclass(frozen=True, slots=True)
class Roll:
    """Whether the manager's pod is behind its template, and what follows."""

    chain: Chain = ()
    conditions: tuple[Condition, ...] = ()


def roll(context: Context, replicas: int) -> Roll:
    """Replace the pod where the update policy lets it; one that does not run is replaced at once."""
    pod, applied = context.observed.manager_pod, context.observed.stateful_set
    if pod is None or pod.gone or applied is None or not replicas:
        return Roll()
    keys_wait = key_rotation_waits(context)
    conditions = (_KEYS_WAIT,) if keys_wait else ()
    wanted = manager.template_hash(wanted_stateful_set(context, replicas))
    if pod.template_hash == wanted or pod.deleting:
        return Roll(conditions=conditions)
    if not _runs(pod) or _may_roll(context, keys_wait):
        if applied.template_hash != wanted:
            return Roll(conditions=conditions)
        return Roll(chain=(DeleteObject(Ref("Pod", context.spec.namespace, pod.name), pod.uid),), conditions=conditions)
    policy = context.spec.update_policy
    when = "its pod is restarted for another reason" if policy == "OnRestart" else "no plan or task is in hand"
    if keys_wait:
        when = "no environment is open"
    message = f"The manager runs with an earlier specification until {when} (updatePolicy {policy})."
    return Roll(conditions=(*conditions, Condition(ROLLOUT_PENDING, True, Cause("ManagerWaits", message))))


def _may_roll(context: Context, keys_wait: bool) -> bool:
    """A running manager may be replaced: by the policy, or because no environment can be opened with its keys."""
    if keys_wait:
        return False
    if link_keys_changed(context):
        return not context.report.in_hand  # an opening waits for the new keys, and is gone on with by the next manager
    policy = context.spec.update_policy
    return policy == "Immediate" or (policy == "WhenIdle" and not context.report.busy)


def manager_cause(context: Context) -> tuple[bool, Cause]:
    """Whether the manager is ready, and why (not)."""
    pod, observed = context.observed.manager_pod, context.observed
    if pod is None or pod.gone:
        return False, _unmade(context) or Cause("ManagerStarting", "The pod of the manager is being made.")
    if pod.deleting:
        return False, Cause("ManagerRestarting", "The pod of the manager is being replaced.")
    if manager_serves(observed):
        node = observed.nodes.get(pod.node)
        if node is not None and not node.ready:
            message = f"Node {pod.node} of the manager does not answer; a running plan goes on."
            return False, Trouble("NodeNotReady", message, stalled=False)
        return True, Cause("ManagerReady", "The manager answers its clients.")
    if trouble := pod_trouble(pod, observed, context.now):
        return False, trouble
    if context.report.redis_away and _runs(pod):
        message = "The manager runs, but Redis does not answer it; a running plan goes on."
        return False, Trouble("RedisAway", message, stalled=False)
    return False, Cause("ManagerStarting", "The manager is starting.")


def _unmade(context: Context) -> Trouble | None:
    """A quota, a missing ServiceAccount or the like: the API server refuses the pod to the StatefulSet's controller."""
    before = condition(context.spec.raw, READY)
    if text(before, "status") != "False":
        return None
    owner = ("StatefulSet", manager_name(context.spec.name))
    return unmade_pod("the manager", owner, context.observed, seconds(before, "lastTransitionTime"), context.now)


def _runs(pod: Pod) -> bool:
    container = pod.container(MANAGER_CONTAINER)
    return container is not None and container.phase == "running"
