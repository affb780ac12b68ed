"""What the state of pod and WorkerEnvironment says about a worker (design: proof of death). Pure and total.

Another RunEngine may be started only when the end of this one is *proved*: the `terminated` state of its container; its
node gone or declared out of service; its pod gone from the API server while nothing is heard of it; the word of an
administrator. A pod's phase proves nothing. Evidence that contradicts a live link proves nothing either: the worker is
told to end, and the silence that follows is awaited.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from queueserver_common.spool import read_termination_message
from queueserver_manager.cluster.views import EnvironmentView, PodView, Terminated
from queueserver_manager.launch.interface import TERMINATED, WorkerEnd

_SIGNAL_BASE = 128
_OUTPUT_LINES = 20

_PROOFS_OF_THE_OPERATOR = {
    "NodeGone": "its node is gone",
    "OutOfService": "its node was declared out of service",
}
"""The manager may not look at nodes; the operator does."""

_DISRUPTIONS = {
    "EvictionByEvictionAPI": "the worker's pod was evicted",
    "PreemptionByScheduler": "the worker's pod was evicted for one of higher priority",
    "DeletionByTaintManager": "the worker's pod was deleted because of a taint on its node",
    "DeletionByPodGC": "the worker's node is gone",
    "TerminationByKubelet": "the worker's pod was ended by its node",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known about one opening."""

    opening_id: str
    environment: EnvironmentView | None
    """None: the API server has no such object (any more)."""
    pod: PodView | None
    """The pod as it was last seen; None when it never was."""
    pod_gone: bool = False
    """The API server had the pod, or it is recorded that there was one, and has it no more."""
    pod_uid: str = ""
    """Uid of the pod, as far as it is known from any side."""
    heard: bool = False
    """The worker's link is alive."""


@dataclass(frozen=True, slots=True)
class Going:
    """Nothing speaks against the worker, or nothing is proved."""

    ending: str = ""
    """Who or what is ending it ("the worker's pod was deleted"); empty when nobody is."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The WorkerEnvironment was deleted, and the worker may be alive."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No worker will come up; `reason` is a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Contradicted:
    """The worker should be gone, and is heard: it has to be told to end."""

    cause: str


Verdict = Going | Deleted | Failed | Contradicted | WorkerEnd


def judge(evidence: Evidence) -> Verdict:
    """Say what the evidence amounts to."""
    environment, pod = evidence.environment, evidence.pod
    if pod is not None and pod.terminated is not None:
        return _ended(evidence, pod, pod.terminated)
    if gone := _why_gone(evidence):
        return Contradicted(gone) if evidence.heard else WorkerEnd(evidence.opening_id, gone)
    if environment is not None and environment.confirmed_dead and environment.confirmed_dead == evidence.pod_uid:
        return WorkerEnd(evidence.opening_id, "an administrator confirmed that the worker is dead")
    if environment is None or environment.deleting:
        return Deleted()
    ending = "" if pod is None else ending_cause(pod)
    if environment.failure and not evidence.heard and not ending:
        return Failed(environment.failure)
    return Going(ending)


def _why_gone(evidence: Evidence) -> str:
    """Why the worker cannot be alive, unless it is heard; empty when it can."""
    environment, pod = evidence.environment, evidence.pod
    if environment is not None and environment.proof in _PROOFS_OF_THE_OPERATOR:
        return f"the worker is lost: {_PROOFS_OF_THE_OPERATOR[environment.proof]}"
    if evidence.pod_gone:
        if pod is None:
            return "the worker's pod is gone"
        if not pod.node:
            return "the worker's pod was deleted before it had a place on a node"
        return ending_cause(pod) or "the worker's pod was deleted by force"
    if environment is None and pod is None:
        return "its WorkerEnvironment was deleted before there was a pod"
    return ""


def ending_cause(pod: PodView) -> str:
    """Who or what is ending a pod; empty when nobody is."""
    if pod.reason == "Evicted":
        return f"the worker's pod was evicted by its node ({pod.message.rstrip('. ')})"
    if pod.disruption in _DISRUPTIONS:
        return _DISRUPTIONS[pod.disruption]
    if pod.reason in ("Terminated", "NodeShutdown", "Shutdown"):
        return "the worker's node was shut down"
    return "the worker's pod was deleted" if pod.deleting else ""


def _ended(evidence: Evidence, pod: PodView, terminated: Terminated) -> WorkerEnd:
    unreported = read_termination_message(terminated.message)
    failed = terminated.exit_code != 0
    return WorkerEnd(
        evidence.opening_id,
        describe_end(pod, terminated),
        terminated.exit_code,
        output="" if unreported or not failed else _last_lines(terminated.message),
        unreported=unreported,
    )


def describe_end(pod: PodView, terminated: Terminated) -> str:
    """How the worker's container ended: part of a sentence."""
    code = terminated.exit_code
    if terminated.reason == "OOMKilled":
        return "the worker's container was killed for want of memory (OOMKilled)"
    how = f"was killed by {_signal_name(code)}" if code > _SIGNAL_BASE else f"ended with exit code {code}"
    if ending := ending_cause(pod):
        return ending if code in (0, TERMINATED) else f"{ending}, its container {how}"
    if code == TERMINATED:
        return f"the worker's container was ended by {_signal_name(code)}"
    return f"the worker's container {how}"


def _signal_name(code: int) -> str:
    try:
        return f"{signal.Signals(code - _SIGNAL_BASE).name} (exit code {code})"
    except ValueError:
        return f"signal {code - _SIGNAL_BASE} (exit code {code})"


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_OUTPUT_LINES:])


def waits_for(environment: EnvironmentView | None, pod: PodView | None) -> str:
    """What an opening waits for: a sentence for a deadline that has passed."""
    if pod is not None and pod.waiting:
        return f"Its pod waits: {pod.waiting}"
    if environment is not None and environment.progress:
        return environment.progress
    if environment is None:
        return "The Kubernetes API server did not take the WorkerEnvironment."
    return "There is no pod: is the operator running?" if pod is None else "Its pod has not reported."
