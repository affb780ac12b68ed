"""CURVE keys as text and in files: 40 Z85 characters (RFC 32), for both ends of every encrypted socket."""

from __future__ import annotations

import struct
from pathlib import Path

import zmq
from zmq.utils import z85

_TEXT_LENGTH = 40


class KeyFormatError(ValueError):
    """A text that is not a CURVE key."""


class KeyFileError(Exception):
    """A file that holds no key; the text is a sentence that names the file and never its content."""


def check_key(text: str) -> bytes:
    """A key of 40 Z85 characters in the form that 0MQ takes; raises `KeyFormatError`."""
    try:
        key = text.encode("ascii")
        if len(key) == _TEXT_LENGTH and z85.encode(z85.decode(key)) == key:
            return key
    except (ValueError, KeyError, struct.error):
        pass
    raise KeyFormatError(f"Invalid key '{text}': the key must be a 40 byte z85 encoded string")


def read_key(path: Path) -> bytes:
    """The key in a file, with or without white space around it; raises `KeyFileError`."""
    try:
        # Z85 holds no white space, so nothing of the key can be stripped.
        return check_key(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise KeyFileError(f"The key file '{path}' cannot be read: {error.strerror}.") from None
    except ValueError:
        raise KeyFileError(f"The key file '{path}' does not hold a CURVE key, which is 40 characters of Z85.") from None


def public_key(secret: bytes) -> bytes:
    """The public key that belongs to a private one."""
    return zmq.curve_public(secret)
