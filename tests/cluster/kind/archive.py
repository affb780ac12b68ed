"""Archives of container images (the format of `docker save`), written from archives of root file systems."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kind.failure import CannotContinue

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What Linux calls a machine, and what images call it."""

CREATED = "2000-01-01T00:00:00Z"
"""The same for all images: what they are called by follows from their content alone."""


@dataclass(frozen=True)
class Image:
    """An image of one layer."""

    names: Sequence[str]
    layer: Path
    """Archive of its root file system."""
    config: Mapping[str, Any]
    """Env, Entrypoint and so on, as in the image configuration of OCI."""


def architecture() -> str:
    """Return what images call this machine."""
    try:
        return ARCHITECTURES[platform.machine()]
    except KeyError:
        raise CannotContinue(
            f"This is a machine of the kind {platform.machine()}; images are made for {' and '.join(ARCHITECTURES)}."
        ) from None


def sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(target: Path, images: Sequence[Image]) -> None:
    """Write images into one archive."""
    manifest = []
    with tarfile.open(target, "w") as archive:
        for image in images:
            digest = sha256(image.layer)
            archive.add(image.layer, f"{digest}/layer.tar", recursive=False, filter=_anonymous)
            config = json.dumps(
                {
                    "architecture": architecture(),
                    "os": "linux",
                    "created": CREATED,
                    "config": image.config,
                    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
                    "history": [{"created": CREATED}],
                },
                sort_keys=True,
            ).encode()
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(archive, config_name, config)
            manifest.append({"Config": config_name, "RepoTags": list(image.names), "Layers": [f"{digest}/layer.tar"]})
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry
