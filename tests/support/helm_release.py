"""The charts as releases in a real cluster, with the images of this tree.

All tests share one operator for the whole cluster: release `queueserver-operator`, namespace `queueserver-system`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster_of_tests import OUTPUT, Kubectl, NoCluster
from file_lock import locked
from helm_charts import ROOT, find_helm
from kind.images import chart_values

OPERATOR_RELEASE = "queueserver-operator"
OPERATOR_NAMESPACE = "queueserver-system"
OPERATOR_DEPLOYMENT = "queueserver-operator"

_TIMEOUT = "180s"


@dataclass(frozen=True)
class Releases:
    """helm for one cluster, with the images of this tree."""

    cluster: Kubectl
    images: Mapping[str, str]
    """Full names of the images of this tree by their short names."""
    program: str

    def helm(self, *words: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm; returns what it printed, fails with what it said when it did not succeed."""
        environment = os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig)}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(json.dumps(dict(values or {}), ensure_ascii=False))
            file.flush()
            command = [self.program, *words, *(["--values", file.name] if values is not None else [])]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install_operator(self, values: Mapping[str, Any] | None = None) -> None:
        """Install the operator that all tests share, or bring it up to date, and wait until it is ready."""
        # Several processes run tests, and helm refuses a second change of a release at the same time.
        with locked(OUTPUT / "operator.lock"):
            self.helm(
                *("upgrade", "--install", OPERATOR_RELEASE, str(ROOT / "charts" / "queueserver-operator")),
                *("--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", _TIMEOUT),
                *("--take-ownership", "--force-conflicts"),
                values={"images": chart_values(self.images), **(values or {})},
            )

    def uninstall_operator(self) -> None:
        """Uninstall it; QueueServers stay."""
        self.helm("uninstall", OPERATOR_RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", _TIMEOUT)

    def install(
        self, release: str, place: Kubectl, values: Mapping[str, Any] | None = None, *, wait: bool = True
    ) -> str:
        """Install or upgrade a queue server, simulated unless the values say otherwise; returns the notes."""
        return self.helm(
            *("upgrade", "--install", release, str(ROOT / "charts" / "queueserver"), "--namespace", place.namespace),
            *(("--wait", "--timeout", _TIMEOUT) if wait else ()),
            values={"test": {"image": self.images["manager"]}, **(values or {})},
        )

    def uninstall(self, release: str, place: Kubectl) -> None:
        """Uninstall a queue server and wait until it is gone."""
        self.helm("uninstall", release, "--namespace", place.namespace, "--wait", "--timeout", _TIMEOUT)

    def test(self, release: str, place: Kubectl) -> None:
        """Run `helm test`; fails with what it said when the test does."""
        assert "Succeeded" in self.helm("test", release, "--namespace", place.namespace)


def shared_operator(cluster: Kubectl, images: Mapping[str, str]) -> Releases:
    """Install the one operator of the cluster, with the images of this tree; raises `NoCluster` without helm."""
    program = find_helm()
    if program is None:
        raise NoCluster("helm 4 is needed: install it, name it in HELM, or run `make cluster-up`.")
    releases = Releases(cluster, images, program)
    releases.install_operator()
    return releases
