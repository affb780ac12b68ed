"""Root file systems of Debian, for the node and for the images of the project."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kind.commands import Word, run
from kind.failure import CannotContinue
from kind.progress import step

SUITE = "bookworm"
"""Its systemd is the last one of Debian that also runs on control groups of version 1."""

BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
"""What an image of Python has that the Dockerfiles need."""

NEEDLESS = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
)


def make_root(folder: Path, packages: tuple[str, ...], purpose: str) -> None:
    """Install Debian with some packages into a folder; raises `CannotContinue` for anybody but root."""
    if os.geteuid() != 0:
        raise CannotContinue(
            f"No image registry answers, so {purpose} has to be made from Debian packages, and only root can do that."
        )
    with step(f"Installing Debian for {purpose}", "50 s"):
        command: list[Word] = [
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            SUITE,
            folder,
            *_mirror(),
        ]
        run(command, f"Debian could not be installed for {purpose}. Does the machine reach a mirror of Debian?")
    for name in NEEDLESS:
        for path in (folder / name).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (folder / "etc/machine-id").unlink(missing_ok=True)


def make_base_image(folder: Path) -> None:
    """Write `base.tar`, from which an engine makes the image below those of the project."""
    root = folder / "root"
    make_root(root, BASE_PACKAGES, "the base image")
    run(["tar", "-C", root, "--numeric-owner", "-cf", folder / "base.tar", "."], "The base image could not be packed.")
    shutil.rmtree(root)


def _mirror() -> list[str]:
    """The mirror that a Debian machine uses itself; elsewhere debootstrap's own choice."""
    if shutil.which("apt-get") is None or "ID=debian" not in Path("/etc/os-release").read_text().splitlines():
        return []
    mirrors = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], "apt does not tell its mirrors.")
    return mirrors.splitlines()[:1]
