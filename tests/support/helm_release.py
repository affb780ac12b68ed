"""The charts as releases in a real cluster, with the images of this tree.

All tests share one operator: release `queueserver-operator` in the namespace `queueserver-system`, for the whole cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helm_charts import ROOT, find_helm

OPERATOR_RELEASE = "queueserver-operator"
OPERATOR_NAMESPACE = "queueserver-system"
OPERATOR_DEPLOYMENT = "queueserver-operator"

_OUTPUT = ROOT / "build" / "cluster"
_TIMEOUT = "180s"


@dataclass(frozen=True)
class Releases:
    """helm and kubectl for one cluster."""

    kubeconfig: Path
    images: Mapping[str, str]
    """Full names of the images of this tree by their short names."""
    helm_program: str

    def helm(self, *words: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm; returns what it printed, fails with what it said when it did not succeed."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(json.dumps(dict(values or {}), ensure_ascii=False))
            file.flush()
            options = ["--values", file.name] if values is not None else []
            return self._run(self.helm_program, *words, *options)

    def kubectl(self, *words: str) -> str:
        """Run kubectl; returns what it printed, fails with what it said when it did not succeed."""
        built = _OUTPUT / "bin" / "kubectl"
        return self._run(str(built) if built.exists() else "kubectl", *words)

    def read(self, *words: str) -> dict[str, Any]:
        """What `kubectl get` tells, parsed."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *words, "--output", "json"))
        return answer

    def names(self, kinds: str, namespace: str) -> list[str]:
        """Kind and name of the objects of some kinds in a namespace."""
        return self.kubectl("get", kinds, "--namespace", namespace, "--output", "name").split()

    def install_operator(self, values: Mapping[str, Any] | None = None) -> None:
        """Install the operator that all tests share, or bring it up to date, and wait until it is ready."""
        self.helm(
            *("upgrade", "--install", OPERATOR_RELEASE, str(ROOT / "charts" / "queueserver-operator")),
            *("--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", _TIMEOUT),
            *("--take-ownership", "--force-conflicts"),
            values={"images": self.image_values(), **(values or {})},
        )

    def uninstall_operator(self) -> None:
        """Uninstall it; QueueServers stay."""
        self.helm("uninstall", OPERATOR_RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", _TIMEOUT)

    def install(
        self, release: str, namespace: str, values: Mapping[str, Any] | None = None, *, wait: bool = True
    ) -> str:
        """Install a queue server with the simulated profile unless the values say otherwise; returns the notes."""
        return self.helm(
            *("upgrade", "--install", release, str(ROOT / "charts" / "queueserver"), "--namespace", namespace),
            *(("--wait", "--timeout", _TIMEOUT) if wait else ()),
            values={"test": {"image": self.images["manager"]}, **(values or {})},
        )

    def image_values(self) -> dict[str, Any]:
        """The value `images` of the operator's chart."""
        named: dict[str, Any] = {"registry": ""}
        for name in ("operator", "manager", "worker"):
            repository, _, tag = self.images[name].rpartition(":")
            named[name] = {"repository": repository, "tag": tag}
        return named

    def _run(self, *command: str) -> str:
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout


def find_releases() -> Releases | str:
    """The cluster of the tests with its images, or a sentence that says what is missing."""
    kubeconfig = Path(os.environ.get("QUEUESERVER_TEST_KUBECONFIG") or _OUTPUT / "kubeconfig")
    images = _OUTPUT / "images.json"
    helm = find_helm()
    if not kubeconfig.is_file() or not images.is_file():
        return "There is no cluster with the images of this tree: run `make cluster-up`."
    if helm is None:
        return "The tests of the charts need helm 4: install it, name it in HELM, or run `make cluster-up`."
    return Releases(kubeconfig, json.loads(images.read_text()), helm)
