"""What accounts are, whatever keeps them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


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


def hashed(secret: str) -> str:
    """Hash of an API key. The key is 256 random bits, so there is nothing to guess and no need for a slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
