"""What this machine can do: which engine it has, whether an image registry answers, what is missing."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kind.archive import architecture
from kind.cache import Cache, content_key
from kind.debian import make_base_image
from kind.engine import Engine, engine_of_the_machine
from kind.failure import CannotContinue
from kind.images import KEPT, PREFIX, PUBLISHED_BASE
from kind.node_image import make_node_image
from kind.own_podman import install_packages, missing_packages, own_podman
from kind.programs import ETCD, HELM, KIND, KUBERNETES, KUBERNETES_VERSION, OF_THE_NODE, Program, Programs

MODULES = Path(__file__).parent
REGISTRY_VARIABLE = "QUEUESERVER_TEST_REGISTRY"
"""`yes`: use published images; `no`: build everything; else whatever a question to the registry tells."""


@dataclass(frozen=True)
class Machine:
    """How a cluster is made here."""

    engine: Engine
    has_registry: bool
    """Whether the published node image and the published image of Python are used."""

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs that are built before a cluster is made; tests use some of them by themselves."""
        return (KIND, KUBERNETES, ETCD, HELM) if self.has_registry else (KIND, *OF_THE_NODE, HELM)

    def base_image(self, cache: Cache) -> str:
        """Return the image below those of the project, made here where none can be fetched."""
        if self.has_registry:
            return PUBLISHED_BASE
        key = content_key(architecture(), files=[MODULES / "debian.py"], base=MODULES)
        name = f"{PREFIX}/base:{key}"
        if not self.engine.has_image(name):
            folder = cache.entry("base-image", key, make_base_image)
            self.engine.import_tree(folder / "base.tar", name)
        return name

    def node_image(self, cache: Cache, programs: Programs) -> str:
        """Return the image of the nodes, made here; empty for the published one that kind chooses itself."""
        if self.has_registry:
            return ""
        makers = [MODULES / name for name in ("node_image.py", "components.py", "archive.py", "debian.py", "node")]
        key = content_key([programs.key(program) for program in OF_THE_NODE], files=makers, base=MODULES)
        name = f"{PREFIX}/kind-node:{KUBERNETES_VERSION}-{key}"
        if not self.engine.has_image(name):
            built = programs.build(OF_THE_NODE)
            folder = cache.entry("node-image", key, lambda half: make_node_image(half, name, built))
            self.engine.load(folder / "node.tar")
            self.engine.drop_old_images(name, KEPT)
        return name


def look(cache: Cache) -> Machine:
    """Find out how a cluster can be made here; installs what an engine of our own needs when none is there."""
    registry = os.environ.get(REGISTRY_VARIABLE, "")
    if registry not in ("", "yes", "no"):
        raise CannotContinue(f"{REGISTRY_VARIABLE} is {registry!r}; it may be yes or no.")
    engine = None if registry == "no" else engine_of_the_machine()
    if engine is not None and (registry == "yes" or engine.reaches(PUBLISHED_BASE)):
        return Machine(engine, has_registry=True)
    install_packages()
    engine = own_podman(cache.root)
    return Machine(engine, has_registry=registry != "no" and engine.reaches(PUBLISHED_BASE))


def reasons_against() -> list[str]:
    """Say why no cluster can be made here; an empty list when one can."""
    reasons = []
    if shutil.which("go") is None:
        reasons.append(
            "Go 1.26 or later is needed to build kind and the programs of the cluster; it is not on the PATH."
        )
    try:
        engine = engine_of_the_machine()
    except CannotContinue as failure:
        return [*reasons, str(failure)]
    if engine is not None and engine.reaches(PUBLISHED_BASE):
        return reasons
    if os.geteuid() != 0:
        reasons.append("No container engine reaches an image registry; to build all images here one has to be root.")
    elif missing_packages() and shutil.which("apt-get") is None:
        reasons.append(f"These packages of the system are needed: {' '.join(missing_packages())}")
    return reasons
