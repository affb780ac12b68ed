"""What the operator sees of a family: frozen views, small enough to be kept in memory for hundreds of QueueServers.

Times are seconds since the epoch; 0.0 where the API tells none. A view never fails for want of a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

ContainerPhase = Literal["waiting", "running", "terminated"]

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Child:
    """Any object that the operator applies."""

    kind: str
    name: str
    uid: str
    resource_version: str
    applied_hash: str
    """Our annotation with the hash of the manifest that was applied last."""
    deleting: bool = False
    drifted: bool = False
    """Somebody else changed it since we applied it (its resourceVersion, or generation where it has one, is no longer
    that of our own apply's answer). Unknown after a start of the operator: False."""


@dataclass(frozen=True, slots=True)
class Termination:
    """How a container ended."""

    exit_code: int
    reason: str = ""
    """OOMKilled, Error, Completed, …"""
    message: str = ""
    """The last lines of its log when it failed (`terminationMessagePolicy: FallbackToLogsOnError`)."""
    signal: int = 0
    finished_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod, sidecars included."""

    name: str
    phase: ContainerPhase
    ready: bool = False
    reason: str = ""
    """Why it waits: ImagePullBackOff, CrashLoopBackOff, CreateContainerConfigError, …"""
    message: str = ""
    image: str = ""
    restarts: int = 0
    started: bool = False
    """It has run at least once in this pod."""
    ended: Termination | None = None
    """Only when its phase is "terminated"."""
    ended_before: Termination | None = None
    """The end of its previous run."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a manager, a worker or an HTTP server."""

    name: str
    uid: str
    component: str
    environment: str
    """Name of its WorkerEnvironment; empty for other pods than workers'."""
    owner_uid: str = ""
    """Uid of the object that controls it."""
    phase: str = "Pending"
    node: str = ""
    created_at: float = 0.0
    deleting: bool = False
    grace: int = 30
    """Seconds from the request to end until its processes are killed."""
    gated: bool = False
    """It has a scheduling gate: it has never run."""
    gone: bool = False
    """The API no longer has it; this is what was seen of it last."""
    scheduled: bool = False
    unschedulable: str = ""
    """The scheduler's message while it finds no node."""
    disruption: str = ""
    """Reason of the condition DisruptionTarget: EvictionByEvictionAPI, DeletionByTaintManager, …"""
    reason: str = ""
    """`status.reason`: Evicted, NodeLost, …"""
    message: str = ""
    template_hash: str = ""
    link_keys: str = ""
    """Our annotation with the hash of the link's public keys; on a manager's pod."""
    containers: tuple[Container, ...] = ()

    def container(self, name: str) -> Container | None:
        return next((container for container in self.containers if container.name == name), None)


@dataclass(frozen=True, slots=True)
class StatefulSet:
    """The manager's StatefulSet."""

    child: Child
    replicas: int = 1
    template_hash: str = ""
    """Our annotation on its pod template."""
    immutable_hash: str = ""
    """Our annotation with the hash of the parts that cannot be changed (claim templates, selector, Service)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim, ours or named in the spec."""

    name: str
    uid: str = ""
    phase: str = ""
    """Pending, Bound or Lost."""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Secret:
    """A Secret of ours or named in the spec. No private value is ever held."""

    name: str
    uid: str
    keys: frozenset[str]
    public_key: str = ""
    """The decoded value of its key `public_key`."""
    applied_hash: str = ""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """A ConfigMap that the spec names."""

    name: str
    keys: frozenset[str]
    revision: str
    """Hash of its content; the same for the same content."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A WorkerEnvironment."""

    name: str
    namespace: str
    uid: str
    generation: int
    created_at: float
    queue_server: str
    opening_id: str
    deleting: bool = False
    confirmed_dead: str = ""
    """An administrator's word: the pod of this uid is dead (annotation)."""
    status: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    """As the API gives it; written by the operator alone."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lock of an instrument."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    holder: str
    """`namespace/environment/uid of the environment`."""
    queue_server: str = ""
    """`namespace/name` of the QueueServer of its holder."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node on which one of our pods is."""

    name: str
    ready: bool = True
    unschedulable: bool = False
    """Cordoned, for example because it is being drained."""
    out_of_service: bool = False
    """Has the taint node.kubernetes.io/out-of-service."""


NODE_IS_COMING = frozenset(("TriggeredScaleUp", "Nominated"))
"""Reasons of events with which Cluster Autoscaler and Karpenter say that a pod will get a node."""


@dataclass(frozen=True, slots=True)
class PodEvent:
    """A warning about a pod, claim or StatefulSet of ours: FailedMount, FailedScheduling, FailedCreate, …

    Or the news that a node is being added for a pod.
    """

    kind: str
    name: str
    reason: str
    message: str
    last_seen: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API refused an object of ours (403, 422) when it was written last."""

    kind: str
    name: str
    manifest_hash: str
    """Hash annotation of the manifest that was refused; the same manifest is not tried again at once."""
    code: int
    message: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything of one family."""

    namespace: str
    name: str
    queue_server: Mapping[str, Any] | None
    """The resource as the API gives it; None: there is none (any more), only environments or locks of one."""
    children: Mapping[tuple[str, str], Child] = field(default_factory=dict)
    """By kind and name: the objects with our label except pods, claims, Secrets and the StatefulSet."""
    stateful_set: StatefulSet | None = None
    manager_pod: Pod | None = None
    worker_pods: tuple[Pod, ...] = ()
    """Also the last sight of pods that are gone, as long as their WorkerEnvironment or its lock exists, if known."""
    http_pods: tuple[Pod, ...] = ()
    http_failure: str = ""
    """Why Kubernetes cannot make the pods of the HTTP server, while there are none."""
    environments: tuple[Environment, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """Ours and those that the spec names (`references.references`)."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    """Those that the spec names."""
    leases: tuple[Lease, ...] = ()
    """All locks held by this family, and the lock of its present instrument whoever holds it."""
    nodes: Mapping[str, Node | None] = field(default_factory=dict)
    """By name: the nodes of our pods; None: it was looked for and there is none (proof of death)."""
    events: tuple[PodEvent, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def worker_pod(self, environment: str) -> Pod | None:
        return next((pod for pod in self.worker_pods if pod.environment == environment), None)

    def refusal(self, kind: str, name: str) -> Refusal | None:
        return next((one for one in self.refusals if (one.kind, one.name) == (kind, name)), None)
