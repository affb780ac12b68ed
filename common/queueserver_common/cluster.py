"""Names that manager, worker and operator must agree on in a cluster: API group, objects, labels, ports.

Every object of one QueueServer is named after it, so that a person finds them with `kubectl get` by one prefix.
"""

from __future__ import annotations

GROUP = "queueserver.blueskyproject.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

QUEUE_SERVER_KIND = "QueueServer"
QUEUE_SERVER_PLURAL = "queueservers"
ENVIRONMENT_KIND = "WorkerEnvironment"
ENVIRONMENT_PLURAL = "workerenvironments"

QUEUE_SERVER_LABEL = f"{GROUP}/queueserver"
"""On every object of a QueueServer: its name."""

COMPONENT_LABEL = f"{GROUP}/component"
"""On every pod: "manager", "worker" or "http"."""

ENVIRONMENT_LABEL = f"{GROUP}/environment"
"""On everything of one opening: the name of its WorkerEnvironment."""

CONFIRMED_DEAD_ANNOTATION = f"{GROUP}/confirmed-dead"
"""On a WorkerEnvironment, set by an administrator only: uid of the pod that is dead although nothing else proves it."""

MAX_NAME_LENGTH = 40
"""Characters of a QueueServer's name; the names of its objects add up to 20 and must fit in a label (63)."""

CONTROL_PORT = 60615
LEGACY_PORT = 5555
INFO_PORT = 60625
ENCRYPTED_INFO_PORT = 60626
LINK_PORT = 60635
HEALTH_PORT = 8080
HTTP_PORT = 60610

_ID_LENGTH = 10


def environment_name(queue_server: str, opening_id: str) -> str:
    """Name of the WorkerEnvironment of an opening, and of its pod and ConfigMap; the same for the same opening."""
    return f"{queue_server}-{opening_id.replace('-', '')[:_ID_LENGTH].lower()}"


def client_service(queue_server: str) -> str:
    """Service that clients use: control, info and encrypted info."""
    return queue_server


def link_service(queue_server: str) -> str:
    """Headless Service that workers dial."""
    return f"{queue_server}-link"


def manager_name(queue_server: str) -> str:
    """StatefulSet, ServiceAccount, Role, RoleBinding, ConfigMap and NetworkPolicy of the manager."""
    return f"{queue_server}-manager"


def worker_name(queue_server: str) -> str:
    """ServiceAccount, NetworkPolicy and PodDisruptionBudget of the workers."""
    return f"{queue_server}-worker"


def http_name(queue_server: str) -> str:
    """Deployment, Service, ServiceAccount, ConfigMap, NetworkPolicy, claim and Secret of the HTTP server."""
    return f"{queue_server}-http"


def service_address(service: str, namespace: str, port: int) -> str:
    """0MQ address of a Service, as seen from any namespace of the cluster."""
    return f"tcp://{service}.{namespace}.svc:{port}"
