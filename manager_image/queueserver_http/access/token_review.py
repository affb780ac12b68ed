"""Bearer tokens of Kubernetes: service accounts and users of the cluster, checked by TokenReview."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import jwt

from queueserver_http import loggers
from queueserver_http.access.policies import scopes_of
from queueserver_http.access.principal import Principal
from queueserver_http.configuration.settings import KubernetesSection
from queueserver_http.configuration.sources import ConfigurationError
from queueserver_http.exchange.errors import HttpError, unauthorized

_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_TIMEOUT_S = 5.0
_REMEMBERED_S = 10.0
"""Seconds for which a token is not reviewed again; a token that was revoked counts that long."""
_MOST_REMEMBERED = 10_000
_SERVICE_ACCOUNT = "system:serviceaccount:"

_log = logging.getLogger(loggers.KUBERNETES)


class TokenReview:
    """Asks the API server who a token belongs to; roles come from the configuration."""

    def __init__(self, settings: KubernetesSection, roles: dict[str, frozenset[str]]) -> None:
        for name in {role for names in (*settings.groups.values(), *settings.users.values()) for role in names}:
            if name not in roles:
                raise ConfigurationError(f"kubernetes: there is no role {name!r}.")
        self._settings = settings
        self._roles = roles
        self._remembered: dict[bytes, tuple[float, Principal]] = {}
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            text = f"kubernetes: the certificates '{settings.ca_file}' cannot be read: {error.strerror}."
            raise ConfigurationError(text) from None
        self._client = httpx.AsyncClient(base_url=_address(settings), verify=context, timeout=_TIMEOUT_S)

    def concerns(self, token: str) -> bool:
        """Whether a bearer token cannot be one of this server's own, which are JWT with HS256."""
        try:
            return bool(jwt.get_unverified_header(token).get("alg") != "HS256")
        except jwt.InvalidTokenError:
            return True

    async def by_token(self, token: str) -> Principal:
        """The bearer of a token; raises 401, and 503 when the API server cannot be asked."""
        now = time.monotonic()
        digest = hashlib.sha256(token.encode()).digest()
        until, principal = self._remembered.get(digest, (0.0, None))
        if principal is None or until <= now:
            principal = self._principal(await self._review(token))
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = (now + _REMEMBERED_S, principal)
        return principal

    async def _review(self, token: str) -> dict[str, Any]:
        review: dict[str, Any] = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, **({"audiences": self._settings.audiences} if self._settings.audiences else {})},
        }
        try:
            own = await asyncio.to_thread(Path(self._settings.token_file).read_text)  # the kubelet renews it
            answer = await self._client.post(_PATH, json=review, headers={"Authorization": f"Bearer {own.strip()}"})
            status: dict[str, Any] = answer.raise_for_status().json()["status"]
        except (OSError, httpx.HTTPError, KeyError, ValueError) as error:
            _log.error("A token could not be reviewed: %s", error)
            raise HttpError(
                503, "The token cannot be checked: the Kubernetes API does not answer.", {"retry-after": "5"}
            ) from None
        audiences = set(self._settings.audiences)
        if not status.get("authenticated") or (audiences and not audiences & set(status.get("audiences") or ())):
            raise unauthorized("Could not validate credentials")
        user: dict[str, Any] = status.get("user") or {}
        return user

    def _principal(self, user: dict[str, Any]) -> Principal:
        name = str(user.get("username") or "")
        settings = self._settings
        roles = frozenset(
            (
                *settings.users.get(name, ()),
                *(role for group in user.get("groups") or () for role in settings.groups.get(group, ())),
            )
        )
        if not name or not roles:
            raise unauthorized("User is not authorized to access the server")
        kind = "service" if name.startswith(_SERVICE_ACCOUNT) else "user"
        scopes = scopes_of(roles, self._roles)
        return Principal(name, scopes, roles, kind=kind, identities=(("kubernetes", name),))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _address(settings: KubernetesSection) -> str:
    if settings.api_server:
        return settings.api_server
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigurationError("kubernetes: this is no pod of a cluster; name its 'api_server'.")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
