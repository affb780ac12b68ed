"""Debian packages: installed where programs must be part of the system, else unpacked into a folder.

Unpacking needs no rights and changes nothing of the system: apt works with lists and archives of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from kind.commands import Word, run
from kind.failure import CannotContinue
from kind.progress import step

QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def install(names: Sequence[str]) -> None:
    """Install packages; raises `CannotContinue` where only a person can."""
    if not names:
        return
    listed = " ".join(names)
    if os.geteuid() != 0:
        raise CannotContinue(f"These packages of the system are needed and only root can install them: {listed}")
    if shutil.which("apt-get") is None:
        raise CannotContinue(f"These programs are needed, under Debian's names for their packages: {listed}")
    with step(f"Installing packages of the system: {listed}", "10 s"):
        failure = "The packages could not be installed."
        run(["apt-get", "update", "--quiet"], failure, environment=QUIET)
        command = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *names]
        run(command, failure, environment=QUIET)


def unpack(folder: Path, names: Sequence[str]) -> None:
    """Fetch packages and what they need beyond the system's own, and unpack them below a folder.

    Raises `CannotContinue` where there is no apt or no mirror.
    """
    listed = " ".join(names)
    if shutil.which("apt-get") is None:
        raise CannotContinue(f"These programs have to be installed, under Debian's names for their packages: {listed}")
    state = folder / ".apt"
    for part in ("lists/partial", "archives/partial"):
        (state / part).mkdir(parents=True)
    apt: list[Word] = [
        "apt-get",
        *("--quiet", "-o", f"Dir::State::Lists={state}/lists", "-o", f"Dir::Cache={state}"),
        *("-o", f"Dir::Cache::Archives={state}/archives", "-o", "Debug::NoLocking=true"),
        *("-o", "APT::Sandbox::User=root"),
    ]
    failure = f"The packages {listed} could not be fetched. Does the machine reach a mirror of Debian?"
    with step(f"Fetching {listed} from Debian", "10 s"):
        run([*apt, "update"], failure, environment=QUIET)
        run([*apt, "install", "--yes", "--no-install-recommends", "--download-only", *names], failure)
        for package in sorted((state / "archives").glob("*.deb")):
            run(["dpkg-deb", "--extract", package, folder], f"{package.name} could not be unpacked.")
    shutil.rmtree(state)
