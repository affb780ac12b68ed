"""The programs of the cluster, built from Go modules: Kubernetes itself, what its node runs, kind and helm.

The versions are in this file and in the modules below `programs/`, whose `go.sum` names the content of every package.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kind.cache import Cache, content_key
from kind.commands import Word, run
from kind.failure import CannotContinue
from kind.progress import step

MODULES = Path(__file__).parent / "programs"
COMPONENT_VERSION = "k8s.io/component-base/version"


def _required_version(module: str, package: str) -> str:
    found = re.search(rf"^\s*{re.escape(package)} (\S+)", (MODULES / module / "go.mod").read_text(), re.MULTILINE)
    assert found, f"{module}/go.mod does not name {package}"
    return found[1]


KUBERNETES_VERSION = _required_version("kubernetes", "k8s.io/kubernetes")
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")


@dataclass(frozen=True)
class Program:
    """One executable file and how it is built."""

    name: str
    package: str
    """What to build: with `@version` by itself, else in the module `programs/<module>`."""
    usually: str
    """How long the first build takes on two cores."""
    module: str = ""
    variables: tuple[str, ...] = ()
    """Values that are set at the link, as `-X` takes them."""
    links: tuple[str, ...] = ()
    """Other names by which it is called."""


KUBERNETES = Program(
    name="kubernetes",
    package=".",
    module="kubernetes",
    usually="6 minutes the first time, 20 s with Go's cache",
    variables=(
        f"{COMPONENT_VERSION}.gitVersion={KUBERNETES_VERSION}",
        f"{COMPONENT_VERSION}.gitMajor={_MAJOR}",
        f"{COMPONENT_VERSION}.gitMinor={_MINOR}",
        f"{COMPONENT_VERSION}.gitTreeState=clean",
        f"k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}",
    ),
    links=(
        "kubeadm",
        "kubectl",
        "kubelet",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
    ),
)
ETCD = Program(name="etcd", package="go.etcd.io/etcd/server/v3", module="etcd", usually="30 s")
CRICTL = Program(
    name="crictl",
    package="sigs.k8s.io/cri-tools/cmd/crictl",
    module="crictl",
    usually="1 minute",
    variables=(f"sigs.k8s.io/cri-tools/pkg/version.Version={_required_version('crictl', 'sigs.k8s.io/cri-tools')}",),
)
PAUSE = Program(name="pause", package=".", module="pause", usually="5 s")
COREDNS = Program(name="coredns", package="github.com/coredns/coredns@v1.14.7", usually="2 to 3 minutes")
STORAGE = Program(
    name="local-path-provisioner",
    package="github.com/rancher/local-path-provisioner@v0.0.30",
    usually="1 to 2 minutes",
)
KIND = Program(name="kind", package="sigs.k8s.io/kind@v0.33.0", usually="10 s")
HELM = Program(name="helm", package="helm.sh/helm/v4/cmd/helm@v4.3.1", usually="2 minutes")

OF_THE_NODE = (KUBERNETES, ETCD, CRICTL, PAUSE, COREDNS, STORAGE)


class Programs:
    """Builds programs, or finds them built, and gives their paths."""

    def __init__(self, cache: Cache, folder_of_links: Path) -> None:
        self._cache = cache
        self._folder_of_links = folder_of_links

    def build(self, programs: Iterable[Program]) -> dict[str, Path]:
        """Build what is not built yet; returns the file of each program, which also lies in the folder of links."""
        return {program.name: self._build(program) for program in programs}

    def are_built(self, programs: Iterable[Program]) -> bool:
        """Tell whether all of them are there already."""
        return all(self._cache.has(f"program-{program.name}", self.key(program)) for program in programs)

    def key(self, program: Program) -> str:
        """Hash everything that decides what a program will be."""
        module = [MODULES / program.module] if program.module else []
        return content_key(self._go(), program, files=module, base=MODULES)

    def _go(self) -> list[str]:
        if shutil.which("go") is None:
            raise CannotContinue(
                "Go is needed to build the programs of the cluster and is not on the PATH. Install Go 1.26 or later."
            )
        # A module names the Go version that it needs; Go before 1.21 does not know how to get it.
        answer = run(["go", "env", "-json", "GOOS", "GOARCH", "GOVERSION"], "Go does not work.", folder=MODULES)
        return sorted(json.loads(answer).values())

    def _build(self, program: Program) -> Path:
        folder = self._cache.entry(f"program-{program.name}", self.key(program), _maker(program))
        self._folder_of_links.mkdir(parents=True, exist_ok=True)
        for name in (program.name, *program.links):
            link = self._folder_of_links / name
            link.unlink(missing_ok=True)
            link.symlink_to(folder / name)
        return folder / program.name


def _maker(program: Program) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        flags = ["-trimpath", "-ldflags", " ".join(["-s -w", *(f"-X {value}" for value in program.variables)])]
        environment = {"CGO_ENABLED": "0", "GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"}
        failure = (
            f"{program.name} could not be built. The Go modules come from Go's module proxy or from what GOPROXY "
            "names; what was fetched and compiled is kept, so that the same command goes on from there."
        )
        with step(f"Building {program.name}", program.usually):
            if program.module:
                command: list[Word] = ["go", "build", *flags, "-o", folder / program.name, program.package]
                run(command, failure, folder=MODULES / program.module, environment=environment)
            else:
                run(["go", "install", *flags, program.package], failure, folder=folder, environment=environment)
        for name in program.links:
            (folder / name).symlink_to(program.name)

    return make
