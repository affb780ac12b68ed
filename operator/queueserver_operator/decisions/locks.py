"""The locks that a family holds: each is released after proof of death, and only then."""

from __future__ import annotations

from queueserver_operator.build.small import holder
from queueserver_operator.decisions.proof import proof_of_death
from queueserver_operator.decisions.state import is_final, recorded_pod
from queueserver_operator.model import Chain, Ref, ReleaseLease
from queueserver_operator.observed import Environment, Lease, Observed
from queueserver_operator.reading import text
from queueserver_operator.report import Report


def released_locks(observed: Observed, report: Report) -> tuple[Chain, ...]:
    """Releases of the locks of this family whose environments are over or gone, with their workers."""
    family = f"{observed.namespace}/{observed.name}"
    return tuple(
        (ReleaseLease(Ref("Lease", lease.namespace, lease.name), lease.uid, lease.resource_version),)
        for lease in observed.leases
        if lease.queue_server == family and _free(observed, report, lease)
    )


def _free(observed: Observed, report: Report, lease: Lease) -> bool:
    environment = next((one for one in observed.environments if holder(one) == lease.holder), None)
    name = lease.holder.split("/")[1] if lease.holder.count("/") == 2 else ""
    if environment is None:
        return proof_of_death(observed, report, name, recorded_uid="") is not None
    if not is_final(environment):
        return False
    return _never_had_a_pod(observed, environment) or bool(text(environment.status, "end", "proof"))


def _never_had_a_pod(observed: Observed, environment: Environment) -> bool:
    pod = observed.worker_pod(environment.name)
    return not recorded_pod(environment) and (pod is None or pod.gone or pod.owner_uid != environment.uid)
