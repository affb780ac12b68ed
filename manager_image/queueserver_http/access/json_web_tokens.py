"""JSON web tokens that this server signs itself: HS256 and nothing else (RFC 7519).

Packages for tokens of every kind load all of cryptography, 9 MB of memory for one HMAC.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

ALGORITHM = "HS256"


class TokenError(ValueError):
    """Not a token that one of the keys has signed."""


def signed(claims: Mapping[str, Any], key: bytes) -> str:
    """A token that says `claims`."""
    content = f"{_HEAD}.{_encoded(_compact(claims))}"
    return f"{content}.{_signature(content, key)}"


def verified(token: str, keys: Sequence[bytes]) -> dict[str, Any]:
    """What a token says that one of the keys has signed; raises `TokenError`, but not for an expired one."""
    content, _, signature = token.rpartition(".")
    head, _, claims = content.partition(".")
    # The text of the signature is compared, so there is one way to write a token, and nothing of it is read before.
    genuine = [hmac.compare_digest(signature.encode(), _signature(content, key).encode()) for key in keys]
    if head != _HEAD or not any(genuine):
        raise TokenError("the token is not signed by this server")
    said: dict[str, Any] = json.loads(_decoded(claims))
    return said


def algorithm(token: str) -> str:
    """How a token says that it is signed, which is not checked; empty for what is no JSON web token."""
    try:
        head = json.loads(_decoded(token.partition(".")[0]))
    except (ValueError, RecursionError):
        return ""
    return str(head.get("alg", "")) if isinstance(head, dict) else ""


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(content: str, key: bytes) -> str:
    return _encoded(hmac.digest(key, content.encode(), "sha256"))


_HEAD = _encoded(_compact({"alg": ALGORITHM, "typ": "JWT"}))
