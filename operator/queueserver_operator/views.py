"""Make the views of `observed` from objects as the API gives them. Pure and total."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from queueserver_common.cluster import (
    COMPONENT_LABEL,
    CONFIRMED_DEAD_ANNOTATION,
    ENVIRONMENT_LABEL,
    QUEUE_SERVER_LABEL,
)
from queueserver_operator import observed as views
from queueserver_operator.names import (
    HASH_ANNOTATION,
    IMMUTABLE_HASH_ANNOTATION,
    LINK_KEYS_ANNOTATION,
    NAMESPACE_LABEL,
    TEMPLATE_HASH_ANNOTATION,
)
from queueserver_operator.reading import condition, elements, flag, integer, mapping, seconds, text

Body = Mapping[str, Any]

_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def child(body: Body, *, drifted: bool = False) -> views.Child:
    """Any object that the operator applies."""
    return views.Child(
        kind=text(body, "kind"),
        name=text(body, "metadata", "name"),
        uid=text(body, "metadata", "uid"),
        resource_version=text(body, "metadata", "resourceVersion"),
        applied_hash=text(body, "metadata", "annotations", HASH_ANNOTATION),
        deleting=_deleting(body),
        drifted=drifted,
    )


def stateful_set(body: Body, *, drifted: bool = False) -> views.StatefulSet:
    """The manager's StatefulSet."""
    return views.StatefulSet(
        child=child(body, drifted=drifted),
        replicas=integer(body, "spec", "replicas", default=1),
        template_hash=text(body, "spec", "template", "metadata", "annotations", TEMPLATE_HASH_ANNOTATION),
        immutable_hash=text(body, "metadata", "annotations", IMMUTABLE_HASH_ANNOTATION),
    )


def pod(body: Body, *, gone: bool = False) -> views.Pod:
    """A pod of a manager or a worker; `gone`: the API told that it was deleted, and `body` is its last state."""
    scheduled = condition(body, "PodScheduled")
    finds_no_node = text(scheduled, "status") == "False" and text(scheduled, "reason") == "Unschedulable"
    disrupted = condition(body, "DisruptionTarget")
    return views.Pod(
        name=text(body, "metadata", "name"),
        uid=text(body, "metadata", "uid"),
        component=text(body, "metadata", "labels", COMPONENT_LABEL),
        environment=text(body, "metadata", "labels", ENVIRONMENT_LABEL),
        owner_uid=next(
            (
                text(owner, "uid")
                for owner in elements(body, "metadata", "ownerReferences")
                if flag(owner, "controller")
            ),
            "",
        ),
        phase=text(body, "status", "phase") or "Pending",
        node=text(body, "spec", "nodeName"),
        created_at=seconds(body, "metadata", "creationTimestamp"),
        deleting=_deleting(body),
        grace=integer(body, "spec", "terminationGracePeriodSeconds", default=30),
        gated=bool(elements(body, "spec", "schedulingGates")),
        gone=gone,
        scheduled=text(scheduled, "status") == "True" or bool(text(body, "spec", "nodeName")),
        unschedulable=text(scheduled, "message") if finds_no_node else "",
        disruption=text(disrupted, "reason") if text(disrupted, "status") == "True" else "",
        reason=text(body, "status", "reason"),
        message=text(body, "status", "message"),
        template_hash=text(body, "metadata", "annotations", TEMPLATE_HASH_ANNOTATION),
        link_keys=text(body, "metadata", "annotations", LINK_KEYS_ANNOTATION),
        containers=tuple(
            container(status)
            for group in ("initContainerStatuses", "containerStatuses")
            for status in elements(body, "status", group)
        ),
    )


def container(status: Body) -> views.Container:
    """One entry of a pod's container statuses."""
    state = mapping(status, "state")
    waiting, running, ended = (mapping(state, key) for key in ("waiting", "running", "terminated"))
    before = mapping(status, "lastState", "terminated")
    phase: views.ContainerPhase = (
        "terminated" if "terminated" in state else "running" if "running" in state else "waiting"
    )
    return views.Container(
        name=text(status, "name"),
        phase=phase,
        ready=flag(status, "ready"),
        reason=text(waiting, "reason"),
        message=text(waiting, "message"),
        image=text(status, "image"),
        restarts=integer(status, "restartCount"),
        started=bool(running) or bool(ended) or bool(before) or integer(status, "restartCount") > 0,
        ended=_termination(ended) if phase == "terminated" else None,
        ended_before=_termination(before) if before else None,
    )


def _termination(state: Body) -> views.Termination:
    return views.Termination(
        exit_code=integer(state, "exitCode"),
        reason=text(state, "reason"),
        message=text(state, "message"),
        signal=integer(state, "signal"),
        finished_at=seconds(state, "finishedAt"),
    )


def claim(body: Body) -> views.Claim:
    """A PersistentVolumeClaim."""
    return views.Claim(
        name=text(body, "metadata", "name"),
        uid=text(body, "metadata", "uid"),
        phase=text(body, "status", "phase"),
        deleting=_deleting(body),
    )


def secret(body: Body) -> views.Secret:
    """A Secret, without any of its private values."""
    return views.Secret(
        name=text(body, "metadata", "name"),
        uid=text(body, "metadata", "uid"),
        keys=frozenset(mapping(body, "data")),
        public_key=_decoded(text(body, "data", "public_key")),
        applied_hash=text(body, "metadata", "annotations", HASH_ANNOTATION),
        deleting=_deleting(body),
    )


def config_map(body: Body) -> views.ConfigMap:
    """A ConfigMap that somebody else made."""
    content = {"data": dict(mapping(body, "data")), "binaryData": dict(mapping(body, "binaryData"))}
    return views.ConfigMap(
        name=text(body, "metadata", "name"),
        keys=frozenset((*content["data"], *content["binaryData"])),
        revision=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16],
    )


def environment(body: Body) -> views.Environment:
    """A WorkerEnvironment."""
    return views.Environment(
        name=text(body, "metadata", "name"),
        namespace=text(body, "metadata", "namespace"),
        uid=text(body, "metadata", "uid"),
        generation=integer(body, "metadata", "generation"),
        created_at=seconds(body, "metadata", "creationTimestamp"),
        queue_server=text(body, "spec", "queueServerRef", "name"),
        opening_id=text(body, "spec", "openingId"),
        deleting=_deleting(body),
        confirmed_dead=text(body, "metadata", "annotations", CONFIRMED_DEAD_ANNOTATION),
        status=dict(mapping(body, "status")),
    )


def lease(body: Body) -> views.Lease:
    """The lock of an instrument."""
    namespace, name = (text(body, "metadata", "labels", label) for label in (NAMESPACE_LABEL, QUEUE_SERVER_LABEL))
    return views.Lease(
        namespace=text(body, "metadata", "namespace"),
        name=text(body, "metadata", "name"),
        uid=text(body, "metadata", "uid"),
        resource_version=text(body, "metadata", "resourceVersion"),
        holder=text(body, "spec", "holderIdentity"),
        queue_server=f"{namespace}/{name}" if name else "",
    )


def replica_failure(body: Body) -> str:
    """Why the pods of a Deployment cannot be made, in the words of the API server; empty when they can."""
    failure = condition(body, "ReplicaFailure")
    return text(failure, "message") if text(failure, "status") == "True" else ""


def node(body: Body) -> views.Node:
    """A node on which one of our pods is."""
    return views.Node(
        name=text(body, "metadata", "name"),
        ready=text(condition(body, "Ready"), "status") == "True",
        unschedulable=flag(body, "spec", "unschedulable"),
        out_of_service=any(text(taint, "key") == _OUT_OF_SERVICE for taint in elements(body, "spec", "taints")),
    )


def pod_event(body: Body) -> views.PodEvent:
    """An Event about a pod, claim or StatefulSet of ours."""
    regarding = mapping(body, "involvedObject") or mapping(body, "regarding")
    times = (seconds(body, "lastTimestamp"), seconds(body, "eventTime"), seconds(body, "metadata", "creationTimestamp"))
    return views.PodEvent(
        kind=text(regarding, "kind"),
        name=text(regarding, "name"),
        reason=text(body, "reason"),
        message=text(body, "message") or text(body, "note"),
        last_seen=next((time for time in times if time), 0.0),
    )


def _deleting(body: Body) -> bool:
    return bool(text(body, "metadata", "deletionTimestamp"))


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return ""
