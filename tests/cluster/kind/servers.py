"""Servers that tests without a cluster need: Kubernetes' API server, PostgreSQL and slapd.

Those of Debian are used where they are installed; else they are unpacked into a folder of the cache.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from kind.cache import Cache, content_key, default_root
from kind.failure import CannotContinue
from kind.images import ROOT
from kind.packages import unpack
from kind.programs import ETCD, KUBERNETES, Programs
from kind.progress import say

OUTPUT = ROOT / "build" / "cluster"
PROGRAMS = OUTPUT / "bin"


@dataclass(frozen=True)
class DebianServer:
    """A server that is a package of Debian."""

    package: str
    program: str
    """Where it lies in Debian's tree, as a pattern."""


POSTGRESQL = DebianServer("postgresql", "usr/lib/postgresql/*/bin/postgres")
SLAPD = DebianServer("slapd", "usr/sbin/slapd")


@dataclass(frozen=True)
class Found:
    """A server that can be run."""

    program: Path
    root: Path
    """The root of the tree that it lies in: that of the system or one that it was unpacked to."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its process: an unpacked program finds its libraries."""
        if self.root == Path("/"):
            return dict(os.environ)
        architecture = sysconfig.get_config_var("MULTIARCH")
        libraries = [str(self.root / folder / architecture) for folder in ("usr/lib", "lib")]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def find(server: DebianServer) -> Found:
    """Find a server; raises `CannotContinue` when it is neither installed nor unpacked."""
    for root in (Path("/"), (OUTPUT / server.package).resolve()):
        if programs := sorted(root.glob(server.program)):
            return Found(programs[-1], root)
    raise CannotContinue(f"{server.package} is not installed: run `make servers`, which gets it or says what is wrong.")


def make_servers() -> int:
    """Build or fetch what is missing; says what cannot be had, and returns how many these are."""
    failures = 0
    for make in (_programs_of_kubernetes, lambda: _debian(POSTGRESQL), lambda: _debian(SLAPD)):
        try:
            make()
        except CannotContinue as failure:
            say(str(failure))
            failures += 1
    return failures


def _programs_of_kubernetes() -> None:
    Programs(Cache(default_root()), PROGRAMS).build((KUBERNETES, ETCD))


def _debian(server: DebianServer) -> None:
    try:
        find(server)
    except CannotContinue:
        release = Path("/etc/os-release")
        key = content_key(server.package, files=[release] if release.is_file() else [])
        folder = Cache(_open_root()).entry(server.package, key, lambda half: unpack(half, [server.package]))
        OUTPUT.mkdir(parents=True, exist_ok=True)
        link = OUTPUT / server.package
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        find(server)


def _open_root() -> Path:
    """A cache that the user `nobody` can read, whom root gives such servers to; the home of root is closed."""
    return Path("/var/cache/queueserver-tests") if os.geteuid() == 0 else default_root()
