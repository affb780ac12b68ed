"""The program helm, and what it renders of the charts of this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "cluster" / "bin" / "helm"

Manifest = dict[str, Any]


class _Loader(yaml.CSafeLoader):
    """Reads as Kubernetes does, for which `=` is a text."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_scalar)


def find_helm() -> str | None:
    """The program: named by HELM, else the one that `make cluster-up` built, else the system's; None: there is none."""
    return os.environ.get("HELM") or (str(BUILT) if BUILT.exists() else shutil.which("helm"))


class Helm:
    """The program helm."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        # A configuration of the person who runs the tests plays no part.
        environment = os.environ | {f"HELM_{kind}_HOME": str(self._folder) for kind in ("CACHE", "CONFIG", "DATA")}
        environment |= {"KUBECONFIG": str(self._folder / "none")}
        return subprocess.run([self._program, *words], capture_output=True, text=True, env=environment, check=False)

    def text(
        self,
        chart: str,
        values: Mapping[str, Any] | None = None,
        *words: str,
        release: str = "rel",
        namespace: str = "ns",
    ) -> subprocess.CompletedProcess[str]:
        """The output of `helm template`, or with the words `--dry-run=client` that of `helm install`."""
        file = self._folder / "values.yaml"
        file.write_text(json.dumps(dict(values or {}), ensure_ascii=False))
        place = [release, str(ROOT / "charts" / chart), "--namespace", namespace, "--values", str(file)]
        return self.run("template" if not words else "install", *place, *words)

    def render(
        self, chart: str, values: Mapping[str, Any] | None = None, *, release: str = "rel", namespace: str = "ns"
    ) -> list[Manifest]:
        """The objects that a release consists of, hooks included."""
        done = self.text(chart, values, release=release, namespace=namespace)
        assert done.returncode == 0, done.stderr
        return objects(done.stdout)

    def refusal(self, chart: str, values: Mapping[str, Any]) -> str:
        """What helm says of values that it refuses."""
        done = self.text(chart, values)
        assert done.returncode != 0, "helm accepted these values"
        return done.stderr

    def notes(self, chart: str, values: Mapping[str, Any] | None = None) -> str:
        """What helm prints after an installation."""
        done = self.text(chart, values, "--dry-run=client")
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("\nNOTES:\n")[2]


def objects(text: str) -> list[Manifest]:
    """The objects in the output of helm."""
    return [one for one in yaml.load_all(text, Loader=_Loader) if one]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] == kind]


def the(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one object of a kind (and name)."""
    (found,) = [one for one in of_kind(manifests, kind) if name in ("", one["metadata"]["name"])]
    return found
