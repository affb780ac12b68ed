"""Settings that matter in a cluster: encrypted copies, keys as files, the link that pods dial, health.

The part of `settings.table` that the operator writes into a manager's configuration file.
"""

from __future__ import annotations

from pathlib import Path

from queueserver_manager.settings.declaration import Group, Setting
from queueserver_manager.settings.values import Address, FilePath, ListenAddress, Name, OnOff, Seconds

CLUSTER_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "encrypted_info_addr",
        Group.NETWORK,
        Address(),
        None,
        "Address at which the same is published encrypted, for clients that know the public key of the control address",
        option="--encrypted-info-addr",
        key="kubernetes/encrypted_info_addr",
        default_text="none",
    ),
    Setting(
        "clear_info",
        Group.NETWORK,
        OnOff(),
        True,
        "Publish at the info address, which is not encrypted; OFF leaves the encrypted one only",
        option="--clear-info",
        key="kubernetes/clear_info",
    ),
    Setting(
        "health_addr",
        Group.CLUSTER,
        ListenAddress(),
        None,
        "Address of a small HTTP server with /healthz (the manager is alive) and /readyz (it answers requests)",
        option="--health-addr",
        key="kubernetes/health_addr",
        default_text="none",
    ),
    Setting(
        "queue_server",
        Group.CLUSTER,
        Name(40),
        None,
        "Name of the QueueServer that this manager belongs to; its workers are then pods",
        option="--queue-server",
        key="kubernetes/queue_server",
        default_text="none: workers are local processes",
    ),
    Setting(
        "namespace",
        Group.CLUSTER,
        Name(63),
        None,
        "Namespace of the QueueServer",
        option="--namespace",
        key="kubernetes/namespace",
    ),
    Setting(
        "link_addr",
        Group.CLUSTER,
        Address(),
        "tcp://*:60635",
        "Address that workers dial",
        option="--link-addr",
        key="kubernetes/link_addr",
    ),
    Setting(
        "opening_deadline",
        Group.CLUSTER,
        Seconds(),
        540.0,
        "Time for which the worker of an opening is waited for: image, place on a node, instrument",
        key="kubernetes/opening_deadline",
    ),
    Setting(
        "close_grace",
        Group.CLUSTER,
        Seconds(),
        30.0,
        "Time that a worker has to leave when its environment is closed; then it is destroyed",
        key="kubernetes/close_grace",
    ),
    Setting(
        "destroy_grace",
        Group.CLUSTER,
        Seconds(),
        5.0,
        "Time that a worker has to abort its plan and leave when its environment is destroyed, local ones too",
        key="kubernetes/destroy_grace",
    ),
    Setting(
        "control_key_file",
        Group.CLUSTER,
        FilePath("FILE"),
        None,
        "File with the private CURVE key that encrypts the control address",
        key="kubernetes/control_key_file",
    ),
    Setting(
        "link_key_file",
        Group.CLUSTER,
        FilePath("FILE"),
        None,
        "File with the private CURVE key of the link that workers dial",
        key="kubernetes/link_key_file",
    ),
    Setting(
        "link_worker_public_key_file",
        Group.CLUSTER,
        FilePath("FILE"),
        None,
        "File with the public CURVE key of the workers; no other key is admitted to the link",
        key="kubernetes/link_worker_public_key_file",
    ),
    Setting(
        "token_dir",
        Group.CLUSTER,
        FilePath("DIR"),
        Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        "Directory with the files token and ca.crt for the Kubernetes API server; read anew when they change",
        key="kubernetes/token_dir",
    ),
)
