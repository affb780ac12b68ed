"""Pieces that several manifests share: metadata, owner references, hashes, security contexts, settings of pods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from queueserver_common.cluster import API_VERSION, ENVIRONMENT_KIND, QUEUE_SERVER_KIND
from queueserver_operator.model import Manifest, Options
from queueserver_operator.names import HASH_ANNOTATION, labels
from queueserver_operator.observed import Environment
from queueserver_operator.spec import PodSettings, QueueServerSpec

SECRET_MODE = 0o440
"""Files with keys: for the processes' user and group only."""

KEY_PAIR = {"private_key": "private_key", "public_key": "public_key"}
"""Files of a Secret with a pair of keys."""

_TOKEN_LIFETIME = 3600
"""Seconds; the kubelet renews a token before."""

CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}

_LASTING_TOLERATIONS = tuple(
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute"}
    for state in ("not-ready", "unreachable")
)


def digest(content: object) -> str:
    """Short hash of anything that is JSON; the same for the same content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hashed(manifest: Manifest) -> dict[str, Any]:
    """The manifest with the annotation by which the next decision knows that nothing has to be written."""
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), HASH_ANNOTATION: digest(manifest)}
    return {**manifest, "metadata": metadata}


def metadata(spec: QueueServerSpec, name: str, component: str = "", *, owned: bool = True) -> dict[str, Any]:
    """Name, labels and, unless it outlives the QueueServer, the owner reference of an object."""
    found: dict[str, Any] = {
        "name": name,
        "namespace": spec.namespace,
        "labels": labels(spec.name, component),
    }
    if owned:
        found["ownerReferences"] = [
            _owner(QUEUE_SERVER_KIND, spec.name, spec.uid) | {"controller": True, "blockOwnerDeletion": False}
        ]
    return found


def environment_owner(environment: Environment) -> list[dict[str, Any]]:
    """Owner reference of what belongs to one opening: its deletion is never held up by it."""
    return [
        _owner(ENVIRONMENT_KIND, environment.name, environment.uid) | {"controller": True, "blockOwnerDeletion": False}
    ]


def _owner(kind: str, name: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "name": name, "uid": uid}


def pod_settings(settings: PodSettings, options: Options, service_account: str) -> dict[str, Any]:
    """The parts of a pod's specification that follow from its settings alone; nothing is set that is empty."""
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "runAsUser": settings.run_as_user,
        "runAsGroup": settings.run_as_group,
        "fsGroup": settings.fs_group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if settings.supplemental_groups:
        security["supplementalGroups"] = list(settings.supplemental_groups)
    pull_secrets = dict.fromkeys((*options.image_pull_secrets, *settings.image_pull_secrets))
    optional = {
        "imagePullSecrets": [{"name": name} for name in pull_secrets],
        "nodeSelector": dict(settings.node_selector),
        "affinity": dict(settings.affinity),
        "priorityClassName": settings.priority_class,
    }
    return {
        "serviceAccountName": settings.service_account or service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.termination_grace,
        "securityContext": security,
        "tolerations": [*_LASTING_TOLERATIONS, *(dict(one) for one in settings.tolerations)],
    } | {key: value for key, value in optional.items() if value}


def environment_variables(own: Mapping[str, str], settings: PodSettings) -> list[dict[str, Any]]:
    """Our variables and those of the specification; ours win, and each name occurs once."""
    added = [dict(one) for one in settings.env if one.get("name") not in own]
    return [*({"name": name, "value": value} for name, value in own.items()), *added]


def http_probe(path: str, port: int | str, *, period: int, failures: int) -> dict[str, Any]:
    """A probe of a container of ours; `period` in seconds."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def secret_volume(volume: str, secret: str, files: Mapping[str, str]) -> dict[str, Any]:
    """A volume of some keys of a Secret; `files`: the file of each key."""
    items = [{"key": key, "path": path} for key, path in files.items()]
    return {"name": volume, "secret": {"secretName": secret, "defaultMode": SECRET_MODE, "items": items}}


def token_volume() -> dict[str, Any]:
    """A token of the pod's service account, and the certificate of the authority of the API server."""
    return {
        "name": "token",
        "projected": {
            "defaultMode": SECRET_MODE,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_LIFETIME}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ],
        },
    }
