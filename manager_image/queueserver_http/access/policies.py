"""API access policies: users, their roles, and the scopes of roles (http-api 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from queueserver_http.access.scopes import names_of, roles_with_changes


@dataclass(frozen=True, slots=True)
class User:
    """What a policy knows of a user."""

    roles: frozenset[str]
    displayed_name: str = ""
    email: str = ""


class AccessPolicy(Protocol):
    """What a class named in `api_access.policy` offers. `start` and `close` run in the event loop."""

    @property
    def roles(self) -> dict[str, frozenset[str]]:
        """Scopes of all roles."""
        ...

    def user(self, name: str) -> User | None:
        """A user; None for one that is not authorized."""
        ...

    async def start(self) -> None:
        """Begin to keep up to date what the policy knows."""
        ...

    async def close(self) -> None:
        """Stop that."""
        ...


class BasicAPIAccessControl:
    """Roles of requests without an account; it knows no users, so it admits nobody who logs in."""

    def __init__(self, *, roles: Mapping[str, Any] | None = None) -> None:
        self._roles = roles_with_changes(roles)

    @property
    def roles(self) -> dict[str, frozenset[str]]:
        return self._roles

    def user(self, name: str) -> User | None:
        return None

    async def start(self) -> None:
        """Nothing has to be kept up to date."""

    async def close(self) -> None:
        """Nothing was started."""


class DictionaryAPIAccessControl(BasicAPIAccessControl):
    """Users and their roles from the configuration."""

    def __init__(self, *, roles: Mapping[str, Any] | None = None, users: Mapping[str, Any] | None = None) -> None:
        super().__init__(roles=roles)
        if users is not None and not isinstance(users, Mapping):
            raise ValueError(f"'users' must map names of users to their roles, not {users!r}")
        self._users = {str(name): user_from(str(name), info, self.roles) for name, info in (users or {}).items()}

    def user(self, name: str) -> User | None:
        return self._users.get(name)


def user_from(name: str, info: Any, roles: Mapping[str, frozenset[str]]) -> User:
    """A user as configured: `roles`, `displayed_name`, `email` (or `mail`); raises `ValueError`."""
    known = ("roles", "displayed_name", "email", "mail")
    if not isinstance(info, Mapping) or any(key not in known for key in info):
        raise ValueError(f"user {name!r}: a mapping with the keys roles, displayed_name and email is expected")
    named = names_of(info.get("roles"))
    if unknown := named - roles.keys():
        raise ValueError(f"user {name!r}: there are no roles {sorted(unknown)}; the roles are {sorted(roles)}")
    return User(named, str(info.get("displayed_name") or ""), str(info.get("email") or info.get("mail") or ""))


def scopes_of(roles: frozenset[str], table: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """All scopes of some roles."""
    return frozenset().union(*(table.get(role, frozenset()) for role in roles))


def displayed(name: str, user: User) -> str:
    """The name that is stored as the user of items (http-api 5.1)."""
    mail = f"<{user.email}>" if user.email else ""
    if not user.displayed_name:
        return f"{name} {mail}".strip()
    return f'{name} "{" ".join(filter(None, (user.displayed_name, mail)))}"'
