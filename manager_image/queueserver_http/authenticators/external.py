"""Providers to which a browser goes and from which it comes back with a code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping


class ProviderAway(Exception):
    """The server that knows the users does not answer, so that nothing can be said of anybody."""


class ExternalAuthenticator(ABC):
    """A class named in `authentication/providers` that leaves the login to another server.

    `answers`: parameters one of which comes with everybody who returns from the provider.
    """

    answers: tuple[str, ...] = ("code", "error")

    @abstractmethod
    async def leave(self) -> str:
        """The address to which the browser is sent; raises `ProviderAway`."""

    @abstractmethod
    async def come_back(self, sent: Mapping[str, str]) -> str | None:
        """The user's name for what the provider sent back; None when it did not confirm the login.

        Raises `ProviderAway`.
        """
