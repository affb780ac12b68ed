"""The kinds of objects that the operator reads and writes, and where the API server serves them.

A fixed table instead of discovery: the operator's rights are a fixed list as well, and discovery would cost
a hundred requests and megabytes of memory at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_common.cluster import (
    API_VERSION,
    ENVIRONMENT_KIND,
    ENVIRONMENT_PLURAL,
    QUEUE_SERVER_KIND,
    QUEUE_SERVER_PLURAL,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    api_version: str
    name: str
    """As in the field `kind` of a manifest."""
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of a collection or, with a name, of an object; without a namespace the collection of all namespaces."""
        prefix = "/apis" if "/" in self.api_version else "/api"
        parts = [prefix, self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


QUEUE_SERVER = Kind(API_VERSION, QUEUE_SERVER_KIND, QUEUE_SERVER_PLURAL)
ENVIRONMENT = Kind(API_VERSION, ENVIRONMENT_KIND, ENVIRONMENT_PLURAL)
POD = Kind("v1", "Pod", "pods")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
EVENT = Kind("v1", "Event", "events")

WATCHED = (QUEUE_SERVER, ENVIRONMENT, POD, STATEFUL_SET, VOLUME_CLAIM)
"""Their status tells something that the operator acts on at once."""

AUDITED = (SERVICE_ACCOUNT, CONFIG_MAP, ROLE, ROLE_BINDING, SERVICE, NETWORK_POLICY, DISRUPTION_BUDGET, DEPLOYMENT)
"""They change only by the operator or by somebody's mistake; looked through once in a while instead of watched.
Secrets are not among them: they are read one by one, because the right to list them shows all of a namespace."""

_BY_NAME = {kind.name: kind for kind in (*WATCHED, *AUDITED, SECRET, LEASE, NODE, EVENT)}


def kind_named(name: str) -> Kind:
    """The kind with this name; raises ValueError with a sentence for one that the operator has nothing to do with."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"the operator has no business with objects of the kind {name!r}") from None


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind that a manifest names; raises ValueError with a sentence when it is not one of ours."""
    kind = kind_named(str(manifest.get("kind", "")))
    if manifest.get("apiVersion") != kind.api_version:
        raise ValueError(f"{kind.name} is written as {kind.api_version}, not as {manifest.get('apiVersion')!r}")
    return kind
