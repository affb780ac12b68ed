"""Existing and allowed plans and devices, and the permissions that make the one from the other.

Lists arrive as JSON text from the worker, the store or a file and are answered as JSON text; they are parsed once
when they change. Validators are compiled per group and plan on first use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from queueserver_common.descriptions import check_devices, check_plans
from queueserver_common.permissions import GroupLists, Permissions, compute_allowed
from queueserver_common.validation import GroupValidator
from queueserver_manager.core.items import encode

EMPTY = b"{}"


@dataclass(frozen=True, slots=True)
class ReadFiles:
    """What `permissions_reload` found in the manager's files; a string tells why a file cannot be used."""

    permissions: Permissions | str | None = None
    lists: tuple[bytes, bytes] | str | None = None
    """JSON texts of existing plans and devices."""


class PlansAndDevices:
    """The lists of one manager."""

    def __init__(self) -> None:
        self.plans_text = EMPTY
        self.devices_text = EMPTY
        self.permissions: Permissions | None = None
        self.revision = 0
        """Grows whenever the allowed lists are computed anew; stamps validations that take several steps."""
        self._existing_plans: dict[str, Any] = {}
        self._existing_devices: dict[str, Any] = {}
        self._allowed: dict[str, GroupLists] = {}
        self._validators: dict[str, GroupValidator] = {}
        self._texts: dict[tuple[str, str], bytes] = {}

    def set_existing(self, plans_text: bytes, devices_text: bytes) -> tuple[bool, bool]:
        """Take new existing lists; tells whether plans and devices really differ from the old ones.

        Raises `DescriptionError`, and takes nothing, when a description does not have its shape.
        """
        plans, devices = check_plans(json.loads(plans_text)), check_devices(json.loads(devices_text))
        changed = plans != self._existing_plans, devices != self._existing_devices
        self._existing_plans, self._existing_devices = plans, devices
        self.plans_text, self.devices_text = plans_text, devices_text
        if any(changed):
            self._recompute()
        return changed

    def set_permissions(self, permissions: Permissions) -> None:
        """Take new permissions and compute the allowed lists anew."""
        self.permissions = permissions
        self._recompute()

    def _recompute(self) -> None:
        self.revision += 1
        self._allowed = (
            {}
            if self.permissions is None
            else compute_allowed(self._existing_plans, self._existing_devices, self.permissions)
        )
        self._validators.clear()
        self._texts.clear()

    def knows_group(self, group: object) -> bool:
        """Whether items may be submitted for the group."""
        return isinstance(group, str) and group in self._allowed

    def validator(self, group: str) -> GroupValidator:
        """Validator of a known group."""
        if group not in self._validators:
            self._validators[group] = GroupValidator(self._allowed[group])
        return self._validators[group]

    def allowed_text(self, kind: str, group: str) -> bytes:
        """JSON text of the allowed `plans` or `devices` of a known group."""
        key = kind, group
        if key not in self._texts:
            self._texts[key] = encode(getattr(self._allowed[group], kind))
        return self._texts[key]
