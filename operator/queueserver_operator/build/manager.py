"""The manager's StatefulSet: one pod with the manager and, as a native sidecar, Redis on a socket that only they share.

The strategy is OnDelete: Kubernetes never replaces the pod by itself, the operator does when the update policy lets it.
So a changed template can be applied at once, and whatever ends the pod meanwhile brings the new one.
"""

from __future__ import annotations

from typing import Any

from queueserver_common.cluster import (
    COMPONENT_LABEL,
    QUEUE_SERVER_LABEL,
    link_service,
    manager_name,
)
from queueserver_operator import names
from queueserver_operator.build import manager_config as paths
from queueserver_operator.build.network import HEALTH, container_ports
from queueserver_operator.build.parts import (
    CONTAINER_SECURITY,
    KEY_PAIR,
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
from queueserver_operator.model import Options
from queueserver_operator.names import IMMUTABLE_HASH_ANNOTATION, LINK_KEYS_ANNOTATION, TEMPLATE_HASH_ANNOTATION
from queueserver_operator.spec import QueueServerSpec

_SOCKET_VOLUME = "redis-socket"


def stateful_set(
    spec: QueueServerSpec, options: Options, *, replicas: int, control_key: str, link_keys: str
) -> dict[str, Any]:
    """The StatefulSet; a change of the keys, which the manager reads at its start, rolls it like a changed template.

    `control_key` is the public key of the control socket, `link_keys` a hash of the link's public keys.
    """
    template = pod_template(spec, options, control_key=control_key, link_keys=link_keys)
    fixed: dict[str, Any] = {
        "serviceName": link_service(spec.name),
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {QUEUE_SERVER_LABEL: spec.name, COMPONENT_LABEL: names.MANAGER}},
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "data", "labels": names.labels(spec.name, names.MANAGER)},
                "spec": claim_spec(spec.storage.volume),
            }
        ],
    }
    about = metadata(spec, manager_name(spec.name), names.MANAGER)
    about["annotations"] = {IMMUTABLE_HASH_ANNOTATION: digest(fixed)}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": about,
        "spec": {
            "replicas": replicas,
            **fixed,
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 2,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": template,
        },
    }


def template_hash(stateful_set: dict[str, Any]) -> str:
    """Hash of the pod template of a StatefulSet that was built here."""
    annotations: dict[str, str] = stateful_set["spec"]["template"]["metadata"]["annotations"]
    return annotations[TEMPLATE_HASH_ANNOTATION]


def immutable_hash(stateful_set: dict[str, Any]) -> str:
    """Hash of the parts of a StatefulSet, built here, that cannot be changed in place."""
    annotations: dict[str, str] = stateful_set["metadata"]["annotations"]
    return annotations[IMMUTABLE_HASH_ANNOTATION]


def manager_image(spec: QueueServerSpec, options: Options) -> str:
    """Image of the manager's container."""
    return spec.manager.pod.image or options.manager_image


def redis_image(spec: QueueServerSpec, options: Options) -> str:
    """Image of the Redis sidecar; empty when Redis is external."""
    return "" if spec.redis.address else spec.redis.image or manager_image(spec, options)


def pod_template(spec: QueueServerSpec, options: Options, *, control_key: str, link_keys: str) -> dict[str, Any]:
    """Template of the manager's pod with the hash of all that a restart would bring into effect."""
    settings = spec.manager.pod
    pod: dict[str, Any] = {
        **pod_settings(settings, options, manager_name(spec.name)),
        "containers": [_manager_container(spec, options)],
        "volumes": [*_volumes(spec), *(dict(volume) for volume in settings.volumes)],
    }
    if not spec.redis.address:
        pod["initContainers"] = [_redis_container(spec, options)]
    # Only a worker may leave its node's network; a patch cannot open that way for the manager.
    pod = merge(pod, settings.pod_template.get("spec") or {}) | {"automountServiceAccountToken": False}
    labels = {**settings.labels, **names.labels(spec.name, names.MANAGER)}
    annotations = {**settings.annotations, LINK_KEYS_ANNOTATION: link_keys}
    found = digest([pod, labels, annotations, paths.manager_config(spec), control_key])
    return {
        "metadata": {"labels": labels, "annotations": {**annotations, TEMPLATE_HASH_ANNOTATION: found}},
        "spec": pod,
    }


def _manager_container(spec: QueueServerSpec, options: Options) -> dict[str, Any]:
    settings = spec.manager.pod
    mounts: dict[str, dict[str, Any]] = {
        paths.CONFIG_DIR: {"name": "config", "readOnly": True},
        paths.CONTROL_KEY_DIR: {"name": "control-key", "readOnly": True},
        paths.LINK_KEY_DIR: {"name": "link-key", "readOnly": True},
        paths.LINK_WORKER_KEY_DIR: {"name": "link-worker-key", "readOnly": True},
        paths.TOKEN_DIR: {"name": "token", "readOnly": True},
        paths.DATA_DIR: {"name": "data", "subPath": "manager"},
        paths.RUNTIME_DIR: {"name": "run"},
        "/tmp": {"name": "tmp"},  # noqa: S108 - a volume of its own
    }
    if not spec.redis.address:
        mounts[paths.REDIS_SOCKET_DIR] = {"name": _SOCKET_VOLUME}
    if spec.permissions.config_map:
        mounts[paths.PERMISSIONS_DIR] = {"name": "permissions", "readOnly": True}
    if spec.lists.config_map:
        mounts[paths.LISTS_DIR] = {"name": "lists", "readOnly": True}
    container: dict[str, Any] = {
        "name": names.MANAGER_CONTAINER,
        "image": manager_image(spec, options),
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["--config", f"{paths.CONFIG_DIR}/{paths.CONFIG_FILE}"],
        "ports": container_ports(spec),
        "env": environment_variables({}, settings),
        "envFrom": [dict(one) for one in settings.env_from],
        "resources": dict(settings.resources),
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *({**mount, "mountPath": path} for path, mount in mounts.items()),
            *(dict(mount) for mount in settings.volume_mounts),
        ],
        "startupProbe": http_probe("/healthz", HEALTH, period=1, failures=120),
        "livenessProbe": http_probe("/healthz", HEALTH, period=10, failures=6),
        "readinessProbe": http_probe("/readyz", HEALTH, period=2, failures=2),
    }
    return {key: value for key, value in container.items() if value not in ([], {})}


def _redis_container(spec: QueueServerSpec, options: Options) -> dict[str, Any]:
    return {
        "name": names.REDIS_CONTAINER,
        "image": redis_image(spec, options),
        "imagePullPolicy": spec.redis.image_pull_policy,
        "restartPolicy": "Always",
        "command": ["redis-server"],
        "args": [
            *("--port", "0"),
            *("--unixsocket", paths.REDIS_SOCKET),
            *("--unixsocketperm", "770"),
            *("--dir", "/data"),
            *("--appendonly", "yes"),
            *("--appendfsync", spec.redis.appendfsync),
            *("--save", ""),
        ],
        "resources": dict(spec.redis.resources),
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "data", "subPath": "redis", "mountPath": "/data"},
            {"name": _SOCKET_VOLUME, "mountPath": paths.REDIS_SOCKET_DIR},
        ],
        "startupProbe": {
            "exec": {"command": ["redis-cli", "-s", paths.REDIS_SOCKET, "ping"]},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": 600,
        },
    }


def _volumes(spec: QueueServerSpec) -> list[dict[str, Any]]:
    keys = spec.keys
    link_worker = keys.link_worker or names.link_worker_secret(spec.name)
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": manager_name(spec.name)}},
        secret_volume("control-key", keys.control or names.control_secret(spec.name), KEY_PAIR),
        secret_volume("link-key", keys.link_server or names.link_server_secret(spec.name), KEY_PAIR),
        secret_volume("link-worker-key", link_worker, {"public_key": "public_key"}),
        token_volume(),
        {"name": "run", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if not spec.redis.address:
        volumes.append({"name": _SOCKET_VOLUME, "emptyDir": {}})
    for name, document in (("permissions", spec.permissions), ("lists", spec.lists)):
        if document.config_map:
            source = {"name": document.config_map, "items": [{"key": document.key, "path": document.key}]}
            volumes.append({"name": name, "configMap": source})
    return volumes
