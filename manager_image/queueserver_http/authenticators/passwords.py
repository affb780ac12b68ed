"""Providers that take a user name and a password (http-api 5.2)."""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from queueserver_http.authenticators.external import ExternalAuthenticator


class PasswordAuthenticator(ABC):
    """A class named in `authentication/providers` that checks passwords."""

    @abstractmethod
    async def authenticate(self, username: str, password: str) -> str | None:
        """The user's name as policies know it; None when name or password are wrong.

        Raises `ProviderAway`.
        """


AnyAuthenticator = PasswordAuthenticator | ExternalAuthenticator


class DummyAuthenticator(PasswordAuthenticator):
    """Any name with any password: for demonstrations."""

    async def authenticate(self, username: str, password: str) -> str | None:
        return username


class DictionaryAuthenticator(PasswordAuthenticator):
    """Names and passwords from the configuration."""

    def __init__(self, users_to_passwords: Any) -> None:
        if not isinstance(users_to_passwords, Mapping) or not users_to_passwords:
            raise ValueError("'users_to_passwords' must map names of users to their passwords")
        wrong = [name for name, word in users_to_passwords.items() if not isinstance(word, str) or not word]
        if wrong:
            raise ValueError(f"the passwords of {wrong} must be texts that are not empty")
        self._passwords = {str(name): word.encode() for name, word in users_to_passwords.items()}

    async def authenticate(self, username: str, password: str) -> str | None:
        expected = self._passwords.get(username)
        same = hmac.compare_digest(password.encode(), b"\0" if expected is None else expected)
        return username if same and expected is not None else None
