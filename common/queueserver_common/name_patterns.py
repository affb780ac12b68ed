"""Name patterns: how permissions and plan annotations select plans, devices and functions.

::

    name      := identifier { "." identifier }
    pattern   := [type] ":" component { ":" component } [ ":depth=" N ]
    component := [ "+" | "-" | "?" ] regex

Spaces mean nothing. A text without a colon is a name. Each component of a pattern is searched (``re.search``) in the
names of one level of the device tree; what it finds is selected unless the component starts with ``-`` and is not the
last. A component that starts with ``?`` is searched in the dotted rest of the name, on all levels below or on N of
them; ``depth=N`` behind any other component is a regular expression like others.
Source: plans-and-permissions 3.1.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from queueserver_common.descriptions import DeviceDescription

MAX_PATTERN_LENGTH = 1000
"""Longest pattern that is accepted, in characters."""

_DEVICE_TYPES: dict[str, Callable[[DeviceDescription], bool]] = {
    "": lambda device: True,
    "__READABLE__": lambda device: device["is_readable"],
    "__DETECTOR__": lambda device: device["is_readable"] and not device["is_movable"],
    "__MOTOR__": lambda device: device["is_readable"] and device["is_movable"],
    "__FLYABLE__": lambda device: device["is_flyable"],
}
_DEPTH = re.compile(r"depth=([+-]?[0-9]+)")


class NamePatternError(ValueError):
    """The text is neither a name nor a valid name pattern."""


@dataclass(frozen=True, slots=True)
class _Component:
    regex: re.Pattern[str]
    selects: bool
    full_name: bool


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A text taken apart: either the parts of a *path*, or a device type and the components of a pattern."""

    path: tuple[str, ...]
    device_type: str
    components: tuple[_Component, ...]
    depth: int | None


@dataclass(frozen=True, slots=True)
class DevicePattern:
    """A compiled pattern for devices and their components at every level."""

    text: str
    _parsed: _Parsed

    def select(self, devices: Mapping[str, DeviceDescription]) -> list[str]:
        """Return the dotted names that the pattern selects, in the order of *devices*.

        A node marked as excluded is passed through and never selected.
        """
        if self._parsed.path:
            return _existing_path(self._parsed.path, devices)
        return list(self._select_level(devices, "", 0))

    def _select_level(self, devices: Mapping[str, DeviceDescription], prefix: str, position: int) -> Iterator[str]:
        component = self._parsed.components[position]
        if component.full_name:
            yield from self._select_below(component, devices, prefix, "", 1)
            return
        is_last = position + 1 == len(self._parsed.components)
        for name, device in devices.items():
            if not component.regex.search(name):
                continue
            if component.selects and self._has_type(device):
                yield prefix + name
            if not is_last:
                yield from self._select_level(device.get("components", {}), f"{prefix}{name}.", position + 1)

    def _select_below(
        self, component: _Component, devices: Mapping[str, DeviceDescription], prefix: str, rest: str, level: int
    ) -> Iterator[str]:
        for name, device in devices.items():
            full_name = rest + name
            if component.regex.search(full_name) and self._has_type(device):
                yield prefix + full_name
            if self._parsed.depth is None or level < self._parsed.depth:
                components = device.get("components", {})
                yield from self._select_below(component, components, prefix, f"{full_name}.", level + 1)

    def _has_type(self, device: DeviceDescription) -> bool:
        return not device.get("excluded", False) and _DEVICE_TYPES[self._parsed.device_type](device)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A compiled pattern for plans or functions, which have no levels."""

    text: str
    _parsed: _Parsed

    def matches(self, name: str) -> bool:
        """Tell whether the pattern selects *name*."""
        if self._parsed.path:
            return self._parsed.path[0] == name
        return self._parsed.components[0].regex.search(name) is not None


@lru_cache(maxsize=4096)
def compile_device_pattern(text: str) -> DevicePattern:
    """Compile the name or pattern of devices; raises `NamePatternError`."""
    return DevicePattern(text, _parse(text))


@lru_cache(maxsize=4096)
def compile_name_pattern(text: str) -> NamePattern:
    """Compile the name or pattern of plans or functions; raises `NamePatternError`.

    The marks ``+ - ?`` and the device type are accepted and have no meaning here.
    """
    parsed = _parse(text)
    if len(parsed.path) + len(parsed.components) != 1:
        raise NamePatternError(f"Name pattern for functions and plans must contain one component: {text!r}")
    return NamePattern(text, parsed)


def _existing_path(path: tuple[str, ...], devices: Mapping[str, DeviceDescription]) -> list[str]:
    level = devices
    device: DeviceDescription | None = None
    for name in path:
        device = level.get(name)
        if device is None:
            return []
        level = device.get("components", {})
    return [] if device is None or device.get("excluded", False) else [".".join(path)]


def _parse(text: str) -> _Parsed:
    if len(text) > MAX_PATTERN_LENGTH:
        raise NamePatternError(f"Name pattern of {len(text)} characters is too long, the limit is {MAX_PATTERN_LENGTH}")
    compact = text.replace(" ", "")
    if not compact:
        raise NamePatternError("Name pattern is empty: a name or a pattern such as ':^det' is expected")
    device_type, *parts = compact.split(":")
    if not parts:
        return _Parsed(_parse_path(text, compact), "", (), None)
    if device_type not in _DEVICE_TYPES:
        supported = ", ".join(repr(name) for name in _DEVICE_TYPES if name)
        raise NamePatternError(
            f"Name pattern {text!r}: device type {device_type!r} is not supported. Supported types: {supported} "
            "or nothing before the first ':'"
        )
    return _parse_components(text, device_type, parts)


def _parse_path(text: str, compact: str) -> tuple[str, ...]:
    path = tuple(compact.split("."))
    if not all(name.isidentifier() for name in path):
        raise NamePatternError(
            f"Name pattern {text!r} contains characters or components that are invalid in a name. "
            "A regular expression must be labelled with ':', for example ':^det$'"
        )
    return path


def _parse_components(text: str, device_type: str, parts: list[str]) -> _Parsed:
    components: list[_Component] = []
    for position, part in enumerate(parts):
        mark = part[0] if part[:1] in ("+", "-", "?") else ""
        is_last = position + 1 == len(parts)
        full_name = mark == "?"
        regex = _compile_regex(text, part[len(mark) :])
        components.append(_Component(regex, selects=is_last or mark != "-", full_name=full_name))
        if full_name:
            depth = _parse_depth(text, parts[position + 1 :])
            return _Parsed((), device_type, tuple(components), depth)
    return _Parsed((), device_type, tuple(components), None)


def _parse_depth(text: str, parts: list[str]) -> int | None:
    """Return the depth in *parts*, which are what follows a full-name component."""
    if not parts:
        return None
    if len(parts) > 1 or not parts[0].startswith("depth="):
        raise NamePatternError(
            f"Name pattern {text!r}: a full name component ('?…') must be the last one; "
            "only a depth such as ':depth=5' may follow it"
        )
    match = _DEPTH.fullmatch(parts[0])
    if match is None:
        raise NamePatternError(f"Name pattern {text!r}: depth must be a whole number, as in ':depth=5'")
    depth = int(match[1])
    if depth < 1:
        raise NamePatternError(f"Name pattern {text!r}: depth is {depth}, it must be 1 or greater")
    return depth


def _compile_regex(text: str, regex: str) -> re.Pattern[str]:
    if not regex:
        raise NamePatternError(f"Name pattern {text!r} contains an empty component")
    try:
        with warnings.catch_warnings():
            # Regular expressions that may change meaning in a later Python still have a meaning now.
            warnings.simplefilter("ignore")
            return re.compile(regex)
    except (re.error, ValueError, OverflowError, RecursionError, MemoryError) as ex:
        raise NamePatternError(f"Name pattern {text!r} contains an invalid regular expression {regex!r}: {ex}") from ex
