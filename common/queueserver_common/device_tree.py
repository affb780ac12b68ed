"""Names in a tree of device descriptions, and the part of a tree that a set of names makes up.

Source: plans-and-permissions 2.2 (dotted names, nodes marked as excluded).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from queueserver_common.descriptions import DeviceDescription


def device_names(devices: Mapping[str, DeviceDescription], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all devices and components; nodes marked as excluded are passed through."""
    for name, device in devices.items():
        full_name = prefix + name
        if not device.get("excluded", False):
            yield full_name
        components = device.get("components")
        if components:
            yield from device_names(components, f"{full_name}.")


def restrict_devices(
    devices: Mapping[str, DeviceDescription], selected: Collection[str], prefix: str = ""
) -> dict[str, DeviceDescription]:
    """Return the tree with only the *selected* dotted names.

    A node that is not selected stays, marked as excluded, while one of its components does. Nodes that need no change
    are shared with *devices*.
    """
    restricted: dict[str, DeviceDescription] = {}
    for name, device in devices.items():
        full_name = prefix + name
        components = device.get("components", {})
        kept = restrict_devices(components, selected, f"{full_name}.") if components else {}
        is_selected = full_name in selected
        if is_selected or kept:
            restricted[name] = _with_components(device, components, kept, excluded=not is_selected)
    return restricted


def _with_components(
    device: DeviceDescription,
    components: Mapping[str, DeviceDescription],
    kept: dict[str, DeviceDescription],
    *,
    excluded: bool,
) -> DeviceDescription:
    unchanged = len(kept) == len(components) and all(kept[name] is component for name, component in components.items())
    if unchanged and excluded == device.get("excluded", False):
        return device
    changed = device.copy()
    if kept:
        changed["components"] = kept
    else:
        changed.pop("components", None)
    if excluded:
        changed["excluded"] = True
    else:
        changed.pop("excluded", None)
    return changed
