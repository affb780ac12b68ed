"""Small objects: the home's claim, Secrets, the disruption budget, the lock of the instrument."""

from __future__ import annotations

import base64
from typing import Any

from queueserver_common.cluster import (
    COMPONENT_LABEL,
    CONTROL_PORT,
    ENCRYPTED_INFO_PORT,
    INFO_PORT,
    QUEUE_SERVER_LABEL,
    client_service,
    service_address,
    worker_name,
)
from queueserver_operator import names
from queueserver_operator.build.parts import metadata
from queueserver_operator.model import Options
from queueserver_operator.observed import Environment
from queueserver_operator.spec import QueueServerSpec, Volume


def claim_spec(volume: Volume) -> dict[str, Any]:
    """Specification of a claim."""
    found: dict[str, Any] = {
        "accessModes": list(volume.access_modes),
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class is not None:
        found["storageClassName"] = volume.storage_class
    return found


def home_claim(spec: QueueServerSpec) -> dict[str, Any]:
    """The workers' home. It has no owner, so it outlives the QueueServer unless that says otherwise."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(spec, names.home_claim(spec.name), names.WORKER, owned=False),
        "spec": claim_spec(spec.environment.home.volume),
    }


def key_secret(spec: QueueServerSpec, name: str) -> dict[str, Any]:
    """A Secret for a key pair, without its data. It has no owner: keys are kept with the data."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(spec, name, owned=False),
    }


def client_secret(spec: QueueServerSpec, public_key: str) -> dict[str, Any]:
    """What a client pod needs in `envFrom` to reach this QueueServer; nothing of it is private."""
    service = client_service(spec.name)
    info_port = INFO_PORT if spec.network.clear_info else ENCRYPTED_INFO_PORT
    variables = {
        "QSERVER_ZMQ_CONTROL_ADDRESS": service_address(service, spec.namespace, CONTROL_PORT),
        "QSERVER_ZMQ_INFO_ADDRESS": service_address(service, spec.namespace, info_port),
        "QSERVER_ZMQ_PUBLIC_KEY": public_key,
    }
    if not spec.network.clear_info:
        variables["QSERVER_ZMQ_INFO_ENCRYPTED"] = "ON"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(spec, names.client_secret(spec.name)),
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in variables.items()},
    }


def disruption_budget(spec: QueueServerSpec) -> dict[str, Any]:
    """Keeps evictions away from the worker; it exists only while a plan or task is in hand."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(spec, worker_name(spec.name), names.WORKER),
        "spec": {
            "minAvailable": 1,
            "selector": {"matchLabels": {QUEUE_SERVER_LABEL: spec.name, COMPONENT_LABEL: names.WORKER}},
        },
    }


def lease_namespace(spec: QueueServerSpec, options: Options) -> str:
    """Namespace of the instrument's lock."""
    return options.lock_namespace or spec.namespace


def lease_name(spec: QueueServerSpec) -> str:
    """Name of the instrument's lock."""
    return names.lease(spec.instrument)


def holder(environment: Environment) -> str:
    """Identity under which an environment holds a lock."""
    return f"{environment.namespace}/{environment.name}/{environment.uid}"


def lease(spec: QueueServerSpec, options: Options, environment: Environment) -> dict[str, Any]:
    """The lock of the instrument. It has no owner and no expiry: it is released after proof of death only."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": lease_name(spec),
            "namespace": lease_namespace(spec, options),
            "labels": names.labels(spec.name) | {names.NAMESPACE_LABEL: spec.namespace},
            "annotations": {names.INSTRUMENT_ANNOTATION: spec.instrument},
        },
        "spec": {"holderIdentity": holder(environment)},
    }
