"""A manager in the cluster that a test talks to as to one on this machine: its ports are forwarded.

Startup code and permissions are those of the contract tests. Client and manager encrypt with the keys of the client
Secret.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from cluster_beamline import DEADLINE
from cluster_of_tests import Kubectl, find_kubectl, image_names, new_namespace
from contract_manager import EMERGENCY_KEY, PROFILE, ContractClient
from helm_release import shared_operator
from manager_client import NoAnswer, Status
from port_forward import PortForward
from queueserver_common.cluster import API_VERSION, CONTROL_PORT, ENCRYPTED_INFO_PORT
from queueserver_operator.names import MANAGER_CONTAINER, WORKER_CONTAINER, client_secret, manager_pod
from running_manager import SIMULATED_PROFILE

NAME = "contract"
_PERMISSIONS = "user_group_permissions.yaml"
_FIND_MANAGER = """
from pathlib import Path
for command in Path("/proc").glob("[0-9]*/cmdline"):
    if "queueserver_manager" in command.read_text().split("\\0"):
        print(command.parent.name)
"""
_SMALL = {"resources": {"requests": {"cpu": "20m"}}}


class FileOfWorker:
    """A file in the worker's pod."""

    def __init__(self, manager: ManagerInCluster, path: str) -> None:
        self._manager = manager
        self._path = path

    def __str__(self) -> str:
        return self._path

    def touch(self) -> None:
        self._manager.in_worker("touch", self._path)

    def exists(self) -> bool:
        return self._manager.in_worker("sh", "-c", f"test -e {self._path} && echo yes || true").strip() == "yes"


class ManagerInCluster(ContractClient):
    """The manager of a QueueServer."""

    def __init__(self, cluster: Kubectl, name: str) -> None:
        """`cluster`: kubectl for the namespace of the QueueServer `name`, which is ready."""
        self.cluster = cluster
        self.name = name
        self._releases = 0
        self._ended = 0
        self._forward = PortForward(cluster, f"service/{name}", {CONTROL_PORT: 0, ENCRYPTED_INFO_PORT: 0})
        secret = cluster.get("secret", client_secret(name)) or {}
        ports = self._forward.ports
        self.public_key = base64.b64decode(secret["data"]["QSERVER_ZMQ_PUBLIC_KEY"]).decode()
        """Public key of the control socket."""
        super().__init__(
            f"tcp://127.0.0.1:{ports[CONTROL_PORT]}",
            f"tcp://127.0.0.1:{ports[ENCRYPTED_INFO_PORT]}",
            server_key=self.public_key,
        )

    def raw(self, frame: bytes, *, timeout: float = 10.0) -> bytes | None:
        """The reply to bytes that are sent as they are; None when there is none in time."""
        self._forward.keep()
        return super().raw(frame, timeout=timeout)

    def wait_status(self, condition: Any, timeout: float = DEADLINE) -> Status:
        """The first status, from now on, that fulfils the condition: pods take longer than processes."""
        return super().wait_status(condition, max(timeout, DEADLINE))

    def wait_idle(self, timeout: float = DEADLINE) -> Status:
        """The status when the manager is idle."""
        return super().wait_idle(timeout)

    def release_file(self) -> FileOfWorker:
        """A file that does not exist yet, for plans that wait."""
        self._releases += 1
        return FileOfWorker(self, f"/tmp/release-{self._releases}")

    @property
    def worker_pod(self) -> str:
        """Name of the pod of the open environment."""
        (environment,) = self.cluster.find("workerenvironments")
        return str(environment["metadata"]["name"])

    def in_worker(self, *command: str) -> str:
        """Run a program in the worker's pod and return what it printed."""
        return self.cluster.run_in(self.worker_pod, *command, container=WORKER_CONTAINER)

    # Its end ----------------------------------------------------------------------------------------------------

    def wait_end(self, timeout: float = DEADLINE) -> int:
        """The exit code of `start-re-manager`, when it has ended since the last time; the pod starts it again."""
        deadline = time.monotonic() + timeout
        while (status := self._container())["restartCount"] <= self._ended:
            assert time.monotonic() < deadline, self._explain(f"the manager did not end within {timeout:g} s")
            time.sleep(0.2)
        self._ended = status["restartCount"]
        self.wait_answer()
        code: int = status["lastState"]["terminated"]["exitCode"]
        return code

    def assert_no_process_left(self) -> None:
        """Assert that no worker is left."""
        assert self.cluster.find("workerenvironments") == []

    def wait_answer(self, timeout: float = DEADLINE) -> Status:
        """The first status of a manager that has come up."""
        deadline = time.monotonic() + timeout
        while True:
            with suppress(NoAnswer):
                status = self.call("status", _timeout=1.0)
                if status["manager_state"] != "initializing":
                    return dict(status)
            assert time.monotonic() < deadline, self._explain(f"no answer within {timeout:g} s")

    @property
    def manager_pid(self) -> int:
        """The manager's process id in its pod."""
        said = self.cluster.run_in(manager_pod(self.name), "python", "-c", _FIND_MANAGER, container=MANAGER_CONTAINER)
        (pid,) = said.split()
        return int(pid)

    def stop(self) -> None:
        """A test is done with it; others are not."""

    def _container(self) -> dict[str, Any]:
        pod = self.cluster.get("pod", manager_pod(self.name)) or {"status": {"containerStatuses": []}}
        (status,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == MANAGER_CONTAINER]
        return dict(status)

    def disconnect(self) -> None:
        super().disconnect()
        self._forward.end()

    def _explain(self, text: str) -> str:
        seen = self.cluster("get", "queueservers,workerenvironments,pods", "--output", "wide", check=False)
        log = self.cluster("logs", manager_pod(self.name), f"--container={MANAGER_CONTAINER}", "--tail=15", check=False)
        return f"{text}\n{seen}\n{log}"


@contextmanager
def manager_in_cluster(files: Mapping[str, str] = PROFILE, **environment: Any) -> Iterator[ManagerInCluster]:
    """The manager of a QueueServer of its own, in the cluster of `make cluster-up`.

    `files`: texts of its startup code. `environment`: more of the field of the specification.
    """
    cluster, images = find_kubectl(), image_names()
    shared_operator(cluster, images)
    own = new_namespace(cluster)
    try:
        own.apply(*_manifests(files, environment))
        own.wait("queueserver", NAME, "condition=Ready", 2 * DEADLINE)
        manager = ManagerInCluster(own, NAME)
        try:
            yield manager
        finally:
            manager.disconnect()
    finally:
        cluster.delete("namespace", own.namespace)


def _manifests(files: Mapping[str, str], environment: dict[str, Any]) -> list[dict[str, Any]]:
    permissions = {_PERMISSIONS: (SIMULATED_PROFILE / _PERMISSIONS).read_text()}
    emergency = {"name": "QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER", "value": EMERGENCY_KEY}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "profile"}, "data": {**files, **permissions}},
        {
            "apiVersion": API_VERSION,
            "kind": "QueueServer",
            "metadata": {"name": NAME},
            "spec": {
                "environment": {**_SMALL, "profile": {"configMap": {"name": "profile"}}, **environment},
                "permissions": {"configMap": {"name": "profile"}},
                "manager": {**_SMALL, "env": [emergency]},
            },
        },
    ]
