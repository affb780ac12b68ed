"""Names that only the operator gives: labels, annotations, objects and containers."""

from __future__ import annotations

import hashlib
import re

from queueserver_common.cluster import COMPONENT_LABEL, GROUP, QUEUE_SERVER_LABEL, http_name

FINALIZER = f"{GROUP}/operator"
"""On a QueueServer: its deletion waits for the operator's clean-up."""

HASH_ANNOTATION = f"{GROUP}/hash"
"""On every object that the operator applies: hash of the manifest; what is there already is not written again."""

TEMPLATE_HASH_ANNOTATION = f"{GROUP}/template-hash"
"""On pods and pod templates: hash of what they were made from; tells whether a roll is pending."""

IMMUTABLE_HASH_ANNOTATION = f"{GROUP}/immutable-hash"
"""On the StatefulSet: hash of the parts that cannot be changed in place."""

LINK_KEYS_ANNOTATION = f"{GROUP}/link-keys"
"""On the manager's pod: hash of the public keys of the link that it was made with."""

NAMESPACE_LABEL = f"{GROUP}/namespace"
"""On a Lease, which may lie in another namespace: that of its QueueServer."""

INSTRUMENT_ANNOTATION = f"{GROUP}/instrument"
"""On a Lease: the instrument's full name, of which its own name shows a part only."""

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
PART_OF_LABEL = "app.kubernetes.io/part-of"
NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
MANAGED_BY = "queueserver-operator"
PART_OF = "queueserver"

START_GATE = f"{GROUP}/recorded"
"""Scheduling gate of a worker pod until its uid stands in the status of its WorkerEnvironment."""

MANAGER = "manager"
WORKER = "worker"
REDIS = "redis"
HTTP = "http"

MANAGER_CONTAINER = "manager"
REDIS_CONTAINER = "redis"
WORKER_CONTAINER = "worker"
HTTP_CONTAINER = "http"


def labels(queue_server: str, component: str = "") -> dict[str, str]:
    """Labels of an object of a QueueServer; nothing is copied from the QueueServer's own labels."""
    common = {
        INSTANCE_LABEL: queue_server,
        MANAGED_BY_LABEL: MANAGED_BY,
        PART_OF_LABEL: PART_OF,
        QUEUE_SERVER_LABEL: queue_server,
    }
    if component:
        common |= {COMPONENT_LABEL: component, NAME_LABEL: f"queueserver-{component}"}
    return common


def control_secret(queue_server: str) -> str:
    """Secret with the key pair of the control socket (and of the encrypted info socket)."""
    return f"{queue_server}-control"


def link_server_secret(queue_server: str) -> str:
    """Secret with the manager's key pair of the worker link."""
    return f"{queue_server}-link-server"


def link_worker_secret(queue_server: str) -> str:
    """Secret with the workers' key pair of the worker link."""
    return f"{queue_server}-link-worker"


def client_secret(queue_server: str) -> str:
    """Secret that a client pod names in `envFrom`; holds nothing private."""
    return f"{queue_server}-client"


def manager_pod(queue_server: str) -> str:
    """The one pod of the StatefulSet."""
    return f"{queue_server}-manager-0"


def data_claim(queue_server: str) -> str:
    """Claim that the StatefulSet makes for the manager's and Redis' data."""
    return f"data-{queue_server}-manager-0"


def home_claim(queue_server: str) -> str:
    """Claim of the workers' home directory."""
    return f"{queue_server}-home"


def http_secret(queue_server: str) -> str:
    """Secret with the keys of the HTTP server."""
    return http_name(queue_server)


def http_claim(queue_server: str) -> str:
    """Claim of the HTTP server's database."""
    return http_name(queue_server)


def lease(instrument: str) -> str:
    """Name of the lock of an instrument: readable, and different for different instruments."""
    slug = re.sub(r"[^a-z0-9]+", "-", instrument.lower()).strip("-")[:40].strip("-")
    digest = hashlib.sha256(instrument.encode()).hexdigest()[:8]
    return "-".join(part for part in ("instrument", slug, digest) if part)
