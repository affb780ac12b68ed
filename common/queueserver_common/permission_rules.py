"""Rules of user groups: the check of their schema and their compiled form.

Source: plans-and-permissions 3 (schema, meaning of ``null`` and of missing lists).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from queueserver_common.descriptions import DeviceDescription
from queueserver_common.device_tree import device_names
from queueserver_common.name_patterns import (
    DevicePattern,
    NamePattern,
    NamePatternError,
    compile_device_pattern,
    compile_name_pattern,
)

ROOT = "root"
"""Name of the required group whose rules apply to every group."""

PatternT = TypeVar("PatternT", NamePattern, DevicePattern)

_KEYS = (
    "allowed_plans",
    "forbidden_plans",
    "allowed_devices",
    "forbidden_devices",
    "allowed_functions",
    "forbidden_functions",
)


class PermissionsError(ValueError):
    """Permissions do not follow the schema; ``location`` holds the keys and indices that lead to the mistake."""

    def __init__(self, message: str, location: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.location = location


@dataclass(frozen=True, slots=True)
class Rule(Generic[PatternT]):
    """What one group may use of one kind of thing; ``allowed`` is ``None`` for everything."""

    allowed: tuple[PatternT, ...] | None
    forbidden: tuple[PatternT, ...]


@dataclass(frozen=True, slots=True)
class GroupRules:
    """What one group may use."""

    plans: Rule[NamePattern]
    devices: Rule[DevicePattern]
    functions: Rule[NamePattern]


def compile_rules(mapping: object) -> dict[str, GroupRules]:
    """Check user group permissions and return the compiled rules of each group; raises `PermissionsError`."""
    top = _check_top_level(mapping)
    groups = {name: _check_group(name, group) for name, group in top["user_groups"].items()}
    if ROOT not in groups:
        raise PermissionsError(f"User group permissions: Missing required user group: {ROOT!r}", ("user_groups",))
    return {
        name: GroupRules(
            plans=_compile_rule(name, group, "plans", compile_name_pattern),
            devices=_compile_rule(name, group, "devices", compile_device_pattern),
            functions=_compile_rule(name, group, "functions", compile_name_pattern),
        )
        for name, group in groups.items()
    }


def permits(rule: Rule[NamePattern], name: str) -> bool:
    """Tell whether a rule for plans or functions lets *name* through."""
    if rule.allowed is not None and not any(pattern.matches(name) for pattern in rule.allowed):
        return False
    return not any(pattern.matches(name) for pattern in rule.forbidden)


def permitted_devices(rule: Rule[DevicePattern], devices: Mapping[str, DeviceDescription]) -> set[str]:
    """Return the dotted names of *devices* that a rule lets through."""
    if rule.allowed is None:
        selected = set(device_names(devices))
    else:
        selected = {name for pattern in rule.allowed for name in pattern.select(devices)}
    return selected.difference(*(pattern.select(devices) for pattern in rule.forbidden))


def _check_top_level(mapping: object) -> Mapping[str, Any]:
    if not isinstance(mapping, Mapping):
        raise PermissionsError(f"User group permissions: Invalid type '{type(mapping)}', must be 'dict'")
    if "user_groups" not in mapping:
        raise PermissionsError("'user_groups' is a required property")
    _refuse_other_keys("User group permissions", mapping, ("user_groups",), ())
    groups = mapping["user_groups"]
    if not isinstance(groups, Mapping):
        raise PermissionsError(
            f"'user_groups': {groups!r} is not of type 'object': it must map the names of groups to their rules",
            ("user_groups",),
        )
    return mapping


def _check_group(name: object, group: object) -> Mapping[str, Any]:
    where = f"User group {name!r}"
    if not isinstance(name, str):
        raise PermissionsError(f"{where}: the name of a group must be a string, put it in quotes", ("user_groups",))
    location = ("user_groups", name)
    if not isinstance(group, Mapping):
        raise PermissionsError(
            f"{where}: {group!r} is not of type 'object': it must map {', '.join(map(repr, _KEYS))} to lists", location
        )
    _refuse_other_keys(where, group, _KEYS, location)
    for key, items in group.items():
        if not isinstance(items, list | tuple):
            raise PermissionsError(
                f"{where}, key {key!r}: {items!r} is not of type 'array': it must be a list of names, patterns or null",
                (*location, key),
            )
        for index, item in enumerate(items):
            if item is not None and not isinstance(item, str):
                raise PermissionsError(
                    f"{where}, key {key!r}: {item!r} is not of type 'string', 'null'", (*location, key, index)
                )
    return group


def _refuse_other_keys(
    where: str, mapping: Mapping[Any, Any], known: tuple[str, ...], location: tuple[str | int, ...]
) -> None:
    others = [key for key in mapping if key not in known]
    if others:
        verb = "was" if len(others) == 1 else "were"
        raise PermissionsError(
            f"{where}: Additional properties are not allowed ({', '.join(map(repr, others))} {verb} unexpected). "
            f"Supported: {', '.join(map(repr, known))}",
            (*location, others[0]),
        )


def _compile_rule(
    group_name: str, group: Mapping[str, list[str | None]], kind: str, compile_pattern: Callable[[str], PatternT]
) -> Rule[PatternT]:
    allowed = _compile_list(group_name, group, f"allowed_{kind}", compile_pattern, null_means="everything")
    forbidden = _compile_list(group_name, group, f"forbidden_{kind}", compile_pattern, null_means="nothing")
    return Rule(allowed, forbidden or ())


def _compile_list(
    group_name: str,
    group: Mapping[str, list[str | None]],
    key: str,
    compile_pattern: Callable[[str], PatternT],
    *,
    null_means: str,
) -> tuple[PatternT, ...] | None:
    """Compile one list; ``None`` when it starts with ``null``."""
    items = group.get(key, ())
    if items and items[0] is None:
        return None
    patterns: list[PatternT] = []
    for index, item in enumerate(items):
        where = f"User group {group_name!r}, key {key!r}"
        location = ("user_groups", group_name, key, index)
        if item is None:
            raise PermissionsError(f"{where}: null stands for {null_means} and must be the first element", location)
        try:
            patterns.append(compile_pattern(item))
        except NamePatternError as ex:
            raise PermissionsError(f"{where}: {ex}", location) from ex
    return tuple(patterns)
