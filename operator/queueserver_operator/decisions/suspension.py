"""Suspension: the manager stops when nothing is in hand, the environment is closed, everything is kept."""

from __future__ import annotations

from dataclasses import dataclass

from queueserver_common.cluster import ENVIRONMENT_KIND
from queueserver_operator.conditions import Cause
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.proof import manager_serves
from queueserver_operator.model import Chain, DeleteObject, Ref

_SUSPENDED = "The QueueServer is suspended: its manager is stopped, its queue and history are kept."


@dataclass(frozen=True, slots=True)
class Suspension:
    """How many managers there are to be, and what is said of it."""

    replicas: int
    complete: bool
    cause: Cause
    chains: tuple[Chain, ...] = ()


def suspension(context: Context) -> Suspension:
    """The next step towards a suspended QueueServer."""
    observed, report = context.observed, context.report
    applied, pod = observed.stateful_set, observed.manager_pod
    if applied is None or applied.replicas == 0:
        gone = pod is None or pod.gone
        cause = Cause("Suspended", _SUSPENDED) if gone else Cause("Suspending", "The manager is stopping.")
        return Suspension(0, gone, cause)
    if manager_serves(observed) and report.busy:
        message = "The QueueServer is suspended as soon as no plan or task is in hand."
        return Suspension(1, False, Cause("WaitingForIdle", message))
    workers = [one.name for one in observed.worker_pods if not one.gone]
    if observed.environments or workers:
        chains: tuple[Chain, ...] = tuple(
            (DeleteObject(Ref(ENVIRONMENT_KIND, one.namespace, one.name), one.uid),)
            for one in observed.environments
            if not one.deleting
        )
        message = "The QueueServer is suspended as soon as its environment is closed."
        return Suspension(1, False, Cause("ClosingEnvironment", message), chains)
    family = f"{observed.namespace}/{observed.name}"
    linked = manager_serves(observed) and report.environment_name
    if linked or any(lease.queue_server == family for lease in observed.leases):
        message = "The QueueServer is suspended as soon as the lock of its instrument is released."
        return Suspension(1, False, Cause("ReleasingInstrument", message))
    return Suspension(0, False, Cause("Suspending", "The manager is stopping."))
