"""What the manager reads of a WorkerEnvironment and of a worker's pod: frozen views of the API server's objects. Pure.

Everything may be missing: an object may have been made a moment ago, or by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from queueserver_common.cluster import CONFIRMED_DEAD_ANNOTATION, GROUP

WORKER_CONTAINER = "worker"

MANAGER_MADE_ANNOTATION = f"{GROUP}/opened-by-manager"
"""On a WorkerEnvironment that the manager made by itself; one without it was applied by a person."""

_FINAL_PHASES = ("ended", "failed")


@dataclass(frozen=True, slots=True)
class Terminated:
    """The `terminated` state of a container."""

    exit_code: int
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PodView:
    """A worker's pod."""

    name: str
    uid: str
    environment_uid: str = ""
    """Uid of the WorkerEnvironment that owns it."""
    node: str = ""
    """Empty until it is placed on one."""
    deleting: bool = False
    reason: str = ""
    """Of the pod's status: `Evicted` and the like."""
    message: str = ""
    disruption: str = ""
    """Reason of the condition DisruptionTarget: who is about to end the pod."""
    waiting: str = ""
    """Why the worker's container waits: reason and message."""
    terminated: Terminated | None = None
    """How the worker's container ended."""


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """A WorkerEnvironment."""

    name: str
    uid: str
    opening_id: str
    created: float = 0.0
    """Epoch seconds."""
    deleting: bool = False
    made_by_manager: bool = False
    pod_uid: str = ""
    """Uid of its only pod, as the operator recorded it."""
    failure: str = ""
    """Why no worker will come up; empty while one may."""
    progress: str = ""
    """What is being waited for."""
    final: bool = False
    """The operator calls the opening ended or failed."""
    proof: str = ""
    """What proves to the operator that the worker has ended."""
    confirmed_dead: str = ""
    """Uid of the pod that an administrator calls dead."""


def pod_view(body: Mapping[str, Any]) -> PodView:
    """Read a pod."""
    metadata, status = body["metadata"], body.get("status") or {}
    state = _worker_state(status)
    waiting, terminated = state.get("waiting") or {}, state.get("terminated")
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        environment_uid=_owner(metadata),
        node=(body.get("spec") or {}).get("nodeName") or "",
        deleting=metadata.get("deletionTimestamp") is not None,
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        disruption=_condition(status, "DisruptionTarget").get("reason", ""),
        waiting=_joined(waiting.get("reason"), waiting.get("message")) or _not_placed(status),
        terminated=None
        if terminated is None
        else Terminated(
            int(terminated.get("exitCode", 0)), terminated.get("reason") or "", terminated.get("message") or ""
        ),
    )


def environment_view(body: Mapping[str, Any]) -> EnvironmentView:
    """Read a WorkerEnvironment."""
    metadata, status = body["metadata"], body.get("status") or {}
    annotations = metadata.get("annotations") or {}
    end, phase = status.get("end") or {}, status.get("phase") or ""
    ready, stalled = _condition(status, "Ready"), _condition(status, "Stalled")
    said = ready.get("message") or ""
    return EnvironmentView(
        name=metadata["name"],
        uid=metadata["uid"],
        opening_id=body["spec"]["openingId"],
        created=_epoch(metadata.get("creationTimestamp")),
        deleting=metadata.get("deletionTimestamp") is not None,
        made_by_manager=MANAGER_MADE_ANNOTATION in annotations,
        pod_uid=(status.get("pod") or {}).get("uid") or "",
        failure=stalled.get("message") or said if stalled or phase == "failed" else "",
        progress=said,
        final=phase in _FINAL_PHASES,
        proof=end.get("proof") or "",
        confirmed_dead=annotations.get(CONFIRMED_DEAD_ANNOTATION, ""),
    )


def belongs_to(body: Mapping[str, Any], queue_server: str) -> bool:
    """Whether a WorkerEnvironment is one of a QueueServer."""
    reference = (body.get("spec") or {}).get("queueServerRef") or {}
    return bool(reference.get("name") == queue_server)


def _worker_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses") or []:
        if container["name"] == WORKER_CONTAINER:
            state: Mapping[str, Any] = container.get("state") or {}
            return state
    return {}


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A condition that is stated; for all but Ready, that is true."""
    conditions: Iterable[Mapping[str, Any]] = status.get("conditions") or []
    for condition in conditions:
        if condition["type"] == kind and (kind == "Ready" or condition["status"] == "True"):
            return condition
    return {}


def _not_placed(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _joined(condition.get("reason"), condition.get("message"))
    return ""


def _owner(metadata: Mapping[str, Any]) -> str:
    owners = metadata.get("ownerReferences") or []
    return next((owner["uid"] for owner in owners if owner["kind"] == "WorkerEnvironment"), "")


def _joined(reason: str | None, message: str | None) -> str:
    return ": ".join(part for part in (reason, message) if part)


def _epoch(timestamp: str | None) -> float:
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0
