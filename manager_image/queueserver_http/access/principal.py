"""Who sends a request and what it may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from queueserver_http.access.scopes import PUBLIC_ROLE, SINGLE_USER_ROLE

SINGLE_USER = "UNAUTHENTICATED_SINGLE_USER"
PUBLIC_USER = "UNAUTHENTICATED_PUBLIC"


@dataclass(frozen=True, slots=True)
class Principal:
    """The requester, with the scopes of this request. `name` is stored as the user of items."""

    name: str
    scopes: frozenset[str]
    roles: frozenset[str] = frozenset()
    uuid: str | None = None
    kind: str = "user"
    identities: tuple[tuple[str, str], ...] = ()
    """Provider and user name in it."""
    api_key: str | None = field(default=None, repr=False)
    """First eight characters of the API key that was presented."""

    @property
    def anonymous(self) -> bool:
        """Whether no credentials were presented."""
        return self.name == PUBLIC_USER and self.uuid is None

    def shown(self) -> dict[str, Any]:
        """As `whoami` shows a principal that is in no database."""
        return {
            "uuid": self.uuid,
            "type": self.kind,
            "identities": [{"provider": provider, "id": name} for provider, name in self.identities],
            "roles": sorted(self.roles),
            "scopes": sorted(self.scopes),
            "api_keys": [],
            "sessions": [],
        }


def single_user(roles: dict[str, frozenset[str]]) -> Principal:
    """The principal of the single-user key."""
    return Principal(SINGLE_USER, roles[SINGLE_USER_ROLE], frozenset((SINGLE_USER_ROLE,)))


def anonymous(roles: dict[str, frozenset[str]]) -> Principal:
    """The principal of requests without credentials, where they are allowed."""
    return Principal(PUBLIC_USER, roles[PUBLIC_ROLE], frozenset((PUBLIC_ROLE,)))
