"""OpenID Connect: the authorization code flow with PKCE (http-api 5.2)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from queueserver_http import loggers
from queueserver_http.authenticators.external import ExternalAuthenticator, ProviderAway

_TIMEOUT_S = 10.0
_LOGIN_S = 600.0
"""Seconds from leaving for the provider to coming back."""
_MOST_LOGINS = 10_000
_KEYS_S = 3600.0
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]

_log = logging.getLogger(loggers.AUTHENTICATORS)


class OIDCAuthenticator(ExternalAuthenticator):
    """`well_known_uri`: the provider's discovery document. `redirect_uri`: this server's path `/code`, as registered.

    `username_claim` names the claim of the identity token that policies know the user by.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        well_known_uri: str,
        redirect_uri: str,
        audience: str | None = None,
        username_claim: str = "email",
        scopes: tuple[str, ...] | list[str] = ("openid", "email", "profile"),
    ) -> None:
        for name, uri in (("well_known_uri", well_known_uri), ("redirect_uri", redirect_uri)):
            if not uri.startswith(("https://", "http://")):
                raise ValueError(f"'{name}' must be an address that begins with https://")
        self._client_id = client_id
        self._client_secret = client_secret
        self._well_known = well_known_uri
        self._redirect = redirect_uri
        self._audience = audience or client_id
        self._claim = username_claim
        self._scopes = " ".join(scopes)
        self._leaving: dict[str, tuple[float, str, str]] = {}
        self._provider: Mapping[str, Any] = {}
        self._keys: jwt.PyJWKSet | None = None
        self._keys_expire = float("-inf")

    async def leave(self) -> str:
        try:
            address = (await self._discover())["authorization_endpoint"]
        except (httpx.HTTPError, KeyError, ValueError, TypeError) as error:
            _log.error("The provider at %s cannot be asked: %r", self._well_known, error)
            raise ProviderAway from None
        now = time.monotonic()
        self._leaving = {state: one for state, one in self._leaving.items() if one[0] > now}
        if len(self._leaving) >= _MOST_LOGINS:
            self._leaving.pop(next(iter(self._leaving)))
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._leaving[state] = (now + _LOGIN_S, nonce, verifier)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect,
            "scope": self._scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{address}?{urlencode(query)}"

    async def come_back(self, sent: Mapping[str, str]) -> str | None:
        expires, nonce, verifier = self._leaving.pop(sent.get("state", ""), (float("-inf"), "", ""))
        if "code" not in sent or expires < time.monotonic():
            _log.info("A login was not begun here, is too old or was refused by the provider")
            return None
        try:
            token = await self._exchange(sent["code"], verifier)
            claims = await self._claims(token)
        except httpx.TransportError as error:
            _log.error("The provider cannot be asked: %r", error)
            raise ProviderAway from None
        except (httpx.HTTPError, jwt.PyJWTError, KeyError, ValueError) as error:
            _log.warning("The provider did not confirm a login: %s", error)
            return None
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            _log.warning("The provider answered to another login: the nonce differs")
            return None
        if self._claim == "email" and claims.get("email_verified") is False:
            _log.warning("The provider has not verified the user's address")
            return None
        name = claims.get(self._claim)
        return name if isinstance(name, str) and name else None

    async def _discover(self) -> Mapping[str, Any]:
        if not self._provider:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                self._provider = (await client.get(self._well_known)).raise_for_status().json()
        return self._provider

    async def _exchange(self, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": verifier,
        }
        provider = await self._discover()
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
            answer = await client.post(
                provider["token_endpoint"], data=form, auth=(self._client_id, self._client_secret)
            )
        token: str = answer.raise_for_status().json()["id_token"]
        return token

    async def _claims(self, token: str) -> dict[str, Any]:
        kid = jwt.get_unverified_header(token).get("kid")
        key = await self._key(kid)
        claims: dict[str, Any] = await asyncio.to_thread(
            jwt.decode,
            token,
            key,
            _ALGORITHMS,
            audience=self._audience,
            issuer=(await self._discover())["issuer"],
            options={"require": ["exp", "iat"]},
            leeway=30,
        )
        return claims

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        """The provider's key, read anew when it is not among the known ones."""
        for fresh in (False, True):
            for key in (await self._key_set(fresh=fresh)).keys:
                if kid is None or key.key_id == kid:
                    return key
        raise KeyError(f"the provider has no key {kid!r}")

    async def _key_set(self, *, fresh: bool) -> jwt.PyJWKSet:
        if self._keys is None or fresh or time.monotonic() > self._keys_expire:
            provider = await self._discover()
            async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                answer = (await client.get(provider["jwks_uri"])).raise_for_status()
            self._keys = jwt.PyJWKSet.from_dict(answer.json())
            self._keys_expire = time.monotonic() + _KEYS_S
        return self._keys
