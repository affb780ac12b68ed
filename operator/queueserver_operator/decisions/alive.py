"""An environment whose pod was allowed to run and is not known to be dead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queueserver_common.cluster import CONFIRMED_DEAD_ANNOTATION
from queueserver_operator.conditions import (
    DRAIN_BLOCKED,
    ROLLOUT_PENDING,
    UNREACHABLE,
    Cause,
    Condition,
    Trouble,
    steady,
)
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.opening import remove_unstarted_pod
from queueserver_operator.decisions.pod_trouble import pod_trouble
from queueserver_operator.decisions.proof import proof_of_death
from queueserver_operator.decisions.state import State, earliest, recorded_pod
from queueserver_operator.model import OpenGate, Ref
from queueserver_operator.names import WORKER_CONTAINER
from queueserver_operator.observed import Environment, Pod
from queueserver_operator.reading import seconds, text


def alive(context: Context, environment: Environment, before: dict[str, Any]) -> State:
    """The state of an environment with a pod of which nothing proves that it is dead."""
    pod = context.observed.worker_pod(environment.name)
    if pod is None or pod.gone or pod.uid != recorded_pod(environment):
        message = (
            "The pod of the worker is gone, but nothing proves yet that its process has ended: the manager is still "
            f"linked to it, or is away. {_how_to_prove(_word(recorded_pod(environment)))}"
        )
        return _unreachable(before, Trouble("PodGone", message, stalled=False))
    if pod.node:
        before["pod"] = {**before.get("pod", {}), "node": pod.node}
    conditions = _pending(context, before)
    container = pod.container(WORKER_CONTAINER)
    if container is None or container.phase != "running":
        state = _pod_on_its_way(context, environment, before, pod)
        return replace(state, conditions=(*conditions, *state.conditions))
    state = _running(context, environment, before, pod)
    return replace(state, conditions=(*conditions, *state.conditions, *_drain(context, pod)))


def _pod_on_its_way(context: Context, environment: Environment, before: dict[str, Any], pod: Pod) -> State:
    if pod.gated:
        ref = Ref("Pod", context.spec.namespace, pod.name)
        return State("starting", Cause("Starting", "The pod may start."), before, after=(OpenGate(ref, pod.uid),))
    trouble = pod_trouble(pod, context.observed, context.now)
    cause: Cause = trouble or Cause("Starting", f"Pod {pod.name} is starting.")
    cause = steady(cause, {"status": environment.status})
    deadline = seconds(before, "deadline")
    if deadline and context.now >= deadline and (remove := remove_unstarted_pod(context, environment)):
        reason = cause.reason if trouble else "DeadlineExceeded"
        message = f"The environment was not open within {deadline - environment.created_at:.0f} s. {cause.message}"
        return State("failed", Trouble(reason, message), before, actions=remove)
    left = deadline - context.now if deadline > context.now else None
    return State("starting", cause, before, requeue=earliest(left, 10.0 if trouble else None))


def left_workers(context: Context) -> tuple[Condition, ...]:
    """About workers whose WorkerEnvironments were deleted, that are silent and whose end is not proved."""
    known = {one.name for one in context.observed.environments}
    found: list[Condition] = []
    for pod in context.observed.worker_pods:
        if pod.gone or pod.environment in known:
            continue
        if proof_of_death(context.observed, context.report, pod.environment, recorded_uid=pod.uid) is None:
            force = f"the deletion of pod {pod.name} by force"
            if silence := _silence(context, pod.environment, pod, force):
                found.append(Condition(UNREACHABLE, True, silence))
    return tuple(found)


def _silence(context: Context, environment: str, pod: Pod, last_resort: str) -> Trouble | None:
    """Why nothing can be known of the worker of an environment; None when there is nothing unusual."""
    node = context.observed.nodes.get(pod.node)
    if node is not None and not node.ready:
        message = f"Node {pod.node} does not answer. {_how_to_prove(last_resort, pod.node)}"
        return Trouble("NodeNotReady", message, stalled=False)
    if context.report.linked_to(environment) and context.report.link == "silent":
        message = f"Nothing is heard of the worker. {_how_to_prove(last_resort, pod.node)}"
        return Trouble("WorkerSilent", message, stalled=False)
    return None


def _running(context: Context, environment: Environment, before: dict[str, Any], pod: Pod) -> State:
    report, name = context.report, environment.name
    if silence := _silence(context, name, pod, _word(pod.uid)):
        return _unreachable(before, silence)
    if pod.deleting or (report.linked_to(name) and report.environment == "closing"):
        return State("closing", Cause("Closing", "The worker is leaving."), before)
    if report.open(name):
        return State("open", Cause("Open", "The startup code is loaded."), before)
    return State("loading", Cause("Loading", "The worker is loading the startup code."), before)


def _unreachable(before: dict[str, Any], trouble: Trouble) -> State:
    return State("unreachable", trouble, before, conditions=(Condition(UNREACHABLE, True, trouble),))


def _word(uid: str) -> str:
    return f"the annotation {CONFIRMED_DEAD_ANNOTATION}={uid} of an administrator on this WorkerEnvironment"


def _how_to_prove(last_resort: str, node: str = "") -> str:
    ways = [last_resort]
    if node:
        ways.insert(0, f"the deletion of Node {node} or its taint node.kubernetes.io/out-of-service")
    return (
        "As long as its end is not proved, no other worker is started and the instrument stays locked. "
        f"A proof would be the end of its container, {', or '.join(ways)}."
    )


def _pending(context: Context, before: Mapping[str, Any]) -> tuple[Condition, ...]:
    """What waits for the next opening."""
    waiting = []
    if context.worker_hash and text(before, "template", "hash") != context.worker_hash:
        waiting.append(f"generation {context.spec.generation} of the specification")
    made_with, revision = text(before, "profile", "revision"), context.profile_revision
    if made_with and revision and made_with != revision:
        waiting.append("changed startup code")
    if not waiting:
        return ()
    message = f"At the next opening of the environment is applied: {' and '.join(waiting)}."
    return (Condition(ROLLOUT_PENDING, True, Cause("EnvironmentOpen", message)),)


def _drain(context: Context, pod: Pod) -> tuple[Condition, ...]:
    node = context.observed.nodes.get(pod.node)
    if node is None or not node.unschedulable or not context.report.in_hand:
        return ()
    message = f"Node {pod.node} takes no pods and may be drained; the worker stays until no plan or task is in hand."
    return (Condition(DRAIN_BLOCKED, True, Cause("PlanInHand", message)),)
