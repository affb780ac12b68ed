"""A folder of things that were built, each named by the content that it was built from.

It lies outside the work tree, so that all checkouts of a machine share it. An entry appears by one rename when it is
complete: what was interrupted half-way is never used. Two builds of the same thing wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = 2
"""Entries of one name that stay: the one in use and the one before it."""

NOT_CONTENT = {"__pycache__"}


def default_root() -> Path:
    """Return `queueserver-cluster` in the user's folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "queueserver-cluster"


def content_key(*parts: object, files: Iterable[Path] = (), base: Path | None = None) -> str:
    """Hash values (as JSON) and files (their modes, bytes and names below `base`; folders with all that is in them)."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for path in sorted(_files_below(files)):
        name = path.relative_to(base) if base else path.name
        digest.update(f"\0{name}\0{os.access(path, os.X_OK)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _files_below(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from _files_below(child for child in path.iterdir() if child.name not in NOT_CONTENT)
        elif path.suffix != ".pyc":
            yield path


class Cache:
    """The entries below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def entry(self, name: str, key: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry, which `make` fills when there is none of this key yet."""
        folder = self.root / name / key
        with self.lock(name):
            if not folder.is_dir():
                self._make(folder, make)
            os.utime(folder)
            self._drop_the_oldest(folder.parent)
        return folder

    def has(self, name: str, key: str) -> bool:
        """Tell whether an entry is there already."""
        return (self.root / name / key).is_dir()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep others from working on the same thing until the block ends; waits as long as they do."""
        with (self.root / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make(self, folder: Path, make: Callable[[Path], None]) -> None:
        folder.parent.mkdir(exist_ok=True)
        for abandoned in folder.parent.glob(".half-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        half = Path(tempfile.mkdtemp(prefix=".half-", dir=folder.parent))
        try:
            make(half)
            half.chmod(0o755)
            half.rename(folder)
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def _drop_the_oldest(self, folder: Path) -> None:
        entries = sorted(folder.glob("[!.]*"), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in entries[KEPT:]:
            shutil.rmtree(entry, ignore_errors=True)
