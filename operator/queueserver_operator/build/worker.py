"""The pod of one opening and the ConfigMap with its configuration.

A bare pod that is never restarted: a RunEngine that ended cannot be resumed, and a pod of the next opening is another.
"""

from __future__ import annotations

from typing import Any

from queueserver_common.cluster import (
    ENVIRONMENT_LABEL,
    LINK_PORT,
    link_service,
    service_address,
    worker_name,
)
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.startup import StartupSource
from queueserver_operator import names
from queueserver_operator.build.parts import (
    CONTAINER_SECURITY,
    KEY_PAIR,
    digest,
    environment_owner,
    environment_variables,
    pod_settings,
    secret_volume,
)
from queueserver_operator.build.patch import merge
from queueserver_operator.model import Options
from queueserver_operator.names import START_GATE, TEMPLATE_HASH_ANNOTATION
from queueserver_operator.observed import Environment
from queueserver_operator.spec import Profile, QueueServerSpec

HOME = "/home/queueserver"
SPOOL_DIR = "/var/lib/queueserver/spool"
KERNEL_DIR = "/tmp/kernel"  # noqa: S108 - of the pod alone
STARTUP_DIR = "/opt/queueserver/startup"
SIMULATED_PROFILE = "/opt/queueserver/sim_profile"
OPENING_DIR = "/etc/queueserver/opening"
LINK_KEY_DIR = "/etc/queueserver/link"
CONFIG_FILE = "worker.json"
TERMINATION_MESSAGE = "/dev/termination-log"
"""Where Kubernetes reads the last words of a container, unless the container says otherwise."""

_SCRIPTS = (".py", ".ipy")
_OPENING_VOLUME = "opening"


def worker_image(spec: QueueServerSpec, options: Options) -> str:
    """Image of the worker's container."""
    return spec.environment.pod.image or options.worker_image


def startup_source(profile: Profile) -> StartupSource:
    """What the worker loads; raises ValueError with a sentence for a specification that names no source."""
    if profile.kind == "simulated":
        return StartupSource("directory", SIMULATED_PROFILE)
    if profile.kind in ("configMap", "persistentVolumeClaim"):
        return _file_or_directory("/".join(part for part in (STARTUP_DIR, profile.path.strip("/")) if part))
    if profile.kind == "image" and profile.module:
        return StartupSource("module", profile.module)
    if profile.kind == "image" and profile.path:
        return _file_or_directory(profile.path)
    raise ValueError("spec.environment.profile names no source of startup code")


def template_hash(spec: QueueServerSpec, options: Options) -> str:
    """Hash of what every opening has in common; tells whether an open environment is behind the specification."""
    config = _worker_config(spec, "", "")
    config["startup"] = config["startup"].as_mapping()
    return digest([_pod_spec(spec, options, ""), _labels(spec), _annotations(spec), config])


def config_map(
    spec: QueueServerSpec, environment: Environment, link_server_public_key: str, revision: str
) -> dict[str, Any]:
    """The worker's configuration; there is no secret in it. `revision` of the startup code, empty: unknown."""
    config = WorkerConfig(
        link_address=service_address(link_service(spec.name), spec.namespace, LINK_PORT),
        token="",
        # The same in the status of the environment and in the runs that it makes.
        startup_revision=revision,
        **_worker_config(spec, environment.opening_id, link_server_public_key),
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(spec, environment),
        "data": {CONFIG_FILE: config.to_json()},
    }


def pod(spec: QueueServerSpec, options: Options, environment: Environment) -> dict[str, Any]:
    """The pod; it waits behind a gate until its uid stands in the status of its WorkerEnvironment."""
    metadata = _metadata(spec, environment)
    metadata["labels"] = {**_labels(spec), **metadata["labels"]}
    metadata["annotations"] = {**_annotations(spec), TEMPLATE_HASH_ANNOTATION: template_hash(spec, options)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": _pod_spec(spec, options, environment.name),
    }


def _metadata(spec: QueueServerSpec, environment: Environment) -> dict[str, Any]:
    return {
        "name": environment.name,
        "namespace": spec.namespace,
        "labels": {**names.labels(spec.name, names.WORKER), ENVIRONMENT_LABEL: environment.name},
        "ownerReferences": environment_owner(environment),
    }


def _labels(spec: QueueServerSpec) -> dict[str, str]:
    return dict(spec.environment.pod.labels)


def _annotations(spec: QueueServerSpec) -> dict[str, str]:
    return dict(spec.environment.pod.annotations)


def _worker_config(spec: QueueServerSpec, opening_id: str, link_server_public_key: str) -> dict[str, Any]:
    # An image of an older release does not know the kernel, and need not hear of it.
    kernel = {"kernel": {"ip": "127.0.0.1", "connection_dir": KERNEL_DIR}} if spec.environment.ipython_kernel else {}
    return {
        "opening_id": opening_id,
        "startup": startup_source(spec.environment.profile),
        "spool_dir": SPOOL_DIR,
        "ignore_invalid_plans": spec.environment.ignore_invalid_plans,
        "device_max_depth": spec.environment.device_max_depth,
        "create_run_engine": spec.environment.create_run_engine,
        "keep_run_engine": spec.environment.keep_run_engine,
        # In a cluster a worker waits for its manager without limit: deletion of the WorkerEnvironment ends it.
        "orphan_timeout": 0.0,
        "busy_orphan_timeout": 0.0,
        "link_server_public_key": link_server_public_key,
        "link_key_file": f"{LINK_KEY_DIR}/private_key",
        # The end of an item that was not stored yet outlives the worker in its pod's status.
        "termination_message": TERMINATION_MESSAGE,
    } | kernel


def _pod_spec(spec: QueueServerSpec, options: Options, name: str) -> dict[str, Any]:
    template = spec.environment
    network: dict[str, Any] = {}
    if template.host_network and options.allow_host_network:
        network = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if template.runtime_class:
        network["runtimeClassName"] = template.runtime_class
    found: dict[str, Any] = {
        **pod_settings(template.pod, options, worker_name(spec.name)),
        **network,
        "containers": [_container(spec, options)],
        "volumes": [*_volumes(spec, name), *(dict(volume) for volume in template.pod.volumes)],
    }
    return merge(found, template.pod.pod_template.get("spec") or {}) | {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "schedulingGates": [{"name": START_GATE}],
    }


def _container(spec: QueueServerSpec, options: Options) -> dict[str, Any]:
    template = spec.environment
    home: dict[str, Any] = {"name": "home", "mountPath": HOME}
    if template.home.sub_path:
        home["subPath"] = template.home.sub_path
    mounts: list[dict[str, Any]] = [
        home,
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of its own
        {"name": "spool", "mountPath": SPOOL_DIR},
        {"name": "link", "mountPath": LINK_KEY_DIR, "readOnly": True},
        {"name": _OPENING_VOLUME, "mountPath": OPENING_DIR, "readOnly": True},
    ]
    if template.profile.kind in ("configMap", "persistentVolumeClaim"):
        mounts.append({"name": "startup", "mountPath": STARTUP_DIR, "readOnly": True})
    container: dict[str, Any] = {
        "name": names.WORKER_CONTAINER,
        "image": worker_image(spec, options),
        "imagePullPolicy": template.pod.image_pull_policy,
        "args": ["--config", f"{OPENING_DIR}/{CONFIG_FILE}"],
        "env": _variables(spec),
        "envFrom": [dict(one) for one in template.pod.env_from],
        "resources": dict(template.pod.resources),
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePath": TERMINATION_MESSAGE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*mounts, *(dict(mount) for mount in template.pod.volume_mounts)],
    }
    return {key: value for key, value in container.items() if value not in ([], {})}


def _variables(spec: QueueServerSpec) -> list[dict[str, Any]]:
    """The pod's own identity, then what finds process variables, then what the specification adds or replaces."""
    identity = {
        "POD_UID": "metadata.uid",
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "NODE_NAME": "spec.nodeName",
    }
    given = {one.get("name") for one in spec.environment.pod.env}
    epics = {name: value for name, value in spec.environment.epics.variables.items() if name not in given}
    added = environment_variables({"HOME": HOME, **epics}, spec.environment.pod)
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in identity.items()),
        *(one for one in added if one["name"] not in identity),
    ]


def _volumes(spec: QueueServerSpec, name: str) -> list[dict[str, Any]]:
    template = spec.environment
    link_secret = spec.keys.link_worker or names.link_worker_secret(spec.name)
    if template.home.empty_dir:
        home: dict[str, Any] = {"emptyDir": {}}
    else:
        home = {"persistentVolumeClaim": {"claimName": template.home.existing_claim or names.home_claim(spec.name)}}
    volumes: list[dict[str, Any]] = [
        {"name": "home", **home},
        {"name": "tmp", "emptyDir": {}},
        {"name": "spool", "emptyDir": {}},
        secret_volume("link", link_secret, KEY_PAIR),
        {"name": _OPENING_VOLUME, "configMap": {"name": name}},
    ]
    profile = template.profile
    if profile.kind == "configMap":
        volumes.append({"name": "startup", "configMap": {"name": profile.name}})
    if profile.kind == "persistentVolumeClaim":
        source = {"claimName": profile.name, "readOnly": True}
        volumes.append({"name": "startup", "persistentVolumeClaim": source})
    return volumes


def _file_or_directory(path: str) -> StartupSource:
    return StartupSource("script" if path.endswith(_SCRIPTS) else "directory", path)
