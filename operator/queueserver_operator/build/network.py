"""Services, and NetworkPolicies that say who may talk to whom."""

from __future__ import annotations

from typing import Any

from queueserver_common.cluster import (
    COMPONENT_LABEL,
    CONTROL_PORT,
    ENCRYPTED_INFO_PORT,
    HEALTH_PORT,
    INFO_PORT,
    LEGACY_PORT,
    LINK_PORT,
    QUEUE_SERVER_LABEL,
    client_service,
    link_service,
    manager_name,
    worker_name,
)
from queueserver_operator.build.parts import metadata
from queueserver_operator.http_spec import http_of
from queueserver_operator.names import HTTP, MANAGER, WORKER
from queueserver_operator.spec import QueueServerSpec

CONTROL, INFO, ENCRYPTED_INFO, LINK, HEALTH = "control", "info", "info-curve", "link", "health"
LEGACY = "legacy"
"""Names of the ports of the manager's container; at most 15 characters."""

_DNS = 53


def client_ports(spec: QueueServerSpec) -> dict[str, int]:
    """Ports for clients by name."""
    clear = {INFO: INFO_PORT} if spec.network.clear_info else {}
    legacy = {LEGACY: LEGACY_PORT} if spec.network.legacy else {}
    return {CONTROL: CONTROL_PORT, **clear, ENCRYPTED_INFO: ENCRYPTED_INFO_PORT, **legacy}


def container_ports(spec: QueueServerSpec) -> list[dict[str, Any]]:
    """Ports of the manager's container."""
    ports = client_ports(spec) | {LINK: LINK_PORT, HEALTH: HEALTH_PORT}
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()]


def services(spec: QueueServerSpec) -> list[dict[str, Any]]:
    """One Service for clients and one for workers.

    Both lead to a manager that is not ready as well: a client is to read the manager's own error, and a worker has
    to find a manager that has just been started.
    """
    client: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(spec, client_service(spec.name), MANAGER),
        "spec": {
            "type": spec.network.service_type,
            "publishNotReadyAddresses": True,
            "selector": _selector(spec, MANAGER),
            "ports": _service_ports(client_ports(spec)),
        },
    }
    if spec.network.service_annotations:
        client["metadata"]["annotations"] = dict(spec.network.service_annotations)
    link = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(spec, link_service(spec.name), MANAGER),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": _selector(spec, MANAGER),
            "ports": _service_ports({LINK: LINK_PORT}),
        },
    }
    return [client, link]


def network_policies(spec: QueueServerSpec) -> list[dict[str, Any]]:
    """Policies of manager and worker; none when the specification switches them off."""
    return [_manager_policy(spec), _worker_policy(spec)] if spec.network.policies else []


def _manager_policy(spec: QueueServerSpec) -> dict[str, Any]:
    """Clients reach the ports for clients, workers the link. The kubelet's probes pass every policy.

    What the manager itself may reach is left open: it speaks to the API server, whose address and port behind its
    Service are the cluster's own, and perhaps to an external Redis.
    """
    clients: dict[str, Any] = {"ports": _policy_ports(client_ports(spec).values())}
    if spec.network.clients:
        servers = [{"podSelector": {"matchLabels": _selector(spec, HTTP)}}] if http_of(spec) else []
        clients["from"] = [*(dict(peer) for peer in spec.network.clients), *servers]
    workers: dict[str, Any] = {"ports": _policy_ports([LINK_PORT])}
    if not spec.environment.host_network:
        # A pod in the host's network comes with the node's address, which no selector finds; CURVE is its door.
        workers["from"] = [{"podSelector": {"matchLabels": _selector(spec, WORKER)}}]
    return _policy(spec, manager_name(spec.name), MANAGER, ["Ingress"], {"ingress": [clients, workers]})


def _worker_policy(spec: QueueServerSpec) -> dict[str, Any]:
    """Nothing reaches a worker unless it is named; a worker reaches everything unless something is named."""
    rules: dict[str, Any] = {"ingress": [dict(rule) for rule in spec.network.worker_ingress]}
    kinds = ["Ingress"]
    if spec.network.worker_egress:
        kinds.append("Egress")
        rules["egress"] = [
            {
                "to": [{"podSelector": {"matchLabels": _selector(spec, MANAGER)}}],
                "ports": _policy_ports([LINK_PORT]),
            },
            {"ports": [{"port": _DNS, "protocol": protocol} for protocol in ("UDP", "TCP")]},
            *(dict(rule) for rule in spec.network.worker_egress),
        ]
    return _policy(spec, worker_name(spec.name), WORKER, kinds, rules)


def _policy(
    spec: QueueServerSpec, name: str, component: str, kinds: list[str], rules: dict[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(spec, name, component),
        "spec": {"podSelector": {"matchLabels": _selector(spec, component)}, "policyTypes": kinds, **rules},
    }


def _selector(spec: QueueServerSpec, component: str) -> dict[str, str]:
    return {QUEUE_SERVER_LABEL: spec.name, COMPONENT_LABEL: component}


def _service_ports(ports: dict[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in ports.items()]


def _policy_ports(ports: Any) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
