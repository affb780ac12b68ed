"""What the operator decides: options of the operator, and the plan with its actions.

One plan is made for one *family*: a QueueServer with its WorkerEnvironments, their children and their instrument locks.
`decide` makes it from `observed.Observed`; `apply` carries it out. Nothing in here does input or output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Manifest = Mapping[str, Any]
"""An object of the Kubernetes API as it is sent: plain dicts, lists, strings, numbers and booleans."""

FIELD_MANAGER = "queueserver-operator"
"""Field manager of everything that the operator applies, status included."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator was told at its start; the same for all families."""

    identity: str
    """Recorded in `status.operator`; an operator that finds another identity there leaves the object alone."""
    version: str
    manager_image: str
    """Used where `spec.manager.image` is not set; also the image of the Redis sidecar unless `spec.redis.image` is."""
    worker_image: str
    lock_namespace: str
    """Namespace of the instrument locks; empty: the namespace of the QueueServer."""
    image_pull_secrets: tuple[str, ...] = ()
    """Added to every pod."""
    allow_host_network: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """An object of the API; the URL follows from the kind."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


# Actions -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApplyObject:
    """Server-side apply with force. The manifest carries the annotation with its hash, labels and owner references."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CreateOnly:
    """Create the object; one that exists already (409) is left as it is and counts as success."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CreateKeys:
    """Create the Secret with a fresh CURVE key pair in it: `private_key` and `public_key`, Z85 text.

    One that exists already (409) is left as it is and counts as success: keys are never overwritten.
    """

    manifest: Manifest
    """The Secret without its data."""
    texts: tuple[str, ...] = ()
    """Data keys that get a random text of letters and digits each, instead of a key pair."""


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Delete in the background with the object's own grace period; one that is gone (404) counts as success."""

    ref: Ref
    uid: str = ""
    """Precondition unless empty: another object of the same name (409) is left alone and counts as success."""
    orphan: bool = False
    """Leave its dependents (a StatefulSet's pod) alone, because the object is to be made anew."""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Let a pod be scheduled: remove `spec.schedulingGates`, provided that the pod still has this uid.

    A pod is created with a gate, its uid is recorded in the status of its WorkerEnvironment, and only then the gate is
    opened. So a pod that is not recorded has never run, and one that is recorded is never made a second time.
    """

    ref: Ref
    uid: str


@dataclass(frozen=True, slots=True)
class TakeLease:
    """Create the Lease of an instrument. 409 means that somebody holds it: the rest of the chain is not carried out."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """Delete the Lease, provided that its uid and resourceVersion are still these (else: leave it, observe again)."""

    ref: Ref
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Server-side apply of the operator's part of the status; sent only when it differs from what is there."""

    ref: Ref
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PostEvent:
    """An Event about an object of ours. Decided only when something changed, so it is posted once."""

    ref: Ref
    uid: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Have the deletion of the QueueServer wait for our clean-up; comes before anything is made for it."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """The clean-up of the QueueServer is complete: let its deletion go on."""

    ref: Ref


Action = (
    ApplyObject
    | CreateOnly
    | CreateKeys
    | DeleteObject
    | OpenGate
    | TakeLease
    | ReleaseLease
    | PatchStatus
    | PostEvent
    | AddFinalizer
    | RemoveFinalizer
)

Chain = tuple[Action, ...]
"""Actions of which each needs the success of those before it; a failure ends this chain and no other."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a family now. An empty plan makes no write."""

    chains: tuple[Chain, ...] = ()
    requeue: float | None = None
    """Seconds after which to decide again although nothing was seen to change (a deadline); None: no need."""

    def actions(self) -> Iterator[Action]:
        """All actions in the order in which they are carried out."""
        for chain in self.chains:
            yield from chain
