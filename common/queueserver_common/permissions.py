"""User group permissions: their schema and what they allow.

A group may use what the group ``root`` may use and its own rules allow. Rules list names and name patterns; ``null``
as the first element of an ``allowed_*`` list stands for everything, of a ``forbidden_*`` list for nothing; without an
``allowed_*`` list nothing is allowed. Whatever is wrong is refused when permissions are parsed, so that a mistake never
opens anything. Source: plans-and-permissions 3, zmq-api 5.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from queueserver_common.descriptions import DeviceDescription, PlanDescription
from queueserver_common.device_tree import restrict_devices
from queueserver_common.expansion import expand_plan_description
from queueserver_common.permission_rules import (
    ROOT,
    GroupRules,
    PermissionsError,
    compile_rules,
    permits,
    permitted_devices,
)

__all__ = ["ROOT", "GroupLists", "Permissions", "PermissionsError", "compute_allowed"]


@dataclass(frozen=True, slots=True)
class GroupLists:
    """Plans and devices that a group may use, the plan descriptions expanded for the group."""

    plans: dict[str, PlanDescription]
    devices: dict[str, DeviceDescription]


class Permissions:
    """Parsed user group permissions. Equal when the mappings that they were parsed from are equal."""

    def __init__(self, mapping: Mapping[str, Any], rules: Mapping[str, GroupRules]) -> None:
        self._mapping = deepcopy(dict(mapping))
        self._rules = dict(rules)

    @classmethod
    def parse(cls, mapping: object) -> Permissions:
        """Check *mapping* against the schema and compile its patterns; raises `PermissionsError`."""
        rules = compile_rules(mapping)
        assert isinstance(mapping, Mapping)  # or else compile_rules has raised
        return cls(mapping, rules)

    def as_mapping(self) -> dict[str, Any]:
        """Return a copy of exactly the mapping that was parsed."""
        return deepcopy(self._mapping)

    def digest(self) -> str:
        """Equal for equal permissions."""
        return sha256(json.dumps(self._mapping, sort_keys=True).encode()).hexdigest()

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of all groups, ``root`` among them: whether ``root`` may submit is the caller's decision."""
        return tuple(self._rules)

    def __eq__(self, other: object) -> bool:
        return self._mapping == other._mapping if isinstance(other, Permissions) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equality goes by a mapping that has no hash

    def plan_names(self, group: str, names: Iterable[str]) -> list[str]:
        """Return those of *names* that *group* may run, in their order; raises `KeyError` for an unknown group."""
        rules = self._rules_of(group)
        return [name for name in names if all(permits(rule.plans, name) for rule in rules)]

    def device_names(self, group: str, devices: Mapping[str, DeviceDescription]) -> set[str]:
        """Return the dotted names of *devices* that *group* may use; raises `KeyError` for an unknown group."""
        return set.intersection(*(permitted_devices(rule.devices, devices) for rule in self._rules_of(group)))

    def function_allowed(self, name: str, group: str) -> bool:
        """Tell whether *group* may call the function *name*; false for an unknown group."""
        if group not in self._rules:
            return False
        return all(permits(rule.functions, name) for rule in self._rules_of(group))

    def _rules_of(self, group: str) -> list[GroupRules]:
        return [self._rules[ROOT], self._rules[group]]


def compute_allowed(
    existing_plans: Mapping[str, PlanDescription],
    existing_devices: Mapping[str, DeviceDescription],
    permissions: Permissions,
) -> dict[str, GroupLists]:
    """Return the plans and devices that each group, ``root`` included, may use.

    Descriptions that are the same for a group as in the existing lists are shared with them: treat all as read-only.
    """
    allowed: dict[str, GroupLists] = {}
    for group in permissions.groups:
        devices = restrict_devices(existing_devices, permissions.device_names(group, existing_devices))
        names = permissions.plan_names(group, existing_plans)
        plans = {name: expand_plan_description(existing_plans[name], names, devices) for name in names}
        allowed[group] = GroupLists(plans, devices)
    return allowed
