"""Keys of the encrypted control socket (zmq-api 1.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

_TEXT_LENGTH = 40


class KeyFormatError(ValueError):
    """A text that is not a CURVE key."""


def check_key(text: str) -> bytes:
    """A key of 40 Z85 characters in the form that 0MQ takes; raises `KeyFormatError`."""
    try:
        key = text.encode("ascii")
        if len(key) == _TEXT_LENGTH and z85.encode(z85.decode(key)) == key:
            return key
    except (ValueError, KeyError, struct.error):
        pass
    raise KeyFormatError(f"Invalid key '{text}': the key must be a 40 byte z85 encoded string")


@dataclass(frozen=True, slots=True)
class CurveServerKeys:
    """The server's private key; clients need the public key that belongs to it and any pair of their own."""

    secret: bytes = field(repr=False)

    @classmethod
    def from_text(cls, text: str) -> CurveServerKeys:
        """From 40 Z85 characters; raises `KeyFormatError`."""
        return cls(check_key(text))

    @property
    def public(self) -> str:
        """What clients are given as `QSERVER_ZMQ_PUBLIC_KEY`."""
        return zmq.curve_public(self.secret).decode("ascii")

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make an unbound socket accept encrypted connections only."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
