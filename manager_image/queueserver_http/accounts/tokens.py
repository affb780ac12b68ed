"""Access and refresh tokens: JWT, HS256 (http-api 2.4)."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

from queueserver_http.exchange.errors import unauthorized

_ALGORITHM = "HS256"
_SHORTEST_KEY = 16
_EXPIRED = {
    "access": "Access token has expired. Refresh token.",
    "refresh": "Session has expired. Please re-authenticate.",
}


class Tokens:
    """Signs with the first key and accepts all of them, so that keys can be replaced. Ages are seconds."""

    def __init__(self, keys: Sequence[str], access_age: int, refresh_age: int) -> None:
        if short := [key for key in keys if len(key) < _SHORTEST_KEY]:
            raise ValueError(f"{len(short)} of the secret keys are shorter than {_SHORTEST_KEY} characters")
        # The key of HS256 has to be as long as the hash, whatever text an administrator chose.
        self._keys = [_derived(key) for key in keys] or [secrets.token_bytes(32)]
        self.access_age = access_age
        self.refresh_age = refresh_age

    def access(self, subject: str, kind: str, scopes: Sequence[str], identities: Sequence[tuple[str, str]]) -> str:
        """An access token."""
        return self._sign(
            {
                "sub": subject,
                "sub_typ": kind,
                "scp": list(scopes),
                "ids": [{"id": name, "idp": provider} for provider, name in identities],
                "exp": int(time.time()) + self.access_age,
                "type": "access",
            }
        )

    def refresh(self, session: str) -> str:
        """A refresh token."""
        return self._sign({"sid": session, "exp": int(time.time()) + self.refresh_age, "type": "refresh"})

    def claims(self, token: str, kind: str) -> dict[str, Any]:
        """What a token of a kind (access or refresh) says; raises 401."""
        # Loads all of cryptography, 9 MB: a server whose clients have API keys never needs it.
        import jwt

        for key in self._keys:
            try:
                claims = jwt.decode(token, key, [_ALGORITHM], options={"require": ["exp"]})
            except jwt.ExpiredSignatureError:
                raise unauthorized(_EXPIRED[kind]) from None
            except jwt.InvalidTokenError:
                continue
            if claims.get("type") == kind:
                return claims
        raise unauthorized("Could not validate credentials")

    def _sign(self, claims: dict[str, Any]) -> str:
        import jwt

        return jwt.encode(claims, self._keys[0], _ALGORITHM)


def _derived(key: str) -> bytes:
    return hashlib.sha256(b"queueserver tokens\0" + key.encode()).digest()
