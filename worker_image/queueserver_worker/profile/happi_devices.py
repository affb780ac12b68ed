"""Devices from a happi database, for startup code (plans-and-permissions 1)."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from importlib import import_module
from typing import Any


def load_devices_from_happi(
    device_names: Sequence[str | tuple[str, str]], *, namespace: MutableMapping[str, Any], **kwargs: Any
) -> list[str]:
    """Load devices of the happi database into a namespace, usually `locals()`; returns their names there.

    A device is named as in the database, or by a pair of that name and the one that it is to have in the namespace.
    The database is the one that happi itself finds (variable HAPPI_CFG). Keywords are those of `happi.from_container`.
    """
    wanted = [_names(name) for name in device_names]
    try:
        happi = import_module("happi")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"load_devices_from_happi needs the package happi in the worker's environment: {error}", name=error.name
        ) from error
    client = happi.Client.from_config()
    loaded = []
    for name, name_here in wanted:
        found = client.search(name=name)
        if len(found) != 1:
            number = "no device" if not found else f"{len(found)} devices"
            raise RuntimeError(f"The happi database has {number} with the name '{name}'")
        namespace[name_here] = happi.from_container(found[0].item, **kwargs)
        loaded.append(name_here)
    return loaded


def _names(name: object) -> tuple[str, str]:
    if isinstance(name, str):
        return name, name
    if isinstance(name, tuple | list) and len(name) == 2 and all(isinstance(part, str) for part in name):
        in_database, here = name
        if not here.isidentifier():
            raise ValueError(f"The device '{in_database}' cannot be named {here!r}: that is no Python identifier")
        return in_database, here
    raise TypeError(f"A device is named by a string or by a pair of strings, not by {name!r}")
