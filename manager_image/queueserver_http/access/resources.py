"""The group of the manager's permissions that a user belongs to (http-api 5.1, `resource_access`)."""

from __future__ import annotations

from typing import Any, Protocol


class ResourcePolicy(Protocol):
    """What a class named in `resource_access.policy` offers."""

    def group_of(self, user: str) -> str:
        """`user_group` of a user's requests."""
        ...


class DefaultResourceAccessControl:
    """One group for everybody."""

    def __init__(self, default_group: Any = "primary") -> None:
        if not isinstance(default_group, str) or not default_group:
            raise ValueError(f"'default_group' must be the name of a user group, not {default_group!r}")
        if default_group == "root":
            raise ValueError("'default_group' must not be 'root', the group that other groups' permissions derive from")
        self._group: str = default_group

    def group_of(self, user: str) -> str:
        return self._group
