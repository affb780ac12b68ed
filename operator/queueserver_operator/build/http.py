"""The HTTP server: a Deployment with its Service, and what its pods need.

It is a client of the manager like any other, so its settings never touch the manager's pod. Its keys are files; what
stands in variables (addresses and the public key of the manager) is the same that every client may read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from queueserver_common.cluster import (
    COMPONENT_LABEL,
    ENCRYPTED_INFO_PORT,
    HTTP_PORT,
    QUEUE_SERVER_LABEL,
    client_service,
    http_name,
    service_address,
)
from queueserver_operator import names
from queueserver_operator.build.manager import manager_image
from queueserver_operator.build.parts import (
    CONTAINER_SECURITY,
    SECRET_MODE,
    digest,
    environment_variables,
    http_probe,
    metadata,
    pod_settings,
    secret_volume,
    token_volume,
)
from queueserver_operator.build.patch import merge
from queueserver_operator.build.small import claim_spec
from queueserver_operator.http_spec import HttpSpec
from queueserver_operator.model import Options
from queueserver_operator.names import HTTP, TEMPLATE_HASH_ANNOTATION
from queueserver_operator.spec import QueueServerSpec

KEYS = ("api_key", "token_key")
"""Data keys of the Secret with the server's keys."""

_CONFIG_DIR = "/etc/queueserver/http"
_CONFIG_FILE = "operator.yml"
_KEY_DIR = "/etc/queueserver/http-keys"
_DATABASE_DIR = "/etc/queueserver/database"
_DATA_DIR = "/var/lib/queueserver"
_TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_PORT = "http"
_LEAVING_S = 5
"""Seconds for which a server that is to end answers on, until nobody is led to it any more."""


def http_image(spec: QueueServerSpec, http: HttpSpec, options: Options) -> str:
    """Image of the HTTP server's container."""
    return http.pod.image or manager_image(spec, options)


def http_objects(
    spec: QueueServerSpec, http: HttpSpec, options: Options, *, replicas: int, revision: str
) -> Iterator[dict[str, Any]]:
    """Everything that is applied for an HTTP server.

    `revision` tells contents that its pods read at their start: of the ConfigMap with more settings and of keys.
    """
    if not http.pod.service_account:
        yield {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(spec, http_name(spec.name), HTTP),
            "automountServiceAccountToken": False,
        }
    yield _config_map(spec, http)
    yield _service(spec, http)
    if spec.network.policies:
        yield _network_policy(spec)
    if http.replicas > 1:
        yield _disruption_budget(spec)
    yield _deployment(spec, http, options, replicas=replicas, revision=revision)


def http_claim(spec: QueueServerSpec, http: HttpSpec) -> dict[str, Any] | None:
    """The claim of the database, which outlives the QueueServer unless that says otherwise; None: none is wanted."""
    if http.claim is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(spec, names.http_claim(spec.name), HTTP, owned=False),
        "spec": claim_spec(http.claim),
    }


def _config_map(spec: QueueServerSpec, http: HttpSpec) -> dict[str, Any]:
    sections: dict[str, Any] = {
        "qserver_zmq_configuration": {"info_encrypted": True},
        "uvicorn": {"host": "0.0.0.0", "port": HTTP_PORT, "root_path": http.root_path},  # noqa: S104 - a pod's own
    }
    if http.token_review is not None:
        sections["kubernetes"] = {"enabled": True, **http.token_review.settings}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(spec, http_name(spec.name), HTTP),
        "data": {_CONFIG_FILE: yaml.safe_dump(sections, sort_keys=True)},
    }


def _service(spec: QueueServerSpec, http: HttpSpec) -> dict[str, Any]:
    about = metadata(spec, http_name(spec.name), HTTP)
    if http.service_annotations:
        about["annotations"] = dict(http.service_annotations)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": about,
        "spec": {
            "type": http.service_type,
            # Tickets for websockets are known to the server that made them.
            "sessionAffinity": "ClientIP" if http.replicas > 1 else "None",
            "selector": _selector(spec),
            "ports": [{"name": _PORT, "port": HTTP_PORT, "targetPort": _PORT, "protocol": "TCP"}],
        },
    }


def _network_policy(spec: QueueServerSpec) -> dict[str, Any]:
    """Clients reach the one port. What the server reaches is left open: providers of logins and databases differ."""
    rule: dict[str, Any] = {"ports": [{"port": HTTP_PORT, "protocol": "TCP"}]}
    if spec.network.clients:
        rule["from"] = [dict(peer) for peer in spec.network.clients]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(spec, http_name(spec.name), HTTP),
        "spec": {"podSelector": {"matchLabels": _selector(spec)}, "policyTypes": ["Ingress"], "ingress": [rule]},
    }


def _disruption_budget(spec: QueueServerSpec) -> dict[str, Any]:
    """One server after the other when nodes are drained; one that does not serve keeps no node from it."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(spec, http_name(spec.name), HTTP),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": _selector(spec)},
        },
    }


def _selector(spec: QueueServerSpec) -> dict[str, str]:
    return {QUEUE_SERVER_LABEL: spec.name, COMPONENT_LABEL: HTTP}


def _deployment(
    spec: QueueServerSpec, http: HttpSpec, options: Options, *, replicas: int, revision: str
) -> dict[str, Any]:
    # One writer at a time for a claim; otherwise the old server answers until the new one does.
    strategy: dict[str, Any] = {"type": "Recreate"}
    if http.claim is None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(spec, http_name(spec.name), HTTP),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": _selector(spec)},
            "strategy": strategy,
            "template": _template(spec, http, options, revision),
        },
    }


def _template(spec: QueueServerSpec, http: HttpSpec, options: Options, revision: str) -> dict[str, Any]:
    settings = http.pod
    pod: dict[str, Any] = {
        **pod_settings(settings, options, http_name(spec.name)),
        "containers": [_container(spec, http, options)],
        "volumes": [*_volumes(spec, http), *(dict(volume) for volume in settings.volumes)],
    }
    pod = merge(pod, settings.pod_template.get("spec") or {}) | {"automountServiceAccountToken": False}
    labels = {**settings.labels, **names.labels(spec.name, HTTP)}
    found = digest([pod, labels, dict(settings.annotations), _config_map(spec, http)["data"], revision])
    return {
        "metadata": {"labels": labels, "annotations": {**settings.annotations, TEMPLATE_HASH_ANNOTATION: found}},
        "spec": pod,
    }


def _container(spec: QueueServerSpec, http: HttpSpec, options: Options) -> dict[str, Any]:
    settings = http.pod
    variables = {
        "QSERVER_ZMQ_INFO_ADDRESS": service_address(client_service(spec.name), spec.namespace, ENCRYPTED_INFO_PORT),
        "QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY_FILE": f"{_KEY_DIR}/api_key",
        "QSERVER_HTTP_SERVER_SERVER_SECRET_KEYS_FILE": f"{_KEY_DIR}/token_key",
    }
    mounts: dict[str, dict[str, Any]] = {
        _CONFIG_DIR: {"name": "config", "readOnly": True},
        _KEY_DIR: {"name": "keys", "readOnly": True},
        _DATA_DIR: {"name": "data"},
        "/tmp": {"name": "tmp"},  # noqa: S108 - a volume of its own
    }
    if http.uri_secret:
        variables["QSERVER_HTTP_SERVER_DATABASE_URI_FILE"] = f"{_DATABASE_DIR}/uri"
        mounts[_DATABASE_DIR] = {"name": "database", "readOnly": True}
    else:
        variables["QSERVER_HTTP_SERVER_DATABASE_URI"] = f"sqlite:///{_DATA_DIR}/accounts.sqlite"
    if http.token_review is not None:
        mounts[_TOKEN_DIR] = {"name": "token", "readOnly": True}
    container: dict[str, Any] = {
        "name": names.HTTP_CONTAINER,
        "image": http_image(spec, http, options),
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["start-bluesky-httpserver"],
        "args": ["--config_path", _CONFIG_DIR],
        "ports": [{"name": _PORT, "containerPort": HTTP_PORT, "protocol": "TCP"}],
        "env": environment_variables(variables, settings),
        "envFrom": [
            {"secretRef": {"name": names.client_secret(spec.name)}},
            *(dict(one) for one in settings.env_from),
        ],
        "resources": dict(settings.resources),
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *({**mount, "mountPath": path} for path, mount in mounts.items()),
            *(dict(mount) for mount in settings.volume_mounts),
        ],
        # Also when its manager or its database goes away a server is to be found: it tells its clients when to come
        # again, and tokens need no database. A new one that has not reached the database replaces no other.
        "startupProbe": http_probe("/healthz", _PORT, period=1, failures=60),
        "livenessProbe": http_probe("/healthz", _PORT, period=10, failures=6),
        "readinessProbe": http_probe("/startupz", _PORT, period=5, failures=2),
    }
    if http.replicas > 1:
        container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(_LEAVING_S)]}}}
    return {key: value for key, value in container.items() if value not in ([], {})}


def _volumes(spec: QueueServerSpec, http: HttpSpec) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = [{"configMap": {"name": http_name(spec.name)}}]
    if http.config_map:
        sources.append({"configMap": {"name": http.config_map}})
    if http.secret:
        sources.append({"secret": {"name": http.secret}})
    volumes: list[dict[str, Any]] = [
        {"name": "config", "projected": {"defaultMode": SECRET_MODE, "sources": sources}},
        secret_volume("keys", http.keys, {key: key for key in KEYS}),
        {"name": "data", "persistentVolumeClaim": {"claimName": names.http_claim(spec.name)}}
        if http.claim is not None
        else {"name": "data", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if http.uri_secret:
        volumes.append(secret_volume("database", http.uri_secret, {http.uri_key: "uri"}))
    if http.token_review is not None:
        volumes.append(token_volume())
    return volumes
