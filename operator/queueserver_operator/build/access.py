"""ServiceAccounts, and what the manager may do at the API server (design rule: the least that works).

The manager makes and deletes WorkerEnvironments, watches them and its workers' pods, and writes its part of the status
of its own QueueServer. Workers may do nothing; no token is mounted in them.
"""

from __future__ import annotations

from typing import Any

from queueserver_common.cluster import (
    ENVIRONMENT_PLURAL,
    GROUP,
    QUEUE_SERVER_PLURAL,
    manager_name,
    worker_name,
)
from queueserver_operator.build.parts import metadata
from queueserver_operator.names import MANAGER, WORKER
from queueserver_operator.spec import QueueServerSpec

_RBAC = "rbac.authorization.k8s.io"


def service_accounts(spec: QueueServerSpec) -> list[dict[str, Any]]:
    """The accounts of manager and worker, except one that the specification replaces."""
    accounts = (
        (manager_name(spec.name), MANAGER, spec.manager.pod.service_account),
        (worker_name(spec.name), WORKER, spec.environment.pod.service_account),
    )
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(spec, name, component),
            "automountServiceAccountToken": False,
        }
        for name, component, replaced in accounts
        if not replaced
    ]


def role(spec: QueueServerSpec) -> dict[str, Any]:
    """What the manager may do, in its namespace."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role",
        "metadata": metadata(spec, manager_name(spec.name), MANAGER),
        "rules": [
            {
                "apiGroups": [GROUP],
                "resources": [ENVIRONMENT_PLURAL],
                "verbs": ["create", "get", "list", "watch", "delete"],
            },
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
            {
                "apiGroups": [GROUP],
                "resources": [QUEUE_SERVER_PLURAL],
                "resourceNames": [spec.name],
                "verbs": ["get"],
            },
            {
                "apiGroups": [GROUP],
                "resources": [f"{QUEUE_SERVER_PLURAL}/status"],
                "resourceNames": [spec.name],
                "verbs": ["patch"],
            },
        ],
    }


def role_binding(spec: QueueServerSpec) -> dict[str, Any]:
    """Gives the role to the manager's account."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata(spec, manager_name(spec.name), MANAGER),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": manager_name(spec.name)},
        "subjects": [
            {
                "kind": "ServiceAccount",
                "name": spec.manager.pod.service_account or manager_name(spec.name),
                "namespace": spec.namespace,
            }
        ],
    }
