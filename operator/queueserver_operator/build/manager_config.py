"""ConfigMap of the manager: its settings, and permissions that stand in the specification."""

from __future__ import annotations

from typing import Any

import yaml

from queueserver_common.cluster import (
    CONTROL_PORT,
    ENCRYPTED_INFO_PORT,
    HEALTH_PORT,
    INFO_PORT,
    LEGACY_PORT,
    LINK_PORT,
    manager_name,
)
from queueserver_operator.build.parts import metadata
from queueserver_operator.names import MANAGER
from queueserver_operator.spec import QueueServerSpec

CONFIG_DIR = "/etc/queueserver/config"
CONTROL_KEY_DIR = "/etc/queueserver/control"
LINK_KEY_DIR = "/etc/queueserver/link"
LINK_WORKER_KEY_DIR = "/etc/queueserver/link-worker"
PERMISSIONS_DIR = "/etc/queueserver/permissions"
LISTS_DIR = "/etc/queueserver/lists"
DATA_DIR = "/var/lib/queueserver"
RUNTIME_DIR = "/run/queueserver"
REDIS_SOCKET_DIR = "/run/redis"
TOKEN_DIR = "/var/run/secrets/queueserver"  # noqa: S105 - a directory

CONFIG_FILE = "config.yml"
REDIS_SOCKET = f"{REDIS_SOCKET_DIR}/redis.sock"
_PERMISSIONS_FILE = "user_group_permissions.yaml"


def config_map(spec: QueueServerSpec) -> dict[str, Any]:
    """The ConfigMap; a change of the permissions alone restarts nothing, they are read again on demand."""
    data = {CONFIG_FILE: yaml.safe_dump(manager_config(spec), sort_keys=False)}
    if spec.permissions.inline:
        data[_PERMISSIONS_FILE] = spec.permissions.inline
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(spec, manager_name(spec.name), MANAGER),
        "data": data,
    }


def manager_config(spec: QueueServerSpec) -> dict[str, Any]:
    """Content of config.yml (cli 2.1, and our own section `kubernetes`)."""
    startup = {}
    if spec.permissions.inline:
        startup["user_group_permissions_path"] = f"{CONFIG_DIR}/{_PERMISSIONS_FILE}"
    elif spec.permissions.config_map:
        startup["user_group_permissions_path"] = f"{PERMISSIONS_DIR}/{spec.permissions.key}"
    if spec.lists.config_map:
        startup["existing_plans_and_devices_path"] = f"{LISTS_DIR}/{spec.lists.key}"
    config: dict[str, Any] = {
        "network": {
            "zmq_control_addr": f"tcp://*:{CONTROL_PORT}",
            "zmq_info_addr": f"tcp://*:{INFO_PORT}",
            "zmq_publish_console": True,
            "redis_addr": spec.redis.address or f"unix://{REDIS_SOCKET}",
            "redis_name_prefix": spec.redis.name_prefix,
        },
        "service": {
            "data_dir": DATA_DIR,
            "runtime_dir": RUNTIME_DIR,
            "on_terminate": "LEAVE",
            "import_upstream": False,
        },
    }
    config["service"] |= _additions(spec)
    worker: dict[str, Any] = {}
    if spec.manager.metadata_keys:
        worker["permitted_re_metadata_keys"] = list(spec.manager.metadata_keys)
    if spec.environment.ipython_kernel:
        worker["use_ipython_kernel"] = True
    if worker:
        config["worker"] = worker
    if startup:
        config["startup"] = startup
    config["operation"] = {"console_logging_level": spec.manager.log_level}
    config["kubernetes"] = {
        "queue_server": spec.name,
        "namespace": spec.namespace,
        "link_addr": f"tcp://*:{LINK_PORT}",
        "encrypted_info_addr": f"tcp://*:{ENCRYPTED_INFO_PORT}",
        "clear_info": spec.network.clear_info,
        "health_addr": f"0.0.0.0:{HEALTH_PORT}",
        "opening_deadline": spec.environment.opening_deadline,
        "close_grace": spec.environment.pod.termination_grace,
        "destroy_grace": spec.environment.destroy_grace,
        "control_key_file": f"{CONTROL_KEY_DIR}/private_key",
        "link_key_file": f"{LINK_KEY_DIR}/private_key",
        "link_worker_public_key_file": f"{LINK_WORKER_KEY_DIR}/public_key",
        "token_dir": TOKEN_DIR,
    }
    return config


def _additions(spec: QueueServerSpec) -> dict[str, Any]:
    """What differs from the manager's own defaults: images of an older release need not know the rest."""
    found: dict[str, Any] = {} if spec.manager.root_submits else {"root_submits": False}
    limits = {"history_limit": spec.manager.history_limit, "audit_limit": spec.manager.audit_limit}
    if spec.network.legacy:
        found["legacy_addr"] = f"tcp://*:{LEGACY_PORT}"
    return found | {name: limit for name, limit in limits.items() if limit is not None}
