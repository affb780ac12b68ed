"""Describe the devices of a namespace and their components (plans-and-permissions 2 and 2.2).

Nothing is connected and nothing is created: a lazy component is described from its class. The flags are those of
bluesky's protocols `Readable`, `Movable` and `Flyable`, decided by the methods that they ask for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from queueserver_common import loggers
from queueserver_common.descriptions import MAX_DEVICE_DEPTH, DeviceDescription
from queueserver_worker.describe.order import listed_names
from queueserver_worker.profile.helpers import device_registration

_log = logging.getLogger(loggers.PROFILE)


_PROTOCOL_ATTRIBUTES = frozenset({"name", "read", "describe", "set", "kickoff", "complete"})


class _Flags(NamedTuple):
    readable: bool
    movable: bool
    flyable: bool


class _Limits(NamedTuple):
    """How far below a device its components are described."""

    levels: int
    """Levels still to describe, the device itself included."""
    area_detectors: bool
    """Whether the components of area detectors, hundreds of them, are described too."""

    def below(self) -> _Limits:
        return _Limits(self.levels - 1, self.area_detectors)


def existing_devices(namespace: Mapping[str, Any], max_depth: int = 0) -> dict[str, DeviceDescription]:
    """Describe all devices of *namespace*, devices and components in the order of their names.

    *max_depth* limits the levels: 1 lists only the devices themselves, 0 lists everything except the components of
    ophyd's area detectors. `register_device` in startup code overrides it for one device, area detectors included, or
    excludes the device.
    """
    described: dict[str, DeviceDescription] = {}
    for name in listed_names(namespace):
        value = namespace[name]
        if not is_device(value):
            continue
        registration = device_registration(name)
        if registration is None:
            limits = _Limits(max_depth or MAX_DEVICE_DEPTH, area_detectors=False)
        elif registration.exclude:
            continue
        else:
            limits = _Limits(registration.depth or MAX_DEVICE_DEPTH, area_detectors=True)
        described[name] = _describe_instance(value, limits)
    return described


def is_device(value: Any) -> bool:
    """Whether *value* is an instance that is readable or flyable, or a device of ophyd-async."""
    if isinstance(value, type | ModuleType):
        return False
    flags = _flags(value)
    return flags.readable or flags.flyable or _has_children(value)


def _describe_instance(device: Any, limits: _Limits) -> DeviceDescription:
    described = _description(type(device), _flags(device))
    if limits.levels > 1 and (limits.area_detectors or not _is_area_detector(type(device))):
        _add_components(described, dict(_components(device, limits.below())))
    return described


def _describe_class(cls: type, limits: _Limits) -> DeviceDescription:
    """Describe a component that does not exist yet."""
    described = _description(cls, _flags_of(_class_attributes(cls) | {"name"}))
    if limits.levels > 1 and (limits.area_detectors or not _is_area_detector(cls)):
        names = _strings(getattr(cls, "component_names", ()))
        below = limits.below()
        components = {name: _describe_component_class(getattr(cls, name, None), below) for name in names}
        _add_components(described, components)
    return described


def _describe_component_class(component: Any, limits: _Limits) -> DeviceDescription | None:
    cls = getattr(component, "cls", None)
    return _describe_class(cls, limits) if isinstance(cls, type) else None


def _components(device: Any, limits: _Limits) -> Iterator[tuple[str, DeviceDescription | None]]:
    for name in _strings(getattr(device, "component_names", ())):
        declared = getattr(type(device), name, None)
        if getattr(declared, "lazy", False) is True:
            yield name, _describe_component_class(declared, limits)
            continue
        try:
            component = getattr(device, name)
        except Exception as error:  # whatever a property of somebody's device raises
            _log.warning("Component %r of a device of class %s is not listed: %s", name, type(device).__name__, error)
            continue
        yield name, _describe_instance(component, limits)
    if _has_children(device):
        for name, child in device.children():
            if any(_flags(child)) or _has_children(child):
                yield name, _describe_instance(child, limits)


def _add_components(described: DeviceDescription, components: Mapping[str, DeviceDescription | None]) -> None:
    # Elements of an ophyd-async DeviceVector are numbered: they have no dotted name by which a plan could get them.
    found = {name: component for name in listed_names(components) if (component := components[name])}
    if found:
        described["components"] = found


def _description(cls: type, flags: _Flags) -> DeviceDescription:
    return DeviceDescription(
        is_readable=flags.readable,
        is_movable=flags.movable,
        is_flyable=flags.flyable,
        classname=cls.__name__,
        module=cls.__module__,
    )


def _flags(device: Any) -> _Flags:
    """Flags of an instance; attributes that it alone has count as well."""
    own = getattr(device, "__dict__", None) or {}
    cls: type = type(device)
    return _flags_of(_class_attributes(cls) | (_PROTOCOL_ATTRIBUTES & own.keys()))


@lru_cache(maxsize=4096)
def _class_attributes(cls: type) -> frozenset[str]:
    return frozenset(name for name in _PROTOCOL_ATTRIBUTES if getattr(cls, name, None) is not None)


@lru_cache(maxsize=64)
def _flags_of(attributes: frozenset[str]) -> _Flags:
    return _Flags(
        readable=attributes >= {"name", "read", "describe"},
        movable="set" in attributes,
        flyable=attributes >= {"name", "kickoff", "complete"},
    )


def _has_children(value: Any) -> bool:
    """Whether *value* is a device of ophyd-async, whose base class promises no protocol."""
    return callable(getattr(type(value), "children", None)) and isinstance(getattr(value, "name", None), str)


def _is_area_detector(cls: type) -> bool:
    """Whether *cls* is an area detector of ophyd, its camera or one of its plugins."""
    base = sys.modules.get("ophyd.areadetector.base")  # an instance cannot exist before the module was imported
    return base is not None and issubclass(cls, base.ADBase)


def _strings(names: Any) -> list[str]:
    return [name for name in names if isinstance(name, str)] if isinstance(names, Iterable) else []
