"""What belongs together: a QueueServer with its environments, their children and their locks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from queueserver_common.cluster import QUEUE_SERVER_LABEL
from queueserver_operator.kinds import ENVIRONMENT, LEASE, QUEUE_SERVER, Kind
from queueserver_operator.names import NAMESPACE_LABEL
from queueserver_operator.reading import text


class Family(NamedTuple):
    """The unit of reconciliation; the QueueServer itself need not exist (any more)."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def family_of(kind: Kind, body: Mapping[str, Any]) -> Family | None:
    """The family of an object; None: it belongs to none."""
    namespace = text(body, "metadata", "namespace")
    if kind is QUEUE_SERVER:
        name = text(body, "metadata", "name")
    elif kind is ENVIRONMENT:
        name = text(body, "spec", "queueServerRef", "name")
    else:
        name = text(body, "metadata", "labels", QUEUE_SERVER_LABEL)
    if kind is LEASE:
        namespace = text(body, "metadata", "labels", NAMESPACE_LABEL)
    return Family(namespace, name) if namespace and name else None
