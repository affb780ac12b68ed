"""Proof of death: what must be known before another RunEngine may start (design: rule 1 of the hard cases).

Pod phase alone proves nothing, and silence proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from queueserver_operator.names import MANAGER_CONTAINER, WORKER_CONTAINER
from queueserver_operator.observed import Observed, Pod
from queueserver_operator.report import Report

Kind = Literal["ContainerTerminated", "NodeGone", "OutOfService", "PodGone", "NeverStarted", "Confirmed"]


@dataclass(frozen=True, slots=True)
class Proof:
    """That the worker of an environment cannot move anything any more."""

    kind: Kind
    pod: Pod | None
    """The last sight of its pod."""


def proof_of_death(
    observed: Observed, report: Report, environment: str, *, recorded_uid: str, confirmed_uid: str = ""
) -> Proof | None:
    """The proof for the worker of an environment; None: it may be alive.

    `recorded_uid` is the uid of the pod that was allowed to run, empty when it is not known; `confirmed_uid` is the
    word of an administrator.
    """
    pod = observed.worker_pod(environment)
    if pod is not None and recorded_uid and pod.uid != recorded_uid:
        pod = None
    if confirmed_uid and confirmed_uid == (recorded_uid or (pod.uid if pod else "")):
        return Proof("Confirmed", pod)
    if pod is not None:
        container = pod.container(WORKER_CONTAINER)
        if container is not None and container.phase == "terminated":
            return Proof("ContainerTerminated", pod)
        if pod.node and pod.node in observed.nodes:
            node = observed.nodes[pod.node]
            if node is None:
                return Proof("NodeGone", pod)
            if node.out_of_service:
                return Proof("OutOfService", pod)
        if not pod.gone:
            return None
        if pod.gated:
            return Proof("NeverStarted", pod)
    return None if _link_may_live(observed, report, environment) else Proof("PodGone", pod)


def _link_may_live(observed: Observed, report: Report, environment: str) -> bool:
    """Whether a worker without a pod may still be linked: its pod was deleted by force while its process goes on.

    Only a manager that runs can tell that the link is closed; what an absent one said last is no proof. Without a
    QueueServer there is no manager that a worker could be linked to.
    """
    if observed.queue_server is None:
        return False
    if not manager_serves(observed):
        return True
    return report.environment_name == environment and report.link == "connected"


def manager_serves(observed: Observed) -> bool:
    """Whether the manager's container runs and is ready."""
    pod = observed.manager_pod
    container = pod.container(MANAGER_CONTAINER) if pod is not None and not pod.gone else None
    return container is not None and container.phase == "running" and container.ready
