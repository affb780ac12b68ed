"""What can go wrong with the stored state; every text is a sentence for a person."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of the store."""


class AddressError(StoreError, ValueError):
    """An address of Redis that cannot be understood; the text never shows a password."""


class StoreLost(StoreError):
    """Redis did not do what it was asked: it cannot be reached, the connection broke, or it refused.

    `unknown` is true when nobody can tell whether the request was carried out; a commit is then looked up
    with `RedisStore.committed` once the connection is back.
    """

    def __init__(self, message: str, *, unknown: bool) -> None:
        super().__init__(message)
        self.unknown = unknown


class StoreHeld(StoreError):
    """Another manager that is still connected holds the data."""


class Fenced(StoreError):
    """Another manager has taken the data over; this one can no longer write and has to leave."""


class StoreEmptied(StoreError):
    """The data of this manager vanished from Redis while it ran (flushed, or restarted without its files)."""


class StoreTooNew(StoreError):
    """The data were written by a newer release in a format that this one does not know."""


class PackagedServerError(StoreError):
    """The packaged server cannot be started, reached or stopped; the text says why and what helps."""
