"""A namespace of an API server with one QueueServer, in which a test plays the operator and the kubelet."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from api_server import ApiServer
from queueserver_common.cluster import (
    API_VERSION,
    COMPONENT_LABEL,
    ENVIRONMENT_LABEL,
    ENVIRONMENT_PLURAL,
    QUEUE_SERVER_LABEL,
    QUEUE_SERVER_PLURAL,
    environment_name,
)
from queueserver_operator.build.access import role
from queueserver_operator.spec import QueueServerSpec

QUEUE_SERVER = "qs"
_numbers = itertools.count(1)


class World:
    """The manager's namespace. `token_dir` holds what is mounted in the manager's container."""

    def __init__(self, server: ApiServer, certificates: Path, directory: Path) -> None:
        self.server = server
        self.namespace = f"manager-{os.getpid()}-{next(_numbers)}"
        self._accepted("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.resources = f"/apis/{API_VERSION}/namespaces/{self.namespace}"
        self.core = f"/api/v1/namespaces/{self.namespace}"
        self.queue_server = self._accepted(
            "POST",
            f"{self.resources}/{QUEUE_SERVER_PLURAL}",
            {
                "apiVersion": API_VERSION,
                "kind": "QueueServer",
                "metadata": {"name": QUEUE_SERVER},
                "spec": {"environment": {"profile": {"simulated": {}}}},
            },
        )
        self.token_dir = directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.crt").write_bytes((certificates / "apiserver.crt").read_bytes())
        self._authorize()

    def _authorize(self) -> None:
        """A ServiceAccount with exactly the rights that the operator gives to a manager."""
        made = role(QueueServerSpec.parse(self.queue_server))
        self._accepted("POST", f"{self.core}/serviceaccounts", {"metadata": {"name": "manager"}})
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        self._accepted("POST", f"{rbac}/roles", {"metadata": {"name": "manager"}, "rules": made["rules"]})
        self._accepted(
            "POST",
            f"{rbac}/rolebindings",
            {
                "metadata": {"name": "manager"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "manager"},
                "subjects": [{"kind": "ServiceAccount", "name": "manager", "namespace": self.namespace}],
            },
        )
        self.renew_token()

    def renew_token(self) -> None:
        """As the kubelet does it every hour or so."""
        answer = self._accepted(
            "POST",
            f"{self.core}/serviceaccounts/manager/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
        (self.token_dir / "token").write_text(answer["status"]["token"])

    # What the manager made ---------------------------------------------------------------------------------------

    def environments(self) -> dict[str, dict[str, Any]]:
        found = self._accepted("GET", f"{self.resources}/{ENVIRONMENT_PLURAL}")["items"]
        return {item["metadata"]["name"]: item for item in found}

    def queue_server_status(self) -> dict[str, Any]:
        found = self._accepted("GET", f"{self.resources}/{QUEUE_SERVER_PLURAL}/{QUEUE_SERVER}")
        status: dict[str, Any] = found["status"]
        return status

    # A person ------------------------------------------------------------------------------------------------------

    def apply_environment(self, opening_id: str) -> str:
        """`kubectl apply` of a WorkerEnvironment; returns its name."""
        name = environment_name(QUEUE_SERVER, opening_id)
        self._accepted(
            "POST",
            f"{self.resources}/{ENVIRONMENT_PLURAL}",
            {
                "apiVersion": API_VERSION,
                "kind": "WorkerEnvironment",
                "metadata": {"name": name},
                "spec": {"queueServerRef": {"name": QUEUE_SERVER}, "openingId": opening_id},
            },
        )
        return name

    def delete_environment(self, name: str) -> None:
        self._accepted("DELETE", f"{self.resources}/{ENVIRONMENT_PLURAL}/{name}")

    def annotate_environment(self, name: str, key: str, value: str) -> None:
        self._accepted(
            "PATCH",
            f"{self.resources}/{ENVIRONMENT_PLURAL}/{name}",
            {
                "apiVersion": API_VERSION,
                "kind": "WorkerEnvironment",
                "metadata": {"name": name, "annotations": {key: value}},
            },
            fieldManager="person",
        )

    # The operator --------------------------------------------------------------------------------------------------

    def make_pod(self, name: str) -> str:
        """The pod of an environment, not placed yet; returns its uid."""
        owner = self.environments()[name]["metadata"]["uid"]
        labels = {QUEUE_SERVER_LABEL: QUEUE_SERVER, COMPONENT_LABEL: "worker", ENVIRONMENT_LABEL: name}
        reference = {"apiVersion": API_VERSION, "kind": "WorkerEnvironment", "name": name, "uid": owner}
        made = self._accepted(
            "POST",
            f"{self.core}/pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": labels, "ownerReferences": [reference]},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "worker", "image": "worker:1"}]},
            },
        )
        uid: str = made["metadata"]["uid"]
        return uid

    def environment_status(self, name: str, status: Mapping[str, Any]) -> None:
        self._accepted(
            "PATCH",
            f"{self.resources}/{ENVIRONMENT_PLURAL}/{name}/status",
            {
                "apiVersion": API_VERSION,
                "kind": "WorkerEnvironment",
                "metadata": {"name": name},
                "status": dict(status),
            },
            fieldManager="operator",
            force="true",
        )

    # Scheduler and kubelet -----------------------------------------------------------------------------------------

    def place_pod(self, name: str, node: str = "node-1") -> None:
        self._accepted(
            "POST",
            f"{self.core}/pods/{name}/binding",
            {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            },
        )

    def run_pod(self, name: str) -> None:
        self._container(name, "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})

    def end_pod(self, name: str, exit_code: int, reason: str = "Error", message: str = "") -> None:
        """The container has terminated."""
        phase = "Failed" if exit_code else "Succeeded"
        self._container(name, phase, {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}})

    def pod_condition(self, name: str, kind: str, reason: str) -> None:
        self._pod_status(name, {"conditions": [{"type": kind, "status": "True", "reason": reason}]}, "conditions")

    def delete_pod(self, name: str) -> None:
        """With a grace: it stays until its containers have ended."""
        self._accepted("DELETE", f"{self.core}/pods/{name}")

    def remove_pod(self, name: str) -> None:
        """What the kubelet does at last, and a person by force."""
        self.server.http.request("DELETE", f"{self.core}/pods/{name}", params={"gracePeriodSeconds": "0"})

    def _container(self, name: str, phase: str, state: Mapping[str, Any]) -> None:
        container = {
            "name": "worker",
            "image": "worker:1",
            "imageID": "",
            "ready": "running" in state,
            "restartCount": 0,
            "state": dict(state),
        }
        self._pod_status(name, {"phase": phase, "containerStatuses": [container]}, "kubelet")

    def _pod_status(self, name: str, status: Mapping[str, Any], manager: str) -> None:
        self._accepted(
            "PATCH",
            f"{self.core}/pods/{name}/status",
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "status": dict(status)},
            fieldManager=manager,
            force="true",
        )

    def _accepted(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        answer = self.server.request(method, path, body, **query)
        end = time.monotonic() + 20
        while answer.status_code == httpx.codes.TOO_MANY_REQUESTS and time.monotonic() < end:
            time.sleep(0.1)  # a kind that was installed a moment ago
            answer = self.server.request(method, path, body, **query)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        found: dict[str, Any] = answer.json()
        return found


class Road:
    """The way to the API server, which can be cut and mended: a TCP proxy."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = True
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and every new one."""
        self._open = False
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._open = True

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._connections += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
