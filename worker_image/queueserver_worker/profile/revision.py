"""Which startup code it was: a hash of its content, where nobody knows a better name of it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from queueserver_common.startup import StartupSource

_STARTUP_SUFFIXES = (".py", ".ipy")
_LENGTH = 16
"""Hexadecimal digits."""


def startup_revision(source: StartupSource) -> str:
    """Hash of names and content of the startup files; empty for a module and for files that cannot be read."""
    if source.kind == "module":
        return ""
    path = Path(source.value).expanduser()
    try:
        files = sorted(path.iterdir()) if source.kind == "directory" else [path]
        digest = sha256()
        for file in files:
            if file.suffix in _STARTUP_SUFFIXES and file.is_file():
                content = file.read_bytes()
                digest.update(f"{file.name}\0{len(content)}\0".encode() + content)
    except OSError:
        return ""
    return f"sha256:{digest.hexdigest()[:_LENGTH]}"
