"""Scopes and roles (http-api 5)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

READ = (
    "read:status",
    "read:queue",
    "read:history",
    "read:resources",
    "read:config",
    "read:monitor",
    "read:console",
    "read:lock",
    "read:testing",
)
_OPERATE = (
    "write:queue:edit",
    "write:queue:control",
    "write:manager:control",
    "write:plan:control",
    "write:execute",
    "write:history:edit",
)
_CONFIGURE = ("write:permissions", "write:scripts", "write:config", "write:lock")
_SINGLE_USER = ("write:manager:stop", "write:testing")
_KEYS = ("user:apikeys",)
_ADMIN = ("admin:apikeys", "admin:read:principals", "admin:metrics")

SCOPES: frozenset[str] = frozenset((*READ, *_OPERATE, *_CONFIGURE, *_SINGLE_USER, *_KEYS, *_ADMIN))
"""All scopes that exist."""

INHERIT = "inherit"
"""Scope of an API key that has whatever its principal has at the time of the request."""

PUBLIC_ROLE = "unauthenticated_public"
SINGLE_USER_ROLE = "unauthenticated_single_user"

_USER = frozenset((*READ, *_KEYS, *_OPERATE))
_EXPERT = _USER | frozenset(_CONFIGURE)

DEFAULT_ROLES: Mapping[str, frozenset[str]] = {
    PUBLIC_ROLE: frozenset(("read:status",)),
    "observer": frozenset((*READ, *_KEYS)),
    "user": _USER,
    "advanced": _USER,
    "expert": _EXPERT,
    "admin": frozenset(("read:status", *_KEYS, *_ADMIN)),
    SINGLE_USER_ROLE: _EXPERT | frozenset(_SINGLE_USER),
}
"""Scopes of the roles when no policy changes them."""

_CHANGES = ("scopes_set", "scopes_add", "scopes_remove")


class ScopeError(ValueError):
    """Roles or scopes of a configuration that cannot be used; the text is a sentence."""


def roles_with_changes(changes: Any) -> dict[str, frozenset[str]]:
    """The default roles, changed and extended by `roles` of a policy; raises `ScopeError`."""
    roles = dict(DEFAULT_ROLES)
    if changes is not None and not isinstance(changes, Mapping):
        raise ScopeError(f"'roles' must map names of roles to changes of their scopes, not {changes!r}")
    for role, change in (changes or {}).items():
        roles[str(role)] = _changed(roles.get(str(role), frozenset()), str(role), change or {})
    return roles


def _changed(scopes: frozenset[str], role: str, change: Any) -> frozenset[str]:
    if not isinstance(change, Mapping) or (unknown := [key for key in change if key not in _CHANGES]):
        names = ", ".join(_CHANGES)
        shown = unknown if isinstance(change, Mapping) else change
        raise ScopeError(f"role {role!r}: {shown!r} is not understood; the keys are {names}")
    if "scopes_set" in change:
        scopes = _scopes(role, change["scopes_set"])
    scopes |= _scopes(role, change.get("scopes_add"))
    return scopes - _scopes(role, change.get("scopes_remove"))


def _scopes(role: str, value: object) -> frozenset[str]:
    named = names_of(value)
    if unknown := named - SCOPES:
        raise ScopeError(f"role {role!r}: there are no scopes {sorted(unknown)}; the scopes are {sorted(SCOPES)}")
    return named


def names_of(value: object) -> frozenset[str]:
    """One name or a list of names as a set; None is empty. Raises `ScopeError` for anything else."""
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset((value,))
    if isinstance(value, Collection) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    raise ScopeError(f"a name or a list of names is expected, not {value!r}")
