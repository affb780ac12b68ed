"""A warm interpreter: modules imported ahead of time, dropped when one of their files has changed since."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells one content of a file from another without reading it."""

    mtime_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, path: str) -> FileState | None:
        """The state now; None when there is no such file."""
        try:
            status = Path(path).stat()
        except OSError:
            return None
        return cls(status.st_mtime_ns, status.st_size, status.st_ino)


_COARSEST_MTIME_NS = 2_000_000_000
"""File systems stamp files with clocks that lag: the kernel's by a tick, those of some by up to two seconds."""


class Preloaded:
    """Modules that were imported before it was known what they are needed for."""

    def __init__(self, started_ns: int) -> None:
        """`started_ns`: epoch nanoseconds before the first import; a file changed later may be older in memory."""
        self._safely_older_ns = started_ns - _COARSEST_MTIME_NS
        self._files: dict[str, FileState | None] = {}

    def load(self, names: Iterable[str]) -> None:
        """Import modules, leaving out those that are not installed."""
        for name in names:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
                    raise
        for module in list(sys.modules.values()):
            if path := getattr(module, "__file__", None):
                self._files[path] = FileState.of(path)
        # What was imported stays: a collection in the middle of an opening need not look at all of it (0.1 s).
        gc.collect()
        gc.freeze()

    def changed_file(self) -> str | None:
        """A file that is not what it was when it was imported; None when all are."""
        for path, state in self._files.items():
            if state is None or state.mtime_ns >= self._safely_older_ns or state != FileState.of(path):
                return path
        return None
