"""Why a pod does not run, in a sentence that names the cause."""

from __future__ import annotations

from queueserver_common.spool import read_termination_message
from queueserver_operator.conditions import Trouble
from queueserver_operator.observed import NODE_IS_COMING, Claim, Container, Observed, Pod, Termination

UNSCHEDULABLE_PATIENCE = 60.0
"""Seconds for which the scheduler may find no node before that counts as stalled, unless one is known to be coming."""

_MOUNT_PATIENCE = 30.0

_RESTARTS_OF_A_LOOP = 2

_PULL_FAILED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_PULL_MAY_SUCCEED = ("ErrImagePull", "RegistryUnavailable")
_CANNOT_START = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreStartHookError",
    "PostStartHookError",
)


def pod_trouble(pod: Pod, observed: Observed, now: float) -> Trouble | None:
    """The first trouble of a pod that is not yet or no longer running; None: it is on its way or running."""
    for container in pod.containers:
        if found := _container_trouble(pod, container):
            return found
    if not pod.scheduled and (found := _scheduling_trouble(pod, observed, now)):
        return found
    if pod.scheduled and all(container.phase == "waiting" for container in pod.containers):
        return _mount_trouble(pod, observed, now)
    return None


def unmade_pod(what: str, owner: tuple[str, str], observed: Observed, since: float, now: float) -> Trouble | None:
    """Why there is no pod although there is to be one: what Kubernetes says of its owner, a kind and a name.

    `since`: there has been none since then; what was said before is over.
    """
    said = [
        one
        for one in observed.events
        if (one.kind, one.name) == owner and one.reason == "FailedCreate" and one.last_seen >= since
    ]
    latest = max(said, key=lambda one: one.last_seen, default=None)
    if latest is None:
        return None
    message = f"The pod of {what} cannot be made: {latest.message}"
    return Trouble("PodCannotBeMade", message, stalled=now - since >= _MOUNT_PATIENCE)


def last_words(ended: Termination | None) -> str:
    """The last lines that a container wrote, for the end of a sentence.

    A worker may have left the end of an item there instead, which is for the manager to read.
    """
    message = ended.message.strip() if ended and not read_termination_message(ended.message) else ""
    return f": {message}" if message else "."


def _container_trouble(pod: Pod, container: Container) -> Trouble | None:
    what = f"container {container.name} of pod {pod.name}"
    reason = container.reason
    if container.phase == "waiting" and reason in _PULL_FAILED:
        message = f"The image {container.image} of {what} cannot be pulled: {container.message or reason}"
        return Trouble("ImageCannotBePulled", message, stalled=reason not in _PULL_MAY_SUCCEED)
    if container.phase == "waiting" and reason in _CANNOT_START:
        return Trouble("ContainerCannotStart", f"The {what} cannot be started: {container.message or reason}")
    ended = container.ended_before
    failing = container.restarts >= _RESTARTS_OF_A_LOOP and ended is not None and ended.exit_code != 0
    if not container.ready and (reason == "CrashLoopBackOff" or failing):
        code = f" with exit code {ended.exit_code}" if ended else ""
        return Trouble("CrashLoop", f"The {what} ends again and again{code}{last_words(ended)}")
    return None


def _scheduling_trouble(pod: Pod, observed: Observed, now: float) -> Trouble | None:
    if not pod.unschedulable:
        return None
    coming = any(one.kind == "Pod" and one.name == pod.name and one.reason in NODE_IS_COMING for one in observed.events)
    stalled = now - pod.created_at >= UNSCHEDULABLE_PATIENCE and not coming
    for claim in observed.claims.values():
        if claim.phase == "Pending" and "PersistentVolumeClaim" in pod.unschedulable:
            message = f"The volume of claim {claim.name} is not there yet: {_claim_event(claim, observed)}"
            return Trouble("VolumePending", message, stalled=stalled)
    message = f"No node can take pod {pod.name}{' yet; one is being added' if coming else ''}: {pod.unschedulable}"
    return Trouble("Unschedulable", message, stalled=stalled)


def _claim_event(claim: Claim, observed: Observed) -> str:
    events = [one for one in observed.events if (one.kind, one.name) == ("PersistentVolumeClaim", claim.name)]
    latest = max(events, key=lambda one: one.last_seen, default=None)
    return latest.message if latest else "nothing provides it."


def _mount_trouble(pod: Pod, observed: Observed, now: float) -> Trouble | None:
    events = [
        one
        for one in observed.events
        if (one.kind, one.name) == ("Pod", pod.name)
        and one.reason.startswith("Failed")
        and one.reason != "FailedScheduling"
    ]
    latest = max(events, key=lambda one: one.last_seen, default=None)
    if latest is None:
        return None
    message = f"Pod {pod.name} cannot be started: {latest.message}"
    reason = "VolumeCannotBeMounted" if latest.reason in ("FailedMount", "FailedAttachVolume") else "PodCannotStart"
    return Trouble(reason, message, stalled=now - pod.created_at >= _MOUNT_PATIENCE)
