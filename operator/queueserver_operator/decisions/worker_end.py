"""How a worker ended, told from its proof of death."""

from __future__ import annotations

from dataclasses import dataclass

from queueserver_operator.decisions.pod_trouble import last_words
from queueserver_operator.decisions.proof import Proof
from queueserver_operator.names import WORKER_CONTAINER
from queueserver_operator.observed import Pod, Termination

_ENVIRONMENT_FAILED = 3
"""Exit code of a worker that could not load its startup code."""


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker ended."""

    in_order: bool
    reason: str
    message: str
    exit_code: int | None = None
    time: float = 0.0
    """Seconds since the epoch; 0.0 when it is unknown."""


def worker_end(proof: Proof) -> WorkerEnd:
    """The end that a proof tells of."""
    pod = proof.pod
    name = f"pod {pod.name}" if pod else "pod"
    container = pod.container(WORKER_CONTAINER) if pod else None
    ended = container.ended if container else None
    if pod is not None and ended is not None:
        return _terminated(pod, ended)
    if proof.kind == "NodeGone":
        return WorkerEnd(False, "NodeGone", f"The node of {name} was deleted.")
    if proof.kind == "OutOfService":
        return WorkerEnd(False, "NodeOutOfService", f"The node of {name} was declared out of service.")
    if proof.kind == "Confirmed":
        return WorkerEnd(False, "ConfirmedDead", f"An administrator confirmed that the worker of {name} is dead.")
    if proof.kind == "NeverStarted":
        return WorkerEnd(False, "Deleted", f"The {name} was deleted before it was started.")
    if pod is not None and pod.disruption:
        return _evicted(pod, None)
    return WorkerEnd(False, "Deleted", f"The {name} was deleted.")


def _terminated(pod: Pod, ended: Termination) -> WorkerEnd:
    if ended.reason == "OOMKilled":
        message = "The worker was killed because it needed more memory than spec.environment.resources allows."
        return WorkerEnd(False, "OOMKilled", message, ended.exit_code, ended.finished_at)
    if pod.disruption or pod.reason == "Evicted":
        return _evicted(pod, ended)
    if pod.deleting or pod.gone:
        message = f"Pod {pod.name} was deleted; the worker ended with exit code {ended.exit_code}."
        return WorkerEnd(False, "Deleted", message, ended.exit_code, ended.finished_at)
    if ended.exit_code == 0:
        return WorkerEnd(True, "Completed", "The worker ended in order.", 0, ended.finished_at)
    if ended.exit_code == _ENVIRONMENT_FAILED:
        message = f"The startup code could not be loaded{last_words(ended)}"
        return WorkerEnd(False, "EnvironmentFailed", message, ended.exit_code, ended.finished_at)
    # A shell's way to tell a signal, and that of container runtimes.
    signal = ended.signal or (ended.exit_code - 128 if ended.exit_code > 128 else 0)
    how = f"was killed by signal {signal}" if signal else f"ended with exit code {ended.exit_code}"
    message = f"The worker {how}{last_words(ended)}"
    return WorkerEnd(False, "Killed" if signal else "Error", message, ended.exit_code, ended.finished_at)


def _evicted(pod: Pod, ended: Termination | None) -> WorkerEnd:
    cause = pod.message or pod.disruption or pod.reason
    message = f"Pod {pod.name} was evicted: {cause}"
    return WorkerEnd(False, "Evicted", message, ended.exit_code if ended else None, ended.finished_at if ended else 0.0)
