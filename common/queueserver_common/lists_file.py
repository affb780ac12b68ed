"""The file with existing plans and devices, from which plans can be submitted before an environment is opened.

The first lines hold two digests: one of the lists, so that unchanged lists are neither written nor parsed again, and
one of the text below, so that a file that a person has edited is noticed. Source: plans-and-permissions 2.3.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from queueserver_common.descriptions import (
    DescriptionError,
    DeviceDescription,
    PlanDescription,
    check_devices,
    check_plans,
)

LISTS_FILE_NAME = "existing_plans_and_devices.yaml"

_HEADER = (
    b"# Existing plans and devices, written when an environment is opened. Changes made here are overwritten then.\n"
)
_LISTS_DIGEST = b"# lists sha256: "
_TEXT_DIGEST = b"# text sha256: "

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class ListsFileError(ValueError):
    """The file cannot be read or written, or it does not hold lists of plans and devices."""


@dataclass(frozen=True, slots=True)
class ExistingLists:
    """Existing plans and devices with their digest."""

    plans: dict[str, PlanDescription]
    devices: dict[str, DeviceDescription]
    digest: str


class _Dumper(_BaseDumper):  # type: ignore[misc]  # which base depends on how PyYAML was built
    def ignore_aliases(self, data: object) -> bool:
        # The same type name list in two plans is written twice, for readers without YAML anchors.
        return True


def lists_digest(plans: Mapping[str, PlanDescription], devices: Mapping[str, DeviceDescription]) -> str:
    """Return the SHA-256 of the lists as canonical JSON; the order of names does not matter."""
    text = json.dumps({"existing_devices": devices, "existing_plans": plans}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_digest(path: Path) -> str | None:
    """Return the digest of the lists in a file written by `write_lists`, without parsing it.

    ``None`` when there is no such file, when it was written by something else or changed since.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    lines = content.split(b"\n", 3)
    if len(lines) != 4 or not lines[1].startswith(_LISTS_DIGEST) or not lines[2].startswith(_TEXT_DIGEST):
        return None
    if lines[2].removeprefix(_TEXT_DIGEST).decode("ascii", "replace") != hashlib.sha256(lines[3]).hexdigest():
        return None
    return lines[1].removeprefix(_LISTS_DIGEST).decode("ascii", "replace")


def read_lists(path: Path) -> ExistingLists:
    """Read existing plans and devices; an empty file holds none. Raises `ListsFileError`."""
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  # the loader is a safe one
        if content is None:
            content = {}
        if not isinstance(content, Mapping):
            raise DescriptionError("a mapping with the keys 'existing_plans' and 'existing_devices' is expected")
        plans = check_plans(content.get("existing_plans", {}))
        devices = check_devices(content.get("existing_devices", {}))
        return ExistingLists(plans, devices, lists_digest(plans, devices))
    except OSError as ex:
        raise ListsFileError(f"The list of existing plans and devices cannot be read: {ex}") from ex
    except yaml.YAMLError as ex:
        raise ListsFileError(f"{path}: the file is not valid YAML: {ex}") from ex
    except (ValueError, TypeError, RecursionError) as ex:
        raise ListsFileError(f"{path}: {ex}") from ex


def write_lists(path: Path, plans: Mapping[str, PlanDescription], devices: Mapping[str, DeviceDescription]) -> bool:
    """Write the lists unless the file holds them already; return whether it was written.

    The file is replaced in one step and is on the disk when the function returns. Raises `ListsFileError`.
    """
    digest = lists_digest(plans, devices)
    if read_digest(path) == digest:
        return False
    try:
        text = yaml.dump(
            {"existing_devices": dict(devices), "existing_plans": dict(plans)},
            Dumper=_Dumper,
            encoding="utf-8",
            allow_unicode=True,
            sort_keys=False,
            width=120,
        )
        header = b"".join(
            (
                _HEADER,
                _LISTS_DIGEST + digest.encode("ascii") + b"\n",
                _TEXT_DIGEST + hashlib.sha256(text).hexdigest().encode("ascii") + b"\n",
            )
        )
        _replace(path, header + text)
    except OSError as ex:
        raise ListsFileError(f"The list of existing plans and devices cannot be written: {ex}") from ex
    except (yaml.YAMLError, ValueError) as ex:
        raise ListsFileError(f"The list of existing plans and devices cannot be written to {str(path)!r}: {ex}") from ex
    return True


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    # The new name is durable only when the directory is.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
