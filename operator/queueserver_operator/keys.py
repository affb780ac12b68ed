"""Keys that the operator makes and puts into Secrets once: pairs for encrypted 0MQ sockets (CURVE), random texts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import zmq

PRIVATE_KEY = "private_key"
PUBLIC_KEY = "public_key"

_TEXT_BYTES = 32


def with_fresh_keys(secret: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a Secret with a new key pair in it, both keys as 40 characters of Z85 text."""
    public, private = zmq.curve_keypair()
    pair = {PRIVATE_KEY: private.decode("ascii"), PUBLIC_KEY: public.decode("ascii")}
    return {**secret, "stringData": {**secret.get("stringData", {}), **pair}}


def with_fresh_texts(secret: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The manifest of a Secret with random texts of letters and digits in it, one for each data key."""
    return {**secret, "stringData": {key: secrets.token_hex(_TEXT_BYTES) for key in keys}}
