"""Encrypted sockets of the manager (zmq-api 1.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import zmq

from queueserver_common.link.curve_key import check_key, public_key


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
        return public_key(self.secret).decode("ascii")

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make an unbound socket accept encrypted connections only."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
