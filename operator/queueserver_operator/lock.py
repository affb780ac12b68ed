"""The lock of an instrument: a Lease that is taken by creating it and released by deleting it.

It has no expiry and nobody renews it, so a slow or absent operator never loses it. Nothing here decides when it may be
released; it only makes sure that exactly the Lease that was looked at is released.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_operator.kinds import LEASE
from queueserver_operator.kubernetes_api import Body, KubernetesApi


@dataclass(frozen=True, slots=True)
class Taken:
    """The lock is ours."""

    lease: Body


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else has the lock."""

    lease: Body | None
    """None: it was released between the attempt and the look."""


async def take(api: KubernetesApi, manifest: Mapping[str, Any]) -> Taken | Held:
    """Create the Lease.

    One that exists with the same holderIdentity counts as taken: the answer to an earlier attempt was lost.
    """
    created = await api.create(manifest)
    if created is not None:
        return Taken(created)
    metadata = manifest["metadata"]
    present = await api.get(LEASE, metadata["namespace"], metadata["name"])
    if present is not None and holder(present) == holder(manifest):
        return Taken(present)
    return Held(present)


async def release(api: KubernetesApi, namespace: str, name: str, uid: str, resource_version: str) -> None:
    """Delete the Lease, provided that nobody has changed or replaced it since it was read with this version."""
    await api.delete(LEASE, namespace, name, uid=uid, resource_version=resource_version)


def holder(lease: Mapping[str, Any]) -> str:
    """The holderIdentity of a Lease; empty when it has none."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
