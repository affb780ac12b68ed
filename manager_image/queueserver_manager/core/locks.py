"""The lock of a manager: who holds it, what it guards, and which keys open it (zmq-api 2.1 and 5.9).

The key is never stored: a salted, slow hash of it is. The key in the clear stays in memory once it was shown, so that
only the first guarded request after a start pays for the hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from queueserver_manager.core.items import encode
from queueserver_manager.core.refusal import Code, Refusal

_ROUNDS = 10_000


def hash_key(key: str, salt: str) -> str:
    """What is stored of a key: hexadecimal digits."""
    return hashlib.pbkdf2_hmac("sha256", key.encode(), salt.encode(), _ROUNDS).hex()


@dataclass(slots=True)
class Lock:
    """A lock that is set."""

    environment: bool
    queue: bool
    user: str
    time: float
    """Epoch seconds."""
    note: str | None
    salt: str = field(repr=False)
    key_hash: str = field(repr=False)
    _key: str | None = field(default=None, repr=False)
    """The key in the clear, once it is known."""

    @classmethod
    def with_key(
        cls, key: str, salt: str, *, environment: bool, queue: bool, user: str, time: float, note: str | None
    ) -> Lock:
        """A new lock."""
        return cls(environment, queue, user, time, note, salt, hash_key(key, salt), key)

    def opens(self, key: str | None) -> bool:
        """Whether this is the key."""
        if key is None:
            return False
        if self._key is not None:
            return hmac.compare_digest(key.encode(), self._key.encode())
        if not hmac.compare_digest(hash_key(key, self.salt), self.key_hash):
            return False
        self._key = key
        return True

    def encode(self, uid: str) -> bytes:
        """JSON text for the store, with `lock_info_uid`."""
        names = ("environment", "queue", "user", "time", "note", "salt", "key_hash")
        return encode({name: getattr(self, name) for name in names} | {"uid": uid})

    @classmethod
    def decode(cls, text: bytes) -> tuple[Lock | None, str]:
        """The lock, if one is set, and the `lock_info_uid` of what `encode` or `encode_unlocked` wrote."""
        values = json.loads(text)
        uid = values.pop("uid")
        return (cls(**values) if values else None), uid

    def describe(self, *, emergency_key: bool) -> str:
        """The lines that tell a client who has locked what (zmq-api 2.1)."""
        return (
            f"RE Manager is locked by {self.user} at {_time_text(self.time)}\n"
            f"Environment is locked: {self.environment}\n"
            f"Queue is locked:       {self.queue}\n"
            f"Emergency lock key:    {'set' if emergency_key else 'not set'}\n"
            f"Note: {self.note or '---'}"
        )


def encode_unlocked(uid: str) -> bytes:
    """What is stored when nothing is locked: the `lock_info_uid` survives a restart too."""
    return encode({"uid": uid})


def lock_info(lock: Lock | None, *, emergency_key: bool) -> dict[str, Any]:
    """`lock_info` of the replies; never contains the key."""
    return {
        "environment": lock is not None and lock.environment,
        "queue": lock is not None and lock.queue,
        "user": None if lock is None else lock.user,
        "time": None if lock is None else lock.time,
        "time_str": "" if lock is None else _time_text(lock.time),
        "note": None if lock is None else lock.note,
        "emergency_lock_key_is_set": emergency_key,
    }


def check_key(lock: Lock, key: str | None, *, emergency_key: bool, **extra: Any) -> None:
    """Raise `Refusal` when the key does not open the lock; a missing key is as good as a wrong one."""
    if not lock.opens(key):
        text = f"Invalid lock key: \n{lock.describe(emergency_key=emergency_key)}"
        raise Refusal(text, code=Code.INVALID_LOCK_KEY, **extra)


def _time_text(time: float) -> str:
    return datetime.fromtimestamp(time).strftime("%m/%d/%Y %H:%M:%S")
