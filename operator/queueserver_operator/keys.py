"""Key pairs for encrypted 0MQ sockets (CURVE), made by the operator and put into Secrets once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import zmq

PRIVATE_KEY = "private_key"
PUBLIC_KEY = "public_key"


def with_fresh_keys(secret: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a Secret with a new key pair in it, both keys as 40 characters of Z85 text."""
    public, private = zmq.curve_keypair()
    pair = {PRIVATE_KEY: private.decode("ascii"), PUBLIC_KEY: public.decode("ascii")}
    return {**secret, "stringData": {**secret.get("stringData", {}), **pair}}
