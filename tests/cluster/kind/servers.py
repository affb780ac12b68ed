"""What tests without a cluster need to be real: Kubernetes' API server, PostgreSQL, slapd and a browser.

Programs of Debian are used where they are installed; else they are unpacked into a folder of the cache.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
class DebianProgram:
    """A program that is a package of Debian."""

    package: str
    program: str
    """Where it lies in Debian's tree, as a pattern."""
    others: tuple[str, ...] = ()
    """Where one that is as good may lie."""


POSTGRESQL = DebianProgram("postgresql", "usr/lib/postgresql/*/bin/postgres")
SLAPD = DebianProgram("slapd", "usr/sbin/slapd")
CHROMIUM = DebianProgram(
    "chromium-headless-shell",
    "usr/lib/chromium/chromium-headless-shell",
    ("usr/lib/chromium/chromium", "opt/google/chrome/chrome"),
)


@dataclass(frozen=True)
class Found:
    """A program that can be run."""

    program: Path
    root: Path
    """The root of the tree that it lies in: that of the system or one that it was unpacked to."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its process: an unpacked program finds its libraries."""
        if self.root == Path("/"):
            return dict(os.environ)
        architecture = sysconfig.get_config_var("MULTIARCH")
        libraries = [self.root / folder / architecture for folder in ("usr/lib", "lib")]
        private = sorted({path.parent for folder in libraries for path in folder.glob("*/lib*.so")})
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, [*libraries, *private]))}


def find(program: DebianProgram) -> Found:
    """Find a program; raises `CannotContinue` when it is neither installed nor unpacked."""
    for root in (Path("/"), (OUTPUT / program.package).resolve()):
        for pattern in (program.program, *program.others):
            if programs := sorted(root.glob(pattern)):
                return Found(programs[-1], root)
    raise CannotContinue(
        f"{program.package} is not installed: run `make servers`, which gets it or says what is wrong."
    )


def make_servers() -> int:
    """Build or fetch what is missing; says what cannot be had, and returns how many these are."""
    failures = 0
    makers: list[Callable[[], None]] = [_programs_of_kubernetes]
    makers += (partial(_debian, program) for program in (POSTGRESQL, SLAPD, CHROMIUM))
    for make in makers:
        try:
            make()
        except CannotContinue as failure:
            say(str(failure))
            failures += 1
    return failures


def _programs_of_kubernetes() -> None:
    Programs(Cache(default_root()), PROGRAMS).build((KUBERNETES, ETCD))


def _debian(program: DebianProgram) -> None:
    try:
        find(program)
    except CannotContinue:
        release = Path("/etc/os-release")
        key = content_key(program.package, files=[release] if release.is_file() else [])
        folder = Cache(_open_root()).entry(program.package, key, lambda half: unpack(half, [program.package]))
        OUTPUT.mkdir(parents=True, exist_ok=True)
        link = OUTPUT / program.package
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        find(program)


def _open_root() -> Path:
    """A cache that the user `nobody` can read, whom root gives such servers to; the home of root is closed."""
    return Path("/var/cache/queueserver-tests") if os.geteuid() == 0 else default_root()
