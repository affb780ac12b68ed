"""The real cluster that tests run in: kubectl, and the names of the images of this tree.

`make cluster-up` makes the cluster, or QUEUESERVER_TEST_KUBECONFIG names one. All waits have a deadline.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from cluster_reader import Reader, reads

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "cluster"
KUBECONFIG_VARIABLE = "QUEUESERVER_TEST_KUBECONFIG"
ANSWER = 10.0
"""Seconds within which the API server of a cluster that can be used answers."""

_numbers = itertools.count(1)

Manifest = Mapping[str, Any]


class NoCluster(Exception):
    """There is no cluster to test in; the text says how to get one."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster and one namespace."""

    program: Path
    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> Kubectl:
        """The same for another namespace."""
        return replace(self, namespace=namespace)

    def command(self, *words: str) -> list[str]:
        """The command line of kubectl with these words."""
        return [str(self.program), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *words]

    def __call__(self, *words: str, stdin: str = "", seconds: float = 60, check: bool = True) -> str:
        """Run one command and return what it printed; fails with what it said when it does not succeed."""
        answer = subprocess.run(
            self.command(*words),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert answer.returncode == 0 or not check, f"kubectl {' '.join(words)}:\n{answer.stdout}{answer.stderr}"
        return answer.stdout

    def apply(self, *manifests: Manifest) -> None:
        """Apply manifests, each of them in the namespace that it names or else in this one."""
        self("apply", "--filename", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": manifests}))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Read one object; None when there is none of that name."""
        if reads(kind):
            return _reader(self.program, self.kubeconfig).get(self.namespace, kind, name)
        text = self("get", kind, name, "--ignore-not-found", "--output", "json")
        return json.loads(text) if text else None

    def find(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Read all objects of a kind in the namespace, or those with some labels."""
        if reads(kind):
            return _reader(self.program, self.kubeconfig).find(self.namespace, kind, selector)
        items: list[dict[str, Any]] = json.loads(self("get", kind, "--selector", selector, "--output", "json"))["items"]
        return items

    def delete(self, kind: str, name: str, *options: str) -> None:
        """Ask for the deletion of an object and return at once; one that is gone already is as good."""
        self("delete", kind, name, "--ignore-not-found", "--wait=false", *options)

    def wait(self, kind: str, name: str, condition: str, seconds: float = 60) -> None:
        """Wait until a condition of `kubectl wait --for` holds: `create`, `delete`, `condition=Ready`, `jsonpath=…`."""
        self("wait", f"{kind}/{name}", f"--for={condition}", f"--timeout={seconds:.0f}s", seconds=seconds + 10)

    def run_in(self, pod: str, *command: str, container: str = "", seconds: float = 60, check: bool = True) -> str:
        """Run a program in a container of a running pod and return what it printed."""
        chosen = ["--container", container] if container else []
        return self("exec", pod, *chosen, "--", *command, seconds=seconds, check=check)

    def logs(self, pod: str, container: str = "") -> str:
        """What a container has written so far, or did before it ended."""
        return self("logs", pod, *(["--container", container] if container else []))


@cache
def _reader(program: Path, kubeconfig: Path) -> Reader:
    return Reader([str(program), "--kubeconfig", str(kubeconfig)])


def new_namespace(cluster: Kubectl) -> Kubectl:
    """kubectl for a new namespace, in which pods can be created."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    cluster("create", "namespace", name)
    own = cluster.within(name)
    own.wait("serviceaccount", "default", "create")
    return own


def find_kubectl() -> Kubectl:
    """Find the cluster; raises `NoCluster` when there is none or it does not answer."""
    named = os.environ.get(KUBECONFIG_VARIABLE)
    kubectl = Kubectl(OUTPUT / "bin" / "kubectl", Path(named) if named else OUTPUT / "kubeconfig")
    if not kubectl.program.exists() or not kubectl.kubeconfig.is_file():
        raise NoCluster(f"No cluster to test in: run `make cluster-up` or set {KUBECONFIG_VARIABLE}.")
    try:
        kubectl("get", "--raw", "/readyz", seconds=ANSWER)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        raise NoCluster(
            f"The cluster of {kubectl.kubeconfig} does not answer: run `make cluster-up`. {error}"
        ) from None
    return kubectl


def file_of_cluster(name: str) -> Path:
    """Path of a file that `make cluster-up` wrote about the cluster: images.json or operator-values.json."""
    named = os.environ.get(KUBECONFIG_VARIABLE)
    if not named:
        return OUTPUT / name
    # A cluster made here with a name of its own, or one that was there.
    own = Path(named).parent == OUTPUT
    return OUTPUT / (Path(named).name.replace("kubeconfig", name) if own else f"existing.{name}")


def image_names() -> dict[str, str]:
    """Full names of the images of this tree as the cluster has them, by their short names (manager, worker, …)."""
    try:
        names: dict[str, str] = json.loads(file_of_cluster("images.json").read_text())
    except FileNotFoundError:
        raise NoCluster("The images of this tree are not in the cluster: run `make cluster-load`.") from None
    return names


def restricted_pod(
    name: str, image: str, command: Sequence[str] = (), *, writable: Sequence[str] = (), **spec: Any
) -> dict[str, Any]:
    """Manifest of a pod as ours run: not as root, without capabilities, with a read-only root file system.

    Without a command it runs the image's entry point. The folders `writable` are empty volumes.
    """
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": f"writable-{i}", "mountPath": path} for i, path in enumerate(writable)],
    } | ({"command": list(command)} if command else {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": f"writable-{i}", "emptyDir": {}} for i in range(len(writable))],
            **spec,
        },
    }
