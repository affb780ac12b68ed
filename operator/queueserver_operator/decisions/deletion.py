"""The deletion of a QueueServer: its worker ends first, then claims and keys go if they are to, then our finalizer.

Nothing is made meanwhile. The wait has an end, so that nothing hangs: grace of the worker and ten seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from queueserver_common.cluster import ENVIRONMENT_KIND, QUEUE_SERVER_KIND
from queueserver_operator import names
from queueserver_operator.conditions import Cause
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.proof import manager_serves, proof_of_death
from queueserver_operator.model import Action, Chain, DeleteObject, Ref, RemoveFinalizer
from queueserver_operator.observed import Claim, Secret
from queueserver_operator.reading import seconds, texts

MARGIN = 10.0
"""Seconds beyond the worker's grace period for the manager to write down how the plan ended."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What the deletion waits for, and what is to be done now."""

    cause: Cause
    chains: tuple[Chain, ...]
    finished: bool
    requeue: float | None


def deletion(context: Context) -> Deletion:
    """The next step of the clean-up."""
    observed, spec = context.observed, context.spec
    chains: tuple[Chain, ...] = tuple(
        (DeleteObject(Ref(ENVIRONMENT_KIND, one.namespace, one.name), one.uid),)
        for one in observed.environments
        if not one.deleting
    )
    waiting = _waiting_for(context)
    started = seconds(spec.raw, "metadata", "deletionTimestamp") or context.now
    # A worker that was made from an earlier specification has the grace of that one.
    graces = (pod.grace for pod in observed.worker_pods if not pod.gone)
    left = started + max([spec.environment.pod.termination_grace, *graces]) + MARGIN - context.now
    if waiting and left > 0:
        return Deletion(Cause("Deleting", f"The deletion waits for {waiting}."), chains, False, min(left, 5.0))
    finish: list[Action] = [*_data(context)] if spec.storage.delete else []
    if names.FINALIZER in texts(spec.raw, "metadata", "finalizers"):
        finish.append(RemoveFinalizer(Ref(QUEUE_SERVER_KIND, spec.namespace, spec.name)))
    return Deletion(Cause("Deleting", "The clean-up is complete."), (*chains, tuple(finish)), True, None)


def _waiting_for(context: Context) -> str:
    """What is still to happen, for a sentence; empty: nothing."""
    observed, report = context.observed, context.report
    alive = [
        pod.name
        for pod in observed.worker_pods
        if not pod.gone and proof_of_death(observed, report, pod.environment, recorded_uid=pod.uid) is None
    ]
    if alive:
        return f"the end of worker {', '.join(alive)}"
    if observed.environments:
        return f"the end of environment {', '.join(one.name for one in observed.environments)}"
    if manager_serves(observed) and (report.environment_name or report.busy):
        return "the manager to write down how its environment ended"
    return ""


def _data(context: Context) -> tuple[Action, ...]:
    """Deletes the claims and keys that were made for this QueueServer; a volume goes when no pod uses it any more."""
    spec, observed = context.spec, context.observed
    claims = (names.data_claim(spec.name), names.home_claim(spec.name), names.http_claim(spec.name))
    secrets = (
        names.control_secret(spec.name),
        names.link_server_secret(spec.name),
        names.link_worker_secret(spec.name),
        names.http_secret(spec.name),
    )
    ours: tuple[tuple[str, Claim | Secret | None], ...] = (
        *(("PersistentVolumeClaim", observed.claims.get(name)) for name in claims),
        *(("Secret", observed.secrets.get(name)) for name in secrets),
    )
    return tuple(
        DeleteObject(Ref(kind, spec.namespace, one.name), one.uid)
        for kind, one in ours
        if one is not None and not one.deleting
    )
