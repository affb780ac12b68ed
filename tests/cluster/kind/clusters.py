"""A cluster by kind: made, looked at, given images, deleted."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kind.commands import Word, run, succeeds
from kind.engine import Engine
from kind.failure import CannotContinue
from kind.progress import say, step

SETTINGS_OF_KUBELETS = """
kind: KubeletConfiguration
volumeStatsAggPeriod: 5s
"""
"""What a volume holds is measured once a minute otherwise, and a pod that holds too much evicted so much later."""

READY = "120s"
"""Within which a node, and then every Deployment of the system, is ready."""


@dataclass(frozen=True)
class Cluster:
    """One cluster by its name; it may exist or not."""

    name: str
    kubeconfig: Path
    engine: Engine
    kind: Path
    kubectl: Path

    def exists(self) -> bool:
        """Tell whether kind knows the cluster."""
        return self.name in self._kind("get", "clusters", failure="kind does not tell its clusters.").split()

    def answers(self) -> bool:
        """Tell whether its nodes run, and its API server is ready and takes our credentials."""
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        credentials: list[Word] = ["export", "kubeconfig", "--name", self.name, "--kubeconfig", self.kubeconfig]
        if not succeeds([self.kind, *credentials], environment=self.engine.environment):
            return False
        return succeeds([*self._kubectl, "get", "--raw", "/readyz"], seconds=10)

    def create(self, node_image: str, workers: int) -> None:
        """Make it, with one node for the control plane and some more for pods only, and wait until it is ready.

        One node alone takes all pods. An empty `node_image` means the one that kind was published with.
        """
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        roles = ["control-plane"] + ["worker"] * workers
        configuration = {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": role} for role in roles],
            "kubeadmConfigPatches": [SETTINGS_OF_KUBELETS],
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(json.dumps(configuration))
            file.flush()
            options: list[Word] = ["--kubeconfig", self.kubeconfig, "--config", file.name, "--wait", READY]
            if node_image:
                options += ["--image", node_image]
            with step(f"Creating the cluster {self.name}, nodes: {len(roles)}", "40 s"):
                self._kind(
                    "create",
                    "cluster",
                    "--name",
                    self.name,
                    *options,
                    failure=f"The cluster {self.name} did not start.",
                )
                self._wait_for_the_system()

    def load(self, images: list[str]) -> None:
        """Bring images into all nodes, those that a node does not have yet."""
        nodes = self._kind("get", "nodes", "--name", self.name, failure="kind does not tell the nodes.").split()
        missing = [image for image in images if not all(image in self._images_of(node) for node in nodes)]
        if not missing:
            return
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            archive = Path(folder) / "images.tar"
            with step(f"Loading {len(missing)} images into the cluster {self.name}", "20 s a node"):
                self.engine.save(missing, archive)
                self._kind(
                    "load", "image-archive", archive, "--name", self.name, failure="The images could not be loaded."
                )

    def delete(self) -> None:
        """Delete it with all that is in it; nothing happens when there is none."""
        with step(f"Deleting the cluster {self.name}", "10 s"):
            options: list[Word] = ["--name", self.name, "--kubeconfig", self.kubeconfig]
            self._kind("delete", "cluster", *options, failure=f"The cluster {self.name} could not be deleted.")
        self.kubeconfig.unlink(missing_ok=True)

    def recreate_if_needed(self, node_image: str, workers: int) -> None:
        """Use the cluster that there is when it answers and has at least as many nodes, else make a new one."""
        if self.exists():
            if self.answers() and self._number_of_nodes() >= 1 + workers:
                say(f"The cluster {self.name} is there and answers.")
                return
            self.delete()
        self.create(node_image, workers)

    @property
    def _kubectl(self) -> list[Word]:
        return [self.kubectl, "--kubeconfig", self.kubeconfig]

    def _kind(self, *arguments: Word, failure: str) -> str:
        return run([self.kind, *arguments], failure, environment=self.engine.environment)

    def _number_of_nodes(self) -> int:
        return len(run([*self._kubectl, "get", "nodes", "--output", "name"], "The nodes are not told.").split())

    def _wait_for_the_system(self) -> None:
        """Wait until names are resolved, volumes are made and pods of the namespace `default` can be created."""
        failure = "The cluster's own pods did not become ready."
        wait = [*self._kubectl, "wait", "--timeout", READY]
        run([*wait, "--for=condition=Ready", "nodes", "--all"], failure)
        run([*wait, "--for=condition=Available", "deployments", "--all", "--all-namespaces"], failure)
        run([*wait, "--for=create", "serviceaccount/default", "--namespace", "default"], failure)

    def _images_of(self, node: str) -> set[str]:
        command = ["exec", node, "ctr", "--namespace", "k8s.io", "images", "list", "--quiet"]
        return set(self.engine.run(*command, failure=f"The node {node} does not tell its images.").split())


def push(engine: Engine, images: dict[str, str], prefix: str) -> dict[str, str]:
    """Send images to a registry from which an existing cluster gets them; returns their names there."""
    names = {}
    for name, image in images.items():
        names[name] = f"{prefix.rstrip('/')}/{name}:{image.rsplit(':', 1)[1]}"
        with step(f"Sending {names[name]}", "a minute"):
            engine.push(image, names[name])
    if not names:
        raise CannotContinue("There are no images to send.")
    return names
