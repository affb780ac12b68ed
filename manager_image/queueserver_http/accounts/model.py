"""What accounts are, whatever keeps them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from queueserver_http.access.scopes import INHERIT, SCOPES


@dataclass(frozen=True, slots=True)
class Account:
    """A principal as the database knows it."""

    uuid: str
    kind: str
    identities: tuple[tuple[str, str], ...]
    """Provider and user name."""


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A valid API key."""

    account: Account
    first_eight: str
    scopes: tuple[str, ...]
    expires: float | None


class NewKey(BaseModel):
    """An API key as it is asked for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"expires_in": 3600, "scopes": ["read:status"], "note": "status board"}},
    )

    expires_in: Annotated[int, Field(gt=0, lt=10**10, strict=True)] | None
    """Seconds; null for never."""
    scopes: list[str] | None = None
    """`["inherit"]` when left out: whatever the owner may do at the time of a request."""
    note: Annotated[str, Field(max_length=1000)] | None = None

    @field_validator("scopes")
    @classmethod
    def _are_known(cls, scopes: list[str] | None) -> list[str] | None:
        known = SCOPES | {INHERIT}
        if scopes is not None and not known.issuperset(scopes):
            raise ValueError(f"the scopes are {sorted(known)}")
        return scopes


class Refresh(BaseModel):
    """What new tokens are made for."""

    refresh_token: str


def hashed(secret: str) -> str:
    """Hash of an API key. The key is 256 random bits, so there is nothing to guess and no need for a slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
